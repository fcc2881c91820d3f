//! Prometheus' HTTP API as Thanos serves it, over any store.
//!
//! Invariant: parses parameters and renders answers; decides nothing about data.

mod active;
mod certificate;
mod endpoint;
mod error;
mod exemplars;
mod explain;
mod gzip;
mod json;
mod labels;
mod measure;
mod metadata;
mod metrics;
mod params;
mod probe;
mod query;
mod read;
mod rules;
mod status;
mod stores;
mod syntax;
mod targets;
mod tenancy;
mod tsdb;

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::any,
};

use crate::{
    apis::Apis,
    budget::Budget,
    clock::{Clock, SystemClock},
    context::{Admission, AdmissionSettings, Context, Coverage, SpanId, SpanSink},
    dedup::{Algorithm, Counters},
    metrics::{Collect, Kind, TextWriter},
    promql::{Engine, EngineKind},
    query::{Distribution, ResolutionSeams, SelectOptions, StoreQueryable},
    store::Store,
};
pub use certificate::{CertificateField, ClientCertificate};
use endpoint::Endpoint;
use error::ApiError;
pub use json::write_value;
use measure::QueryMetrics;
pub use measure::Telemetry;
use metrics::HttpMetrics;
use params::Params;
pub use probe::{Probes, Readiness, pages};
pub use read::RemoteRead;
pub use stores::{StoreStatus, StoreStatuses};
pub use syntax::syntax_tree;
pub use tenancy::Tenancy;

/// The header that names a request in logs.
pub const REQUEST_ID: &str = "x-request-id";
/// The header that names the span which a request is part of.
pub const TRACEPARENT: &str = "traceparent";

/// How the API answers; plain data.
///
/// See [`Api`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// Longest time of one request.
    pub timeout: Duration,
    /// How many queries run and wait, and for how much memory.
    pub admission: AdmissionSettings,
    /// Selects of a query that are opened at a time.
    pub selects_max: usize,
    /// How queries are told apart in the metrics.
    pub telemetry: Telemetry,
    /// The engine of upstream that requests mean which name none; that of Thanos explains its plans.
    pub engine: EngineKind,
    /// `local`, or `distributed` where leaf queriers evaluate; a label of the metrics.
    pub mode: &'static str,
    /// Bytes of one request body.
    pub body_bytes_max: usize,
    /// Labels that tell the replicas of an HA pair apart.
    pub replica_labels: Vec<String>,
    /// How replicas are merged.
    pub algorithm: Algorithm,
    /// What counter functions see of merged replicas.
    pub counters: Counters,
    /// Least step of range queries that name none.
    pub default_step: Duration,
    /// Steps that a range query may have.
    pub steps_max: i64,
    /// True: a failing store is a warning unless the request says otherwise.
    pub partial_response: bool,
    /// True: resolution follows the step unless the request says otherwise.
    pub auto_downsampling: bool,
    /// The resolution that stands for `auto` in instant queries, which have no step.
    pub instant_resolution: Duration,
    /// What windows see where data of several resolutions meet.
    pub seams: ResolutionSeams,
    /// True: no resolution is so coarse that a range holds fewer samples than its function needs.
    pub fit_range: bool,
    /// How far metadata calls without times look back; zero means all time.
    pub metadata_range: Duration,
    /// True: the lookback grows with the resolution asked for.
    pub dynamic_lookback: bool,
    /// True: a failing endpoint is a warning on rules and alerts.
    pub rules_partial_response: bool,
    /// The same on targets.
    pub targets_partial_response: bool,
    /// The same on metadata.
    pub metadata_partial_response: bool,
    /// The same on exemplars.
    pub exemplars_partial_response: bool,
    /// The same on statistics.
    pub status_partial_response: bool,
    /// Who asks, and what each may see.
    pub tenancy: Tenancy,
    /// How remote reads are answered at `/api/v1/read`; `None` answers none.
    pub remote_read: Option<RemoteRead>,
    /// True: what changes or ends something, such as ending a query, is served.
    pub admin: bool,
    /// True: answers carry CORS headers.
    pub cors: bool,
    /// What `/api/v1/status/flags` shows.
    pub flags: BTreeMap<String, String>,
    /// Name and version of the program, for `/api/v1/status/buildinfo`.
    pub version: String,
}

