//! The API keeps its limits of time, size and number, and stops work that nobody awaits.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
};
use futures::FutureExt;
use serde_json::Value;
use thanoslib::{
    bucket::Operation,
    budget::Budget,
    context::AdmissionSettings,
    http::{self, Settings},
    model::Labels,
    object_store::memory::InMemory,
    promql::EngineOptions,
    testing::{Effect, Fault, FaultyBucket, When},
};
use tokio::time::Instant;
use tower::ServiceExt;

use crate::support::{self, Block, get, labels, post};

/// How long each read of a slow bucket takes.
const SLOW: Duration = Duration::from_secs(60);

/// One query at a time.
const ONE: AdmissionSettings =
    AdmissionSettings { running_max: 1, waiting_max: 1000, bytes_max: 2 << 30, floor_bytes: 1 << 20 };

fn admitting(admission: AdmissionSettings) -> Settings {
    Settings { admission, ..Settings::default() }
}

struct Served {
    router: Router,
    bucket: Arc<FaultyBucket>,
    budget: Arc<Budget>,
}

impl Served {
    /// An API over a block of fifty series.
    async fn new(settings: Settings, options: EngineOptions) -> Self {
        let faulty = FaultyBucket::new(Arc::new(InMemory::new()));
        let bucket = faulty.bucket();
        let series: Vec<Labels> =
            (0..50).map(|i| labels(&[("__name__", "up"), ("instance", &format!("{i:02}"))])).collect();
        Block::steady(1, &[], &series).put(&bucket).await;
        let (api, budget) = support::api(support::block_set(&bucket).await, settings, options);
        let router = http::router(api).fallback(http::not_found);
        Self { router, bucket: faulty, budget }
    }

    async fn with_settings(settings: Settings) -> Self {
        Self::new(settings, EngineOptions::default()).await
    }

    fn slow_down(&self) {
        for operation in [Operation::Get, Operation::GetRange] {
            self.bucket.inject(Fault::new(When::Always, Effect::Delay(SLOW)).on(operation));
        }
    }

    fn start(&self, uri: &str) -> tokio::task::JoinHandle<StatusCode> {
        let request = Request::get(uri).body(Body::empty()).expect("a request");
        let response = self.router.clone().oneshot(request);
        tokio::spawn(response.map(|r| r.expect("a router never fails").status()))
    }
}

