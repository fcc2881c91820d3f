//! `/api/v1/query_exemplars`.

use std::sync::Arc;

use axum::response::Response;

use super::{Api, error::ApiError, json, params::Params, query::time};
use crate::{
    apis::{Exemplar, ExemplarSeries, ExemplarsAnswer, ExemplarsRequest},
    context::Context,
    model::{
        Interval,
        duration::{MAX_TIME_MS, MIN_TIME_MS},
    },
    promql,
    store::PartialResponse,
};

pub(super) async fn exemplars(api: &Arc<Api>, ctx: &Context, params: &Params) -> Result<Response, ApiError> {
    let bound = |name: &str, default: i64| match params.get(name) {
        "" => Ok(default),
        text => time(text).map_err(|e| ApiError::bad_data(format!("Invalid time value for '{name}': {e}"))),
    };
    let interval = Interval::new(bound("start", MIN_TIME_MS)?, bound("end", MAX_TIME_MS)?);
    let query = params.get("query");
    // Compat: the proxy of exemplars finds the fault, not the API (thanos `pkg/api/query/v1.go`).
    promql::parse(query, api.served.engine.options())
        .map_err(|e| ApiError::internal(format!("retrieving exemplars: proxy Exemplars: {e}")))?;
    let partial_response = match api.settings.exemplars_partial_response {
        true => PartialResponse::Warn,
        false => PartialResponse::Abort,
    };
    let answer = match &api.served.apis.exemplars {
        None => ExemplarsAnswer::default(),
        Some(exemplars) => {
            let request = ExemplarsRequest { query: query.to_owned(), interval, partial_response };
            let answer = ctx.run(exemplars.exemplars(ctx, request)).await;
            answer.map_err(|e| ApiError::beside_series("retrieving exemplars", &e))?
        }
    };
    let mut out = String::from(r#"{"status":"success","data":"#);
    json::items(&mut out, answer.series.iter(), series);
    Ok(json::finish(out, &answer.warnings))
}

fn series(out: &mut String, series: &ExemplarSeries) {
    out.push_str(r#"{"seriesLabels":"#);
    json::html_safe_labels(out, &series.labels);
    out.push_str(r#","exemplars":"#);
    json::items(out, series.exemplars.iter(), exemplar);
    out.push('}');
}

fn exemplar(out: &mut String, exemplar: &Exemplar) {
    out.push_str(r#"{"labels":"#);
    json::html_safe_labels(out, &exemplar.labels);
    out.push_str(r#","timestamp":"#);
    json::number(out, exemplar.t_ms as f64 / 1000.0);
    out.push_str(r#","value":""#);
    json::plain_value(out, exemplar.v);
    out.push_str("\"}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Labels;

    #[test]
    fn exemplars_are_rendered_as_upstream_does() {
        let trace = |t_ms, v| Exemplar { labels: Labels::from_pairs([("trace_id", "t")]), v, t_ms };
        let all = ExemplarSeries {
            labels: Labels::from_pairs([("le", "1.0")]),
            exemplars: vec![trace(1_700_027_600_250, 0.07), trace(1_700_027_700_000, f64::INFINITY)],
        };
        let mut out = String::new();
        series(&mut out, &all);
        let want = r#"{"seriesLabels":{"le":"1.0"},"exemplars":[{"labels":{"trace_id":"t"},"timestamp":1700027600.25,"value":"0.07"},{"labels":{"trace_id":"t"},"timestamp":1700027700,"value":"+Inf"}]}"#;
        assert_eq!(out, want);
    }
}
