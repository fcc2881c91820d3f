//! Replaces arithmetic over numbers by its value.

use crate::promql::{
    ast::{Binary, Expr, Node, Subquery},
    ops::binary::scalar_scalar,
};

/// The expression with every operator over two numbers, and every sign in front of one, replaced by the
/// number that it gives; the number stands where the operator stood.
pub(super) fn constants(expr: Expr) -> Expr {
    let span = expr.span;
    let node = match expr.node {
        Node::Paren(inner) => Node::Paren(Box::new(constants(*inner))),
        Node::Unary { negative, expr } => {
            let inner = constants(*expr);
            match number(&inner) {
                Some(v) => plain(if negative { -v } else { v }),
                None => Node::Unary { negative, expr: Box::new(inner) },
            }
        }
        Node::Binary(b) => {
            let b = *b;
            let (lhs, rhs) = (constants(b.lhs), constants(b.rhs));
            let value = number(&lhs).zip(number(&rhs)).and_then(|(l, r)| scalar_scalar(b.op, l, r).ok());
            match value {
                Some(value) => plain(value),
                None => Node::Binary(Box::new(Binary { lhs, rhs, ..b })),
            }
        }
        Node::Aggregate(mut a) => {
            a.expr = constants(a.expr);
            a.param = a.param.map(constants);
            Node::Aggregate(a)
        }
        Node::Call { function, args } => {
            Node::Call { function, args: args.into_iter().map(constants).collect() }
        }
        Node::Subquery(s) => {
            let s = *s;
            Node::Subquery(Box::new(Subquery { expr: constants(s.expr), ..s }))
        }
        node @ (Node::Number { .. } | Node::String(_) | Node::Vector(_) | Node::Matrix { .. }) => node,
    };
    Expr { node, span }
}

fn number(expr: &Expr) -> Option<f64> {
    match &expr.unparen().node {
        Node::Number { value, .. } => Some(*value),
        _ => None,
    }
}

fn plain(value: f64) -> Node {
    Node::Number { value, is_duration: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::{EngineOptions, parse};

    fn check(before: &str, after: &str) {
        let expr = parse(before, &EngineOptions::default()).expect("parses");
        assert_eq!(constants(expr).to_string(), after, "{before}");
    }

    #[test]
    fn numbers_are_computed_when_the_query_is_planned() {
        check("1 + 2 * 3", "7");
        check("x * (60 * 60)", "x * (3600)");
        check("-(2 ^ 3)", "-8");
        check("quantile(1 - 0.1, rate(x[5m]))", "quantile(0.9, rate(x[5m]))");
        check("1 > bool 2", "0");
        check("1 + x + 2", "1 + x + 2");
        check("max_over_time(vector(1 + 1)[5m:1m])", "max_over_time(vector(2)[5m:1m])");
    }
}
