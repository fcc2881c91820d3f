//! Sums of the histograms of long windows that move forward over one series.
//!
//! As with floats, a window is cut in two, see [`sliding`](super::sliding). Where the layout of
//! buckets changes inside a window, the order of additions may show: such windows are left to
//! others.

use std::ops::Range;

use crate::model::{CounterReset, FloatHistogram, histogram::HistogramSum};

use super::{
    Samples,
    sliding::{is_tame, is_worth},
};

/// What the histograms of a series tell of windows over them, and sums so far.
#[derive(Debug)]
pub(super) struct LongHistograms {
    /// Additions in any order do not overflow, and there are enough to make it worth it.
    enabled: bool,
    /// Those with another layout than the one before.
    breaks: Vec<usize>,
    /// Those with a hint of a reset, and those with a hint of none.
    hints: [Vec<usize>; 2],
    /// Sums of the histograms before `cut`, the shortest tail first.
    tails: Vec<FloatHistogram>,
    cut: usize,
    /// Sum of the histograms from `cut` up to `seen`.
    newer: Option<HistogramSum>,
    seen: usize,
}

/// True when an index lies in a range.
fn any_in(indices: &[usize], range: Range<usize>) -> bool {
    indices.get(indices.partition_point(|i| *i < range.start)).is_some_and(|i| *i < range.end)
}

fn same_layout(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    a.schema == b.schema && a.zero_threshold == b.zero_threshold && a.custom_values == b.custom_values
}

fn is_tame_histogram(h: &FloatHistogram) -> bool {
    is_tame(&[h.count, h.sum, h.zero_count]) && is_tame(&h.positive_buckets) && is_tame(&h.negative_buckets)
}

impl LongHistograms {
    /// For windows at `steps` steps.
    pub(super) fn new(steps: usize, samples: &Samples<'_>) -> Self {
        let hs = samples.hv;
        let enabled = is_worth(steps, hs.len()) && hs.iter().all(|h| is_tame_histogram(h));
        let with = |hint| (0..hs.len()).filter(|i| hs[*i].hint == hint).collect();
        Self {
            enabled,
            breaks: (1..hs.len()).filter(|i| !same_layout(&hs[*i - 1], &hs[*i])).collect(),
            hints: [with(CounterReset::Reset), with(CounterReset::NotReset)],
            tails: Vec::new(),
            cut: 0,
            newer: None,
            seen: 0,
        }
    }

    /// True when hints in a window contradict each other.
    pub(super) fn collide(&self, window: &Range<usize>) -> bool {
        self.hints.iter().all(|hints| any_in(hints, window.clone()))
    }

    /// The sum of a long window; `None` where histograms are to be taken one by one.
    pub(super) fn sum(&mut self, samples: &Samples<'_>, window: &Range<usize>) -> Option<FloatHistogram> {
        let is_long = self.enabled && is_worth(usize::MAX, window.len());
        if !is_long || any_in(&self.breaks, window.start + 1..window.end) {
            return None;
        }
        let hs = samples.hv;
        let known = self.cut.saturating_sub(self.tails.len())..self.cut;
        if !known.contains(&window.start) || window.end < self.seen {
            self.tails.clear();
            let mut tail: Option<HistogramSum> = None;
            for h in hs[window.clone()].iter().rev() {
                let tail = plus(&mut tail, h)?;
                self.tails.push(tail.clone().finish());
            }
            (self.cut, self.seen, self.newer) = (window.end, window.end, None);
        }
        for h in &hs[self.seen..window.end] {
            plus(&mut self.newer, h)?;
        }
        self.seen = window.end;
        let older = &self.tails[self.cut - 1 - window.start];
        let Some(newer) = &self.newer else { return Some(older.clone()) };
        let mut sum = HistogramSum::new(older);
        sum.add(&newer.clone().finish()).ok()?;
        Some(sum.finish())
    }
}

/// Adds to a sum that may not have begun; `None` when the layouts do not fit.
fn plus<'s>(sum: &'s mut Option<HistogramSum>, h: &FloatHistogram) -> Option<&'s mut HistogramSum> {
    match sum {
        Some(sum) => {
            sum.add(h).ok()?;
            Some(sum)
        }
        none => Some(none.insert(HistogramSum::new(h))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::Span;

    #[test]
    fn windows_give_what_each_alone_gives() {
        let histogram = |i: i32| FloatHistogram {
            hint: if i % 90 == 0 { CounterReset::Reset } else { CounterReset::NotReset },
            schema: i32::from(i >= 500),
            count: f64::from(i * 7919 % 1013) / 7.0,
            sum: 1e9 + f64::from(i),
            positive_spans: vec![Span { offset: i % 3, length: 2 }],
            positive_buckets: vec![f64::from(i), 0.1],
            ..FloatHistogram::default()
        };
        let hv: Vec<_> = (0..1000).map(|i| Arc::new(histogram(i))).collect();
        let ht: Vec<i64> = (0..1000).collect();
        let samples = Samples { ft: &[], fv: &[], fs: &[], ht: &ht, hv: &hv, hs: &[], grain: None };
        let check = |width: usize, step: usize| {
            let mut long = LongHistograms::new(100, &samples);
            let mut found = 0;
            for end in (width..=1000).step_by(step) {
                let window = end - width..end;
                let mut want = HistogramSum::new(&hv[window.start]);
                for h in &hv[window.start + 1..end] {
                    want.add(h).expect("exponential buckets");
                }
                let want = want.finish();
                let mixed = window.contains(&499) && window.contains(&500);
                let Some(got) = long.sum(&samples, &window) else {
                    assert!(mixed, "{window:?}");
                    continue;
                };
                found += 1;
                assert!(!mixed && got.hint == want.hint && got.positive_spans == want.positive_spans);
                assert_eq!(long.collide(&window), (window.start..end).any(|i| i % 90 == 0), "{window:?}");
                let of = |h: &FloatHistogram| [&[h.count, h.sum][..], &h.positive_buckets[..]].concat();
                for (got, want) in of(&got).into_iter().zip(of(&want)) {
                    assert!((got - want).abs() <= 1e-13 * want.abs(), "{window:?}: {got}, want {want}");
                }
            }
            assert!(found > 0, "width {width}, step {step}");
        };
        check(100, 1);
        check(80, 7);
        check(70, 100);
    }
}
