//! What queries hold is reserved first and given back.

use std::sync::Arc;

use super::{range, series};
use crate::{
    budget::Budget,
    context::Context,
    error::ErrorKind,
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
