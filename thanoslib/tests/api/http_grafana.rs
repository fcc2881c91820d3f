//! What Grafana's Prometheus data source and Kiali send is answered.

use std::sync::Arc;

use axum::{
    Router,
    http::{Method, StatusCode, header},
};
use serde_json::{Value, json};
use thanoslib::{
    bucket::Bucket,
    http::{self, Probes, Readiness, Settings},
    metrics::Collect,
    promql::EngineOptions,
};

use crate::support::{self, Block, get, labels, post, send};

/// An API over two hours of two jobs.
async fn served() -> Router {
    let bucket = Bucket::memory("b");
    let series = ["api", "web"].map(|job| labels(&[("__name__", "up"), ("job", job)]));
    Block::steady(1, &[("cluster", "eu")], &series).put(&bucket).await;
    support::router(support::block_set(&bucket).await)
}

/// GET answers 200 with these data.
async fn check(router: &Router, uri: &str, data: Value) {
    assert_eq!(get(router, uri).await.success()["data"], data, "{uri}");
}

#[tokio::test]
async fn grafana_saves_and_tests_its_data_source() {
    let router = served().await;
    let answer = get(&router, "/api/v1/query?query=1%2B1&time=4").await.success();
    assert_eq!(answer["data"]["result"], json!([4, "2"]));
    let build = get(&router, "/api/v1/status/buildinfo").await.success();
    assert!(build["data"]["version"].as_str().is_some_and(|v| !v.is_empty()), "{build}");
    let names = post(&router, "/api/v1/labels", "start=0&end=7200").await.success();
    assert_eq!(names["data"], json!(["__name__", "cluster", "job"]));
    check(&router, "/api/v1/rules", json!({"groups": []})).await;
    check(&router, "/api/v1/rules?type=alert", json!({"groups": []})).await;
    check(&router, "/api/v1/status/flags", json!({})).await;
}

#[tokio::test]
async fn grafana_browses_metrics() {
    let router = served().await;
    check(&router, "/api/v1/label/__name__/values?start=0&end=7200", json!(["up"])).await;
    check(&router, "/api/v1/label/__name__/values?start=8000&end=9000", json!([])).await;
    let jobs = "/api/v1/label/job/values";
    check(&router, &format!("{jobs}?match%5B%5D=up&start=0&end=10"), json!(["api", "web"])).await;
    check(&router, &format!("{jobs}?match[]=up%7Bjob%3D~%22a.*%22%7D"), json!(["api"])).await;
    check(&router, &format!("{jobs}?match[]=down"), json!([])).await;
    check(&router, "/api/v1/label/cluster/values", json!(["eu"])).await;
    check(&router, "/api/v1/metadata?limitPerMetric=1&metric=up", json!({})).await;
    check(&router, "/api/v1/metadata?limit=10000&limitPerMetric=1", json!({})).await;
    let series =
        post(&router, "/api/v1/series", "match%5B%5D=up%7Bjob%3D%22web%22%7D&start=0&end=60").await.success();
    assert_eq!(series["data"], json!([{"__name__": "up", "cluster": "eu", "job": "web"}]));
}

#[tokio::test]
async fn grafana_draws_panels() {
    let router = served().await;
    let form = "query=sum%20by%20(job)%20(up)&start=60&end=120.5&step=30";
    let range = post(&router, "/api/v1/query_range", form).await.success();
    assert_eq!(range["data"]["resultType"], "matrix");
    let first = &range["data"]["result"][0];
    assert_eq!(first["metric"], json!({"job": "api"}));
    assert_eq!(first["values"], json!([[60, "5"], [90, "7"], [120, "9"]]));
    let rate = "query=rate(up%5B5m%5D)&start=600&end=1200&step=5m";
    let rate = post(&router, "/api/v1/query_range", rate).await.success();
    assert_eq!(rate["data"]["result"].as_array().map(Vec::len), Some(2), "{rate}");
    let exemplars = post(&router, "/api/v1/query_exemplars", "query=up&start=0&end=60").await.success();
    assert_eq!(exemplars["data"], json!([]));
    check(&router, "/api/v1/query_exemplars?query=up&start=0&end=60", json!([])).await;
}

