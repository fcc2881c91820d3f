//! Rewrites the syntax tree for one query: times become constants, needless parentheses go.

use super::{
    super::{
        FunctionId,
        ast::{Aggregate, At, Binary, Expr, Node, Subquery, VectorSelector},
    },
    duration::{self, Sign},
};
use crate::error::Result;

/// The times of a query that an expression may refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueryTimes {
    /// First step in ms.
    pub(crate) start_ms: i64,
    /// Asked end in ms, which need not be a step.
    pub(crate) end_ms: i64,
    /// Distance of steps in ms, 0 for an instant query.
    pub(crate) step_ms: i64,
}

impl QueryTimes {
    fn constant(&self, id: FunctionId) -> Option<f64> {
        match id {
            FunctionId::Start => Some(seconds(self.start_ms)),
            FunctionId::End => Some(seconds(self.end_ms)),
            FunctionId::Range => Some(self.range_seconds()),
            FunctionId::Step => Some(self.step_seconds()),
            _ => None,
        }
    }

    /// From the first step to the end.
    pub(super) fn range_seconds(&self) -> f64 {
        seconds(self.end_ms.saturating_sub(self.start_ms))
    }

    /// Distance of steps, 0 when there is only one.
    pub(super) fn step_seconds(&self) -> f64 {
        if self.start_ms == self.end_ms { 0.0 } else { seconds(self.step_ms) }
    }

    fn at(&self, at: Option<At>) -> Option<At> {
        at.map(|at| match at {
            At::Time(t) => At::Time(t),
            At::Start => At::Time(self.start_ms),
            At::End => At::Time(self.end_ms),
        })
    }

    fn selector(&self, selector: VectorSelector) -> Result<VectorSelector> {
        let offset = duration::fold(selector.offset, self, Sign::Any)?;
        Ok(VectorSelector { at: self.at(selector.at), offset, ..selector })
    }
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// Replaces `start()`, `end()`, `range()`, `step()`, their forms behind `@` and arithmetic in
/// durations by numbers, and takes the parentheses from function arguments and aggregation
/// operands.
///
/// # Errors
/// `Invalid` for a duration that has no value or none that fits its place.
pub(crate) fn fold(expr: Expr, times: &QueryTimes) -> Result<Expr> {
    let span = expr.span;
    let node = match expr.node {
        node @ (Node::Number { .. } | Node::String(_)) => node,
        Node::Paren(inner) => Node::Paren(Box::new(fold(*inner, times)?)),
        Node::Unary { negative, expr } => Node::Unary { negative, expr: Box::new(fold(*expr, times)?) },
        Node::Binary(b) => {
            let b = *b;
            Node::Binary(Box::new(Binary { lhs: fold(b.lhs, times)?, rhs: fold(b.rhs, times)?, ..b }))
        }
        Node::Aggregate(a) => {
            let a = *a;
            let expr = without_parens(fold(a.expr, times)?);
            let param = a.param.map(|p| fold(p, times).map(without_parens)).transpose()?;
            Node::Aggregate(Box::new(Aggregate { expr, param, ..a }))
        }
        Node::Call { function, args } => match times.constant(function.id) {
            Some(value) => Node::Number { value, is_duration: false },
            None => {
                let args = args.into_iter().map(|a| fold(a, times).map(without_parens));
                Node::Call { function, args: args.collect::<Result<_>>()? }
            }
        },
        Node::Vector(selector) => Node::Vector(times.selector(selector)?),
        Node::Matrix { selector, range } => {
            let range = duration::fold(range, times, Sign::Positive)?;
            Node::Matrix { selector: times.selector(selector)?, range }
        }
        Node::Subquery(s) => {
            // Compat: errors are found in this order (promql/durations.go).
            let offset = duration::fold(s.offset, times, Sign::Any)?;
            let step = s.step.map(|step| duration::fold(step, times, Sign::Positive)).transpose()?;
            let range = duration::fold(s.range, times, Sign::Positive)?;
            let (expr, at) = (fold(s.expr, times)?, times.at(s.at));
            Node::Subquery(Box::new(Subquery { expr, range, step, offset, at }))
        }
    };
    Ok(Expr { node, span })
}

fn without_parens(mut expr: Expr) -> Expr {
    while let Node::Paren(inner) = expr.node {
        expr = *inner;
    }
    expr
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::find_function;

    fn call(name: &str, args: Vec<Expr>) -> Expr {
        Expr::new(Node::Call { function: find_function(name).expect("known"), args })
    }

    fn check(times: QueryTimes, name: &str, want: f64) {
        let folded = fold(call(name, Vec::new()), &times).expect("folds");
        assert_eq!(folded, Expr::number(want), "{name}");
    }

    #[test]
    fn times_of_the_query_become_numbers() {
        let range = QueryTimes { start_ms: 1500, end_ms: 11_500, step_ms: 3000 };
        check(range, "start", 1.5);
        check(range, "end", 11.5);
        check(range, "range", 10.0);
        check(range, "step", 3.0);
        check(QueryTimes { end_ms: 1500, ..range }, "step", 0.0);
    }

    #[test]
    fn arguments_lose_their_parentheses() {
        let times = QueryTimes { start_ms: 0, end_ms: 0, step_ms: 0 };
        let paren = |e| Expr::new(Node::Paren(Box::new(e)));
        let one = Expr::number(1.0);
        let folded = fold(paren(call("vector", vec![paren(paren(one.clone()))])), &times).expect("folds");
        assert_eq!(folded, paren(call("vector", vec![one])));
    }
}
