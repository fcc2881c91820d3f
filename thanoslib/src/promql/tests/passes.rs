//! The passes of the planner change what is read and computed, never an answer.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::options;
use crate::{
    budget::Budget,
    context::Context,
    error::Result,
    model::{Labels, Value},
    promql::{
        Engine, EngineOptions, InstantQuery, LogicalPlan, QueryResult, Queryable, RangeQuery, Select,
        SelectStream, parse,
    },
    runtime::Inline,
    testing::MemoryQueryable,
};

/// Notes what is selected.
#[derive(Debug)]
struct Noted {
    inner: MemoryQueryable,
    selects: Mutex<Vec<String>>,
}

#[async_trait]
impl Queryable for Noted {
    async fn select(&self, ctx: &Context, select: Select) -> Result<SelectStream> {
        self.note(std::slice::from_ref(&select));
        self.inner.select(ctx, select).await
    }

    fn joins(&self, one: &Select, other: &Select) -> bool {
        self.inner.joins(one, other)
    }

    async fn select_joined(&self, ctx: &Context, selects: Vec<Select>) -> Result<SelectStream> {
        self.note(&selects);
        self.inner.select_joined(ctx, selects).await
    }
}

impl Noted {
    fn note(&self, selects: &[Select]) {
        let one = |s: &Select| {
            let matchers: Vec<_> = s.matchers.iter().map(ToString::to_string).collect();
            format!("{{{}}}", matchers.join(","))
        };
        let text = selects.iter().map(one).collect::<Vec<_>>().join(" ");
        self.selects.lock().expect("not poisoned").push(text);
    }

    fn taken(&self) -> Vec<String> {
        let mut taken = std::mem::take(&mut *self.selects.lock().expect("not poisoned"));
        taken.sort();
        taken
    }
}

/// Two metrics of three labels with gaps; one has a counter's name and one has not.
fn store() -> Arc<Noted> {
    let mut inner = MemoryQueryable::default();
    for name in ["x", "y_total"] {
        for i in 0..12i64 {
            let (a, b) = ((i % 3).to_string(), (i % 2).to_string());
            let pairs = [("__name__", name), ("a", &a), ("b", &b), ("i", &i.to_string())]
                .map(|(n, v)| (n.to_owned(), v.to_owned()));
            for minute in (0..30i64).filter(|m| m % (i + 3) != 0) {
                let v = (i as f64).mul_add(0.7, (minute % 11) as f64 / 3.0);
                inner.push(&Labels::from_pairs(pairs.clone()), minute * 60_000, 0, Value::Float(v));
            }
        }
    }
    Arc::new(Noted { inner, selects: Mutex::default() })
}

fn query(text: &str) -> RangeQuery {
    let expr = parse(text, &options()).expect("parses");
    let (text, start_ms, end_ms, step_ms) = (Arc::from(text), 300_000, 1_500_000, 60_000);
    RangeQuery { expr, text, start_ms, end_ms, step_ms, lookback_ms: None }
}

/// Values as bits, remarks with their places, the error.
fn shown(result: &Result<QueryResult>) -> String {
    match result {
        Ok(result) => {
            let annotations: Vec<_> =
                result.annotations.warnings().chain(result.annotations.infos()).collect();
            let crate::promql::QueryValue::Matrix(series) = &result.value else {
                return format!("{:?} {annotations:?}", result.value);
            };
            let one = |s: &crate::promql::MatrixSeries| {
                let points: Vec<_> = s.floats.iter().map(|(t, v)| (*t, v.to_bits())).collect();
                format!("{} {points:?}\n", s.labels)
            };
            format!("{}{annotations:?}", series.iter().map(one).collect::<String>())
        }
        Err(e) => format!("{:?} {}", e.kind(), e.message()),
    }
}

/// Compares the answers with and without passes, and after a way through JSON; `want` is read.
async fn check(text: &str, want: &[&str]) {
    let store = store();
    let on = Engine::new(options(), Arc::new(Inline));
    let off = Engine::new(EngineOptions { optimize: false, ..options() }, Arc::new(Inline));
    let run = async |engine: &Engine| {
        let budget = Budget::new("query", u64::MAX);
        let ctx = Context::new(Arc::clone(&budget));
        let queryable: Arc<dyn Queryable> = Arc::clone(&store) as _;
        let result = engine.range(&ctx, queryable, query(text)).await;
        assert_eq!(budget.used(), 0, "{text}");
        (shown(&result), budget.peak())
    };
    let (plain, plain_peak) = run(&off).await;
    store.taken();
    let (got, peak) = run(&on).await;
    assert_eq!(got, plain, "{text}");
    assert_eq!(store.taken(), want, "{text}");
    // A block of series passes through all leaves of a read at once.
    let block = 12 * (25 * 9 + 30 * 16) * 2;
    assert!(peak <= plain_peak + block, "{text}: {peak} instead of {plain_peak} bytes");

    let json = on.plan_range(query(text)).and_then(|plan| plan.to_json()).expect("is planned");
    let plan = LogicalPlan::from_json(&json, &options()).expect("is a plan");
    let queryable: Arc<dyn Queryable> = Arc::clone(&store) as _;
    let again = on.execute(&Context::default(), queryable, plan).await;
    assert_eq!(shown(&again), plain, "{text}");

    let queryable: Arc<dyn Queryable> = Arc::clone(&store) as _;
    let analyzed = on.analyzing().range(&Context::default(), queryable, query(text)).await;
    assert_eq!(shown(&analyzed), plain, "{text}");
}

