//! Liveness, readiness, metrics, and the page.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::Api;

/// Whether the process is ready to answer; shared by all that decide it.
///
/// ```
/// use thanoslib::http::Readiness;
/// let readiness = Readiness::default();
/// let seen = readiness.clone();
/// readiness.set(true);
/// assert!(seen.is_ready());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Sets what `/-/ready` says.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    /// True when the process answers.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The static page: query, graph, table, warnings. No build step, no foreign resources.
const PAGE: &str = include_str!("page.html");

/// Routes `/`, `/graph`, `/-/healthy`, `/-/ready` and `/metrics`, to be merged with
/// [`router`](super::router).
pub fn probes(api: Arc<Api>, component: &'static str, readiness: Readiness) -> Router {
    let state = Probe { api, component, readiness };
    Router::new()
        .route("/", get(page))
        .route("/graph", get(page))
        .route("/-/healthy", get(async || "OK"))
        .route("/-/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(state)
}

#[derive(Clone)]
struct Probe {
    api: Arc<Api>,
    component: &'static str,
    readiness: Readiness,
}

async fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'",
        ),
    ];
    (headers, Body::from(PAGE)).into_response()
}

async fn ready(State(probe): State<Probe>) -> Response {
    if probe.readiness.is_ready() {
        "OK".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "NOT OK").into_response()
    }
}

async fn metrics(State(probe): State<Probe>) -> Response {
    let mut out = probe.api.metrics().render();
    let status = u8::from(probe.readiness.is_ready());
    let component = probe.component;
    out.push_str(
        "# HELP thanos_status Result of the probes: 1 when they pass.\n# TYPE thanos_status gauge\n",
    );
    out.push_str(&format!("thanos_status{{check=\"healthy\",component=\"{component}\"}} 1\n"));
    out.push_str(&format!("thanos_status{{check=\"ready\",component=\"{component}\"}} {status}\n"));
    out.push_str("# HELP thanos_build_info Version of the program.\n# TYPE thanos_build_info gauge\n");
    out.push_str(&format!("thanos_build_info{{version=\"{}\"}} 1\n", probe.api.settings.version));
    out.push_str("# HELP thanoslib_memory_budget_bytes Bytes that queries hold now.\n");
    out.push_str("# TYPE thanoslib_memory_budget_bytes gauge\n");
    out.push_str(&format!("thanoslib_memory_budget_bytes {}\n", probe.api.budget.used()));
    let headers = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (headers, Body::from(out)).into_response()
}