impl Default for Settings {
    /// The defaults of `thanos query`.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(120),
            admission: AdmissionSettings::default(),
            selects_max: 4,
            telemetry: Telemetry::default(),
            engine: EngineKind::default(),
            mode: "local",
            body_bytes_max: 10 << 20,
            replica_labels: Vec::new(),
            algorithm: Algorithm::Penalty,
            counters: Counters::Prometheus,
            default_step: Duration::from_secs(1),
            steps_max: 11_000,
            partial_response: true,
            auto_downsampling: false,
            instant_resolution: Duration::ZERO,
            seams: ResolutionSeams::Right,
            fit_range: false,
            metadata_range: Duration::ZERO,
            dynamic_lookback: true,
            rules_partial_response: true,
            targets_partial_response: true,
            metadata_partial_response: true,
            exemplars_partial_response: true,
            status_partial_response: true,
            tenancy: Tenancy::default(),
            remote_read: None,
            admin: false,
            cors: true,
            flags: BTreeMap::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// The API over one store; shared by all requests.
///
/// ```
/// use std::sync::Arc;
/// use axum::{body::{Body, to_bytes}, http::Request};
/// use thanoslib::{Engine, EngineOptions, Labels, MemoryStore, http, runtime::Inline};
/// use tower::ServiceExt;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let engine = Engine::new(EngineOptions::default(), Arc::new(Inline));
/// let store = Arc::new(MemoryStore::new(Labels::empty()));
/// let settings = http::Settings { cors: false, ..http::Settings::default() };
/// let api = http::Api::new(settings, http::Served::new(engine, store));
/// let request = Request::get("/api/v1/query?query=1%2B1&time=60").body(Body::empty())?;
/// let answer = http::router(Arc::clone(&api)).oneshot(request).await?;
/// let text = to_bytes(answer.into_body(), 1 << 20).await?;
/// assert!(str::from_utf8(&text)?.contains(r#"[60,"2"]"#));
/// use thanoslib::metrics::{Collect, TextWriter};
/// let mut out = TextWriter::default();
/// api.collect(&mut out);
/// assert!(out.text().contains("http_requests_total"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Api {
    settings: Settings,
    served: Served,
    admission: Admission,
    metrics: HttpMetrics,
    queries: QueryMetrics,
    started_ms: i64,
}

/// What an API answers from.
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::{Budget, Engine, EngineOptions, Labels, MemoryStore, http::Served, runtime::Inline};
/// let engine = Engine::new(EngineOptions::default(), Arc::new(Inline));
/// let store = Arc::new(MemoryStore::new(Labels::empty()));
/// let served = Served { budget: Budget::new("queries", 1 << 30), ..Served::new(engine, store) };
/// assert!(served.apis.rules.is_none());
/// ```
#[derive(Clone, Debug)]
pub struct Served {
    /// Evaluates queries.
    pub engine: Engine,
    /// What they select from; it keeps the whole contract.
    pub store: Arc<dyn Store>,
    /// What is answered beside series; what is missing answers as if nothing was there.
    pub apis: Apis,
    /// The stores behind `store`, as `/api/v1/stores` shows them; `None` shows the store itself.
    pub stores: Option<Arc<dyn StoreStatuses>>,
    /// Who evaluates parts of queries; `None` evaluates all of them here.
    pub distribution: Option<Arc<Distribution>>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// What all requests draw on.
    pub budget: Arc<Budget>,
    /// Where the spans of requests go that name their span in `traceparent`.
    pub spans: Option<Arc<dyn SpanSink>>,
}

impl Served {
    /// One store, by the system's clock, without limit of memory.
    pub fn new(engine: Engine, store: Arc<dyn Store>) -> Self {
        Self {
            engine,
            store,
            apis: Apis::default(),
            stores: None,
            distribution: None,
            clock: Arc::new(SystemClock),
            budget: Budget::unlimited(),
            spans: None,
        }
    }
}

impl Api {
    /// An API over what is served.
    pub fn new(settings: Settings, served: Served) -> Arc<Self> {
        Arc::new(Self {
            admission: Admission::new(settings.admission),
            started_ms: served.clock.now_ms(),
            metrics: HttpMetrics::default(),
            queries: QueryMetrics::new(
                settings.telemetry.clone(),
                settings.admission.running_max,
                settings.selects_max,
            ),
            settings,
            served,
        })
    }

    /// What queries select from.
    fn queryable(&self, store: Arc<dyn Store>, options: SelectOptions) -> StoreQueryable {
        let queryable = StoreQueryable::new(store, options);
        match &self.served.distribution {
            Some(distribution) => queryable.distributed(Arc::clone(distribution)),
            None => queryable,
        }
    }