/// Lets the other tasks run as far as they come without time passing.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_query_ends_at_its_timeout_and_not_when_the_bucket_answers() {
    let served = Served::with_settings(Settings::default()).await;
    served.slow_down();
    for uri in ["/api/v1/query?query=up&time=60", "/api/v1/query_range?query=up&start=0&end=60&step=15"] {
        let began = Instant::now();
        let (kind, text) = get(&served.router, &format!("{uri}&timeout=1ms")).await.failure(503);
        assert_eq!((kind.as_str(), text.as_str()), ("timeout", "query timed out in expression evaluation"));
        assert!(began.elapsed() < SLOW, "the clock of the test went {:?}", began.elapsed());
    }
    assert_eq!(served.budget.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_server_has_a_timeout_of_its_own() {
    let settings = Settings { timeout: Duration::from_secs(1), ..Settings::default() };
    let served = Served::with_settings(settings).await;
    served.slow_down();
    for uri in [
        "/api/v1/query?query=up&time=60&timeout=10m",
        "/api/v1/series?match[]=up",
        "/api/v1/label/instance/values?match[]=up",
        "/api/v1/labels?match[]=up",
    ] {
        let began = Instant::now();
        assert_eq!(get(&served.router, uri).await.failure(503).0, "timeout", "{uri}");
        assert!(began.elapsed() < SLOW, "{uri}");
    }
}

#[tokio::test]
async fn a_range_has_eleven_thousand_points() {
    let served = Served::with_settings(Settings::default()).await;
    let range = |end| format!("/api/v1/query_range?query=1&start=0&end={end}&step=1");
    get(&served.router, &range(11_000)).await.success();
    let (kind, text) = get(&served.router, &range(11_001)).await.failure(400);
    assert_eq!(kind, "bad_data");
    assert!(text.starts_with("exceeded maximum resolution of 11,000 points per timeseries."), "{text}");
}

#[tokio::test]
async fn a_query_holds_so_many_samples() {
    let options = EngineOptions { samples_max: 100, ..EngineOptions::default() };
    let served = Served::new(Settings::default(), options).await;
    get(&served.router, "/api/v1/query?query=up&time=60").await.success();
    for uri in
        ["/api/v1/query?query=up[1h]&time=7000", "/api/v1/query_range?query=up&start=0&end=600&step=15"]
    {
        let (kind, text) = get(&served.router, uri).await.failure(422);
        let want = "query processing would load too many samples into memory in query execution";
        assert_eq!((kind.as_str(), text.as_str()), ("execution", want), "{uri}");
    }
}

#[tokio::test]
async fn a_query_holds_so_many_bytes() {
    let settings = admitting(AdmissionSettings { bytes_max: 2_000, ..AdmissionSettings::default() });
    let served = Served::with_settings(settings).await;
    let (kind, text) = get(&served.router, "/api/v1/query?query=up&time=60").await.failure(422);
    assert_eq!(kind, "execution");
    assert!(text.contains("query budget used up") && text.contains("of 2000 bytes"), "{text}");
    let (kind, text) = get(&served.router, "/api/v1/series?match[]=up").await.failure(422);
    assert!(kind == "execution" && text.contains("budget used up"), "{text}");
    assert_eq!(served.budget.used(), 0, "what a query held is given back");
    let enough = Served::with_settings(Settings::default()).await;
    get(&enough.router, "/api/v1/query?query=up&time=60").await.success();
    assert_eq!(enough.budget.used(), 0, "what a query held is given back");
    assert!(enough.budget.peak() > 2_000, "a query's memory is counted: {}", enough.budget.peak());
}

#[tokio::test(start_paused = true)]
async fn a_query_waits_for_one_that_runs() {
    let served = Served::with_settings(Settings { timeout: 10 * SLOW, admin: true, ..admitting(ONE) }).await;
    served.slow_down();
    let first = served.start("/api/v1/query?query=up&time=60");
    settle().await;
    served.bucket.heal();
    let second = served.start("/api/v1/query?query=1");
    settle().await;
    assert!(!first.is_finished() && !second.is_finished(), "the second needs no bucket, yet waits");
    assert_eq!(first.await.expect("a task"), StatusCode::OK);
    assert_eq!(second.await.expect("a task"), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_query_times_out() {
    let served = Served::with_settings(Settings { timeout: 10 * SLOW, admin: true, ..admitting(ONE) }).await;
    served.slow_down();
    let first = served.start("/api/v1/query?query=up&time=60");
    settle().await;
    let began = Instant::now();
    let (kind, text) = get(&served.router, "/api/v1/query?query=1&timeout=1s").await.failure(503);
    assert_eq!((kind.as_str(), text.as_str()), ("timeout", "query timed out in query queue"));
    assert!(began.elapsed() < SLOW);
    first.abort();
}

#[tokio::test(start_paused = true)]
async fn a_waiting_query_is_listed_and_killed() {
    let served = Served::with_settings(Settings { timeout: 10 * SLOW, admin: true, ..admitting(ONE) }).await;
    served.slow_down();
    let list = "/api/v1/status/active_queries";
    let states = async || {
        let listed = get(&served.router, list).await.success()["data"].clone();
        let of = |q: &Value| (q["query"].as_str().map(str::to_owned), q["state"].as_str().map(str::to_owned));
        (listed.as_array().expect("a list").iter().map(of).collect::<Vec<_>>(), listed)
    };
    let text = |s: &str| Some(s.to_owned());
    let first = served.start("/api/v1/query?query=up&time=60");
    settle().await;
    let range = "/api/v1/query_range?query=1&start=0&end=60&step=15";
    let (second, third) = (served.start(range), served.start("/api/v1/query?query=2"));
    settle().await;
    let (both, listed) = states().await;
    let queued = |query| (text(query), text("queued"));
    assert_eq!(both, [(text("up"), text("running")), queued("1"), queued("2")]);
    assert_eq!((&listed[1]["steps"], &listed[1]["startedAt"]), (&5.into(), &Value::Null), "{listed}");
    assert!(listed[0]["startedAt"].is_string() && listed[1]["arrivedAt"].is_string(), "{listed}");
    post(&served.router, &format!("{list}/kill"), &format!("id={}", listed[1]["id"])).await.success();
    assert_eq!(second.await.expect("a task"), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(states().await.0, [(text("up"), text("running")), queued("2")]);
    // The last one gets the place, under its number.
    served.bucket.heal();
    assert_eq!(first.await.expect("a task"), StatusCode::OK);
    assert_eq!(third.await.expect("a task"), StatusCode::OK);
    assert_eq!(states().await.0, []);
}

#[tokio::test(start_paused = true)]
async fn a_query_too_many_is_refused() {
    let settings = admitting(AdmissionSettings { waiting_max: 0, ..ONE });
    let served = Served::with_settings(settings).await;
    served.slow_down();
    let first = served.start("/api/v1/query?query=up&time=60");
    settle().await;
    let (kind, text) = get(&served.router, "/api/v1/query?query=1").await.failure(503);
    assert_eq!((kind.as_str(), text.as_str()), ("unavailable", "too many queries: 0 wait already"));
    first.abort();
    settle().await;
    get(&served.router, "/api/v1/query?query=1").await.success();
}

#[tokio::test]
async fn a_long_body_is_refused() {
    let served = Served::with_settings(Settings { body_bytes_max: 64, ..Settings::default() }).await;
    post(&served.router, "/api/v1/query", "query=1").await.success();
    let long = format!("query=1&x={}", "y".repeat(64));
    let (kind, text) = post(&served.router, "/api/v1/query", &long).await.failure(400);
    assert_eq!(kind, "bad_data");
    assert!(text.starts_with("cannot read the request body"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn work_stops_when_the_client_hangs_up() {
    let served = Served::with_settings(Settings::default()).await;
    served.slow_down();
    for uri in [
        "/api/v1/query?query=up&time=60",
        "/api/v1/query_range?query=rate(up[5m])&start=0&end=600&step=15",
        "/api/v1/series?match[]=up",
        "/api/v1/label/instance/values?match[]=up",
    ] {
        let before = served.bucket.calls();
        let request = served.start(uri);
        settle().await;
        let begun = served.bucket.calls();
        assert!(begun > before, "{uri} reads the bucket");
        request.abort();
        tokio::time::sleep(10 * SLOW).await;
        assert_eq!(served.bucket.calls(), begun, "{uri} goes on reading");
        assert_eq!(served.budget.used(), 0, "{uri} goes on holding memory");
    }
}
