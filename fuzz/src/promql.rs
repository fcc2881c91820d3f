//! The PromQL parser on any bytes, and the engine on what the parser accepts.

use std::sync::{Arc, LazyLock};

use thanoslib::{
    budget::Budget,
    context::Context,
    model::{CounterReset, FloatHistogram, Labels, Span, Value, stale_nan},
    promql::{
        Engine, EngineOptions, InstantQuery, LogicalPlan, RangeQuery,
        ast::{Duration, DurationExpr, DurationNode, Expr, Node, VectorSelector},
        parse, parse_bytes, parse_selector,
    },
    runtime::Inline,
    testing::MemoryQueryable,
};

/// Longest text that is also evaluated, in bytes.
const EVALUATED_BYTES_MAX: usize = 160;
/// Most samples and bytes of an evaluation.
const SAMPLES_MAX: u64 = 20_000;
const MEMORY_MAX: u64 = 16 << 20;

fn options() -> EngineOptions {
    EngineOptions {
        experimental_functions: true,
        fill_modifiers: true,
        extended_range_selectors: true,
        start_timestamps: true,
        x_functions: true,
        samples_max: SAMPLES_MAX,
        ..EngineOptions::default()
    }
}

/// Reads bytes as a query; what is accepted prints as a text of the same tree, on one line and
/// indented, and an error blames bytes of the text.
pub fn parser(data: &[u8]) {
    let shown = String::from_utf8_lossy(data);
    let _ = parse_selector(&shown, &options());
    let _ = parse_bytes(data, &EngineOptions::default());
    let expr = match parse_bytes(data, &options()) {
        Ok(expr) => expr,
        Err(e) => {
            let (start, end) = e.span.unwrap_or_default();
            assert!(start <= end && end as usize <= data.len(), "{shown}: {e:?}");
            return;
        }
    };
    let printed = expr.to_string();
    for text in [&printed, &expr.prettify()] {
        match parse(text, &options()) {
            Ok(again) => {
                assert_eq!(again.to_string(), printed, "{shown}");
                assert_eq!(tree(again), tree(expr.clone()), "{shown}");
            }
            Err(e) => panic!("{shown} prints as {text}, which is refused: {e}"),
        }
    }
}

/// Longest text that the other parser gets, which takes quadratic time for some.
const PEER_BYTES_MAX: usize = 200;

/// Reads a query with the crate `promql-parser`, too; what both accept is the same tree.
pub fn peer(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Escapes are characters there and bytes here.
    if text.len() > PEER_BYTES_MAX || text.contains('\\') || has_long_duration(text) {
        return;
    }
    let Some(theirs) = theirs(text) else { return };
    let Ok(adapted) = Expr::try_from(theirs) else { return };
    let Ok(own) = parse(text, &options()) else { return };
    assert_eq!(untyped(tree(own)), untyped(tree(adapted)), "{text}");
}

/// True when a part of a duration may need more than 32 bits: the other parser takes it for zero.
fn has_long_duration(text: &str) -> bool {
    let digits = |bytes: &[u8]| bytes.iter().rev().take_while(|b| b.is_ascii_digit() || **b == b'_').count();
    let bytes = text.as_bytes();
    (1..bytes.len()).any(|i| bytes[i].is_ascii_alphabetic() && digits(&bytes[..i]) >= 10)
}

/// The tree of the other parser, which panics on some durations: without the hook, since a search
/// ends at any panic that the hook is told of.
fn theirs(text: &str) -> Option<promql_parser::parser::Expr> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let parsed = std::panic::catch_unwind(|| promql_parser::parser::parse(text));
    std::panic::set_hook(hook);
    parsed.ok()?.ok()
}

/// Without what the other parser forgets: that a number was a duration.
fn untyped(tree: String) -> String {
    tree.replace("is_duration: true", "is_duration: false")
}

/// Reads bytes as the JSON of a plan; what is accepted comes back equal and is evaluated.
pub fn plan(data: &[u8]) {
    let Ok(json) = std::str::from_utf8(data) else { return };
    let Ok(plan) = LogicalPlan::from_json(json, &options()) else { return };
    let again = plan.to_json().expect("its durations are numbers");
    let again = LogicalPlan::from_json(&again, &options()).expect("is a plan");
    assert_eq!(format!("{again:?}"), format!("{plan:?}"));
    let engine = Engine::new(options(), Arc::new(Inline));
    let budget = Budget::new("query", MEMORY_MAX);
    let ctx = Context::new(Arc::clone(&budget));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("needs no drivers");
    // Errors are answers as good as values.
    let _ = runtime.block_on(engine.execute(&ctx, STORE.clone(), plan));
    assert_eq!(budget.used(), 0);
}

