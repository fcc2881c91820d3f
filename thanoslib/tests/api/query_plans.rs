//! Plans over stores: explained, analyzed, made to read less for the same answers; queries listed and killed.

use std::{sync::Arc, time::Duration};

use axum::{Router, http::Request};
use serde_json::Value;
use thanoslib::{
    Context, Engine, EngineOptions, InstantQuery, Labels, MemoryStore, QueryValue, RangeQuery, SelectOptions,
    StoreQueryable,
    bucket::{Bucket, Operation},
    http::{self, Settings},
    object_store::memory::InMemory,
    promql::parse,
    runtime::Inline,
    store::{BlockSet, Conform, Fanout, Member},
    testing::{Effect, Fault, FaultyBucket, When},
};
use tower::ServiceExt;

use crate::support::{self, Block, get, labels, post};

/// Two replicas that miss other scrapes, one of them late.
async fn replicas() -> Arc<BlockSet> {
    let bucket = Bucket::memory("b");
    for (n, replica) in [(1, "A"), (2, "B")] {
        let mut block = Block::steady(1, &[("replica", replica)], &[]);
        block.id = support::id(n);
        for i in 0..6 {
            let of = [("__name__", "x_total"), ("i", &i.to_string()), ("a", &(i % 2).to_string())];
            let samples = (0..480i64).filter(|t| t % (7 + n) != i && (t / 40) % 3 != 2 - n % 2);
            let samples = samples.map(|t| (t * 15_000 + (n - 1) * 4_000, ((t * (i + 1)) % 97) as f64));
            block.series.push((labels(&of), samples.collect()));
        }
        block.series.sort_by(|a, b| a.0.cmp(&b.0));
        block.put(&bucket).await;
    }
    support::block_set(&bucket).await
}

/// The series of an answer with their values as bits.
async fn answer(
    store: &Arc<BlockSet>,
    dedup: bool,
    optimize: bool,
    text: &str,
) -> Vec<(String, Vec<(i64, u64)>)> {
    let engine = Engine::new(EngineOptions { optimize, ..EngineOptions::default() }, Arc::new(Inline));
    let expr = parse(text, engine.options()).expect("parses");
    let (text, start_ms, end_ms, step_ms) = (Arc::from(text), 3_600_000, 6_600_000, 70_000);
    let query = RangeQuery { expr, text, start_ms, end_ms, step_ms, lookback_ms: None };
    let options = SelectOptions { dedup, replica_labels: vec!["replica".into()], ..SelectOptions::default() };
    let queryable = StoreQueryable::new(Arc::clone(store) as _, options);
    let result = engine.range(&Context::default(), Arc::new(queryable), query).await.expect("answers");
    let QueryValue::Matrix(series) = result.value else { panic!("a matrix") };
    let bits = |p: &(i64, f64)| (p.0, p.1.to_bits());
    series.iter().map(|s| (s.labels.to_string(), s.floats.iter().map(bits).collect())).collect()
}

#[tokio::test]
async fn reads_that_are_joined_merge_replicas_as_if_each_were_alone() {
    let store = replicas().await;
    for text in [
        "x_total - x_total offset 5m",
        "rate(x_total[5m]) / rate(x_total[40m])",
        "sum by (a) (increase(x_total[10m])) - sum by (a) (increase(x_total{i=~\"1|2|3\"}[25m] offset 3m))",
        "sum(x_total{replica=\"A\"}) / sum(x_total)",
        "x_total{replica=\"A\"} + x_total",
        "x_total{i=\"1\"} + on (i) x_total offset 1m",
        "resets(x_total[30m]) + count_over_time(x_total[10m]) + last_over_time(x_total[1m])",
    ] {
        for dedup in [true, false] {
            // Without deduplication some pairs have several partners on both sides.
            if !dedup && text.contains("on (i)") {
                continue;
            }
            let got = answer(&store, dedup, true, text).await;
            assert!(!got.is_empty(), "{text}");
            assert_eq!(got, answer(&store, dedup, false, text).await, "{text} {dedup}");
        }
    }
}

async fn served() -> Router {
    support::router(replicas().await)
}

/// The names of a tree from the root down its last operands.
fn names(tree: &Value) -> Vec<&str> {
    let mut names = Vec::new();
    let mut node = Some(tree);
    while let Some(tree) = node {
        names.push(tree["name"].as_str().unwrap_or_default());
        node = tree["children"].as_array().and_then(|c| c.last());
    }
    names
}

