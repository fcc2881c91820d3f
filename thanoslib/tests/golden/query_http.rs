//! The HTTP API over the recorded bucket, asked what the real querier was asked.

use std::{collections::HashMap, path::Path, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, header},
};
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
    testing::golden::{Golden, Suite, Verdict},
};
use tower::ServiceExt;

/// Relative difference up to which two floats count as equal: sums in another order.
const TOLERANCE: f64 = 1e-12;
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
                ("headers.content-encoding", "answers are not compressed yet"),
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
    let text = String::from_utf8_lossy(&body).into_owned();
    let shown = || text.chars().take(400).collect::<String>();
    if row["status"].as_u64() != Some(u64::from(status)) {
        return Err(format!("status {status}, want {}: {}", row["status"], shown()));
    }
    same_headers(&headers, &row["headers"])?;
    let want = &row["body"];
    let mut got = match serde_json::from_str(&text) {
        _ if text.is_empty() => Value::Null,
        Ok(json) => json,
        Err(_) => serde_json::json!({ "text": text }),
    };
    same_kind_of_stats(&mut got, want)?;
    let query = param(&row["request"], "query").unwrap_or_default();
    let sorted = ["sort", "topk", "bottomk"].iter().any(|f| query.starts_with(f));
    let got = if sorted { got } else { vector_sorted(got) };
    let want = if sorted { want.clone() } else { vector_sorted(want.clone()) };
    same(&mut String::new(), &got, &want).map_err(|e| format!("{e}\n  got {}", shown()))
}

/// Status and body of the answer to a recorded request.
pub(crate) async fn answer(router: &Router, row: &Value) -> Result<(u16, Value), String> {
    let response = router.clone().oneshot(request(row)?).await.map_err(|e| e.to_string())?;
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 64 << 20).await.map_err(|e| e.to_string())?;
    Ok((status, serde_json::from_slice(&body).map_err(|e| e.to_string())?))
}

pub(crate) fn param(request: &Value, name: &str) -> Option<String> {
    let params = request["params"].as_array()?;
    params.iter().find(|p| p[0] == name).and_then(|p| p[1].as_str()).map(str::to_owned)
}

fn request(row: &Value) -> Result<Request<Body>, String> {
    let method: Method = row["method"].as_str().unwrap_or("GET").parse().map_err(|_| "unknown method")?;
    let path = row["path"].as_str().unwrap_or_default();
    let form: Vec<String> = row["params"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|p| format!("{}={}", escape(p[0].as_str()), escape(p[1].as_str())))
        .collect();
    let form = form.join("&");
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

fn escape(text: Option<&str>) -> String {
    let mut out = String::new();
    for b in text.unwrap_or_default().bytes() {
        if b.is_ascii_alphanumeric() {
            out.push(b as char);
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

fn same_headers(got: &HeaderMap, want: &Value) -> Verdict {
    let get = |name: &str| got.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    for (name, want) in want.as_object().into_iter().flatten() {
        let want = want.as_str().unwrap_or_default();
        match name.as_str() {
            "_cors_and_vary" if want == "standard" => {
                let there = get("access-control-allow-origin") == "*" && get("vary") == "Accept-Encoding";
                there.then_some(()).ok_or("the CORS headers are missing")?;
            }
            "content-encoding" => {}
            name if get(name) != want => {
                return Err(format!("header {name}: got {:?}, want {want:?}", get(name)));
            }
            _ => {}
        }
    }
    for name in ["cache-control", "allow"] {
        if want.get(name).is_none() && !get(name).is_empty() {
            return Err(format!("header {name} {:?} is not wanted", get(name)));
        }
    }
    Ok(())
}

/// The answer with the series of a vector in one order, since a vector has none.
fn vector_sorted(mut body: Value) -> Value {
    if body["data"]["resultType"] == "vector"
        && let Some(series) = body["data"]["result"].as_array_mut()
    {
        series.sort_by_key(|s| {
            let labels: std::collections::BTreeMap<_, _> =
                s["metric"].as_object().into_iter().flatten().collect();
            format!("{labels:?}")
        });
    }
    if let Some(warnings) = body.get_mut("warnings").and_then(Value::as_array_mut) {
        warnings.sort_by_key(|w| w.as_str().map(str::to_owned));
    }
    body
}

/// Compares names and types of the statistics that differ from run to run and from engine to
/// engine, then takes the recorded ones.
fn same_kind_of_stats(got: &mut Value, want: &Value) -> Verdict {
    let (Some(got), Some(want)) = (got.pointer_mut("/data/stats"), want.pointer("/data/stats")) else {
        return Ok(());
    };
    let names = |v: &Value| v.as_object().map(|o| o.keys().cloned().collect::<Vec<_>>());
    let timings = &got["timings"];
    if names(timings) != names(&want["timings"]) {
        return Err(format!("timings {timings}, want {}", want["timings"]));
    }
    if timings.as_object().into_iter().flatten().any(|(_, v)| v.as_f64().is_none_or(|v| v < 0.0)) {
        return Err(format!("timings {timings} are no seconds"));
    }
    let peak = got["samples"]["peakSamples"].as_u64();
    if peak.is_none_or(|peak| peak == 0) {
        return Err(format!("peakSamples {peak:?} is no count"));
    }
    got["timings"] = want["timings"].clone();
    got["samples"]["peakSamples"] = want["samples"]["peakSamples"].clone();
    Ok(())
}

fn same(path: &mut String, got: &Value, want: &Value) -> Verdict {
    let len = path.len();
    let differ = |path: &str| Err(format!("at {path}: got {got}, want {want}"));
    match (got, want) {
        (Value::Object(g), Value::Object(w)) => {
            for key in g.keys().chain(w.keys()) {
                path.push_str(&format!(".{key}"));
                match (g.get(key), w.get(key)) {
                    (Some(g), Some(w)) => same(path, g, w)?,
                    (g, w) => return Err(format!("at {path}: got {g:?}, want {w:?}")),
                }
                path.truncate(len);
            }
            Ok(())
        }
        (Value::Array(g), Value::Array(w)) if g.len() == w.len() => {
            for (i, (g, w)) in g.iter().zip(w).enumerate() {
                path.push_str(&format!("[{i}]"));
                same(path, g, w)?;
                path.truncate(len);
            }
            Ok(())
        }
        (Value::Number(g), Value::Number(w)) => match (g.as_f64(), w.as_f64()) {
            (Some(g), Some(w)) if close(g, w) => Ok(()),
            _ => differ(path),
        },
        (Value::String(g), Value::String(w)) if g != w => match (g.parse::<f64>(), w.parse::<f64>()) {
            // Values are floats in quotes; texts that only look like one are compared as written.
            (Ok(g), Ok(w)) if path.contains("result") && close(g, w) => Ok(()),
            _ => differ(path),
        },
        _ if got == want => Ok(()),
        _ => differ(path),
    }
}

fn close(a: f64, b: f64) -> bool {
    a == b || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
}