    /// A context for one request of a tenant, with its own part of the budget.
    fn context(&self, tenant: &str, headers: &HeaderMap) -> Context {
        let budget = self.admission.budget("query", &self.served.budget);
        let ctx = Context::new(budget).with_timeout(self.settings.timeout).with_tenant(tenant);
        let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).filter(|v| !v.is_empty());
        let ctx = match text(REQUEST_ID) {
            Some(id) => ctx.with_request_id(id),
            None => ctx,
        };
        match &self.served.spans {
            Some(sink) => ctx.with_trace(sink, text(TRACEPARENT).and_then(SpanId::parse)),
            None => ctx,
        }
    }
}

impl Collect for Api {
    fn collect(&self, out: &mut TextWriter) {
        self.metrics.write(out);
        self.queries.write(out);
        let running_max = self.settings.admission.running_max;
        self.served.engine.metrics().write(out, running_max, self.settings.mode);
        let used = self.served.budget.used() as f64;
        out.single("thanoslib_memory_budget_bytes", "Bytes that requests hold now.", Kind::Gauge, used);
    }
}

/// Routes of the API, to be merged into the embedder's router.
///
/// Every path below `/api/v1` that Thanos answers is there, with its methods, and Prometheus'
/// `format_query` and `parse_query`; other methods get 405 and other paths are left to the
/// embedder. Our own are `GET /api/v1/status/active_queries`, which lists the queries that wait and run, and,
/// with [`Settings::admin`], `POST /api/v1/status/active_queries/kill` with the parameter `id`, which
/// ends one. With [`Settings::remote_read`], `POST /api/v1/read` is Prometheus' remote read.
pub fn router(api: Arc<Api>) -> Router {
    let mut router = Router::new();
    for path in endpoint::PATHS {
        router = router.route(path, any(serve));
    }
    router.with_state(api)
}

/// What a path of the API is called in metrics and logs; `None` for other paths.
pub fn handler_name(path: &str) -> Option<&'static str> {
    endpoint::find(path).map(|(endpoint, _)| endpoint.handler_name())
}

/// What Go's HTTP server says to paths that it does not know.
pub async fn not_found() -> Response {
    plain(StatusCode::NOT_FOUND, "404 page not found\n")
}

async fn serve(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Infallible> {
    let path = request.uri().path().to_owned();
    if path.contains("//") {
        return Ok(cleaned(&path));
    }
    let Some((endpoint, methods)) = endpoint::find(&path) else { return Ok(not_found().await) };
    let is_off = match endpoint {
        Endpoint::KillQuery => !api.settings.admin,
        Endpoint::RemoteRead => api.settings.remote_read.is_none(),
        _ => false,
    };
    if is_off {
        return Ok(not_found().await);
    }
    let method = request.method().clone();
    if method == Method::OPTIONS {
        let response = StatusCode::NO_CONTENT.into_response();
        return Ok(with_cors(&api, response));
    }
    if !methods.contains(&method) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
        let allow = match methods {
            [Method::POST] => "OPTIONS, POST",
            [_] => "GET, OPTIONS",
            _ => "GET, OPTIONS, POST",
        };
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        return Ok(response);
    }
    let tenancy = &api.settings.tenancy;
    let named = tenancy.checked(request.headers(), request.extensions());
    let tenant = named.as_ref().unwrap_or(&tenancy.default_tenant).clone();
    let mut counted = Counted::new(&api, endpoint.handler_name(), &request, &tenant);
    let headers = request.headers().clone();
    if let (Endpoint::RemoteRead, Some(settings)) = (endpoint, api.settings.remote_read) {
        let response = match named {
            Err(e) => e.into_response(),
            Ok(_) if !tenancy::is_valid(&tenant) => invalid_tenant(),
            Ok(_) => read::read(&api, api.context(&tenant, &headers), request, settings).await,
        };
        counted.answered(&response);
        return Ok(response);
    }
    let response = match Params::read(request, api.settings.body_bytes_max, &api.served.budget).await {
        Ok(params) => match named {
            Err(e) if endpoint.is_of_tenants() => e.into_response(),
            _ => answer(&api, endpoint, &tenant, &headers, &params).await,
        },
        Err(e) => e.into_response(),
    };
    counted.answered(&response);
    Ok(with_cors(&api, gzip::compress(&headers, response)))
}