/// Evaluates a short query at one time and at several, now or with delayed name removal.
pub fn engine(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if text.len() > EVALUATED_BYTES_MAX {
        return;
    }
    let Ok(expr) = parse(text, &options()) else { return };
    let options = EngineOptions { delayed_name_removal: data.len().is_multiple_of(2), ..options() };
    let engine = Engine::new(options, Arc::new(Inline));
    let budget = Budget::new("query", MEMORY_MAX);
    let ctx = Context::new(Arc::clone(&budget));
    let (text, lookback_ms): (Arc<str>, _) = (Arc::from(text), None);
    let at_once = InstantQuery { expr: expr.clone(), text: Arc::clone(&text), time_ms: 600_000, lookback_ms };
    let spread = RangeQuery { expr, text, start_ms: 0, end_ms: 1_000_000, step_ms: 70_000, lookback_ms };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("needs no drivers");
    runtime.block_on(async {
        // Errors are answers as good as values.
        let _ = engine.instant(&ctx, STORE.clone(), at_once).await;
        let _ = engine.range(&ctx, STORE.clone(), spread).await;
    });
    assert_eq!(budget.used(), 0);
}

/// Counters, gauges, classic and native histograms, info series; with gaps and stale marks.
static STORE: LazyLock<Arc<MemoryQueryable>> = LazyLock::new(|| {
    let mut store = MemoryQueryable::default();
    for (i, (instance, job)) in [("a", "api"), ("b", "api"), ("a", "web")].into_iter().enumerate() {
        let of = |name: &str, more: &[(&str, &str)]| {
            let own = [("__name__", name), ("instance", instance), ("job", job)];
            Labels::from_pairs(own.iter().chain(more).copied())
        };
        for n in 0..16i64 {
            let (t, x) = (n * 60_000, (n as f64).mul_add(3.0, i as f64));
            store.push(&of("up", &[]), t, 0, Value::Float(if n == 7 { stale_nan() } else { 1.0 }));
            store.push(&of("c_total", &[]), t, n / 5 * 300_000, Value::Float(x % 17.0));
            store.push(
                &of("g", &[("s", "x.y")]),
                t + 1,
                0,
                Value::Float([x, f64::NAN, f64::INFINITY, -x][i]),
            );
            store.push(&of("target_info", &[("k", ["u", "v"][i % 2])]), t, 0, Value::Float(1.0));
            for (le, share) in [("1", 0.2), ("5", 0.7), ("+Inf", 1.0)] {
                store.push(&of("h_bucket", &[("le", le)]), t, 0, Value::Float(x * share));
            }
            store.push(&of("h", &[]), t, 0, Value::Histogram(Arc::new(histogram(x, i, n))));
        }
    }
    Arc::new(store)
});

/// An exponential histogram, or one with custom bounds for the last series.
fn histogram(x: f64, series: usize, n: i64) -> FloatHistogram {
    let custom = series == 2;
    FloatHistogram {
        hint: [CounterReset::Unknown, CounterReset::Gauge][usize::from(series == 1)],
        schema: if custom { -53 } else { [0, 2][usize::from(n > 8)] },
        zero_threshold: if custom { 0.0 } else { 0.001 },
        zero_count: if custom { 0.0 } else { 1.0 },
        count: x.mul_add(2.0, f64::from(u8::from(!custom))),
        sum: x * 5.0,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_buckets: vec![x, x],
        custom_values: if custom { vec![1.0, n as f64 + 2.0] } else { Vec::new() },
        ..FloatHistogram::default()
    }
}

/// The tree as text, without what printing leaves out: places, the order of matchers, signs and
/// clauses that say nothing.
fn tree(expr: Expr) -> String {
    // The sign of a duration of zero is not printed.
    format!("{:?}", plain(expr)).replace("-0.0, is_duration: true", "0.0, is_duration: true")
}

