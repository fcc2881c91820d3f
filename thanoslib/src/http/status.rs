//! What the process says of itself.

use std::sync::Arc;

use axum::response::Response;
use serde_json::{Value, json};

use super::{Api, json::success};
use crate::model::duration::{UnixTime, format_rfc3339};

fn answer(data: &Value) -> Response {
    success(json!({"status": "success", "data": data}).to_string(), false)
}

/// There is no configuration file: what would stand in it are flags.
pub(super) fn config() -> Response {
    answer(&json!({"yaml": ""}))
}

pub(super) fn flags(api: &Arc<Api>) -> Response {
    answer(&json!(api.settings.flags))
}

pub(super) fn build_info(api: &Arc<Api>) -> Response {
    answer(&json!({
        "version": api.settings.version,
        "revision": "",
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
        "thanoslibVersion": env!("CARGO_PKG_VERSION"),
    }))
}

pub(super) fn runtime_info(api: &Arc<Api>) -> Response {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let cwd = std::env::current_dir().map(|d| d.display().to_string()).unwrap_or_default();
    answer(&json!({
        "startTime": rfc3339(api.started_ms),
        "CWD": cwd,
        "goroutineCount": 0,
        "GOMAXPROCS": threads,
        "GOGC": "",
        "GODEBUG": "",
        "GOMEMLIMIT": api.served.budget.limit(),
    }))
}

pub(super) fn rfc3339(ms: i64) -> String {
    format_rfc3339(UnixTime::from_ms(ms))
}
