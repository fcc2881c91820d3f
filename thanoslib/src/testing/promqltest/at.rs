//! Pins queries to a time with `@`.

use crate::promql::{
    FunctionId as F,
    ast::{At, Expr, Node},
};

/// True when a function of the query depends on the evaluation time.
pub(super) fn depends_on_time(e: &Expr) -> bool {
    match &e.node {
        Node::Number { .. } | Node::String(_) | Node::Vector(_) | Node::Matrix { .. } => false,
        Node::Paren(e) | Node::Unary { expr: e, .. } => depends_on_time(e),
        Node::Subquery(s) => depends_on_time(&s.expr),
        Node::Binary(b) => depends_on_time(&b.lhs) || depends_on_time(&b.rhs),
        Node::Aggregate(a) => a.param.as_ref().is_some_and(depends_on_time) || depends_on_time(&a.expr),
        Node::Call { function, args } => {
            matches!(
                function.id,
                F::DaysInMonth
                    | F::DayOfMonth
                    | F::DayOfWeek
                    | F::DayOfYear
                    | F::Hour
                    | F::Minute
                    | F::Month
                    | F::Year
                    | F::Time
                    | F::Timestamp
                    | F::PredictLinear
                    | F::Start
                    | F::End
                    | F::Range
                    | F::Step
            ) || args.iter().any(depends_on_time)
        }
    }
}

/// The query with `@ t` on every selector and subquery that has no `@` yet; what stands
/// inside a subquery, which then has one, is left as it is.
pub(super) fn pin(e: &Expr, t_ms: i64) -> Expr {
    let mut pinned = e.clone();
    pin_in_place(&mut pinned, t_ms);
    pinned
}

fn pin_in_place(e: &mut Expr, t_ms: i64) {
    match &mut e.node {
        Node::Number { .. } | Node::String(_) => {}
        Node::Paren(e) | Node::Unary { expr: e, .. } => pin_in_place(e, t_ms),
        Node::Subquery(s) => {
            s.at.get_or_insert(At::Time(t_ms));
        }
        Node::Binary(b) => {
            pin_in_place(&mut b.lhs, t_ms);
            pin_in_place(&mut b.rhs, t_ms);
        }
        Node::Aggregate(a) => {
            if let Some(param) = &mut a.param {
                pin_in_place(param, t_ms);
            }
            pin_in_place(&mut a.expr, t_ms);
        }
        Node::Call { args, .. } => args.iter_mut().for_each(|arg| pin_in_place(arg, t_ms)),
        Node::Vector(selector) | Node::Matrix { selector, .. } => {
            selector.at.get_or_insert(At::Time(t_ms));
        }
    }
}
