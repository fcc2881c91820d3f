//! Tells which expressions have the same value at every step.

use super::super::{
    FunctionId,
    ast::{Expr, Node},
};

/// True when the value of a folded expression does not depend on the step.
pub(super) fn is_invariant(expr: &Expr) -> bool {
    match &expr.node {
        Node::Number { .. } | Node::String(_) => true,
        Node::Paren(e) => is_invariant(e),
        Node::Unary { expr, .. } => is_invariant(expr),
        Node::Binary(b) => is_invariant(&b.lhs) && is_invariant(&b.rhs),
        // Compat: the parameter is not looked at, as in promql/engine.go preprocessExprHelper.
        Node::Aggregate(a) => is_invariant(&a.expr),
        Node::Call { function, args } => {
            let fixed_time = function.id == FunctionId::Timestamp
                && matches!(args.first().map(|a| &a.node), Some(Node::Vector(v)) if v.at.is_some());
            (fixed_time || !depends_on_time(function.id)) && args.iter().all(is_invariant)
        }
        Node::Vector(v) => v.at.is_some(),
        Node::Matrix { selector, .. } => selector.at.is_some(),
        Node::Subquery(s) => s.at.is_some(),
    }
}

fn depends_on_time(id: FunctionId) -> bool {
    use FunctionId::{
        DayOfMonth, DayOfWeek, DayOfYear, DaysInMonth, End, Hour, Minute, Month, PredictLinear, Range, Start,
        Step, Time, Timestamp, Year,
    };
    matches!(
        id,
        DayOfMonth
            | DayOfWeek
            | DayOfYear
            | DaysInMonth
            | End
            | Hour
            | Minute
            | Month
            | PredictLinear
            | Range
            | Start
            | Step
            | Time
            | Timestamp
            | Year
    )
}

/// True when an invariant expression is worth evaluating once and copying.
pub(super) fn is_wrapped(expr: &Expr) -> bool {
    match &expr.node {
        Node::Number { .. } | Node::String(_) | Node::Matrix { .. } | Node::Subquery(_) => false,
        Node::Paren(e) => is_wrapped(e),
        _ => is_invariant(expr),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::{
        ast::{At, VectorSelector},
        find_function,
    };

    #[test]
    fn a_fixed_time_makes_an_expression_invariant() {
        let vector = |at| Expr::new(Node::Vector(VectorSelector { at, ..VectorSelector::default() }));
        let call = |name, arg| {
            Expr::new(Node::Call { function: find_function(name).expect("known"), args: vec![arg] })
        };
        assert!(!is_invariant(&vector(None)));
        assert!(is_invariant(&vector(Some(At::Time(1)))));
        assert!(is_invariant(&call("timestamp", vector(Some(At::Time(1))))));
        assert!(!is_invariant(&call("minute", vector(Some(At::Time(1))))));
        assert!(is_invariant(&call("abs", vector(Some(At::Time(1))))));
    }
}
