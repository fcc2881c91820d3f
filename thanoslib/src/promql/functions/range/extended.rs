//! rate, increase and delta of anchored and smoothed selectors: the difference of the values at
//! the edges of a range.

use std::{ops::Range, sync::Arc};

use crate::promql::FunctionId;

use super::{Notes, Output, Samples, Window, interpolate, rate::range_seconds};

/// rate, increase or delta over one series.
#[derive(Debug)]
pub(super) struct Extended {
    pub(super) counter: bool,
    pub(super) smoothed: bool,
    per_second: bool,
    range_ms: i64,
    /// Floats below the one before.
    drops: Vec<usize>,
    /// Histograms with a reset since the one before.
    pub(super) resets: Vec<usize>,
}

impl Extended {
    pub(super) fn new(id: FunctionId, smoothed: bool, range_ms: i64, samples: &Samples<'_>) -> Self {
        let counter = id != FunctionId::Delta;
        let (fv, hv) = (samples.fv, samples.hv);
        let (mut drops, mut resets) = (Vec::new(), Vec::new());
        if counter {
            drops.extend((1..fv.len()).filter(|i| fv[*i] < fv[*i - 1]));
            resets.extend((1..hv.len()).filter(|i| hv[*i].detect_reset(&hv[*i - 1])));
        }
        Self { counter, smoothed, per_second: id == FunctionId::Rate, range_ms, drops, resets }
    }

    pub(super) fn at(&self, w: &Window<'_>, notes: &mut Notes<'_>) -> Option<Output> {
        if w.is_mixed() {
            notes.mixed();
            return None;
        }
        if w.h.is_empty() {
            let mut change = self.floats(w)?;
            if self.per_second {
                change /= range_seconds(self.range_ms);
            }
            return Some(Output::Float(change));
        }
        let mut change = self.histograms(w, notes)?;
        if self.per_second {
            change.div(range_seconds(self.range_ms));
        }
        change.compact(0);
        Some(Output::Histogram(Arc::new(change)))
    }

    fn floats(&self, w: &Window<'_>) -> Option<f64> {
        let (ts, vs) = (w.samples.ft, w.samples.fv);
        let (first, last) = edges(ts, &w.f, w.start_ms, w.end_ms, self.smoothed)?;
        let (left, right) = values(ts, vs, w, (first, last), (self.smoothed, self.counter));
        let mut change = right - left;
        if self.counter {
            // The values at the edges know of resets beyond them.
            let inside =
                first + usize::from(ts[first] <= w.start_ms)..last + usize::from(ts[last] < w.end_ms);
            change += self.lost(vs, left, right, inside);
        }
        Some(change)
    }

    /// What resets took away between the edges; `inside` are the samples between them.
    fn lost(&self, vs: &[f64], left: f64, right: f64, inside: Range<usize>) -> f64 {
        let (mut lost, mut before) = (0.0, left);
        if !inside.is_empty() {
            if vs[inside.start] < left {
                lost += left;
            }
            let from = self.drops.partition_point(|i| *i <= inside.start);
            for i in self.drops[from..].iter().take_while(|i| **i < inside.end) {
                lost += vs[i - 1];
            }
            before = vs[inside.end - 1];
        }
        if right < before {
            lost += before;
        }
        lost
    }
}

/// The samples at or next to the edges of a range, among those of a window that is not empty;
/// `None` when no sample tells of the range.
pub(super) fn edges(
    ts: &[i64],
    window: &Range<usize>,
    start_ms: i64,
    end_ms: i64,
    smoothed: bool,
) -> Option<(usize, usize)> {
    let but_last = &ts[window.start..window.end - 1];
    let first = window.start + but_last.partition_point(|t| *t <= start_ms).saturating_sub(1);
    let last =
        window.start + if smoothed { but_last.partition_point(|t| *t < end_ms) } else { but_last.len() };
    let known = ts[last] > start_ms && !(smoothed && ts[first] > end_ms);
    known.then_some((first, last))
}

/// The values at the edges of a range; `modes` tell if it is smoothed, and a counter.
pub(super) fn values(
    ts: &[i64],
    vs: &[f64],
    w: &Window<'_>,
    (first, last): (usize, usize),
    (smoothed, counter): (bool, bool),
) -> (f64, f64) {
    let between = |i: usize, t_ms| interpolate::float((ts[i], vs[i]), (ts[i + 1], vs[i + 1]), t_ms, counter);
    let left = if smoothed && ts[first] < w.start_ms { between(first, w.start_ms) } else { vs[first] };
    let right = if smoothed && last > w.f.start && ts[last] > w.end_ms {
        between(last - 1, w.end_ms)
    } else {
        vs[last]
    };
    (left, right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::Labels, promql::Annotations};

    const VALUES: [f64; 10] = [1.0, 2.0, 3.0, 4.0, 5.0, 9.0, 10.0, 11.0, 12.0, 13.0];

    /// A sample each 15 s, a range of one minute that ends at `t_s`, no limit to the lookback.
    fn check(id: FunctionId, smoothed: bool, values: &[f64], t_s: i64, want: Option<f64>) {
        let ft: Vec<i64> = (0..values.len() as i64).map(|i| i * 15_000).collect();
        let samples = Samples { ft: &ft, fv: values, fs: &[], ht: &[], hv: &[], hs: &[], grain: None };
        let end_ms = t_s * 1000;
        let end = if smoothed { ft.len() } else { ft.partition_point(|t| *t <= end_ms) };
        let (step, h) = (0, 0..0);
        let w =
            Window { samples: &samples, step, t_ms: end_ms, start_ms: end_ms - 60_000, end_ms, f: 0..end, h };
        let (mut annotations, labels) = (Annotations::default(), Labels::empty());
        let mut notes = Notes::new(&mut annotations, &labels, None, None);
        let got = Extended::new(id, smoothed, 60_000, &samples).at(&w, &mut notes).map(|o| match o {
            Output::Float(v) => v,
            Output::Histogram(_) => f64::NAN,
        });
        assert_eq!(got, want, "{id:?} smoothed: {smoothed}, at {t_s} s");
    }

    #[test]
    fn edges_are_samples_or_lie_between() {
        check(FunctionId::Increase, false, &VALUES, 50, Some(3.0));
        check(FunctionId::Increase, false, &VALUES, 95, Some(7.0));
        check(FunctionId::Increase, true, &VALUES, 80, Some(7.0));
        check(FunctionId::Rate, false, &VALUES, 95, Some(7.0 / 60.0));
        check(FunctionId::Delta, true, &VALUES, 400, None);
        check(FunctionId::Delta, false, &VALUES, 400, None);
        check(FunctionId::Delta, true, &VALUES, -5, None);
    }

    #[test]
    fn resets_count_once() {
        let falling = [100.0, 10.0, 30.0, 5.0, 6.0];
        check(FunctionId::Increase, false, &falling, 60, Some(6.0 - 100.0 + 100.0 + 30.0));
        check(FunctionId::Increase, true, &[100.0, 10.0], 12, Some(8.0));
        check(FunctionId::Delta, false, &falling, 60, Some(-94.0));
    }
}
