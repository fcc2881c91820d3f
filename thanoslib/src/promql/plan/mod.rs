//! From syntax tree to plan: what is read, at which steps each part is evaluated.
//!
//! There are two forms. A [`LogicalPlan`] says what is asked: the folded expression and the times. It
//! knows no store, turns into JSON and back, and may run elsewhere. A [`Plan`] says how it is
//! done over one [`Queryable`](super::Queryable): it borrows the expression, its leaves are what is computed of
//! each series as it comes, its reads are the selects that answer them, and the tree above is evaluated
//! when all are answered. A [`Planned`] holds both, is built once and shared by all jobs of a query.
//!
//! The passes, each a function in a file of its own:
//!
//! | pass | from, to | does |
//! |---|---|---|
//! | `fold` | expression | times and durations become numbers, needless parentheses go |
//! | `constants` | expression | arithmetic over numbers becomes its value |
//! | `propagate` | expression | a selector gets the matchers of the one it is paired with |
//! | `invariant` | while building | what has the same value at all steps is evaluated once |
//! | `common` | while building | what stands at several places is evaluated once and copied |
//! | `build` | while building | function, range, step and grouping as hints; buckets that nobody sees are not read |
//! | `projection` | plan | the labels that are looked at, as a hint |
//! | `reads` | plan | equal selects, parts of others and near ones become one read |
//!
//! No pass changes an answer, its remarks, the error or the order of series. A pass that would not be sure
//! of that leaves the query as it is. All but `fold`, `invariant` and `build` are switched off by
//! [`EngineOptions::optimize`](super::EngineOptions::optimize).
//!
//! Common parts cost no more memory than without them: all leaves are held until they are evaluated, and a
//! copy takes the place of the second leaf. An aggregation that takes series as they come keeps doing so,
//! even where its operand stands elsewhere too.
//!
//! Invariant: decides and computes nothing; knows no samples.

mod build;
mod common;
mod constants;
mod duration;
mod explain;
mod fold;
mod invariant;
mod leaf;
mod logical;
mod planned;
mod projection;
mod propagate;
mod reach;
mod reads;
mod wire;

pub(crate) use build::plan;
pub(crate) use common::operands;
pub(crate) use duration::check_durations;
pub(crate) use explain::{Costs, Explainer};
pub use explain::{Explained, OperatorCost};
pub(crate) use fold::{QueryTimes, fold};
pub(crate) use leaf::{Leaf, LeafKind, Line, Reference};
pub use logical::LogicalPlan;
pub(crate) use planned::Planned;
pub(crate) use reach::Reach;
pub(crate) use reads::{Read, Target};

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
    /// Parts that stand at several places and are evaluated once.
    pub(crate) commons: Vec<CommonPlan<'e>>,
    /// The reads that answer the leaves.
    pub(crate) reads: Vec<Read>,
}

/// A part of the query that stands at several places.
#[derive(Debug)]
pub(crate) struct CommonPlan<'e> {
    /// The part, as it stands at its first place.
    pub(crate) node: PlanNode<'e>,
    /// Places.
    pub(crate) uses: usize,
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
    /// Its number in the plan.
    pub(crate) id: usize,
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
    /// A part that stands at several places, by its number.
    Common(usize),
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