#[tokio::test]
async fn plans_are_explained_to_those_who_ask_for_the_thanos_engine() {
    let router = served().await;
    let uri = "/api/v1/query_range_explain?query=sum(rate(x_total[5m]))&start=600&end=1200&step=60";
    let answer = get(&router, &format!("{uri}&engine=thanos")).await.success();
    let read = "[read] #0 {__name__=\"x_total\"} from 300.001 to 1200, for rate, step 1m, range 5m, \
                labels (__name__), scraped samples";
    assert_eq!(names(&answer["data"]), ["[aggregate] sum", "[range] rate over 5m", read]);
    let posted = post(&router, "/api/v1/query_explain", "query=1%2Btime()&engine=thanos").await.success();
    assert_eq!(names(&posted["data"]), ["[binary] +", "[function] time"]);
    let (kind, text) = get(&router, uri).await.failure(400);
    assert_eq!((kind.as_str(), text.as_str()), ("bad_data", "engine type must be 'thanos'"));
    let coarse = format!("{uri}&engine=thanos&max_source_resolution=1h");
    let answer = get(&router, &coarse.replace("5m", "1h")).await.success();
    assert!(names(&answer["data"])[2].ends_with("windows up to 5m by counter"), "{answer}");
}

#[tokio::test]
async fn analysis_stands_beside_the_answer() {
    let router = served().await;
    let uri = "/api/v1/query?query=count(x_total)&time=3600&analyze=true";
    let answer = get(&router, &format!("{uri}&engine=thanos")).await.success();
    let root = &answer["data"]["analysis"];
    assert_eq!(names(root)[..2], ["[aggregate] count", "[selector] newest sample"], "{answer}");
    assert_eq!((&root["totalSeries"], &answer["warnings"]), (&Value::from(1), &Value::Null));
    assert!(root["executionTime"].is_string() && root["peakBytes"].as_u64() > Some(0), "{root}");
    let without = get(&router, uri).await.success();
    assert_eq!(without["data"]["analysis"], serde_json::json!({}));
}

#[tokio::test]
async fn analysis_tells_what_each_of_several_stores_cost() {
    let member = |name: &str, samples: i64| {
        let store = MemoryStore::new(labels(&[("store", name)]));
        let x = labels(&[("__name__", "x"), ("i", name)]);
        (0..samples).for_each(|n| store.push(&x, n * 15_000, 1.0).expect("in order"));
        Member { name: name.to_owned(), store: Arc::new(Conform::new(Arc::new(store), Labels::empty())) }
    };
    let analyzed = async |members: Vec<Member>| {
        let store = Fanout::new("query", members);
        let queryable = Arc::new(StoreQueryable::new(Arc::new(store), SelectOptions::default()));
        let engine = Engine::new(EngineOptions::default(), Arc::new(Inline)).analyzing();
        let expr = parse("sum(x)", engine.options()).expect("parses");
        let query = InstantQuery { expr, text: "sum(x)".into(), time_ms: 60_000, lookback_ms: None };
        let result = engine.instant(&Context::default(), queryable, query).await.expect("answers");
        let mut node = result.analysis.expect("was asked for");
        while !node.name.starts_with("[read]") {
            node = node.children.pop().expect("a read is below");
        }
        node.children
    };
    let told = analyzed(vec![member("one", 10), member("two", 3)]).await;
    let told: Vec<_> = told.iter().map(|n| (n.name.as_str(), n.cost.expect("is told"))).collect();
    let counts = |n: usize| (told[n].0, told[n].1.series, told[n].1.total_samples);
    assert_eq!((counts(0), counts(1)), (("[store] one", 1, 10), ("[store] two", 1, 3)));
    assert!(told.iter().all(|(_, cost)| cost.bytes > 0 && cost.execution_ns > 0));
    // One store is what the read tells of.
    assert_eq!(analyzed(vec![member("one", 10)]).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_query_that_runs_is_listed_and_killed() {
    let faulty = FaultyBucket::new(Arc::new(InMemory::new()));
    let bucket = faulty.bucket();
    Block::steady(1, &[], &[labels(&[("__name__", "up")])]).put(&bucket).await;
    let settings = Settings { admin: true, ..Settings::default() };
    let (api, budget) = support::api(support::block_set(&bucket).await, settings, EngineOptions::default());
    let router = http::router(api).fallback(http::not_found);
    for operation in [Operation::Get, Operation::GetRange] {
        faulty.inject(Fault::new(When::Always, Effect::Delay(Duration::from_secs(60))).on(operation));
    }
    let list = async || get(&router, "/api/v1/status/active_queries").await.success()["data"].clone();
    assert_eq!(list().await, serde_json::json!([]));
    let request = Request::get("/api/v1/query?query=up&time=60").body(axum::body::Body::empty());
    let query = tokio::spawn(router.clone().oneshot(request.expect("a request")));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let listed = list().await;
    assert_eq!((&listed[0]["query"], &listed[0]["steps"]), (&"up".into(), &1.into()), "{listed}");
    let kill = "/api/v1/status/active_queries/kill";
    assert_eq!(get(&router, kill).await.status, 405);
    assert_eq!(post(&router, kill, "id=x").await.failure(400).0, "bad_data");
    assert_eq!(post(&router, kill, "id=999").await.failure(404).0, "not_found");
    post(&router, kill, &format!("id={}", listed[0]["id"])).await.success();
    let response = query.await.expect("no panic").expect("a router never fails");
    assert_eq!(response.status(), 503);
    assert_eq!(list().await, serde_json::json!([]));
    assert_eq!(budget.used(), 0);
}
