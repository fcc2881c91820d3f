//! Whole queries over series in memory.

mod active;
mod deep;
mod limits;
mod passes;
mod stats;
mod workers;

use std::sync::Arc;

use super::{Engine, EngineOptions, InstantQuery, QueryResult, RangeQuery, parse};
use crate::{
    context::Context,
    error::Result,
    model::{Labels, Value},
    runtime::Compute,
    testing::MemoryQueryable,
};

/// Everything on.
fn options() -> EngineOptions {
    EngineOptions { experimental_functions: true, fill_modifiers: true, ..EngineOptions::default() }
}

/// `x{i="0"}`, `x{i="1"}` and so on: a sample each minute for ten minutes.
fn series(count: usize) -> Arc<MemoryQueryable> {
    let mut store = MemoryQueryable::default();
    for i in 0..count {
        let labels = Labels::from_pairs([
            ("__name__", "x".to_owned()),
            ("g", (i % 7).to_string()),
            ("i", i.to_string()),
        ]);
        for minute in 0..10i64 {
            let v = (i as f64).mul_add(0.1, minute as f64 / 3.0);
            store.push(&labels, minute * 60_000, 0, Value::Float(v));
        }
    }
    Arc::new(store)
}

/// Answers a range query of nine steps.
async fn range(
    store: &Arc<MemoryQueryable>,
    on: Arc<dyn Compute>,
    ctx: &Context,
    text: &str,
) -> Result<QueryResult> {
    let expr = parse(text, &options())?;
    let (text, start_ms, end_ms, step_ms) = (Arc::from(text), 60_000, 540_000, 60_000);
    let query = RangeQuery { expr, text, start_ms, end_ms, step_ms, lookback_ms: None };
    let store = Arc::clone(store);
    Engine::new(options(), on).range(ctx, store, query).await
}

/// Answers a query at one time.
async fn instant(
    store: &Arc<MemoryQueryable>,
    on: Arc<dyn Compute>,
    ctx: &Context,
    text: &str,
) -> Result<QueryResult> {
    let expr = parse(text, &options())?;
    let query = InstantQuery { expr, text: Arc::from(text), time_ms: 300_000, lookback_ms: None };
    let store = Arc::clone(store);
    Engine::new(options(), on).instant(ctx, store, query).await
}
