//! What queries hold is reserved first and given back.

use std::sync::Arc;

use super::{options, range, series};
use crate::{
    budget::Budget,
    context::Context,
    error::ErrorKind,
    promql::{Engine, EngineOptions, RangeQuery, parse},
    runtime::{Compute, Inline, Pool},
};

const QUERIES: &[&str] = &[
    "x",
    "sum by (i) (x)",
    "avg by (i) (rate(x[2m]))",
    "stddev by (i) (x)",
    "quantile by (g) (0.5, x)",
    "x * on (i) x",
    "max_over_time(sum by (i) (x)[5m:1m])",
    "count_over_time(x[5m]) + scalar(sum(x))",
    "info(x)",
];

#[tokio::test]
async fn too_little_memory_fails_and_nothing_stays_reserved() {
    let store = series(1000);
    for text in QUERIES {
        let check = async |limit: u64, want: Option<ErrorKind>| {
            let budget = Budget::new("query", limit);
            let ctx = Context::new(Arc::clone(&budget));
            let got = range(&store, Arc::new(Inline), &ctx, text).await;
            assert_eq!(got.as_ref().err().map(crate::error::Error::kind), want, "{text} with {limit} bytes");
            drop(got);
            assert_eq!(budget.used(), 0, "{text} with {limit} bytes");
            budget.peak()
        };
        let peak = check(u64::MAX, None).await;
        // A thousand series with ten samples each.
        assert!(peak > 100_000, "{text}: {peak}");
        check(10_000, Some(ErrorKind::Limit)).await;
        check(peak / 2, Some(ErrorKind::Limit)).await;
        check(peak, None).await;
    }
}

#[tokio::test]
async fn cancelled_queries_hold_nothing() {
    let store = series(1000);
    let pool: Arc<dyn Compute> = Arc::new(Pool::new(1).expect("starts"));
    for text in QUERIES {
        // Before it begins, while it runs, and dropped while it runs.
        for (before, dropped) in [(true, false), (false, false), (false, true)] {
            let budget = Budget::new("query", u64::MAX);
            let ctx = Context::new(Arc::clone(&budget));
            if before {
                ctx.cancel();
            }
            let mut query = Box::pin(range(&store, Arc::clone(&pool), &ctx, text));
            let mut got = futures::poll!(&mut query);
            if dropped {
                drop(query);
            } else {
                ctx.cancel();
                if got.is_pending() {
                    got = std::task::Poll::Ready(query.await);
                }
                let std::task::Poll::Ready(got) = got else { panic!("{text}: was awaited") };
                assert_eq!(got.map_err(|e| e.kind()).err(), Some(ErrorKind::Cancelled), "{text}");
            }
            // Jobs that still run hold what they work on until they end.
            crate::runtime::compute(&pool, || ()).await.expect("runs");
            assert_eq!(budget.used(), 0, "{text}");
        }
    }
}

/// Whether a query over `series` series of ten samples may hold so many samples and no fewer; the
/// fewest are found by trying.
async fn needs(series_count: usize, text: &str, samples: u64) {
    let store = series(series_count);
    let run = async |samples_max: u64| {
        let options = EngineOptions { samples_max, ..options() };
        let expr = parse(text, &options).expect("parses");
        let (start_ms, end_ms, step_ms) = (540_000, 560_000, 10_000);
        let query = RangeQuery { expr, text: text.into(), start_ms, end_ms, step_ms, lookback_ms: None };
        let engine = Engine::new(options, Arc::new(Inline));
        engine.range(&Context::default(), Arc::clone(&store) as _, query).await.map(drop)
    };
    assert!(run(samples).await.is_ok(), "{text} with {samples}");
    let e = run(samples - 1).await.expect_err(text);
    assert_eq!(e.kind(), ErrorKind::Limit, "{text}: {e}");
    assert_eq!(e.message(), "query processing would load too many samples into memory in query execution");
}

#[tokio::test]
async fn samples_inside_windows_count() {
    // Three steps are the least that the range itself asks for.
    needs(1, "x", 3).await;
    needs(1, "max_over_time(x[10m])", 10).await;
    needs(1, "rate(x[3m30s])", 4).await;
    needs(1, "last_over_time(x[2m] @ 300)", 3).await;
    // The results of the first series and the window over the second.
    needs(2, "max_over_time(x[10m])", 13).await;
    // The inner values, too.
    needs(1, "max_over_time(x[5m:1m])", 10).await;
}

#[tokio::test]
async fn what_is_released_was_held() {
    // A part that has samples of its own does not make others look as if they were too many.
    let store = series(20);
    for text in [
        "max by (g) (absent_over_time(none[2m])) or sum by (g) (x)",
        "sum(max_over_time(sum by (i) (x)[5m:1m])) + on() absent(none)",
        "scalar(sum(x)) + (x and on() hour())",
        "sum(rate(x[5m:1m])) + sum(start_timestamp(x))",
        "-(info(x)) + x @ 60",
    ] {
        let got = range(&store, Arc::new(Inline), &Context::default(), text).await;
        assert!(got.is_ok(), "{text}: {got:?}");
    }
}
