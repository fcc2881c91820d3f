//! A distributed query gives the answer of a local one.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use async_trait::async_trait;
use proptest::prelude::*;

use super::{Distribution, Engines, QueryEngines, RemoteEngine, split::Split};
use crate::{
    apis::{QueryApi, QueryStream, RemoteQuery},
    clock::SystemClock,
    context::Context,
    error::{Error, Result},
    model::{Labels, Value},
    promql::{Engine, EngineOptions, InstantQuery, QueryResult, QueryValue, RangeQuery, parse},
    query::{QueryService, SelectOptions, StoreQueryable},
    runtime::Inline,
    store::{Conform, Member, MemoryStore, PartialResponse, Proxy, ProxySettings, Store},
};

const MINUTE: i64 = 60_000;
const END: i64 = 90 * MINUTE;

fn options() -> EngineOptions {
    EngineOptions { experimental_functions: true, ..EngineOptions::default() }
}

fn engine() -> Engine {
    Engine::new(options(), Arc::new(Inline))
}

#[derive(Debug)]
struct Known(Engines);

impl QueryEngines for Known {
    fn engines(&self) -> Engines {
        self.0.clone()
    }
}

/// Series of one cluster: counters with resets, gauges, and one that ends early.
fn store(cluster: &str, seed: i64) -> Arc<dyn Store> {
    let external = Labels::from_pairs([("cluster", cluster), ("region", "x")]);
    let store = MemoryStore::new(external.clone());
    for instance in 0..3 + seed % 2 {
        let name = format!("i{instance}");
        let labels = |metric: &str| {
            let job = if instance == 0 { "api" } else { "web" };
            Labels::from_pairs([("__name__", metric), ("instance", name.as_str()), ("job", job)])
        };
        let mut total = 0;
        for t in (0..END).step_by(15_000) {
            let n = t / 15_000 + 7 * instance + seed;
            // Scrapes that fail.
            if n % 17 == 0 || (instance == 1 && (40..52).contains(&(t / MINUTE))) {
                continue;
            }
            total = if n % 97 == 0 { 0 } else { total + n % 5 };
            store.push(&labels("requests_total"), t, total as f64).expect("in order");
            if t < 50 * MINUTE || instance != 2 {
                store.push(&labels("memory"), t, ((n * 37) % 101) as f64).expect("in order");
            }
            for le in ["1", "5", "+Inf"] {
                let bucket = Labels::from_pairs([
                    ("__name__", "latency_bucket"),
                    ("instance", name.as_str()),
                    ("le", le),
                ]);
                let share = if le == "1" {
                    1
                } else if le == "5" {
                    3
                } else {
                    4
                };
                store.push(&bucket, t, (total * share) as f64).expect("in order");
            }
        }
    }
    Arc::new(Conform::new(Arc::new(store), external))
}

struct Cluster {
    local: StoreQueryable,
    distributed: StoreQueryable,
}

fn query_service(store: &Arc<dyn Store>) -> Arc<dyn QueryApi> {
    Arc::new(QueryService {
        engine: engine(),
        store: Arc::clone(store),
        options: SelectOptions::default(),
        dynamic_lookback: true,
        distribution: None,
        clock: Arc::new(SystemClock),
    })
}

fn cluster() -> Cluster {
    let (mut members, mut engines) = (Vec::new(), Vec::new());
    for (i, name) in ["a", "b", "c"].into_iter().enumerate() {
        let store = store(name, 3 * i as i64 + 1);
        let label_sets = vec![Labels::from_pairs([("cluster", name), ("region", "x")])];
        engines.push(RemoteEngine { name: name.to_owned(), api: query_service(&store), label_sets });
        members.push(Member { name: name.to_owned(), store });
    }
    distributed(members, Engines { engines, stores: Vec::new() }, PartialResponse::Warn)
}

