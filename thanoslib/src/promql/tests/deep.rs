//! The deepest queries that are read are evaluated on a small stack.

use std::{sync::Arc, thread};

use super::{instant, options, range, series};
use crate::{context::Context, error::ErrorKind, promql::parse, runtime::Inline};

/// Stack of threads that embedders give.
const STACK_BYTES: usize = 2 << 20;

/// Reads, prints and evaluates `front × n, inner, back × n` for the largest `n` that is not
/// refused, on a thread of its own.
fn check(front: &'static str, inner: &'static str, back: &'static str) {
    let work = move || {
        let text = |n: usize| front.repeat(n) + inner + &back.repeat(n);
        let accepted = |n: &usize| parse(&text(*n), &options()).is_ok();
        let deepest = [1200, 600, 511, 510, 500, 255, 170, 100].into_iter().find(accepted);
        let deepest = deepest.expect("a hundred levels are read");
        let text = text(deepest);
        let expr = parse(&text, &options()).expect("was read before");
        assert_eq!(parse(&expr.to_string(), &options()).map(|e| e.to_string()), Ok(expr.to_string()));
        drop(expr.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("starts");
        runtime.block_on(async {
            let (store, ctx) = (series(3), Context::default());
            range(&store, Arc::new(Inline), &ctx, &text).await.expect("is evaluated");
            instant(&store, Arc::new(Inline), &ctx, &text).await.expect("is evaluated");
        });
        deepest
    };
    let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn(work).expect("starts");
    let deepest = thread.join().expect("the query is evaluated");
    assert!(deepest >= 100, "{front}{inner}{back}: {deepest}");
}

#[test]
fn parentheses() {
    check("(", "x", ")");
}

#[test]
fn signs() {
    check("-", "x", "");
}

#[test]
fn calls() {
    check("abs(", "x", ")");
    check("sort(", "1 + x", ")");
}

#[test]
fn calls_with_scalars() {
    check("vector(scalar(", "x", "))");
}

#[test]
fn aggregations() {
    check("sum by (i) (", "x", ")");
    check("topk(2, ", "x", ")");
}

#[test]
fn operators_to_the_left() {
    check("", "x", " + 1");
    check("", "x", " or x");
}

#[test]
fn operators_to_the_right() {
    check("x or (", "x", ")");
    check("1 ^ ", "2", "");
}

#[test]
fn subqueries() {
    check("max_over_time(", "x", "[1m:1m])");
}

#[tokio::test]
async fn infos() {
    let (store, ctx) = (series(3), Context::default());
    let query = |n: usize| "info(".repeat(n) + "x" + &")".repeat(n);
    let got = instant(&store, Arc::new(Inline), &ctx, &query(100)).await;
    assert!(got.is_ok(), "{got:?}");
    let got = instant(&store, Arc::new(Inline), &ctx, &query(200)).await;
    assert_eq!(got.map_err(|e| e.kind()).err(), Some(ErrorKind::Limit));
}

#[test]
fn fixed_times() {
    check("abs(", "x @ 60", ")");
}
