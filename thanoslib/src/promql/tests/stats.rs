//! What statistics count.

use std::sync::Arc;

use super::{Engine, EngineOptions, InstantQuery, RangeQuery, parse};
use crate::{
    context::Context,
    model::{FloatHistogram, Labels, Value},
    promql::{QueryStats, StepStats},
    runtime::Inline,
    testing::MemoryQueryable,
};

/// `one` and three series of `three` with a sample every ten seconds, `histogram` likewise.
fn store() -> Arc<MemoryQueryable> {
    let mut store = MemoryQueryable::default();
    for i in 0..=100i64 {
        let mut push = |name: &str, i_text: &str, value| {
            let labels = Labels::from_pairs([("__name__", name), ("i", i_text)]);
            store.push(&labels, i * 10_000, 0, value);
        };
        push("one", "", Value::Float(i as f64));
        ["a", "b", "c"].into_iter().for_each(|text| push("three", text, Value::Float(1.0)));
        let count = i as f64;
        push("histogram", "", Value::Histogram(Arc::new(FloatHistogram { count, ..Default::default() })));
        // A window of these often holds one sample, of which `rate` makes nothing.
        if i % 10 == 0 {
            push("rare", "", Value::Float(1.0));
        }
    }
    Arc::new(store)
}

/// The statistics without times and peak, which depend on how a query runs.
async fn stats(text: &str, start: i64, end: i64, step: i64, per_step_stats: bool) -> QueryStats {
    let options = EngineOptions { per_step_stats, ..EngineOptions::default() };
    let expr = parse(text, &options).expect("valid");
    let engine = Engine::new(options, Arc::new(Inline));
    let (ctx, store, text) = (Context::default(), store(), Arc::from(text));
    let (start_ms, end_ms, step_ms) = (start * 1000, end * 1000, step * 1000);
    let answer = if step == 0 {
        let query = InstantQuery { expr, text, time_ms: start_ms, lookback_ms: None };
        engine.instant(&ctx, store, query).await
    } else {
        let query = RangeQuery { expr, text, start_ms, end_ms, step_ms, lookback_ms: None };
        engine.range(&ctx, store, query).await
    };
    let stats = answer.expect("an answer").stats;
    QueryStats { peak_samples: 0, eval_seconds: 0.0, queue_seconds: 0.0, ..stats }
}

/// Checks sums, and that those of single steps add up to them.
async fn check(text: &str, start: i64, end: i64, step: i64, total: u64, read: u64) -> Vec<StepStats> {
    let plain = stats(text, start, end, step, false).await;
    assert_eq!((plain.total_samples, plain.read_samples), (total, read), "{text}");
    assert_eq!(plain.steps, [], "{text}");
    let stepped = stats(text, start, end, step, true).await;
    assert_eq!((stepped.total_samples, stepped.read_samples), (total, read), "{text} by step");
    let sum = |of: fn(&StepStats) -> u64| stepped.steps.iter().map(of).sum::<u64>();
    assert_eq!((sum(|s| s.total_samples), sum(|s| s.read_samples)), (total, read), "{text}: sum of steps");
    stepped.steps
}

#[tokio::test]
async fn instant_queries_count_what_their_selectors_find() {
    check("one", 201, 0, 0, 1, 1).await;
    check("sum(three) + sum(three)", 201, 0, 0, 6, 6).await;
    check("timestamp(histogram)", 201, 0, 0, 1, 1).await;
    check("one[60s]", 201, 0, 0, 6, 6).await;
    check("max_over_time(three[60s])", 201, 0, 0, 18, 18).await;
    check("sum(max_over_time(three[60s] @ 30))", 201, 0, 0, 12, 12).await;
    check("1 + 1", 201, 0, 0, 0, 0).await;
    // A window of which the function makes nothing counts, too.
    check("rate(rare[100s])", 250, 0, 0, 1, 1).await;
    // Four steps of six samples.
    let steps = check("max_over_time(one[60s])[20s:5s]", 201, 0, 0, 24, 8).await;
    assert_eq!(steps, [StepStats { t_ms: 201_000, total_samples: 24, read_samples: 8 }]);
}

#[tokio::test]
async fn histograms_count_by_their_size() {
    let one = check("histogram", 200, 0, 0, 11, 11).await[0].total_samples;
    check("count_over_time(histogram[60s])", 200, 0, 0, 6 * one, 6 * one).await;
}

#[tokio::test]
async fn range_queries_count_each_window_and_read_each_sample_once() {
    let steps = check("sum(three)", 204, 223, 5, 12, 12).await;
    let times: Vec<i64> = steps.iter().map(|s| s.t_ms).collect();
    assert_eq!(times, [204_000, 209_000, 214_000, 219_000]);
    // (141 s, 201 s] and the samples at 210 s and 220 s.
    let steps = check("max_over_time(three[60s])", 201, 220, 5, 72, 21).await;
    let reads: Vec<u64> = steps.iter().map(|s| s.read_samples).collect();
    assert_eq!(reads, [18, 0, 3, 0]);
    // Windows that do not touch.
    check("count_over_time(one[10s])", 200, 260, 30, 3, 3).await;
    check("count_over_time(one[5s])", 205, 260, 30, 0, 0).await;
    // One step stands for all.
    check("one @ 30", 201, 220, 5, 4, 1).await;
    check("sum(max_over_time(three[60s] @ 30))", 201, 220, 5, 48, 12).await;
    // Twelve values of three series a step; inside, each step selects anew.
    check("max_over_time(three[60s:5s])", 201, 220, 5, 144, 45).await;
}
