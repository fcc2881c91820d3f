//! A read of the query and what is done with each series at once.

use crate::{
    error::{Error, Result},
    model::{Interval, Matcher},
    promql::{
        Steps,
        ast::{Aggregate, At, Duration, Expr, Extension, VectorSelector},
        queryable::Select,
    },
    store::SelectHints,
};

use super::RangePlan;

/// Which time a step looks at: the step or a fixed time, less the offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// Time of `@` in ms.
    pub(crate) at_ms: Option<i64>,
    /// `offset` in ms.
    pub(crate) offset_ms: i64,
}

impl Reference {
    /// The reference of these modifiers.
    ///
    /// # Errors
    /// `Internal` when they are not folded.
    pub(crate) fn new(at: Option<At>, offset: &Duration) -> Result<Self> {
        let at_ms = match at {
            Some(At::Time(t)) => Some(t),
            Some(At::Start | At::End) => return Err(Error::internal("a time of the query was not folded")),
            None => None,
        };
        Ok(Self { at_ms, offset_ms: folded(offset)? })
    }

    /// This reference below another, which moves the steps first.
    pub(crate) fn inside(self, outer: Reference) -> Self {
        match self.at_ms {
            Some(_) => self,
            None => Self { at_ms: outer.at_ms, offset_ms: outer.offset_ms.saturating_add(self.offset_ms) },
        }
    }

    /// The time that the step at `t_ms` looks at.
    #[inline]
    pub(crate) fn time(self, t_ms: i64) -> i64 {
        self.at_ms.unwrap_or(t_ms).saturating_sub(self.offset_ms)
    }
}

/// Milliseconds of a folded duration.
///
/// # Errors
/// `Internal` when it is not folded.
pub(super) fn folded(duration: &Duration) -> Result<i64> {
    duration.ms().ok_or_else(|| Error::internal("a duration of the query was not folded"))
}

/// One read with its consumer.
#[derive(Debug)]
pub(crate) struct Leaf<'e> {
    /// The samples wanted.
    pub(crate) interval: Interval,
    /// The selector.
    pub(crate) selector: &'e VectorSelector,
    /// What becomes of the samples.
    pub(crate) hints: SelectHints,
    /// Steps of the result.
    pub(crate) steps: Steps,
    /// Which time a step looks at.
    pub(crate) reference: Reference,
    /// What is computed of each series.
    pub(crate) kind: LeafKind<'e>,
    /// Of histograms only count, sum and what is known of resets are needed.
    pub(crate) stats: bool,
    /// An aggregation that takes the series as they come, with its expression.
    pub(crate) aggregate: Option<(&'e Expr, &'e Aggregate)>,
}

/// What a leaf computes of each series.
#[derive(Debug)]
pub(crate) enum LeafKind<'e> {
    /// The newest sample at each step.
    Instant,
    /// The value at each step on the line between the samples around it; with the selector.
    Smoothed(&'e Expr),
    /// The time of the newest sample at each step, in seconds.
    Timestamp,
    /// The start timestamp of the newest sample at each step, in seconds.
    StartTimestamp,
    /// A function over windows; its parameters read nothing.
    Range(RangePlan<'e>),
    /// All samples without stale marks.
    Raw,
    /// The floats in a range, and values at its edges.
    Edged {
        /// Length of the range in ms.
        range_ms: i64,
        /// How the values at the edges are found.
        extension: Extension,
    },
}

impl Leaf<'_> {
    /// The select that answers the leaf.
    pub(crate) fn select(&self) -> Select {
        let matchers: Vec<Matcher> = self.selector.matchers.clone();
        Select { interval: self.interval, matchers, hints: self.hints.clone() }
    }
}