#[tokio::test]
async fn what_occurs_again_is_read_once() {
    check("sum(x) / (1 + sum(x))", &["{__name__=\"x\"}"]).await;
    check("1 + rate(x[5m]) + (2 + rate(x[5m]))", &["{__name__=\"x\"}"]).await;
    check("1 + rate(x[5m]) + (\n rate(x[2m]) + rate( x[5m]))", &["{__name__=\"x\"} {__name__=\"x\"}"]).await;
    check(
        "1 + max_over_time(sum by (a) (x)[5m:1m]) - max_over_time(sum by (a) (x)[5m:1m])",
        &["{__name__=\"x\"}"],
    )
    .await;
    check("x - on (i) y_total unless x - on (i) y_total", &["{__name__=\"x\"}", "{__name__=\"y_total\"}"])
        .await;
    check("info(sum by (i) (x)) + sum by (i) (x)", &["{__name__=\"x\"}"]).await;
    check("vector(scalar(sum(x))) + scalar(sum(x))", &["{__name__=\"x\"}"]).await;
    // Hints differ, so that there are three selects in one read.
    let selects = ["{__name__=\"x\"}"; 3].join(" ");
    check("topk(2, x) or bottomk(2, x) or -x or -x", &[&selects]).await;
    check(
        "quantile_over_time(scalar(min(x)), x[5m]) + quantile_over_time(scalar(min(x)), x[5m])",
        &["{__name__=\"x\"} {__name__=\"x\"}"],
    )
    .await;
}

#[tokio::test]
async fn near_selects_become_one() {
    check("x / x offset 5m", &["{__name__=\"x\"} {__name__=\"x\"}"]).await;
    check("rate(x[5m]) / rate(x[10m])", &["{__name__=\"x\"} {__name__=\"x\"}"]).await;
    // Times that do not touch.
    check("sum(x @ 100) / sum(x @ 1400)", &["{__name__=\"x\"}", "{__name__=\"x\"}"]).await;
}

#[tokio::test]
async fn parts_of_a_select_are_taken_out_of_it() {
    check("sum(x{a=\"1\"}) / sum(x)", &["{__name__=\"x\"}"]).await;
    check("sum by (b) (rate(x{a=~\"1|2\"}[5m])) / on (b) sum by (b) (rate(x[5m]))", &["{__name__=\"x\"}"])
        .await;
    check("count(x{a=\"1\"}) + count(x{a=\"2\"})", &["{a=\"1\",__name__=\"x\"}", "{a=\"2\",__name__=\"x\"}"])
        .await;
}

#[tokio::test]
async fn matchers_go_to_the_other_side() {
    check("x{a=\"1\"} + y_total", &["{a=\"1\",__name__=\"x\"}", "{a=\"1\",__name__=\"y_total\"}"]).await;
    check("x and y_total{b=\"1\"}", &["{b=\"1\",__name__=\"x\"}", "{b=\"1\",__name__=\"y_total\"}"]).await;
    check("x{a=\"1\"} * on (a) y_total", &["{__name__=\"y_total\"}", "{a=\"1\",__name__=\"x\"}"]).await;
}

#[tokio::test]
async fn analysis_tells_what_operators_cost() {
    let engine = Engine::new(options(), Arc::new(Inline)).analyzing();
    let text = "sum by (a) (rate(x[5m])) + on () group_left () scalar(max(x)) * sum(x)";
    let text = text.replace("on () group_left () ", "");
    let expr = parse(&text, &options()).expect("parses");
    let query = InstantQuery { expr, text: Arc::from(text.as_str()), time_ms: 600_000, lookback_ms: None };
    let queryable: Arc<dyn Queryable> = store();
    let result = engine.instant(&Context::default(), queryable, query).await.expect("answers");
    let root = result.analysis.expect("is analyzed");
    let cost = root.cost.expect("a cost");
    assert_eq!(cost.total_samples, result.stats.total_samples);
    assert!(cost.peak_samples > 0 && cost.peak_bytes > 0 && cost.execution_ns > 0, "{root:?}");
    let mut waiting = vec![&root];
    let mut reads = 0;
    while let Some(node) = waiting.pop() {
        let cost = node.cost.expect("a cost");
        for child in &node.children {
            assert!(child.cost.is_some_and(|c| c.execution_ns <= cost.execution_ns), "{}", root.to_text());
        }
        reads += usize::from(node.name.starts_with("[read]") && cost.series == 12);
        waiting.extend(&node.children);
    }
    assert!(reads > 0, "{}", root.to_text());
    let json: serde_json::Value = serde_json::from_str(&root.to_json()).expect("is JSON");
    assert_eq!(json["totalSamples"], result.stats.total_samples);
}
