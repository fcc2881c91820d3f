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
    routing::{any, get},
};

use crate::metrics::{Collect, Kind, TextWriter};

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

/// Routes `/` and `/graph`: a page to query with.
pub fn pages() -> Router {
    Router::new().route("/", get(page)).route("/graph", get(page))
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

/// What a process says of itself to those that watch it.
///
/// ```
/// use thanoslib::http::{Probes, Readiness};
/// let probes = Probes { component: "query", version: "0.1.0".to_owned(), ..Probes::default() };
/// let router: axum::Router = probes.router();
/// # drop(router);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Probes {
    /// What it is: `query`, `sidecar`, …
    pub component: &'static str,
    /// Version of the program.
    pub version: String,
    /// What `/-/ready` says.
    pub readiness: Readiness,
    /// Whose metrics `/metrics` shows, beside those of the probes.
    pub metrics: Vec<Arc<dyn Collect>>,
}

impl Probes {
    /// Routes `/-/healthy`, `/-/ready` and `/metrics`.
    pub fn router(self) -> Router {
        Router::new()
            .route("/-/healthy", get(async || "OK"))
            .route("/-/ready", get(ready))
            .route("/metrics", any(metrics))
            .with_state(Arc::new(self))
    }
}

async fn ready(State(probes): State<Arc<Probes>>) -> Response {
    if probes.readiness.is_ready() {
        "OK".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "NOT OK\n").into_response()
    }
}

async fn metrics(State(probes): State<Arc<Probes>>) -> Response {
    let mut out = TextWriter::default();
    out.family("thanos_status", "Result of the probes: 1 when they pass.", Kind::Gauge);
    let component = ("component", probes.component);
    out.sample("thanos_status", &[("check", "healthy"), component], 1.0);
    let ready = f64::from(u8::from(probes.readiness.is_ready()));
    out.sample("thanos_status", &[("check", "ready"), component], ready);
    out.family("thanos_build_info", "Version of the program.", Kind::Gauge);
    let build = [
        ("branch", ""),
        ("goarch", std::env::consts::ARCH),
        ("goos", std::env::consts::OS),
        ("goversion", ""),
        ("revision", ""),
        ("tags", ""),
        ("version", &probes.version),
    ];
    out.sample("thanos_build_info", &build, 1.0);
    for source in &probes.metrics {
        source.collect(&mut out);
    }
    let headers = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8; escaping=underscores")];
    (headers, Body::from(out.into_text())).into_response()
}