#[tokio::test]
async fn kiali_is_answered() {
    let router = served().await;
    check(&router, "/api/v1/status/config", json!({"yaml": ""})).await;
    let runtime = get(&router, "/api/v1/status/runtimeinfo").await.success();
    assert!(runtime["data"]["startTime"].is_string(), "{runtime}");
    let up = get(&router, "/api/v1/query?query=up&time=30").await.success();
    assert_eq!(up["data"]["result"].as_array().map(Vec::len), Some(2));
    assert_eq!(up["data"]["result"][0]["value"], json!([30, "3"]));
    check(&router, "/api/v1/label/job/values", json!(["api", "web"])).await;
    let range = post(&router, "/api/v1/query_range", "query=up&start=0&end=30&step=15").await;
    assert_eq!(range.success()["data"]["result"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn methods_that_a_path_does_not_know_are_refused_with_those_it_does() {
    let router = served().await;
    for method in [Method::HEAD, Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = send(&router, method.clone(), "/api/v1/query?query=1", None).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(answer.header(header::ALLOW), "GET, OPTIONS, POST", "{method}");
    }
    let answer = send(&router, Method::POST, "/api/v1/rules", Some("")).await;
    assert_eq!((answer.status.as_u16(), answer.header(header::ALLOW)), (405, "GET, OPTIONS"));
}

#[tokio::test]
async fn browsers_may_ask_from_other_origins() {
    let router = served().await;
    for uri in ["/api/v1/query", "/api/v1/label/job/values", "/api/v1/rules"] {
        let answer = send(&router, Method::OPTIONS, uri, None).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::NO_CONTENT, ""), "{uri}");
        assert_eq!(answer.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), "*", "{uri}");
        assert_eq!(answer.header(header::ACCESS_CONTROL_ALLOW_METHODS), "GET, POST, OPTIONS", "{uri}");
    }
    let bad = get(&router, "/api/v1/query?query=sum(").await;
    assert_eq!(bad.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), "*", "errors are readable there too");
    assert_eq!(bad.failure(400).0, "bad_data");
}

#[tokio::test]
async fn unknown_paths_are_not_found() {
    let router = served().await;
    for uri in ["/api/v1/unknown", "/api/v1/label//values", "/api/v2/query", "/x"] {
        let answer = get(&router, uri).await;
        if answer.status == StatusCode::TEMPORARY_REDIRECT {
            assert_eq!(answer.header(header::LOCATION), "/api/v1/label/values");
            continue;
        }
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (404, "404 page not found\n"), "{uri}");
        assert!(answer.header(header::CONTENT_TYPE).starts_with("text/plain"), "{uri}");
    }
}

/// The API with page and probes over an empty bucket.
async fn with_probes() -> (Router, Readiness) {
    let store = support::block_set(&Bucket::memory("b")).await;
    let (api, _) = support::api(store, Settings::default(), EngineOptions::default());
    let ready = Readiness::default();
    let metrics: Vec<Arc<dyn Collect>> = vec![Arc::clone(&api) as _];
    let probes =
        Probes { component: "query", version: "0.1.0".to_owned(), readiness: ready.clone(), metrics }
            .router();
    (http::router(api).merge(http::pages()).merge(probes).fallback(http::not_found), ready)
}

#[tokio::test]
async fn the_page_is_small_and_whole() {
    let (router, _) = with_probes().await;
    for uri in ["/", "/graph", "/graph?g0.expr=up"] {
        let page = get(&router, uri).await;
        assert_eq!(page.status, StatusCode::OK, "{uri}");
        assert!(page.header(header::CONTENT_TYPE).starts_with("text/html"), "{uri}");
        assert!(page.body.len() <= 25_000, "the page has {} bytes", page.body.len());
        for foreign in ["src=\"http", "href=\"http", "src=\"//", "href=\"//", "@import"] {
            assert!(!page.body.contains(foreign), "{uri} loads foreign resources");
        }
    }
}

#[tokio::test]
async fn probes_say_when_the_process_answers() {
    let (router, readiness) = with_probes().await;
    assert_eq!(get(&router, "/-/healthy").await.status, StatusCode::OK);
    assert_eq!(get(&router, "/-/ready").await.status, StatusCode::SERVICE_UNAVAILABLE);
    readiness.set(true);
    assert_eq!(get(&router, "/-/ready").await.status, StatusCode::OK);
    readiness.set(false);
    assert_eq!(get(&router, "/-/ready").await.status, StatusCode::SERVICE_UNAVAILABLE);
}

/// Value of the sample with exactly these labels.
fn metric(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|l| l.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test]
async fn metrics_are_in_text_format() {
    let (router, readiness) = with_probes().await;
    readiness.set(true);
    for uri in ["/api/v1/query?query=1", "/api/v1/query?query=2", "/api/v1/query?query=("] {
        get(&router, uri).await;
    }
    let answer = get(&router, "/metrics").await;
    assert!(answer.header(header::CONTENT_TYPE).starts_with("text/plain; version=0.0.4"));
    let mut family = String::new();
    for line in answer.body.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().unwrap_or_default().to_owned();
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a sample");
        assert!(series.starts_with(&family), "{line} belongs to {family}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let labels = series.find('{').map(|i| &series[i..]);
        assert!(labels.is_none_or(|l| l.ends_with('}') && l.matches('"').count() % 2 == 0), "{line}");
    }
    let count = |code| {
        let series = format!(
            "http_requests_total{{code=\"{code}\",handler=\"query\",method=\"get\",tenant=\"default-tenant\"}}"
        );
        metric(&answer.body, &series)
    };
    assert_eq!((count(200), count(400)), (Some(2.0), Some(1.0)));
    let status =
        |check| metric(&answer.body, &format!("thanos_status{{check=\"{check}\",component=\"query\"}}"));
    assert_eq!((status("healthy"), status("ready")), (Some(1.0), Some(1.0)));
    let infinite = "http_request_duration_seconds_bucket{code=\"200\",handler=\"query\",method=\"get\",tenant=\"default-tenant\",le=\"+Inf\"}";
    assert_eq!(metric(&answer.body, infinite), Some(2.0));
}
