//! rate and increase of native histograms that grow steadily, straight from their column.
//!
//! Most series of histograms keep one layout and have no resets. A window then needs its first and
//! its last sample alone, as they lie in the column: no histogram is made but the result. The
//! arithmetic is that of [`rate`](super::rate), operation by operation.

use std::sync::Arc;

use crate::{
    model::{CounterReset, FloatHistogram, FloatHistogramColumn},
    promql::{
        Block, FunctionId,
        exec::{Count, Looked, histogram_samples},
    },
};

use super::{
    RangeCall,
    ends::Ends,
    plain_rate,
    rate::{Change, Law, zero_ratio},
};

/// Histograms of one layout, each at least as large as the one before.
pub(super) struct Steady<'c> {
    column: &'c FloatHistogramColumn,
    /// A sample in the layout of all, without numbers.
    empty: FloatHistogram,
    weight: u64,
}

impl<'c> Steady<'c> {
    /// `None` for a column that is something else.
    pub(super) fn of(column: &'c FloatHistogramColumn) -> Option<Self> {
        if !column.has_one_layout() || column.hints.contains(&CounterReset::Gauge) {
            return None;
        }
        if (1..column.len()).any(|i| column.detect_reset_alike(i)) {
            return None;
        }
        let first = column.get(0);
        let weight = histogram_samples(&first);
        let empty = FloatHistogram { positive_buckets: Vec::new(), negative_buckets: Vec::new(), ..first };
        Some(Self { column, empty, weight })
    }

    /// Last less first sample of a window.
    fn change(&self, first: usize, last: usize) -> FloatHistogram {
        let column = self.column;
        let (positive, negative) = column.buckets(last);
        let (positive_first, negative_first) = column.buckets(first);
        let less = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect();
        let mut change = FloatHistogram {
            hint: CounterReset::Gauge,
            schema: self.empty.schema,
            zero_threshold: self.empty.zero_threshold,
            zero_count: column.zero_counts[last] - column.zero_counts[first],
            count: column.counts[last] - column.counts[first],
            sum: column.sums[last] - column.sums[first],
            positive_spans: self.empty.positive_spans.clone(),
            negative_spans: self.empty.negative_spans.clone(),
            positive_buckets: less(positive, positive_first),
            negative_buckets: less(negative, negative_first),
            custom_values: self.empty.custom_values.clone(),
        };
        change.compact(0);
        change
    }
}

impl RangeCall {
    /// True for what [`Self::steady`] knows; of the samples a [`Steady`] decides.
    pub(super) fn is_steady(&self) -> bool {
        matches!(self.id, FunctionId::Rate | FunctionId::Increase) && self.extension.is_none()
    }

    /// Fills `block` and counts the samples in all windows.
    pub(super) fn steady(&self, samples: &Steady<'_>, looked: &mut Looked, block: &mut Block) {
        let (law, ts, counts) =
            (Law::new(self.id, self.range_ms), &samples.column.ts[..], &samples.column.counts);
        let (mut window, mut known) = (0..0, Known::default());
        for (step, t_ms) in self.steps.iter().enumerate() {
            let (end_ms, read) = (self.reference.time(t_ms), window.end);
            let start_ms = end_ms.saturating_sub(self.range_ms);
            self.advance(ts, end_ms, &mut window);
            let weigh = |n: usize| n as u64 * samples.weight;
            let read = weigh(window.end - read.max(window.start));
            looked.add_at(step, Count { total: weigh(window.len()), read });
            // One sample tells no change.
            if window.len() < 2 {
                continue;
            }
            let (first, last) = (window.start, window.end - 1);
            let mut change = samples.change(first, last);
            let place = Place {
                n: window.len(),
                before_ms: ts[first].wrapping_sub(start_ms),
                after_ms: end_ms.wrapping_sub(ts[last]),
                sampled_ms: ts[last].wrapping_sub(ts[first]),
            };
            let factor = known.factor(law, place, counts[first], change.count).or_else(|| {
                let extrapolation = law.extrapolate(&Change {
                    start_ms,
                    end_ms,
                    n: window.len(),
                    first_t: ts[first],
                    last_t: ts[last],
                    first_start: 0,
                    zero_ratio: zero_ratio(counts[first], change.count),
                    ends: Ends::PLAIN,
                });
                extrapolation.map(|e| e.factor)
            });
            let Some(factor) = factor else { continue };
            change.mul(factor);
            change.hint = CounterReset::Gauge;
            block.histograms.push((step as u32, Arc::new(change)));
        }
    }
}

/// Where the samples of a window lie in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    n: usize,
    before_ms: i64,
    after_ms: i64,
    sampled_ms: i64,
}

/// The factor of the last window, which the next one mostly has too.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    place: Place,
    /// First counts that are this many times the change, or more, meet zero far outside.
    far: f64,
    factor: f64,
}

