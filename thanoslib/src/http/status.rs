//! What an installation without rules and targets says of itself.

use std::{collections::BTreeMap, sync::Arc};

use axum::response::Response;
use serde_json::{Value, json};

use super::{
    Api,
    endpoint::Endpoint,
    error::ApiError,
    params::Params,
    query::{selector, success, time},
};
use crate::{
    model::{
        Interval,
        duration::{UnixTime, format_rfc3339},
    },
    store::StoreInfo,
};

/// Answers the endpoints that need no series.
pub(super) fn answer(api: &Arc<Api>, endpoint: Endpoint<'_>, params: &Params) -> Result<Response, ApiError> {
    let data = match endpoint {
        Endpoint::Rules => rules(api, params)?,
        Endpoint::Alerts => json!({"alerts": null}),
        Endpoint::Targets => targets(params)?,
        Endpoint::Metadata => metadata(params)?,
        Endpoint::Exemplars => exemplars(api, params)?,
        Endpoint::Stores => stores(api),
        Endpoint::Config => json!({"yaml": ""}),
        Endpoint::Flags => json!(api.settings.flags),
        Endpoint::BuildInfo => build_info(api),
        Endpoint::RuntimeInfo => runtime_info(api),
        Endpoint::Tsdb => tsdb(params)?,
        Endpoint::Query
        | Endpoint::QueryRange
        | Endpoint::QueryExplain
        | Endpoint::QueryRangeExplain
        | Endpoint::ActiveQueries
        | Endpoint::KillQuery
        | Endpoint::FormatQuery
        | Endpoint::ParseQuery
        | Endpoint::Labels
        | Endpoint::LabelValues(_)
        | Endpoint::Series => return Err(ApiError::bad_data("this endpoint needs series")),
    };
    Ok(success(json!({"status": "success", "data": data}).to_string(), false))
}

fn rules(api: &Api, params: &Params) -> Result<Value, ApiError> {
    match params.get("type") {
        "" | "alert" | "record" => {}
        other => return Err(ApiError::bad_data(format!("invalid rules parameter type='{other}'"))),
    }
    for text in params.all("match[]") {
        // Compat: the proxy of rules finds the fault, not the API (thanos `pkg/api/query/v1.go`).
        selector(api, text).map_err(|e| {
            ApiError::internal(format!("error retrieving rules: parser ParseMetricSelector: {}", e.message()))
        })?;
    }
    Ok(json!({"groups": []}))
}

fn targets(params: &Params) -> Result<Value, ApiError> {
    match params.get("state") {
        "" | "any" | "active" | "dropped" => Ok(json!({"activeTargets": [], "droppedTargets": []})),
        other => Err(ApiError::bad_data(format!("invalid targets parameter state='{other}'"))),
    }
}

fn metadata(params: &Params) -> Result<Value, ApiError> {
    let limit = params.get("limit");
    if !limit.is_empty() && limit.parse::<i32>().is_err() {
        return Err(ApiError::bad_data("invalid metric metadata limit='0'"));
    }
    Ok(json!({}))
}

fn exemplars(api: &Api, params: &Params) -> Result<Value, ApiError> {
    for name in ["start", "end"] {
        let text = params.get(name);
        if !text.is_empty() {
            time(text).map_err(|e| ApiError::bad_data(format!("Invalid time value for '{name}': {e}")))?;
        }
    }
    crate::promql::parse(params.get("query"), api.engine.options())
        .map_err(|e| ApiError::bad_data(e.to_string()))?;
    Ok(json!([]))
}

fn stores(api: &Api) -> Value {
    let info = api.store.info();
    let StoreInfo { component, ref label_sets, interval, .. } = info;
    let sets: Vec<BTreeMap<String, String>> = label_sets
        .iter()
        .map(|set| {
            set.iter()
                .map(|l| {
                    let text = |b| String::from_utf8_lossy(b).into_owned();
                    (text(l.name), text(l.value))
                })
                .collect()
        })
        .collect();
    // A store that holds nothing shows an empty range, as upstream's does.
    let interval = interval.unwrap_or(Interval::new(i64::MAX, i64::MIN));
    json!({component: [{
        "name": "local",
        "lastCheck": rfc3339(api.clock.now_ms()),
        "lastError": null,
        "labelSets": sets,
        "minTime": interval.mint,
        "maxTime": interval.maxt,
    }]})
}

fn build_info(api: &Api) -> Value {
    json!({
        "version": api.settings.version,
        "revision": "",
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    })
}

fn runtime_info(api: &Api) -> Value {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let cwd = std::env::current_dir().map(|d| d.display().to_string()).unwrap_or_default();
    json!({
        "startTime": rfc3339(api.started_ms),
        "CWD": cwd,
        "goroutineCount": 0,
        "GOMAXPROCS": threads,
        "GOGC": "",
        "GODEBUG": "",
        "GOMEMLIMIT": api.budget.limit(),
    })
}

fn tsdb(params: &Params) -> Result<Value, ApiError> {
    let limit = params.get("limit");
    if !limit.is_empty() && limit.parse::<i64>().is_err() {
        return Err(ApiError::bad_data(format!("cannot parse {limit:?} to a valid limit")));
    }
    Ok(json!({
        "headStats": {"numSeries": 0, "numLabelPairs": 0, "chunkCount": 0, "minTime": 0, "maxTime": 0},
        "seriesCountByMetricName": [],
        "labelValueCountByLabelName": [],
        "memoryInBytesByLabelName": [],
        "seriesCountByLabelValuePair": [],
    }))
}

pub(super) fn rfc3339(ms: i64) -> String {
    format_rfc3339(UnixTime::from_ms(ms))
}
