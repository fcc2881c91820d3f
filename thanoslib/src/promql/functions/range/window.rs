//! Windows over the samples of one series.

use std::{ops::Range, sync::Arc};

use crate::{model::FloatHistogram, promql::Grain};

/// All samples of one series: floats and histograms, each in time order.
#[derive(Debug)]
pub(super) struct Samples<'s> {
    /// Times of floats.
    pub(super) ft: &'s [i64],
    /// Floats.
    pub(super) fv: &'s [f64],
    /// Start timestamps of floats; empty when none is known.
    pub(super) fs: &'s [i64],
    /// Times of histograms.
    pub(super) ht: &'s [i64],
    /// Histograms.
    pub(super) hv: &'s [Arc<FloatHistogram>],
    /// Start timestamps of histograms; empty when none is known.
    pub(super) hs: &'s [i64],
    /// What samples stand for, where there is downsampled data.
    pub(super) grain: Option<&'s Grain>,
}

impl Samples<'_> {
    /// Start timestamp of a float, 0 if unknown.
    pub(super) fn float_start(&self, i: usize) -> i64 {
        self.fs.get(i).copied().unwrap_or(0)
    }

    /// Start timestamp of a histogram, 0 if unknown.
    pub(super) fn histogram_start(&self, i: usize) -> i64 {
        self.hs.get(i).copied().unwrap_or(0)
    }
}

/// The samples that one step looks at; there is at least one.
#[derive(Debug)]
pub(super) struct Window<'s> {
    pub(super) samples: &'s Samples<'s>,
    /// Number of the step.
    pub(super) step: usize,
    /// Time of the step.
    pub(super) t_ms: i64,
    /// The range begins after this; with a reach the window holds samples from before.
    pub(super) start_ms: i64,
    /// The range ends with this; with a reach the window holds samples from after.
    pub(super) end_ms: i64,
    /// The floats among all floats.
    pub(super) f: Range<usize>,
    /// The histograms among all histograms.
    pub(super) h: Range<usize>,
}

impl<'s> Window<'s> {
    /// Number of samples.
    pub(super) fn len(&self) -> usize {
        self.f.len() + self.h.len()
    }

    /// Number of scrapes that the samples stand for.
    pub(super) fn scrapes(&self) -> f64 {
        let Some(grain) = self.samples.grain else { return self.len() as f64 };
        let of = |counts: &[f64], range: &Range<usize>| match counts.get(range.clone()) {
            Some(counts) if !counts.is_empty() => counts.iter().sum(),
            _ => range.len() as f64,
        };
        of(&grain.float_counts, &self.f) + of(&grain.histogram_counts, &self.h)
    }

    /// How many scrapes each float stands for; `None` where they are one each.
    pub(super) fn float_counts(&self) -> Option<&'s [f64]> {
        self.samples.grain?.float_counts.get(self.f.clone())
    }

    /// How many scrapes each histogram stands for; `None` where they are one each.
    pub(super) fn histogram_counts(&self) -> Option<&'s [f64]> {
        self.samples.grain?.histogram_counts.get(self.h.clone())
    }

    /// True with floats and histograms.
    pub(super) fn is_mixed(&self) -> bool {
        !self.f.is_empty() && !self.h.is_empty()
    }

    /// Times of the floats.
    pub(super) fn ft(&self) -> &'s [i64] {
        &self.samples.ft[self.f.clone()]
    }

    /// The floats.
    pub(super) fn fv(&self) -> &'s [f64] {
        &self.samples.fv[self.f.clone()]
    }

    /// Times of the histograms.
    pub(super) fn ht(&self) -> &'s [i64] {
        &self.samples.ht[self.h.clone()]
    }

    /// The histograms.
    pub(super) fn hv(&self) -> &'s [Arc<FloatHistogram>] {
        &self.samples.hv[self.h.clone()]
    }
}

/// Moves a window to the times after `start_ms` up to `end_ms`; both only ever grow.
#[inline]
pub(super) fn advance(times: &[i64], start_ms: i64, end_ms: i64, window: &mut Range<usize>) {
    while window.end < times.len() && times[window.end] <= end_ms {
        window.end += 1;
    }
    while window.start < window.end && times[window.start] <= start_ms {
        window.start += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_open_on_the_left() {
        let times = [0, 10, 20, 30];
        let mut window = 0..0;
        let mut check = |start, end, want: Range<usize>| {
            advance(&times, start, end, &mut window);
            assert_eq!(window, want, "({start}, {end}]");
        };
        check(-10, 0, 0..1);
        check(-5, 5, 0..1);
        check(0, 10, 1..2);
        check(0, 29, 1..3);
        check(30, 60, 4..4);
    }
}