fn distributed(members: Vec<Member>, engines: Engines, partial_response: PartialResponse) -> Cluster {
    let store = Arc::new(Proxy::new(Arc::new(members), ProxySettings::default()));
    let options = SelectOptions { partial_response, ..SelectOptions::default() };
    let local = StoreQueryable::new(store, options);
    let distribution = Distribution { engines: Arc::new(Known(engines)), partition_labels: Vec::new() };
    Cluster { distributed: local.clone().distributed(Arc::new(distribution)), local }
}

async fn range(queryable: &StoreQueryable, text: &str, step_ms: i64) -> Result<QueryResult> {
    let engine = engine();
    let expr = parse(text, engine.options()).map_err(|e| Error::invalid(e.to_string()))?;
    let (start_ms, end_ms) = (20 * MINUTE, END + 10 * MINUTE);
    let query = RangeQuery { expr, text: text.into(), start_ms, end_ms, step_ms, lookback_ms: None };
    engine.range(&Context::default(), Arc::new(queryable.clone()), query).await
}

async fn instant(queryable: &StoreQueryable, text: &str) -> Result<QueryResult> {
    let engine = engine();
    let expr = parse(text, engine.options()).map_err(|e| Error::invalid(e.to_string()))?;
    let query = InstantQuery { expr, text: text.into(), time_ms: 70 * MINUTE, lookback_ms: None };
    engine.instant(&Context::default(), Arc::new(queryable.clone()), query).await
}

/// Samples of series, by their labels; of a vector in the order in which they came.
type Points = Vec<(String, BTreeMap<i64, f64>)>;

fn points(result: Result<QueryResult>) -> std::result::Result<Points, String> {
    let result = result.map_err(|e| e.message().to_owned())?;
    let of = |value: Value| match value {
        Value::Float(v) => v,
        Value::Histogram(h) => h.sum,
    };
    Ok(match result.value {
        QueryValue::Scalar { t_ms, v } => vec![("scalar".to_owned(), [(t_ms, v)].into())],
        QueryValue::String { .. } => Vec::new(),
        QueryValue::Vector(all) => {
            all.into_iter().map(|s| (s.labels.to_string(), [(s.t_ms, of(s.value))].into())).collect()
        }
        QueryValue::Matrix(all) => {
            all.into_iter().map(|s| (s.labels.to_string(), s.floats.into_iter().collect())).collect()
        }
    })
}

fn same(text: &str, got: std::result::Result<Points, String>, want: std::result::Result<Points, String>) {
    let (got, want) = match (got, want) {
        (Ok(got), Ok(want)) => (got, want),
        (Err(_), Err(_)) => return,
        (got, want) => panic!("{text}: got {got:?}, want {want:?}"),
    };
    if text.starts_with("topk") || text.starts_with("bottomk") {
        // Of series with equal values any may be taken.
        return assert_eq!(ranked(got), ranked(want), "{text}");
    }
    let near = |a: f64, b: f64| {
        a.to_bits() == b.to_bits()
            || (a.is_nan() && b.is_nan())
            || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
    };
    let alike = got.len() == want.len()
        && got.iter().zip(&want).all(|((a, x), (b, y))| {
            a == b && x.len() == y.len() && x.iter().zip(y).all(|((s, v), (t, w))| s == t && near(*v, *w))
        });
    assert!(alike, "{text}:\n got {got:?}\nwant {want:?}");
}

/// The values of all series at each time, in order.
fn ranked(points: Points) -> BTreeMap<i64, Vec<String>> {
    let mut out = BTreeMap::<i64, Vec<String>>::new();
    for (t_ms, v) in points.into_iter().flat_map(|(_, samples)| samples) {
        out.entry(t_ms).or_default().push(format!("{v:.9}"));
    }
    out.values_mut().for_each(|values| values.sort());
    out
}

