//! `/api/v1/status/active_queries`: the queries that wait and run, and how to end one.

use std::{sync::Arc, time::Duration};

use axum::response::Response;
use serde_json::json;

use super::{Api, error::ApiError, json::success, params::Params, status::rfc3339};
use crate::promql::{ActiveQuery, QueryState};

/// Lists the queries that wait and run, oldest first.
///
/// Prometheus and Thanos have no such path.
pub(super) fn list(api: &Arc<Api>) -> Response {
    let now_ms = api.served.clock.now_ms();
    let one = |q: ActiveQuery| {
        let ago = |past: Duration| {
            rfc3339(now_ms.saturating_sub(i64::try_from(past.as_millis()).unwrap_or(i64::MAX)))
        };
        json!({
            "id": q.id,
            "query": &*q.text,
            "tenant": q.tenant,
            "state": q.state.as_str(),
            "arrivedAt": ago(q.queued.saturating_add(q.running)),
            "startedAt": (q.state == QueryState::Running).then(|| ago(q.running)),
            "queuedSeconds": q.queued.as_secs_f64(),
            "runningSeconds": q.running.as_secs_f64(),
            "start": q.start_ms as f64 / 1000.0,
            "steps": q.steps,
            "totalSamples": q.total_samples,
            "peakSamples": q.peak_samples,
            "bytes": q.bytes,
            "peakBytes": q.peak_bytes,
        })
    };
    let all: Vec<_> = api.served.engine.active_queries().into_iter().map(one).collect();
    success(json!({"status": "success", "data": all}).to_string(), true)
}

/// Ends the query of the parameter `id`.
pub(super) fn kill(api: &Arc<Api>, params: &Params) -> Result<Response, ApiError> {
    let text = params.get("id");
    let id: u64 =
        text.parse().map_err(|_| ApiError::bad_data(format!("{text:?} is no number of a query")))?;
    if !api.served.engine.kill(id) {
        return Err(ApiError::not_found(format!("no query {id} waits or runs")));
    }
    Ok(success(json!({"status": "success", "data": {"killed": id}}).to_string(), true))
}
