//! `/api/v1/status/tsdb`.

use std::{fmt::Write, sync::Arc};

use axum::response::Response;

use super::{Api, error::ApiError, json, params::Params, query::selector};
use crate::{
    apis::{Statistic, TsdbStatistics, TsdbStatusAnswer, TsdbStatusRequest},
    context::Context,
    model::Matcher,
    store::PartialResponse,
};

/// Entries of a list when a request does not say.
const LIMIT: usize = 10;

pub(super) async fn status(api: &Arc<Api>, ctx: &Context, params: &Params) -> Result<Response, ApiError> {
    let limit = match params.get("limit") {
        "" => LIMIT,
        text => {
            let limit: i64 = text
                .parse()
                .map_err(|_| ApiError::bad_data(format!("cannot parse {text:?} to a valid limit")))?;
            usize::try_from(limit).unwrap_or(0)
        }
    };
    let mut matchers: Vec<Matcher> = Vec::new();
    for text in params.all("match[]") {
        matchers.extend(selector(api, text)?);
    }
    let enforced = api.settings.tenancy.enforced_label.is_some();
    api.settings.tenancy.enforce_matchers(&mut matchers, ctx.tenant());
    let partial_response = match api.settings.status_partial_response {
        true => PartialResponse::Warn,
        false => PartialResponse::Abort,
    };
    let mut answer = match &api.served.apis.status {
        None => TsdbStatusAnswer::default(),
        Some(status) => {
            let request = TsdbStatusRequest { tenant: String::new(), limit, matchers, partial_response };
            let answer = ctx.run(status.tsdb_status(ctx, request)).await;
            answer.map_err(|e| ApiError::beside_series("retrieving tsdb statistics", &e))?
        }
    };
    let mut statistics = if enforced && api.served.apis.status.is_some() {
        answer
            .tenants
            .remove(ctx.tenant())
            .ok_or_else(|| ApiError::internal(format!("tenant {} not found", ctx.tenant())))?
    } else {
        let mut all = TsdbStatistics::default();
        answer.tenants.values().for_each(|one| all.add(one));
        all
    };
    let mut out = String::from(r#"{"status":"success","data":"#);
    statistics.cut(limit);
    render(&mut out, &statistics);
    Ok(json::finish(out, &answer.warnings))
}

fn render(out: &mut String, statistics: &TsdbStatistics) {
    let head = &statistics.head;
    // Writing to a String cannot fail, here and below.
    let _ = write!(
        out,
        r#"{{"headStats":{{"numSeries":{},"numLabelPairs":{},"chunkCount":{},"minTime":{},"maxTime":{}}}"#,
        head.series, head.label_pairs, head.chunks, head.mint, head.maxt
    );
    for (name, list) in [
        ("seriesCountByMetricName", &statistics.series_by_metric),
        ("labelValueCountByLabelName", &statistics.values_by_label),
        ("memoryInBytesByLabelName", &statistics.bytes_by_label),
        ("seriesCountByLabelValuePair", &statistics.series_by_pair),
    ] {
        let _ = write!(out, ",\"{name}\":");
        json::items(out, list.iter(), |out, Statistic { name, value }| {
            out.push_str(r#"{"name":"#);
            json::html_safe_text(out, name);
            let _ = write!(out, ",\"value\":{value}}}");
        });
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_rendered_in_the_order_of_upstream() {
        let entry = |name: &str, value| Statistic { name: name.to_owned(), value };
        let one = TsdbStatistics {
            series_by_metric: vec![entry("up", 7), entry("a", 2)],
            ..TsdbStatistics::default()
        };
        let mut out = String::new();
        render(&mut out, &one);
        let want = r#"{"headStats":{"numSeries":0,"numLabelPairs":0,"chunkCount":0,"minTime":0,"maxTime":0},"seriesCountByMetricName":[{"name":"up","value":7},{"name":"a","value":2}],"labelValueCountByLabelName":[],"memoryInBytesByLabelName":[],"seriesCountByLabelValuePair":[]}"#;
        assert_eq!(out, want);
    }
}
