//! The HTTP API over the recorded bucket, asked what the real querier was asked.

use std::{collections::HashMap, io::Read, path::Path, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Method, Request, header},
};
use flate2::read::GzDecoder;
use serde_json::Value;
use thanoslib::{
    bucket::Bucket,
    budget::Budget,
    clock::ManualClock,
    context::Context,
    dedup::{Algorithm, Counters},
    http::{self, Api, Served, Settings, Tenancy},
    promql::{Engine, EngineOptions},
    query::ResolutionSeams,
    runtime::Inline,
    store::{BlockSet, BucketSource, Store},
    testing::{
        answers::{form, same_answer, same_headers},
        golden::{Golden, Suite, Verdict},
    },
};
use tower::ServiceExt;

/// Clock of the replay; rows without a time ask for "now".
const NOW_MS: i64 = 1_795_376_999_659;

pub(crate) fn run(golden: &mut Golden) {
    let bucket = golden.root().join("query/bucket");
    if !bucket.is_dir() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let store = runtime.block_on(open(&bucket));
    let chain = Settings { algorithm: Algorithm::Chain, ..settings() };
    let auto = Settings { auto_downsampling: true, ..settings() };
    let tenancy = Tenancy { enforced_label: Some("cluster".to_owned()), ..Tenancy::default() };
    let tenants = Settings { tenancy, ..settings() };
    let x_functions = EngineOptions { x_functions: true, ..EngineOptions::default() };
    let targets: HashMap<&str, Router> = [
        ("q1", api(&store, settings(), true)),
        ("qchain", api(&store, chain, false)),
        ("qauto", api(&store, auto, false)),
        ("qtenant", api(&store, tenants, false)),
        ("qx", api_of(&store, settings(), x_functions)),
    ]
    .into();
    let check = |_: &Path, row: &Value| {
        let target = row["target"].as_str().unwrap_or_default();
        let Some(router) = targets.get(target) else { return Err(format!("no {target} is replayed here")) };
        runtime.block_on(replay(router, row))
    };
    for file in FILES {
        golden.run(&Suite {
            label: "query/http",
            path: &format!("query/http/{file}.jsonl"),
            inputs: &["id", "target", "group", "request", "deterministic"],
            expected: &["status", "headers", "body"],
            ignored: &[
                (
                    "body_raw",
                    "answers are compared as JSON; how floats and times print is judged by tsdb/floats",
                ),
                ("body.data.startTime", "wall clock of the recording"),
                ("body.data.stats.timings", "seconds differ from run to run; their names are compared"),
                (
                    "body.data.stats.samples.peakSamples",
                    "what is held at a time differs by engine; that it is a count is compared",
                ),
            ],
            rows: None,
            check: &check,
        });
    }
}

/// Files with rows for the queriers replayed here.
const FILES: &[&str] = &[
    "analyze",
    "dedup",
    "dedup_chain",
    "dedup_engine_thanos",
    "dedup_instant",
    "downsample",
    "downsample_auto_flag",
    "downsample_instant",
    "downsample_thanos",
    "downsample_values",
    "error",
    "exec_error_or_warning",
    "explain",
    "headers",
    "instant",
    "label_values",
    "label_values_names",
    "labels",
    "labels_time",
    "limit",
    "lookback",
    "matrix_instant",
    "matrix_instant_chain",
    "matrix_instant_thanos",
    "methods",
    "param_error",
    "partial_response",
    "post_form",
    "post_json_body",
    "post_mixed",
    "post_no_ct",
    "post_not_allowed",
    "q1_endpoints",
    "range",
    "range_engine_thanos",
    "series",
    "shard_info",
    "stats",
    "stats_thanos",
    "step_default",
    "step_formats",
    "store_match",
    "tenancy",
    "tenancy_off",
    "time_formats",
    "unknown_path",
    "x_functions",
];

