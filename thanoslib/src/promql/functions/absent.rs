//! `absent`, and the labels that it shares with `absent_over_time`.

use crate::{
    model::{LABEL_NAME, Labels, LabelsBuilder, MatchOp},
    promql::{
        Block,
        ast::{Expr, Node},
        names::steps_of,
        scope::Scope,
    },
};

/// Labels that a missing series surely had: those that its selector fixes to one value.
///
/// Compat: promql/functions.go, createLabelsForAbsentFunction: a second matcher of a name
/// removes its label, whatever its value.
pub(crate) fn absent_labels(expr: &Expr) -> Labels {
    let selector = match &expr.unparen().node {
        Node::Vector(selector) | Node::Matrix { selector, .. } => selector,
        _ => return Labels::empty(),
    };
    let mut fixed: Vec<&str> = Vec::new();
    let mut labels = LabelsBuilder::default();
    for matcher in selector.matchers.iter().filter(|m| m.name() != LABEL_NAME) {
        if matcher.op() == MatchOp::Equal && !fixed.contains(&matcher.name()) {
            labels.set(matcher.name(), matcher.value());
            fixed.push(matcher.name());
        } else {
            labels.remove(matcher.name());
        }
    }
    labels.labels()
}

/// One series of ones at the steps where no series has a value.
pub(super) fn absent(scope: &Scope<'_>, expr: Option<&Expr>, blocks: &[Block]) -> Vec<Block> {
    let steps = scope.steps.count;
    let mut out = Block::new(expr.map(absent_labels).unwrap_or_default(), steps);
    out.floats.fill(1.0);
    (0..steps).for_each(|i| out.present.insert(i));
    blocks.iter().for_each(|b| out.present.subtract(&steps_of(b)));
    if out.is_empty() { Vec::new() } else { vec![out] }
}
