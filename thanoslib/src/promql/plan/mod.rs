//! From syntax tree to plan: what is read, at which steps each part is evaluated.
//!
//! A plan borrows the folded tree. Its leaves are the reads of the query; a driver answers
//! them first, then the tree above them is evaluated. Planning the same tree twice gives the
//! same leaves in the same order.
//!
//! Invariant: decides and computes nothing; knows no samples.

mod build;
mod duration;
mod fold;
mod invariant;
mod leaf;
mod reach;

pub(crate) use build::plan;
pub(crate) use fold::{QueryTimes, fold};
pub(crate) use leaf::{Leaf, LeafKind, Reference};
pub(crate) use reach::Reach;

use super::{
    Function, FunctionId, Steps,
    ast::{Aggregate, Binary, Expr, Extension, VectorSelector},
};
use crate::{model::Interval, store::SelectHints};

/// A planned query.
#[derive(Debug)]
pub(crate) struct Plan<'e> {
    /// The whole expression.
    pub(crate) root: PlanNode<'e>,
    /// What is read, operands from left to right, parameters first.
    pub(crate) leaves: Vec<Leaf<'e>>,
    /// Calls of `info`, inner ones first.
    pub(crate) infos: Vec<InfoPlan<'e>>,
}

/// A call of `info`, whose second read depends on the value of its first argument.
#[derive(Debug)]
pub(crate) struct InfoPlan<'e> {
    /// The series that get labels.
    pub(crate) arg: PlanNode<'e>,
    /// Which info series are asked for and which of their labels.
    pub(crate) selector: Option<&'e VectorSelector>,
    /// The samples wanted of info series.
    pub(crate) interval: Interval,
    /// What becomes of them.
    pub(crate) hints: SelectHints,
    /// Steps of the result.
    pub(crate) steps: Steps,
    /// Which time a step looks at.
    pub(crate) reference: Reference,
}

/// A part of the query with the steps that it is evaluated at.
#[derive(Debug)]
pub(crate) struct PlanNode<'e> {
    /// Where it comes from.
    pub(crate) expr: &'e Expr,
    /// Steps of its value.
    pub(crate) steps: Steps,
    /// What it does.
    pub(crate) kind: Kind<'e>,
}

/// What a part of the query does.
#[derive(Debug)]
pub(crate) enum Kind<'e> {
    /// A number.
    Number(f64),
    /// A string.
    String(&'e [u8]),
    /// The value of a leaf.
    Leaf(usize),
    /// An invariant part: one step, copied to all.
    Once(Box<PlanNode<'e>>),
    /// A minus sign.
    Negate(Box<PlanNode<'e>>),
    /// Two operands.
    Binary { binary: &'e Binary, lhs: Box<PlanNode<'e>>, rhs: Box<PlanNode<'e>> },
    /// An aggregation that is not part of a leaf.
    Aggregate { aggregate: &'e Aggregate, child: Box<PlanNode<'e>>, param: Option<Box<PlanNode<'e>>> },
    /// A function of instant vectors, scalars and strings.
    Call { function: &'static Function, exprs: &'e [Expr], args: Vec<PlanNode<'e>> },
    /// A function of a range vector that is not part of a leaf.
    Range { call: RangePlan<'e>, source: RangeSource<'e> },
    /// `absent_over_time`: where `present` has no sample.
    AbsentOverTime { present: Box<PlanNode<'e>>, arg: &'e Expr },
    /// A call of `info`, by its number.
    Info(usize),
    /// A subquery that is the whole query.
    Subquery(SubqueryPlan<'e>),
}

/// Where a range vector comes from.
#[derive(Debug)]
pub(crate) enum RangeSource<'e> {
    /// A leaf that gives raw samples.
    Leaf(usize),
    /// The values of a subquery.
    Subquery(SubqueryPlan<'e>),
}

/// A function over windows of samples.
#[derive(Debug)]
pub(crate) struct RangePlan<'e> {
    /// The function.
    pub(crate) id: FunctionId,
    /// Steps of the result.
    pub(crate) steps: Steps,
    /// Where the windows end.
    pub(crate) reference: Reference,
    /// Length of the windows in ms.
    pub(crate) range_ms: i64,
    /// How the edges of windows are treated.
    pub(crate) extension: Option<Extension>,
    /// What windows hold besides their range.
    pub(crate) reach: Reach,
    /// The arguments as written.
    pub(crate) exprs: &'e [Expr],
    /// Which of them is the range vector.
    pub(crate) vector: usize,
    /// Scalar arguments in order.
    pub(crate) params: Vec<PlanNode<'e>>,
}

/// A subquery.
#[derive(Debug)]
pub(crate) struct SubqueryPlan<'e> {
    /// Evaluated at all inner steps.
    pub(crate) inner: Box<PlanNode<'e>>,
    /// Where the windows end.
    pub(crate) reference: Reference,
    /// Length of the windows in ms.
    pub(crate) range_ms: i64,
}
