//! Finds the labels that a query looks at.

use std::collections::BTreeSet;

use crate::promql::{
    FunctionId,
    ast::{Aggregate, AggregateOp, Binary, BinaryOp, Cardinality},
};

use super::{CommonPlan, InfoPlan, Kind, Leaf, PlanNode, RangeSource};

/// The labels of a value that are looked at above it; `None` for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Needed(Option<BTreeSet<String>>);

impl Needed {
    /// All labels.
    pub(super) fn all() -> Self {
        Self(None)
    }

    fn of(labels: &[String]) -> Self {
        Self(Some(labels.iter().cloned().collect()))
    }

    fn with(&self, labels: &[String]) -> Self {
        Self(self.0.as_ref().map(|own| own.iter().chain(labels).cloned().collect()))
    }

    fn merge(&mut self, other: &Self) {
        match (&mut self.0, &other.0) {
            (Some(own), Some(more)) => own.extend(more.iter().cloned()),
            _ => self.0 = None,
        }
    }
}

/// Notes in the hints of each leaf which labels are looked at, where that is not all of them.
///
/// Remarks name metrics, so that the name is always among them.
pub(super) fn project(
    root: &PlanNode<'_>,
    leaves: &mut [Leaf<'_>],
    infos: &[InfoPlan<'_>],
    commons: &[CommonPlan<'_>],
) {
    let empty = Needed(Some(BTreeSet::new()));
    let mut walk = Walk {
        aggregates: leaves.iter().map(|l| l.aggregate.map(|(_, a)| a)).collect(),
        leaves: vec![empty.clone(); leaves.len()],
        commons: vec![empty; commons.len()],
    };
    walk.node(root, &Needed::all());
    for info in infos {
        walk.node(&info.arg, &Needed::all());
    }
    // A common part may hold others, which were built before it.
    for (i, common) in commons.iter().enumerate().rev() {
        let needed = walk.commons[i].clone();
        walk.node(&common.node, &needed);
    }
    for (leaf, needed) in leaves.iter_mut().zip(walk.leaves) {
        leaf.hints.projection = needed.with(&["__name__".to_owned()]).0.map(|l| l.into_iter().collect());
    }
}

struct Walk<'e> {
    aggregates: Vec<Option<&'e Aggregate>>,
    leaves: Vec<Needed>,
    commons: Vec<Needed>,
}

impl Walk<'_> {
    fn leaf(&mut self, leaf: usize, needed: &Needed) {
        let needed = match self.aggregates[leaf] {
            Some(aggregate) => below(aggregate),
            None => needed.clone(),
        };
        self.leaves[leaf].merge(&needed);
    }

    fn node(&mut self, node: &PlanNode<'_>, needed: &Needed) {
        match &node.kind {
            Kind::Number(_) | Kind::String(_) | Kind::Info(_) => {}
            Kind::Leaf(leaf) => self.leaf(*leaf, needed),
            Kind::Common(common) => self.commons[*common].merge(needed),
            Kind::Once(inner) | Kind::Negate(inner) => self.node(inner, needed),
            Kind::Binary { binary, lhs, rhs } => {
                let (left, right) = operands(binary, needed);
                self.node(lhs, &left);
                self.node(rhs, &right);
            }
            Kind::Aggregate { aggregate, child, param } => {
                if let Some(param) = param {
                    self.node(param, &Needed::all());
                }
                self.node(child, &below(aggregate));
            }
            Kind::Call { function, args, .. } => {
                let passes = args.len() == 1
                    && !matches!(function.id, FunctionId::Absent | FunctionId::ScalarOf | FunctionId::Info)
                    && !function.name.starts_with("histogram");
                let inner = if passes { needed.clone() } else { Needed::all() };
                args.iter().for_each(|arg| self.node(arg, &inner));
            }
            Kind::Range { call, source } => {
                call.params.iter().for_each(|p| self.node(p, &Needed::all()));
                match source {
                    RangeSource::Leaf(leaf) => self.leaf(*leaf, needed),
                    RangeSource::Subquery(s) => self.node(&s.inner, needed),
                }
            }
            Kind::AbsentOverTime { present, .. } => self.node(present, &Needed::all()),
            Kind::Subquery(s) => self.node(&s.inner, needed),
        }
    }
}

/// What an aggregation looks at.
fn below(aggregate: &Aggregate) -> Needed {
    use AggregateOp::{Bottomk, LimitRatio, Limitk, Topk};
    match &aggregate.grouping {
        _ if matches!(aggregate.op, Topk | Bottomk | Limitk | LimitRatio) => Needed::all(),
        None => Needed::of(&[]),
        Some(g) if g.by => Needed::of(&g.labels),
        Some(_) => Needed::all(),
    }
}

/// What an operator looks at on its left and on its right.
fn operands(binary: &Binary, needed: &Needed) -> (Needed, Needed) {
    let matching = &binary.matching;
    let scalars =
        [&binary.lhs, &binary.rhs].map(|e| !matches!(e.value_type(), crate::promql::ast::ValueType::Vector));
    if scalars != [false, false] {
        return (needed.clone(), needed.clone());
    }
    if !matching.on || binary.op == BinaryOp::Or {
        return (Needed::all(), Needed::all());
    }
    let on = Needed::of(&matching.labels);
    let many = needed.with(&matching.labels);
    match matching.cardinality {
        Cardinality::OneToOne => (on.clone(), on),
        Cardinality::ManyToOne => (many, on.with(&matching.include)),
        Cardinality::OneToMany => (on.with(&matching.include), many),
        Cardinality::ManyToMany => (many, on),
    }
}
