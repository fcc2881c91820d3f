//! Aggregations: series go in one by one, groups come out at the end.
//!
//! Each group holds dense columns, one entry for each step, so that a series is taken in by one
//! pass over its steps and can be dropped at once.
//!
//! Invariant: the order of accumulation is the order in which series are absorbed.

mod count_values;
mod limit;
mod quantile;
mod simple;
mod sum;
mod topk;

use std::fmt;

use crate::{
    error::{Error, Result},
    model::{LABEL_NAME, Labels},
    promql::{
        Block, Steps,
        ast::{Aggregate, AggregateOp, Expr},
        names::is_metadata,
        ops::keys::LabelKeys,
        scope::Scope,
    },
    store::Grouping,
};

pub(crate) use quantile::quantile;

/// Value of the parameter of an aggregation.
#[derive(Clone, Debug)]
pub(crate) enum Param {
    /// A float for each step.
    Scalar(Vec<f64>),
    /// Any bytes.
    String(Vec<u8>),
}

/// Byte range of an expression in the query text.
type Span = Option<(u32, u32)>;

/// Expressions that annotations blame.
#[derive(Clone, Copy, Debug)]
struct Blame {
    op: AggregateOp,
    operand: Span,
    param: Span,
    whole: Span,
}

impl Blame {
    /// Adds the info about a histogram that the aggregation has no use for.
    fn ignored_histogram(&self, scope: &mut Scope<'_>) {
        let span = match self.op {
            AggregateOp::Topk | AggregateOp::Bottomk => self.whole,
            _ => self.operand,
        };
        scope.info_at(span, format!("ignored histogram in {} aggregation", self.op.as_str()));
    }
}

/// Labels of a group and whether one of its members lost its name.
#[derive(Debug)]
struct Group {
    labels: Labels,
    drop_name: bool,
}

impl Group {
    /// A block of this group without values.
    fn block(self, steps: usize) -> Block {
        let mut block = Block::new(self.labels, steps);
        block.drop_name = self.drop_name;
        block
    }
}

/// The groups found so far, in order of their first member.
#[derive(Debug, Default)]
struct Groups {
    keys: LabelKeys,
    list: Vec<Group>,
    /// Bytes of the labels of all groups.
    label_bytes: usize,
}

impl Groups {
    /// The group of a series; `added` is one more label of a `by` clause.
    fn id(
        &mut self,
        grouping: Option<&Grouping>,
        labels: &Labels,
        added: Option<&[u8]>,
        drop_name: bool,
    ) -> usize {
        let (list, bytes) = (&mut self.list, &mut self.label_bytes);
        let id = if grouping.is_none() && added.is_none() && !list.is_empty() {
            0
        } else {
            let found = |labels: Labels| {
                *bytes += labels.as_bytes().len();
                list.push(Group { labels, drop_name: false });
            };
            self.keys.id(labels.view(), |l| stays(grouping, added, l.name), found)
        };
        list[id].drop_name |= drop_name;
        id
    }
}

/// What an aggregation holds while series come in.
trait State: fmt::Debug + Send {
    /// Takes in a series of the group, and its values out of `block` where they are kept.
    fn absorb(&mut self, scope: &mut Scope<'_>, blame: &Blame, group: usize, block: &mut Block)
    -> Result<()>;

    /// Bytes of the columns of one group, histograms left out.
    fn group_bytes(&self) -> usize;

    /// Bytes that histograms take beside the columns.
    fn histogram_bytes(&self) -> u64 {
        0
    }

    /// The result; blocks without values may be among it.
    fn finish(
        self: Box<Self>,
        scope: &mut Scope<'_>,
        blame: &Blame,
        groups: Vec<Group>,
    ) -> Result<Vec<Block>>;
}

#[derive(Debug)]
enum Kind {
    /// Groups are known by the labels of series.
    Labels(Box<dyn State>),
    /// Groups depend on values.
    CountValues(count_values::CountValues),
}

/// An aggregation that takes in series.
#[derive(Debug)]
pub(crate) struct Aggregator {
    grouping: Option<Grouping>,
    groups: Groups,
    blame: Blame,
    kind: Kind,
}

impl Aggregator {
    /// An aggregation without members; `node` is the expression that holds `aggregate`.
    ///
    /// # Errors
    /// `Invalid` when the value of the parameter is out of range at some step.
    pub(crate) fn new(
        node: &Expr,
        aggregate: &Aggregate,
        steps: Steps,
        param: Option<Param>,
    ) -> Result<Self> {
        let op = aggregate.op;
        let scalars = |param: Option<Param>| match param {
            Some(Param::Scalar(values)) if values.len() == steps.count => Ok(values),
            _ => Err(Error::internal(format!("{} lacks a number for each step", op.as_str()))),
        };
        let n = steps.count;
        let state: Box<dyn State> = match op {
            AggregateOp::Sum => Box::new(sum::Sums::new(n, false)),
            AggregateOp::Avg => Box::new(sum::Sums::new(n, true)),
            AggregateOp::Count => Box::new(simple::Counts::new(n, false)),
            AggregateOp::Group => Box::new(simple::Counts::new(n, true)),
            AggregateOp::Min => Box::new(simple::Extremes::new(n, false)),
            AggregateOp::Max => Box::new(simple::Extremes::new(n, true)),
            AggregateOp::Stdvar => Box::new(simple::Deviations::new(n, false)),
            AggregateOp::Stddev => Box::new(simple::Deviations::new(n, true)),
            AggregateOp::Quantile => Box::new(quantile::Quantiles::new(scalars(param)?)),
            AggregateOp::Topk => Box::new(topk::Topk::new(limit::whole(&scalars(param)?)?, true)),
            AggregateOp::Bottomk => Box::new(topk::Topk::new(limit::whole(&scalars(param)?)?, false)),
            AggregateOp::Limitk => Box::new(limit::Limitk::new(limit::whole(&scalars(param)?)?)),
            AggregateOp::LimitRatio => Box::new(limit::LimitRatio::new(scalars(param)?)?),
            AggregateOp::CountValues => {
                let Some(Param::String(label)) = param else {
                    return Err(Error::internal("count_values lacks the name of a label"));
                };
                return Ok(Self::with(
                    node,
                    aggregate,
                    Kind::CountValues(count_values::CountValues::new(n, label)?),
                ));
            }
        };
        Ok(Self::with(node, aggregate, Kind::Labels(state)))
    }

