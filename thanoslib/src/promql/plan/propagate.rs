//! Gives a selector the matchers of the one that its series are paired with.
//!
//! Series that find no partner are not read. Nothing else may change, so that matchers go only where the
//! series that are left out could neither make an error nor a remark: into selectors of one metric,
//! bare or below a function that only counts or picks samples.

use crate::{
    model::{MatchOp, Matcher},
    promql::{
        FunctionId,
        ast::{Aggregate, AggregateOp, Binary, BinaryOp, Cardinality, Expr, Node, Subquery, VectorSelector},
    },
};

/// The name of the metric, which pairing leaves out.
const NAME: &str = "__name__";

/// The expression with equality matchers on labels that take part in pairing at both operands of
/// operators that give nothing for series without a partner; `hidden` labels are not those of series.
pub(super) fn propagate(expr: Expr, hidden: &[String]) -> Expr {
    let span = expr.span;
    let inner = |e| propagate(e, hidden);
    let node = match expr.node {
        Node::Paren(e) => Node::Paren(Box::new(inner(*e))),
        Node::Unary { negative, expr } => Node::Unary { negative, expr: Box::new(inner(*expr)) },
        Node::Binary(b) => {
            let b = *b;
            let (mut lhs, mut rhs) = (inner(b.lhs), inner(b.rhs));
            let (of_lhs, of_rhs) = (sure(&lhs), sure(&rhs));
            let pairs = |m: &Matcher| takes_part(&b.matching, m) && !hidden.iter().any(|h| h == m.name());
            if goes_left(b.op, &b.matching) {
                of_rhs.into_iter().filter(pairs).for_each(|m| push(&mut lhs, &m));
            }
            if goes_right(b.op, &b.matching) {
                of_lhs.into_iter().filter(pairs).for_each(|m| push(&mut rhs, &m));
            }
            Node::Binary(Box::new(Binary { lhs, rhs, ..b }))
        }
        Node::Aggregate(a) => {
            let a = *a;
            Node::Aggregate(Box::new(Aggregate { expr: inner(a.expr), param: a.param.map(inner), ..a }))
        }
        Node::Call { function, args } => Node::Call { function, args: args.into_iter().map(inner).collect() },
        Node::Subquery(s) => {
            let s = *s;
            Node::Subquery(Box::new(Subquery { expr: inner(s.expr), ..s }))
        }
        node @ (Node::Number { .. } | Node::String(_) | Node::Vector(_) | Node::Matrix { .. }) => node,
    };
    Expr { node, span }
}

type Matching = crate::promql::ast::Matching;

fn takes_part(matching: &Matching, m: &Matcher) -> bool {
    matching.labels.iter().any(|l| l == m.name()) == matching.on
}

fn fills(matching: &Matching) -> bool {
    matching.fill_left.is_some() || matching.fill_right.is_some()
}

/// True when each series of one metric is alone in its match group, so that none is one too many.
fn pairs_all_labels(matching: &Matching) -> bool {
    !matching.on && matching.labels.is_empty()
}

/// True when series on the left without a partner give neither values nor errors.
fn goes_left(op: BinaryOp, matching: &Matching) -> bool {
    match op {
        BinaryOp::And => true,
        BinaryOp::Or | BinaryOp::Unless => false,
        _ if fills(matching) => false,
        _ => pairs_all_labels(matching) || matching.cardinality == Cardinality::ManyToOne,
    }
}

/// True when series on the right without a partner give neither values nor errors.
fn goes_right(op: BinaryOp, matching: &Matching) -> bool {
    match op {
        BinaryOp::And | BinaryOp::Unless => true,
        BinaryOp::Or => false,
        _ if fills(matching) => false,
        _ => pairs_all_labels(matching) || matching.cardinality == Cardinality::OneToMany,
    }
}

/// Equality matchers that all series of a value satisfy.
fn sure(expr: &Expr) -> Vec<Matcher> {
    match &expr.node {
        Node::Vector(selector) | Node::Matrix { selector, .. } => {
            let sure = |m: &&Matcher| m.op() == MatchOp::Equal && !m.name().starts_with("__");
            selector.matchers.iter().filter(sure).cloned().collect()
        }
        Node::Paren(e) | Node::Unary { expr: e, .. } => sure(e),
        Node::Call { function, args } if keeps_labels(function.id) => {
            args.iter().find(|a| !operands_are_plain(a)).map(sure).unwrap_or_default()
        }
        Node::Aggregate(a) if a.op != AggregateOp::CountValues => {
            let picks = matches!(
                a.op,
                AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio
            );
            let mut all = sure(&a.expr);
            if !picks {
                all.retain(|m| {
                    let named = |labels: &[String]| labels.iter().any(|l| l == m.name());
                    a.grouping.as_ref().is_some_and(|g| named(&g.labels) == g.by)
                });
            }
            all
        }
        Node::Binary(b) if matches!(b.op, BinaryOp::And | BinaryOp::Unless) => sure(&b.lhs),
        _ => Vec::new(),
    }
}