pub(crate) async fn open(dir: &Path) -> Arc<dyn Store> {
    let blocks = std::fs::read_dir(dir).expect("a folder").flatten();
    let blocks = blocks.filter(|e| e.path().join("meta.json").is_file()).count();
    let bucket = Bucket::local(dir).expect("a folder");
    let set = BlockSet::new("recorded bucket", Arc::new(BucketSource::new(bucket)));
    let report = set.sync(&Context::default()).await.expect("a sync");
    assert_eq!((report.loaded, report.gaps), (blocks, Vec::new()), "every block is served");
    Arc::new(set)
}

/// The settings of the recorded queriers.
pub(crate) fn settings() -> Settings {
    Settings {
        replica_labels: vec!["replica".to_owned()],
        counters: Counters::Thanos,
        seams: ResolutionSeams::Thanos,
        ..Settings::default()
    }
}

pub(crate) fn api(store: &Arc<dyn Store>, settings: Settings, experimental_functions: bool) -> Router {
    api_of(store, settings, EngineOptions { experimental_functions, ..EngineOptions::default() })
}

fn api_of(store: &Arc<dyn Store>, settings: Settings, options: EngineOptions) -> Router {
    let engine = Engine::new(options, Arc::new(Inline));
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let budget = Budget::new("process memory", 4 << 30);
    let api = Api::new(settings, Served { clock, budget, ..Served::new(engine, Arc::clone(store)) });
    http::router(api).fallback(http::not_found)
}

pub(crate) async fn replay(router: &Router, row: &Value) -> Verdict {
    let request = request(&row["request"])?;
    let response = router.clone().oneshot(request).await.map_err(|e| e.to_string())?;
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let body = to_bytes(response.into_body(), 64 << 20).await.map_err(|e| e.to_string())?;
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let coding = header("content-encoding");
    let mut plain = body.to_vec();
    if coding == "gzip" {
        plain.clear();
        GzDecoder::new(&body[..]).read_to_end(&mut plain).map_err(|e| e.to_string())?;
    }
    let text = String::from_utf8_lossy(&plain).into_owned();
    let shown = || text.chars().take(400).collect::<String>();
    if row["status"].as_u64() != Some(u64::from(status)) {
        return Err(format!("status {status}, want {}: {}", row["status"], shown()));
    }
    if row["headers"].is_object() && coding != row["headers"]["content-encoding"].as_str().unwrap_or_default()
    {
        return Err(format!("content-encoding {coding:?}, want {}", row["headers"]["content-encoding"]));
    }
    same_headers(&header, &row["headers"])?;
    same_answer(&row["request"], &text, &row["body"])
}

/// Status and body of the answer to a recorded request.
pub(crate) async fn answer(router: &Router, row: &Value) -> Result<(u16, Value), String> {
    let response = router.clone().oneshot(request(row)?).await.map_err(|e| e.to_string())?;
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 64 << 20).await.map_err(|e| e.to_string())?;
    Ok((status, serde_json::from_slice(&body).map_err(|e| e.to_string())?))
}

fn request(row: &Value) -> Result<Request<Body>, String> {
    let method: Method = row["method"].as_str().unwrap_or("GET").parse().map_err(|_| "unknown method")?;
    let path = row["path"].as_str().unwrap_or_default();
    let form = form(row);
    let mut builder = Request::builder().method(method.clone());
    let body = if method == Method::POST {
        let kind = row["content_type"].as_str().unwrap_or("application/x-www-form-urlencoded");
        builder = builder.uri(path).header(header::CONTENT_TYPE, kind);
        row["raw_body"].as_str().map_or(form, str::to_owned)
    } else {
        let uri = if form.is_empty() { path.to_owned() } else { format!("{path}?{form}") };
        builder = builder.uri(uri);
        String::new()
    };
    for (name, value) in row["headers"].as_object().into_iter().flatten() {
        builder = builder.header(name, value.as_str().unwrap_or_default());
    }
    builder.body(Body::from(body)).map_err(|e| e.to_string())
}