fn plain(expr: Expr) -> Expr {
    let node = match expr.node {
        node @ (Node::Number { .. } | Node::String(_)) => node,
        Node::Paren(e) => Node::Paren(Box::new(plain(*e))),
        Node::Unary { negative: false, expr } => return plain(*expr),
        Node::Unary { negative, expr } => Node::Unary { negative, expr: Box::new(plain(*expr)) },
        Node::Binary(mut b) => {
            (b.lhs, b.rhs, b.op_span) = (plain(b.lhs), plain(b.rhs), None);
            Node::Binary(b)
        }
        Node::Aggregate(mut a) => {
            a.expr = plain(a.expr);
            a.param = a.param.map(plain);
            a.grouping = a.grouping.filter(|g| !g.by || !g.labels.is_empty());
            Node::Aggregate(a)
        }
        Node::Call { function, args } => Node::Call { function, args: args.into_iter().map(plain).collect() },
        Node::Vector(selector) => Node::Vector(sorted(selector)),
        Node::Matrix { selector, range } => Node::Matrix { selector: sorted(selector), range: length(range) },
        Node::Subquery(mut s) => {
            s.expr = plain(s.expr);
            (s.range, s.step, s.offset) = (length(s.range), s.step.map(length), length(s.offset));
            Node::Subquery(s)
        }
    };
    Expr::new(node)
}

fn length(duration: Duration) -> Duration {
    match duration {
        Duration::Ms(ms) => Duration::Ms(ms),
        Duration::Expr(e) => Duration::Expr(arithmetic(e)),
    }
}

/// The arithmetic without places.
fn arithmetic(mut e: Box<DurationExpr>) -> Box<DurationExpr> {
    e.node = match e.node {
        node @ (DurationNode::Literal { .. } | DurationNode::Step | DurationNode::Range) => node,
        DurationNode::MinOf(a, b) => DurationNode::MinOf(arithmetic(a), arithmetic(b)),
        DurationNode::MaxOf(a, b) => DurationNode::MaxOf(arithmetic(a), arithmetic(b)),
        DurationNode::Paren(e) => DurationNode::Paren(arithmetic(e)),
        DurationNode::Negate(e) => DurationNode::Negate(arithmetic(e)),
        DurationNode::Binary { op, lhs, rhs } => {
            DurationNode::Binary { op, lhs: arithmetic(lhs), rhs: arithmetic(rhs) }
        }
    };
    e.span = None;
    e
}