impl Known {
    /// By what the change of a window is multiplied; `None` where the first count decides, too.
    fn factor(&mut self, law: Law, place: Place, first: f64, change: f64) -> Option<f64> {
        if place.sampled_ms == 0 {
            return None;
        }
        if self.place != place {
            let (sampled, gaps) = (place.sampled_ms as f64, (place.n - 1) as f64);
            let (before_s, whole) =
                plain_rate::factor(sampled, gaps, place.before_ms as f64, place.after_ms as f64);
            let far = (2.0 * before_s / (sampled / 1000.0)).max(1.0);
            *self = Self { place, far, factor: law.of_range(whole) };
        }
        (change <= 0.0 || first >= change * self.far).then_some(self.factor)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Notes, Reach, Samples, rate};
    use super::*;
    use crate::{
        model::{Labels, Span},
        promql::{Annotations, Steps, plan::Reference},
    };

    /// Histograms whose numbers a function gives, in one layout.
    fn column(len: usize, mut number: impl FnMut(usize) -> f64) -> FloatHistogramColumn {
        let mut column = FloatHistogramColumn::default();
        for i in 0..len {
            let h = FloatHistogram {
                hint: [CounterReset::Unknown, CounterReset::NotReset][i % 2],
                schema: 1,
                zero_threshold: 0.01,
                zero_count: number(i),
                count: 10.0 * number(i),
                sum: 7.0 * number(i),
                positive_spans: vec![Span { offset: 1, length: 2 }, Span { offset: 1, length: 1 }],
                negative_spans: vec![Span { offset: 0, length: 2 }],
                positive_buckets: vec![number(i), 3.0, number(i)],
                negative_buckets: vec![0.0, number(i)],
                ..FloatHistogram::default()
            };
            column.push(1000 * i as i64 + (i as i64 * 7) % 300, &h);
        }
        column
    }

    /// Whether the column is steady; if so, results must be those of the kernel for all series.
    fn check(id: FunctionId, column: &FloatHistogramColumn, range_ms: i64, step_ms: i64) -> bool {
        let steps = Steps { start_ms: -3000, step_ms, count: 80 };
        let call = RangeCall {
            id,
            steps,
            reference: Reference { at_ms: None, offset_ms: 300 },
            range_ms,
            extension: None,
            reach: Reach::default(),
            params: Vec::new(),
            vector_position: None,
            first_position: None,
        };
        let Some(steady) = Steady::of(column) else { return false };
        let (mut block, mut looked) = (Block::new(Labels::empty(), steps.count), Looked::default());
        call.steady(&steady, &mut looked, &mut block);

        let hv: Vec<_> = (0..column.len()).map(|i| Arc::new(column.get(i))).collect();
        let samples = Samples { ft: &[], fv: &[], fs: &[], ht: &column.ts, hv: &hv, hs: &[], grain: None };
        assert_eq!(looked.sum().total, call.weight(&samples));
        let (mut annotations, labels) = (Annotations::default(), Labels::empty());
        let mut notes = Notes::new(&mut annotations, &labels, None, None);
        let mut want = Block::new(Labels::empty(), steps.count);
        let mut kernel = rate::Rate::new(id, steps.count, range_ms, &samples);
        call.each_window(&samples, &mut want, &mut |w| Ok(kernel.at(w, &mut notes))).expect("no parameter");
        assert_eq!(block.histograms, want.histograms, "{id:?}");
        assert!(annotations.is_empty());
        true
    }

    #[test]
    fn results_are_those_of_the_kernel_for_all_series() {
        for (range_ms, step_ms) in [(1500, 1000), (5000, 700), (30_000, 1000), (900, 1000)] {
            for id in [FunctionId::Rate, FunctionId::Increase] {
                assert!(check(id, &column(60, |i| i as f64 * 1.3), range_ms, step_ms));
                assert!(check(id, &column(60, |_| 5.0), range_ms, step_ms));
                assert!(check(id, &column(1, |_| 5.0), range_ms, step_ms));
            }
        }
    }

    #[test]
    fn others_are_left_to_the_kernel() {
        // A reset, which a hint hides at every second sample.
        let reset = |at: usize| column(60, move |i| if i < at { i as f64 + 9.0 } else { i as f64 });
        assert!(!check(FunctionId::Rate, &reset(2), 5000, 1000));
        assert!(check(FunctionId::Rate, &reset(3), 5000, 1000));
        let gauges = |at: usize| {
            let mut column = column(60, |i| i as f64);
            column.hints[at] = CounterReset::Gauge;
            column
        };
        assert!(!check(FunctionId::Rate, &gauges(7), 5000, 1000));
        assert!(!check(FunctionId::Rate, &FloatHistogramColumn::default(), 5000, 1000));
        let mut two = column(5, |i| i as f64);
        two.push(9000, &FloatHistogram { schema: 2, count: 90.0, ..FloatHistogram::default() });
        assert!(!check(FunctionId::Rate, &two, 5000, 1000));
    }
}
