//! Room for the recursion over deep expressions.

use std::{panic, thread};

use crate::{
    error::{Error, Result},
    promql::ast::{Expr, Node},
};

/// Levels that any thread has room for.
const LEVELS_SMALL: usize = 32;
/// Room for one level, that of unoptimised builds included.
const LEVEL_BYTES: usize = 32 << 10;
/// Room for what is called at the deepest level.
const BASE_BYTES: usize = 1 << 20;

/// Levels of an expression: 1 without operands. Needs no stack itself.
pub(crate) fn depth(expr: &Expr) -> usize {
    let mut deepest = 0;
    let mut waiting = vec![(expr, 1)];
    while let Some((expr, level)) = waiting.pop() {
        deepest = deepest.max(level);
        let mut push = |e| waiting.push((e, level + 1));
        match &expr.node {
            Node::Number { .. } | Node::String(_) | Node::Vector(_) | Node::Matrix { .. } => {}
            Node::Paren(e) | Node::Unary { expr: e, .. } => push(e),
            Node::Binary(b) => [&b.lhs, &b.rhs].into_iter().for_each(push),
            Node::Aggregate(a) => a.param.iter().chain([&a.expr]).for_each(push),
            Node::Call { args, .. } => args.iter().for_each(push),
            Node::Subquery(s) => push(&s.expr),
        }
    }
    deepest
}

/// Runs work that recurses `levels` deep, on a thread of its own if that is much.
///
/// The caller waits for that thread, which waits for nothing.
///
/// # Errors
/// Those of the work, and `Internal` when the system gives no thread.
pub(crate) fn with_room<T: Send>(levels: usize, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    if levels <= LEVELS_SMALL {
        return work();
    }
    let bytes = BASE_BYTES.saturating_add(levels.saturating_mul(LEVEL_BYTES));
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("promql-deep".to_owned()).stack_size(bytes);
        let thread = thread
            .spawn_scoped(scope, work)
            .map_err(|e| Error::internal("cannot start a thread for a deep query").with_source(e))?;
        thread.join().unwrap_or_else(|payload| panic::resume_unwind(payload))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_counted_without_recursion() {
        let mut expr = Expr::number(1.0);
        for _ in 0..300 {
            expr = Expr::new(Node::Paren(Box::new(expr)));
        }
        assert_eq!(depth(&expr), 301);
    }

    #[test]
    fn deep_work_gets_its_room() {
        fn sum(n: u64) -> u64 {
            let row = std::hint::black_box([n; 512]);
            if n == 0 { 0 } else { sum(n - 1) + row[511] }
        }
        assert_eq!(with_room(2000, || Ok(sum(2000))).ok(), Some(2_001_000));
        assert!(with_room(2000, || Err::<(), _>(Error::invalid("no"))).is_err());
    }
}