/// Counts one request, also when its client goes away before the answer.
struct Counted<'a> {
    metrics: &'a HttpMetrics,
    begun: Option<metrics::Begun>,
}

impl<'a> Counted<'a> {
    fn new(api: &'a Api, handler: &'static str, request: &Request, tenant: &str) -> Self {
        let mut begun = api.metrics.begin(handler, request.method().as_str(), tenant);
        let uri = request.uri().to_string().len() as u64;
        begun.request_bytes = uri + request.body().size_hint().exact().unwrap_or_default();
        Self { metrics: &api.metrics, begun: Some(begun) }
    }

    fn answered(&mut self, response: &Response) {
        let response_bytes = response.body().size_hint().exact().unwrap_or_default();
        let ended = metrics::Ended { code: response.status().as_u16(), response_bytes };
        if let Some(begun) = self.begun.take() {
            self.metrics.end(begun, Some(ended));
        }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if let Some(begun) = self.begun.take() {
            self.metrics.end(begun, None);
        }
    }
}

fn invalid_tenant() -> Response {
    ApiError::bad_data("tenant name not valid").into_response()
}

/// Sends clients to the path without empty segments, as Go's router does.
fn cleaned(path: &str) -> Response {
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    let clean = format!("/{}", segments.join("/"));
    let body = format!("<a href=\"{clean}\">Temporary Redirect</a>.\n\n");
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()), (header::LOCATION, clean)];
    (StatusCode::TEMPORARY_REDIRECT, headers, Body::from(body)).into_response()
}

async fn answer(
    api: &Arc<Api>,
    endpoint: Endpoint<'_>,
    tenant: &str,
    headers: &HeaderMap,
    params: &Params,
) -> Response {
    if endpoint.is_of_tenants() && !tenancy::is_valid(tenant) {
        return invalid_tenant();
    }
    // Dropping the guard, as when the client hangs up, stops the work behind the request.
    let (ctx, _guard) = api.context(tenant, headers).child();
    let answer = match endpoint {
        Endpoint::Query => query::instant(api, &ctx, params).await,
        Endpoint::QueryRange => query::range(api, &ctx, params).await,
        Endpoint::QueryExplain => explain::instant(api, &ctx, params),
        Endpoint::QueryRangeExplain => explain::range(api, &ctx, params),
        Endpoint::ActiveQueries => Ok(active::list(api)),
        Endpoint::KillQuery => active::kill(api, params),
        Endpoint::FormatQuery => syntax::format(api, params),
        Endpoint::ParseQuery => syntax::tree(api, params),
        Endpoint::Labels => labels::names(api, &ctx, params).await,
        Endpoint::LabelValues(name) => labels::values(api, &ctx, name, params).await,
        Endpoint::Series => labels::series(api, &ctx, params).await,
        Endpoint::Stores => Ok(stores::list(api)),
        Endpoint::Rules => rules::rules(api, &ctx, params).await,
        Endpoint::Alerts => rules::alerts(api, &ctx).await,
        Endpoint::Targets => targets::targets(api, &ctx, params).await,
        Endpoint::Metadata => metadata::metadata(api, &ctx, params).await,
        Endpoint::Exemplars => exemplars::exemplars(api, &ctx, params).await,
        Endpoint::Tsdb => tsdb::status(api, &ctx, params).await,
        Endpoint::BuildInfo => Ok(status::build_info(api)),
        Endpoint::RuntimeInfo => Ok(status::runtime_info(api)),
        Endpoint::Flags => Ok(status::flags(api)),
        Endpoint::Config => Ok(status::config()),
        // It has no parameters and was answered before they were read.
        Endpoint::RemoteRead => Ok(not_found().await),
    };
    covered(answer.unwrap_or_else(ApiError::into_response), ctx.coverage())
}

/// Header that tells how much of what stores were asked for they answered, such as
/// `stores=3/4, time=0.9375`: the stores that answered of those asked, and the part of time times stores.
const COVERAGE: &str = "thanoslib-coverage";

fn covered(mut response: Response, coverage: &Coverage) -> Response {
    if !coverage.is_empty()
        && let Ok(value) = HeaderValue::from_str(&coverage.to_string())
    {
        response.headers_mut().insert(COVERAGE, value);
    }
    response
}

fn with_cors(api: &Api, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if api.settings.cors {
        for (name, value) in [
            (
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "Accept, Accept-Encoding, Authorization, Content-Type, Origin",
            ),
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    let headers =
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (status, headers, Body::from(text)).into_response()
}