async fn check(cluster: &Cluster, text: &str) {
    for step_ms in [MINUTE, 7 * MINUTE] {
        let (got, want) =
            (range(&cluster.distributed, text, step_ms).await, range(&cluster.local, text, step_ms).await);
        same(text, points(got), points(want));
    }
    same(
        text,
        points(instant(&cluster.distributed, text).await),
        points(instant(&cluster.local, text).await),
    );
}

#[tokio::test]
async fn answers_are_those_of_a_local_query() {
    let cluster = cluster();
    for text in [
        "memory",
        "sum(memory)",
        "sum by (job) (rate(requests_total[5m]))",
        "sum without (instance) (rate(requests_total[5m]))",
        "sum without (cluster) (memory)",
        "sum by (cluster, job) (memory)",
        "count(memory)",
        "count by (job) (memory > 50)",
        "avg(memory)",
        "avg without (cluster) (memory)",
        "min by (instance) (memory)",
        "max by (instance) (rate(requests_total[10m] offset 5m))",
        "group by (job) (memory)",
        "topk(2, memory)",
        "bottomk by (job) (2, rate(requests_total[5m]))",
        "quantile(0.5, memory)",
        "quantile by (cluster) (0.5, memory)",
        "stddev by (cluster, job) (memory)",
        "stddev(memory)",
        r#"count_values("v", memory)"#,
        r#"count_values by (cluster) ("v", memory)"#,
        r#"count_values by (cluster) ("cluster", memory)"#,
        "limitk(2, memory)",
        "limitk by (cluster) (1, memory)",
        "histogram_quantile(0.9, sum by (le) (rate(latency_bucket[5m])))",
        "histogram_quantile(0.9, sum by (le, cluster) (rate(latency_bucket[5m])))",
        "sum(memory) / count(memory)",
        "sum by (cluster) (memory) / on (cluster) count by (cluster) (memory)",
        "memory / on (instance) group_left sum by (instance) (memory)",
        "memory * on (instance, cluster) group_left requests_total",
        "memory and requests_total",
        "memory or sum by (job) (memory)",
        "memory unless on (job) memory{cluster=\"b\"}",
        "memory{cluster=\"a\"} + on (instance) memory{cluster=\"b\"}",
        "memory{cluster=~\"a|b\"} - ignoring (cluster) memory{cluster=\"c\"}",
        "absent(memory)",
        "absent(nosuch{cluster=\"a\"})",
        "absent(sum(memory{cluster=\"a\"}))",
        "absent_over_time(nosuch[5m])",
        "scalar(sum(memory)) + memory",
        "memory > scalar(avg(memory))",
        "vector(1)",
        "time() - timestamp(memory)",
        "sort(memory)",
        "sort_desc(sum by (instance) (memory))",
        "sort_by_label(memory, \"instance\", \"cluster\")",
        r#"label_replace(memory, "cluster", "$1", "instance", "(.*)")"#,
        r#"sum by (cluster) (label_replace(memory, "cluster", "z", "", ""))"#,
        r#"sum by (dst) (label_replace(memory, "dst", "$1", "instance", "(.*)"))"#,
        "max_over_time(sum(memory)[10m:1m])",
        "sum(max_over_time(memory[10m:1m]))",
        "sum(memory @ end())",
        "sum(memory @ 3000 offset 1m)",
        "sum by (job) (memory) > bool 100",
        "-sum(memory)",
        "sum(requests_total) by (__name__, cluster)",
        "avg by (__name__) ({__name__=~\"memory|requests_total\"})",
        "topk(1, sum by (cluster) (memory))",
        "sum(sum by (instance) (memory) * 2)",
        "day_of_month()",
        "predict_linear(memory[10m], 60)",
        "quantile_over_time(0.5, memory[10m])",
        "rate({__name__=~\"memory|requests_total\"}[5m])",
        "memory[2m]",
        "memory{region!=\"x\"}",
        "sum(memory{cluster=\"a\"})",
        "topk(1, memory{cluster=\"a\"})",
        "1 + 2",
    ] {
        check(&cluster, text).await;
    }
}

