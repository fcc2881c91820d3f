//! Windows that keep pace with their steps.

use std::ops::Range;

use crate::promql::pace::{Ladder, Pace, Times};

/// The windows of a group of steps, each as many samples later than the one before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runs {
    from: Pace,
    to: Pace,
}

impl Runs {
    /// The windows of a group whose first one ends with `end_ms`; `before` is the one of the step
    /// before it, or any earlier one.
    ///
    /// `None` when samples do not keep pace with steps, or windows grow or shrink.
    #[inline]
    pub(super) fn of(
        ft: &[i64],
        before: &Range<usize>,
        end_ms: i64,
        ladder: &Ladder,
        range_ms: i64,
    ) -> Option<Self> {
        let starts = Times::new(end_ms.checked_sub(range_ms)?, ladder)?;
        let ends = Times::new(end_ms, ladder)?;
        let to = Pace::of(ft, before.end, ends)?;
        let from = Pace::of(ft, before.start, starts)?;
        (to.stride == from.stride && from.first < to.first).then_some(Self { from, to })
    }

    /// The window of a step; none is empty.
    #[inline]
    pub(super) fn get(&self, i: usize) -> Range<usize> {
        self.from.end(i)..self.to.end(i)
    }

    /// How many samples each window has.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.to.first - self.from.first
    }

    /// By how many samples each window is later than the one before.
    #[inline]
    pub(super) fn stride(&self) -> usize {
        self.to.stride
    }
}
