//! Answers do not depend on who computes, and nobody waits for anybody.

use std::sync::Arc;

use super::{range, series};
use crate::{
    context::Context,
    promql::QueryValue,
    runtime::{Compute, Inline, Pool},
};

const QUERIES: &[&str] = &[
    "sum by (g) (rate(x[3m]))",
    "avg(x) + on () stddev(x)",
    "topk by (g) (2, x)",
    "quantile(0.9, x)",
    "info(max_over_time(sum by (g) (x)[5m:30s]))",
];

/// The value with all floats as bits.
fn bits(value: &QueryValue) -> String {
    let QueryValue::Matrix(series) = value else { panic!("a range query gives a matrix") };
    let one = |s: &crate::promql::MatrixSeries| {
        let points: Vec<_> = s.floats.iter().map(|(t, v)| (*t, v.to_bits())).collect();
        format!("{} {points:?}", s.labels)
    };
    series.iter().map(one).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn answers_are_equal_to_the_bit_for_any_number_of_workers() {
    let (store, ctx) = (series(2000), Context::default());
    let pools: [Arc<dyn Compute>; 2] =
        [Arc::new(Pool::new(1).expect("starts")), Arc::new(Pool::new(4).expect("starts"))];
    for text in QUERIES {
        let inline = range(&store, Arc::new(Inline), &ctx, text).await.expect("answers");
        let want = bits(&inline.value);
        assert!(!want.is_empty(), "{text}");
        for pool in &pools {
            let got = range(&store, Arc::clone(pool), &ctx, text).await.expect("answers");
            assert_eq!(bits(&got.value), want, "{text}");
            assert_eq!(got.annotations, inline.annotations, "{text}");
        }
    }
}

#[tokio::test]
async fn fifty_queries_share_one_worker() {
    let (store, ctx) = (series(300), Context::default());
    let pool: Arc<dyn Compute> = Arc::new(Pool::new(1).expect("starts"));
    let queries = (0..50).map(|i| range(&store, Arc::clone(&pool), &ctx, QUERIES[i % QUERIES.len()]));
    let answers = futures::future::join_all(queries).await;
    assert_eq!(answers.iter().filter(|a| a.is_ok()).count(), 50);
}