    fn with(node: &Expr, aggregate: &Aggregate, kind: Kind) -> Self {
        let blame = Blame {
            op: aggregate.op,
            operand: aggregate.expr.span,
            param: aggregate.param.as_ref().and_then(|p| p.span),
            whole: node.span,
        };
        Self { grouping: aggregate.grouping.clone(), groups: Groups::default(), blame, kind }
    }

    /// Takes in a series; what is left in `block` has no meaning.
    ///
    /// # Errors
    /// Those of a query that must stop.
    pub(crate) fn absorb(&mut self, scope: &mut Scope<'_>, block: &mut Block) -> Result<()> {
        scope.check()?;
        match &mut self.kind {
            Kind::Labels(state) => {
                let group = self.groups.id(self.grouping.as_ref(), &block.labels, None, block.drop_name);
                state.absorb(scope, &self.blame, group, block)
            }
            Kind::CountValues(state) => {
                state.absorb(self.grouping.as_ref(), &mut self.groups, block);
                Ok(())
            }
        }
    }

    /// True when the names of series, or what else they lose with them, tell their groups.
    pub(crate) fn groups_by_names(&self) -> bool {
        let named = |g: &Grouping| g.labels.iter().any(|name| is_metadata(name.as_bytes()));
        self.grouping.as_ref().is_some_and(|g| g.by && named(g))
    }

    /// Bytes held for the groups found so far.
    ///
    /// Aggregations that keep their series whole hold what was reserved for these already; of
    /// them only the groups count.
    pub(crate) fn held_bytes(&self) -> u64 {
        let (groups, labels) = (self.groups.list.len() as u64, self.groups.label_bytes as u64);
        let (columns, histograms) = match &self.kind {
            Kind::Labels(state) => (state.group_bytes() as u64, state.histogram_bytes()),
            Kind::CountValues(_) => (0, 0),
        };
        // A group has its labels, its place in the list and in the index.
        labels + groups * (columns + 96) + histograms
    }

    /// The groups that have values.
    ///
    /// # Errors
    /// Those of a query that must stop.
    pub(crate) fn finish(self, scope: &mut Scope<'_>) -> Result<Vec<Block>> {
        let mut blocks = match self.kind {
            Kind::Labels(state) => state.finish(scope, &self.blame, self.groups.list)?,
            Kind::CountValues(state) => state.finish(self.groups.list),
        };
        blocks.retain(|b| !b.is_empty());
        Ok(blocks)
    }
}

/// True for the labels of a series that its group has; `added` is one more of a `by` clause.
fn stays(grouping: Option<&Grouping>, added: Option<&[u8]>, name: &[u8]) -> bool {
    let named = |g: &Grouping| g.labels.iter().any(|n| n.as_bytes() == name);
    match grouping {
        Some(g) if !g.by => name != LABEL_NAME.as_bytes() && !named(g),
        Some(g) => added == Some(name) || named(g),
        None => added == Some(name),
    }
}

/// The state of a group, which is made when its first member comes.
fn of_group<T>(list: &mut Vec<T>, group: usize, make: impl FnMut() -> T) -> &mut T {
    if list.len() <= group {
        list.resize_with(group + 1, make);
    }
    &mut list[group]
}

#[cfg(test)]
mod tests;