fn sorted(mut selector: VectorSelector) -> VectorSelector {
    selector.offset = length(selector.offset);
    selector.matchers.sort_by_key(ToString::to_string);
    selector
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEDS: &[&str] = &[
        "up",
        "up == 1",
        "-up",
        "1 + 2 * 3 ^ 2 ^ -1",
        "\"text\"",
        "0x1F % 1e3",
        "NaN != bool Inf",
        "{__name__=~\"c_.*\",job!=\"web\"}",
        "{\"up\",job='api'}",
        "up{instance!~`b|c`} offset 1m",
        "up @ 120",
        "up @ start() offset -1m",
        "c_total[5m]",
        "c_total[5m] @ end()",
        "up[10m:1m]",
        "up[10m:] offset 1m",
        "rate(c_total[5m])",
        "irate(c_total[5m])",
        "increase(c_total[5m1s])",
        "delta(g[5m])",
        "idelta(g[5m])",
        "deriv(g[5m])",
        "predict_linear(g[5m], 3600)",
        "double_exponential_smoothing(g[5m], 0.5, 0.5)",
        "changes(g[5m])",
        "resets(c_total[5m])",
        "resets(h[5m])",
        "rate(h[5m])",
        "delta(h[5m])",
        "avg_over_time(h[5m])",
        "sum_over_time(h[10m:2m])",
        "avg_over_time(g[5m])",
        "min_over_time(g[5m])",
        "quantile_over_time(0.9, g[5m])",
        "stddev_over_time(g[5m])",
        "mad_over_time(g[5m])",
        "ts_of_max_over_time(g[5m])",
        "first_over_time(up[5m])",
        "last_over_time(h[5m])",
        "present_over_time(h[5m])",
        "count_over_time(up[5m])",
        "absent_over_time(nosuch{a=\"b\"}[5m])",
        "absent(up{job=\"x\"})",
        "max_over_time(rate(c_total[2m])[10m:1m])",
        "sum(up)",
        "sum by (job) (rate(c_total[5m]))",
        "avg without (instance) (g)",
        "avg(h)",
        "sum(h)",
        "count(h)",
        "min(g)",
        "max by (job) (g)",
        "group(up)",
        "stddev(g)",
        "stdvar by (job) (c_total)",
        "topk(2, g)",
        "bottomk by (job) (scalar(count(up)), c_total)",
        "quantile(0.5, g)",
        "count_values(\"v\", up)",
        "limitk(1, up)",
        "limit_ratio(-0.5, up)",
        "histogram_quantile(0.9, h_bucket)",
        "histogram_quantile(0.5, h)",
        "histogram_quantiles(h, \"q\", 0.1, 0.9)",
        "histogram_fraction(0, 4, h)",
        "histogram_count(sum(h))",
        "histogram_sum(rate(h[5m]))",
        "histogram_avg(h)",
        "histogram_stddev(h)",
        "histogram_stdvar(h * 2)",
        "h + h",
        "h - on (instance, job) h",
        "h / 0",
        "2 * h",
        "h == h",
        "up and g",
        "up or h",
        "up unless on (job) c_total",
        "up + on (instance) group_left (s) sum by (instance) (g)",
        "sum by (job) (up) * on (job) group_right () up",
        "up * ignoring (s) g",
        "up + fill (0) c_total{job=\"api\"}",
        "up + on (job, instance) fill_left (1) fill_right (2) g",
        "g > bool 3",
        "3 < g",
        "g atan2 2",
        "abs(g) + ceil(g) - floor(g)",
        "clamp(g, -1, 5)",
        "round(g, 0.3)",
        "exp(ln(g))",
        "sgn(sqrt(g))",
        "deg(asin(g))",
        "label_replace(up, \"x\", \"$1-${2}\", \"instance\", \"(.)(.*)\")",
        "label_join(up, \"x\", \"-\", \"job\", \"instance\")",
        "sort_desc(g)",
        "sort_by_label(up, \"instance\", \"job\")",
        "scalar(sum(up))",
        "vector(time())",
        "timestamp(g)",
        "day_of_week(g) + hour() + days_in_month(vector(1e9))",
        "info(up)",
        "info(rate(c_total[5m]), {k=~\".+\"})",
        "info(h @ 300, {__name__=\"target_info\"})",
        "pi() * (1 - (2))",
        "up[step() * 2 + (1m)] anchored",
        "rate(c_total[max_of(step(), 90s)] smoothed offset -(range() / 4))",
        "max_over_time(up[5m:min_of(1m, step())] offset -step())",
        "h </ 4 >/ 1",
        "1h30m + -5m ^ 0s",
        "{__name__=~`up|g`} smoothed",
        "sum by (\"without\", sum) (up)",
    ];

    /// Runs a body over the seeds and over seeded changes of them.
    fn check(rounds: usize, body: fn(&[u8])) {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below.max(1) as u64) as usize
        };
        let mut runs = 0;
        for seed in SEEDS {
            body(seed.as_bytes());
            for _ in 0..rounds {
                let mut data = seed.as_bytes().to_vec();
                for _ in 0..=random(3) {
                    let at = random(data.len());
                    let other = SEEDS[random(SEEDS.len())].as_bytes();
                    match random(5) {
                        0 => data[at] = other[random(other.len())],
                        1 => data.insert(at, b"()[]{},+-0159:@\" "[random(17)]),
                        2 => drop(data.remove(at)),
                        3 => drop(data.splice(at.., other[random(other.len())..].iter().copied())),
                        _ => {
                            data.insert(0, b'(');
                            data.push(b')');
                            data.extend(b" + ");
                            data.extend(other);
                        }
                    }
                    if data.is_empty() {
                        data.push(b'1');
                    }
                }
                body(&data);
                runs += 1;
            }
        }
        assert!(runs >= 100 * rounds);
    }

    #[test]
    fn seeds_are_queries() {
        for seed in SEEDS {
            assert!(parse(seed, &options()).is_ok(), "{seed}");
        }
    }

    #[test]
    fn parser_survives() {
        check(60, parser);
    }

    #[test]
    fn both_parsers_read_the_same() {
        check(60, peer);
    }

    #[test]
    fn engine_survives() {
        check(30, engine);
    }
}