/// True for numbers and strings.
fn operands_are_plain(expr: &Expr) -> bool {
    matches!(expr.unparen().node, Node::Number { .. } | Node::String(_))
}

/// True for functions of one range vector that keep all labels but the name.
fn keeps_labels(id: FunctionId) -> bool {
    use FunctionId::{
        AvgOverTime, CountOverTime, Delta, Deriv, FirstOverTime, Idelta, Increase, Irate, LastOverTime,
        MaxOverTime, MinOverTime, PresentOverTime, QuantileOverTime, Rate, SumOverTime,
    };
    matches!(
        id,
        AvgOverTime
            | CountOverTime
            | Delta
            | Deriv
            | FirstOverTime
            | Idelta
            | Increase
            | Irate
            | LastOverTime
            | MaxOverTime
            | MinOverTime
            | PresentOverTime
            | QuantileOverTime
            | Rate
            | SumOverTime
    )
}

/// Adds a matcher to the selector of an operand, if that leaves out series and nothing else.
fn push(expr: &mut Expr, matcher: &Matcher) {
    use FunctionId::{CountOverTime, FirstOverTime, LastOverTime, PresentOverTime};
    match &mut expr.node {
        Node::Paren(e) => push(e, matcher),
        Node::Vector(selector) => add(selector, matcher),
        Node::Call { function, args }
            if matches!(function.id, CountOverTime | FirstOverTime | LastOverTime | PresentOverTime) =>
        {
            if let [Expr { node: Node::Matrix { selector, .. }, .. }] = args.as_mut_slice() {
                add(selector, matcher);
            }
        }
        _ => {}
    }
}

fn add(selector: &mut VectorSelector, matcher: &Matcher) {
    let one_metric = selector.matchers.iter().any(|m| m.op() == MatchOp::Equal && m.name() == NAME);
    if one_metric && selector.extension.is_none() && !selector.matchers.contains(matcher) {
        // The matcher of the name stands last.
        let at = selector.matchers.len() - usize::from(selector.name.is_some());
        selector.matchers.insert(at, matcher.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::{EngineOptions, parse};

    fn check(before: &str, after: &str) {
        let expr = parse(before, &EngineOptions::default()).expect("parses");
        let hidden = ["replica".to_owned()];
        assert_eq!(propagate(expr, &hidden).to_string(), after, "{before}");
    }

    #[test]
    fn series_without_a_partner_are_not_read() {
        check(r#"a{x="1"} / b"#, r#"a{x="1"} / b{x="1"}"#);
        check(r#"a and b{x="1",y=~"2"}"#, r#"a{x="1"} and b{x="1",y=~"2"}"#);
        check(r#"a{x="1"} unless on (x) b"#, r#"a{x="1"} unless on (x) b{x="1"}"#);
        check(r#"a unless b{x="1"}"#, r#"a unless b{x="1"}"#);
        check(
            r#"a * on (x, y) group_left () b{x="1",z="3"}"#,
            r#"a{x="1"} * on (x, y) group_left () b{x="1",z="3"}"#,
        );
        check(
            r#"sum by (x) (rate(a{x="1",y="2"}[5m])) + b"#,
            r#"sum by (x) (rate(a{x="1",y="2"}[5m])) + b{x="1"}"#,
        );
        check(r#"a{x="1"} + (last_over_time(b[5m]))"#, r#"a{x="1"} + (last_over_time(b{x="1"}[5m]))"#);
    }

    #[test]
    fn where_more_would_change_nothing_is_added() {
        for text in [
            // Another series of the right side may be one too many.
            r#"a{x="1"} * on (x) b"#,
            r#"a{x="1"} * on (x) group_left () b"#,
            r#"a{x="1"} + {__name__=~"b.*"}"#,
            // Labels that take no part.
            r#"a{x="1"} and on (y) b"#,
            r#"a{x="1"} and ignoring (x) b"#,
            // A remark may come from any series.
            r#"a{x="1"} / rate(b[5m])"#,
            r#"a{x="1"} or b"#,
            // Series come without it.
            r#"a{replica="1"} / b"#,
        ] {
            check(text, text);
        }
    }
}