fn selector() -> impl Strategy<Value = String> {
    let metric = prop_oneof![Just("memory"), Just("requests_total"), Just("nosuch")];
    let matchers = prop_oneof![
        3 => Just(""),
        1 => Just("{cluster=\"a\"}"),
        1 => Just("{cluster!=\"a\"}"),
        1 => Just("{cluster=~\"a|b\",job=\"web\"}"),
        1 => Just("{instance=\"i1\"}"),
    ];
    (metric, matchers).prop_map(|(metric, matchers)| format!("{metric}{matchers}"))
}

fn query() -> impl Strategy<Value = String> {
    let ranged = (
        prop_oneof![Just("rate"), Just("max_over_time"), Just("changes"), Just("last_over_time")],
        selector(),
    );
    let leaf = prop_oneof![selector(), ranged.prop_map(|(f, s)| format!("{f}({s}[6m])")),];
    leaf.prop_recursive(4, 12, 2, |inner| {
        let clause = prop_oneof![
            Just(""),
            Just(" by (cluster)"),
            Just(" by (job)"),
            Just(" by (cluster, instance)"),
            Just(" without (instance)"),
            Just(" without (cluster)"),
        ];
        let op = prop_oneof![
            Just("sum"),
            Just("avg"),
            Just("count"),
            Just("min"),
            Just("max"),
            Just("group"),
            Just("stddev"),
        ];
        let aggregate = (op, clause, inner.clone()).prop_map(|(op, clause, e)| format!("{op}{clause} ({e})"));
        let binary = (
            inner.clone(),
            prop_oneof![Just("+"), Just("/"), Just(">"), Just("and"), Just("or"), Just("unless")],
            prop_oneof![
                Just(""),
                Just(" on (cluster, instance)"),
                Just(" on (instance)"),
                Just(" ignoring (job)")
            ],
            inner.clone(),
        );
        let call = prop_oneof![Just("abs"), Just("-"), Just("absent"), Just("1 + "), Just("sort"),];
        prop_oneof![
            3 => aggregate,
            2 => binary.prop_map(|(a, op, on, b)| format!("({a}) {op}{on} ({b})")),
            1 => (call, inner.clone()).prop_map(|(f, e)| format!("{f}({e})")),
            1 => inner.prop_map(|e| format!("max_over_time(({e})[9m:3m])")),
        ]
    })
}

/// One for all cases, since nothing changes it.
static CLUSTER: LazyLock<Cluster> = LazyLock::new(cluster);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_queries_give_the_answer_of_a_local_one(text in query()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(check(&CLUSTER, &text));
    }
}

/// What is sent for a query, and what is left of it.
fn sent(engines: &Engines, text: &str) -> (Vec<(String, usize)>, String) {
    let expr = parse(text, &options()).expect("PromQL");
    let mut split = Split::new(engines, &[], false);
    let left = split.query(&expr).expect("no such names");
    (split.into_parts().into_iter().map(|p| (p.text, p.engines.len())).collect(), left.to_string())
}

fn engines(sets: &[&[&[(&str, &str)]]]) -> Engines {
    let one = |(i, sets): (usize, &&[&[(&str, &str)]])| RemoteEngine {
        name: format!("e{i}"),
        api: Arc::new(Failing),
        label_sets: sets.iter().map(|set| Labels::from_pairs(set.iter().copied())).collect(),
    };
    Engines { engines: sets.iter().enumerate().map(one).collect(), stores: Vec::new() }
}

#[derive(Debug)]
struct Failing;

#[async_trait]
impl QueryApi for Failing {
    async fn query(&self, _: &Context, _: RemoteQuery) -> Result<QueryStream> {
        Err(Error::unavailable("gone"))
    }
}

#[test]
fn the_largest_parts_that_keep_the_answer_are_sent() {
    let two = engines(&[&[&[("cluster", "a"), ("x", "1")]], &[&[("cluster", "b")]]]);
    let check = |engines: &Engines, text: &str, want: &[(&str, usize)], left: &str| {
        let (parts, got) = sent(engines, text);
        let parts: Vec<_> = parts.iter().map(|(text, n)| (text.as_str(), *n)).collect();
        assert_eq!(parts, want, "{text}");
        let left = left.replace('#', "[remote] #");
        assert_eq!(got, left, "{text}");
    };
    let whole = "#0";
    check(&two, "sum by (cluster) (rate(x[5m]))", &[("sum by (cluster) (rate(x[5m]))", 2)], whole);
    check(&two, "sum by (job) (rate(x[5m]))", &[("sum by (job) (rate(x[5m]))", 2)], "sum by (job) (#0)");
    check(&two, "count(x)", &[("count(x)", 2)], "sum(#0)");
    check(&two, "sum without (job) (x) / 2", &[("sum without (job) (x) / 2", 2)], whole);
    check(
        &two,
        "max without (cluster) (x)",
        &[("max without (cluster) (x)", 2)],
        "max without (cluster, __engine__) (#0)",
    );
    check(&two, "avg(x)", &[("sum(x)", 2), ("count(x)", 2)], "sum(#0) / sum(#1)");
    check(&two, "stddev(x)", &[("x", 2)], "stddev(#0)");
    check(&two, "stddev(x{cluster=\"a\"})", &[("stddev(x{cluster=\"a\"})", 1)], whole);
    check(&two, "absent(x)", &[], "absent(x)");
    check(&two, "max_over_time(sum(x)[5m:1m])", &[], "max_over_time(sum(x)[5m:1m])");
    // Labels that do not tell them apart, or are not there.
    let overlapping = engines(&[&[&[("cluster", "a")]], &[&[("cluster", "a")], &[("cluster", "b")]]]);
    check(&overlapping, "sum(x)", &[], "sum(x)");
    check(&overlapping, "sum(x{cluster=\"b\"})", &[("sum(x{cluster=\"b\"})", 1)], whole);
    let unlabeled = engines(&[&[&[("cluster", "a")]], &[]]);
    check(&unlabeled, "sum(x)", &[], "sum(x)");
    check(&engines(&[&[]]), "sum(x)", &[("sum(x)", 1)], whole);
    // A store beside them holds series, too.
    let beside = Engines { stores: vec![vec![Labels::from_pairs([("cluster", "c")])]], ..two };
    check(&beside, "sum(x)", &[], "sum(x)");
    check(&beside, "sum(x{cluster!=\"c\"})", &[("sum(x{cluster!=\"c\"})", 2)], "sum(#0)");
}

#[tokio::test]
async fn a_querier_that_fails_is_a_warning_or_the_end() {
    let good = store("a", 1);
    let set = |name: &str| vec![Labels::from_pairs([("cluster", name)])];
    let engines = || Engines {
        engines: vec![
            RemoteEngine { name: "good:1".to_owned(), api: query_service(&good), label_sets: set("a") },
            RemoteEngine { name: "bad:1".to_owned(), api: Arc::new(Failing), label_sets: set("b") },
        ],
        stores: Vec::new(),
    };
    let partial = distributed(Vec::new(), engines(), PartialResponse::Warn);
    let answer = instant(&partial.distributed, "count by (cluster) (requests_total)").await.expect("partial");
    let warnings: Vec<_> = answer.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["remote query error (bad:1): gone"]);
    assert!(matches!(answer.value, QueryValue::Vector(all) if all.len() == 1));
    let whole = distributed(Vec::new(), engines(), PartialResponse::Abort);
    let e = instant(&whole.distributed, "count by (cluster) (requests_total)").await.expect_err("the whole");
    assert!(e.message().contains("remote query error (bad:1): gone"), "{e}");
}
