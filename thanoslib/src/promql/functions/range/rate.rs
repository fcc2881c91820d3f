//! rate, increase and delta: the change over a window, extrapolated to its ends.

use std::sync::Arc;

use crate::{model::KahanSum, promql::FunctionId};

use super::{
    Notes, Output, Samples, Window,
    ends::{End, Ends},
    histogram_delta::{self, HistogramDelta},
    sliding::{LongWindows, long_sum},
    start_time,
};

/// rate, increase or delta over one series.
#[derive(Debug)]
pub(super) struct Rate {
    law: Law,
    /// Floats after a reset, by index.
    resets: Vec<usize>,
    /// The float before each reset.
    lost: Vec<f64>,
    /// Sums of those, where windows hold many.
    long: LongWindows<KahanSum>,
    /// What is known of histograms.
    histograms: HistogramDelta,
    /// Floats whose start timestamp overlaps the sample before.
    overlaps: Vec<usize>,
}

/// What a function makes of the change of a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Law {
    counter: bool,
    per_second: bool,
    range_ms: i64,
}

/// The change of a window before extrapolation.
pub(super) struct Change {
    /// The window is `(start_ms, end_ms]`.
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    /// Number of samples.
    pub(super) n: usize,
    pub(super) first_t: i64,
    pub(super) last_t: i64,
    /// Start timestamp of the first sample, 0 if unknown or irrelevant.
    pub(super) first_start: i64,
    /// First value over change, if the change is up and the first value is not negative.
    pub(super) zero_ratio: Option<f64>,
    /// How the change goes on to the ends of the window.
    pub(super) ends: Ends,
}

/// By what the change is multiplied.
pub(super) struct Extrapolation {
    pub(super) factor: f64,
    /// The first value counts too, since the series began inside the window.
    with_first: bool,
}

impl Rate {
    pub(super) fn new(id: FunctionId, steps: usize, range_ms: i64, samples: &Samples<'_>) -> Self {
        let law = Law::new(id, range_ms);
        let counter = law.counter;
        let (mut resets, mut overlaps) = (Vec::new(), Vec::new());
        if counter {
            resets.extend((1..samples.fv.len()).filter(|i| {
                let i = *i;
                samples.fv[i] < samples.fv[i - 1] || {
                    let (start, before) = (samples.float_start(i), samples.float_start(i - 1));
                    start_time::is_reset(start, samples.ft[i], before, samples.ft[i - 1])
                }
            }));
            if !samples.fs.is_empty() {
                overlaps.extend((1..samples.fv.len()).filter(|i| {
                    let i = *i;
                    start_time::overlaps(
                        samples.float_start(i),
                        samples.float_start(i - 1),
                        samples.ft[i - 1],
                    )
                }));
            }
        }
        let lost: Vec<f64> = resets.iter().map(|i| samples.fv[i - 1]).collect();
        Self {
            law,
            resets,
            long: LongWindows::new(steps, &lost),
            lost,
            histograms: HistogramDelta::new(counter, samples),
            overlaps,
        }
    }

    pub(super) fn at(&mut self, w: &Window<'_>, notes: &mut Notes<'_>) -> Option<Output> {
        if w.is_mixed() {
            notes.mixed();
            return None;
        }
        if w.h.is_empty() { self.floats(w, notes) } else { self.histograms(w, notes) }
    }

    fn floats(&mut self, w: &Window<'_>, notes: &mut Notes<'_>) -> Option<Output> {
        let (ts, vs) = (w.ft(), w.fv());
        let (first, last) = (*vs.first()?, *vs.last()?);
        let mut change = last - first;
        let from = self.resets.partition_point(|i| *i <= w.f.start);
        let end = from + self.resets[from..].partition_point(|i| *i < w.f.end);
        match long_sum(&mut self.long, &self.lost, &(from..end)) {
            Some(lost) => change += lost.value(),
            None => self.lost[from..end].iter().for_each(|v| change += v),
        }
        if let Some(i) = self.overlaps.get(self.overlaps.partition_point(|i| *i <= w.f.start))
            && *i < w.f.end
        {
            notes.overlapping_start();
        }
        let ends = Ends::of(w.samples.grain, w.samples.ft, &w.f, w.start_ms, w.end_ms);
        let zero_ratio = zero_ratio(first, change);
        if ts.len() > 1 {
            if let End::Part(part) = ends.before {
                change += part * self.step(w.samples.fv, w.f.start);
            }
            if let End::Part(part) = ends.after {
                change += part * self.step(w.samples.fv, w.f.end);
            }
        }
        let extrapolation = self.law.extrapolate(&Change {
            start_ms: w.start_ms,
            end_ms: w.end_ms,
            n: vs.len(),
            first_t: ts[0],
            last_t: ts[ts.len() - 1],
            first_start: w.samples.float_start(w.f.start),
            zero_ratio,
            ends,
        })?;
        if extrapolation.with_first {
            change += first;
        }
        Some(Output::Float(change * extrapolation.factor))
    }

    /// The change from the float before to float `i`.
    fn step(&self, vs: &[f64], i: usize) -> f64 {
        let (before, v) = (vs[i - 1], vs[i]);
        if self.law.counter && v < before { v } else { v - before }
    }

    fn histograms(&self, w: &Window<'_>, notes: &mut Notes<'_>) -> Option<Output> {
        let (ts, hs) = (w.ht(), w.hv());
        let first = hs.first()?;
        let mut change = if hs.len() > 1 { Some(self.histograms.at(w, notes)?) } else { None };
        let ends = Ends::of(w.samples.grain, w.samples.ht, &w.h, w.start_ms, w.end_ms);
        let zero_ratio = change.as_ref().and_then(|d| zero_ratio(first.count, d.count));
        let extrapolation = self.law.extrapolate(&Change {
            start_ms: w.start_ms,
            end_ms: w.end_ms,
            n: hs.len(),
            first_t: ts[0],
            last_t: ts[ts.len() - 1],
            first_start: w.samples.histogram_start(w.h.start),
            zero_ratio,
            ends,
        })?;
        if let Some(change) = &mut change {
            for (end, i) in [(ends.before, w.h.start), (ends.after, w.h.end)] {
                if let End::Part(part) = end
                    && histogram_delta::add_part(change, w, i, part).is_err()
                {
                    notes.mixed_schemas();
                    return None;
                }
            }
        }
        let mut result = match change {
            Some(mut change) => {
                if extrapolation.with_first && change.add(first).is_err() {
                    notes.mixed_schemas();
                    return None;
                }
                change
            }
            None => first.as_ref().clone(),
        };
        result.mul(extrapolation.factor);
        result.hint = crate::model::CounterReset::Gauge;
        Some(Output::Histogram(Arc::new(result)))
    }
}

impl Law {
    pub(super) fn new(id: FunctionId, range_ms: i64) -> Self {
        Self { counter: id != FunctionId::Delta, per_second: id == FunctionId::Rate, range_ms }
    }

    /// How far the change reaches beyond the first and last sample; `None` without result.
    pub(super) fn extrapolate(self, change: &Change) -> Option<Extrapolation> {
        let seconds = |from: i64, to: i64| to.wrapping_sub(from) as f64 / 1000.0;
        let mut before = seconds(change.start_ms, change.first_t);
        let mut after = seconds(change.last_t, change.end_ms);
        let mut sampled = seconds(change.first_t, change.last_t);
        let average = if change.n > 1 { sampled / (change.n - 1) as f64 } else { 0.0 };
        // Distances up to which the ends of the window count as reached by the samples.
        let distance = |end| if let End::Interval(seconds) = end { seconds } else { average };
        let (distance_before, distance_after) = (distance(change.ends.before), distance(change.ends.after));
        let start = change.first_start;
        let began_inside = self.counter && start != 0 && change.start_ms < start && start < change.first_t;
        if began_inside {
            before = 0.0;
            sampled = seconds(start, change.last_t);
        } else if change.n == 1 {
            return None;
        } else if let End::Part(_) = change.ends.before {
            // What lies before the first sample is part of the change already.
            sampled += before;
            before = 0.0;
        } else {
            if before >= distance_before * 1.1 {
                before = distance_before / 2.0;
            }
            // A counter does not begin below zero.
            if let (true, Some(ratio)) = (self.counter, change.zero_ratio) {
                let to_zero = sampled * ratio;
                if to_zero < before {
                    before = to_zero;
                }
            }
        }
        if let End::Part(_) = change.ends.after {
            sampled += after;
            after = 0.0;
        } else if let End::Reach { seconds, late } = change.ends.after {
            sampled -= late;
            after = seconds;
        } else if after >= distance_after * 1.1 {
            after = distance_after / 2.0;
        }
        let factor = if sampled == 0.0 { 1.0 } else { (sampled + before + after) / sampled };
        Some(Extrapolation { factor: self.of_range(factor), with_first: began_inside })
    }

    /// A factor for the whole range as the function wants it.
    pub(super) fn of_range(self, factor: f64) -> f64 {
        if self.per_second { factor / range_seconds(self.range_ms) } else { factor }
    }
}

/// First value over change, if the change is up and the first value is not negative.
pub(super) fn zero_ratio(first: f64, change: f64) -> Option<f64> {
    (change > 0.0 && first >= 0.0).then_some(first / change)
}

/// The length of a window in seconds.
///
/// Compat: Go's `Duration.Seconds` rounds the part of a second first.
pub(super) fn range_seconds(range_ms: i64) -> f64 {
    (range_ms / 1000) as f64 + (range_ms % 1000) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::Labels, promql::Annotations};

    fn check(id: FunctionId, samples: &[(i64, f64)], want: Option<f64>) {
        let ft: Vec<i64> = samples.iter().map(|s| s.0).collect();
        let fv: Vec<f64> = samples.iter().map(|s| s.1).collect();
        let samples = Samples { ft: &ft, fv: &fv, fs: &[], ht: &[], hv: &[], hs: &[], grain: None };
        let mut kernel = Rate::new(id, 1, 60_000, &samples);
        let window = Window {
            samples: &samples,
            step: 0,
            t_ms: 60_000,
            start_ms: 0,
            end_ms: 60_000,
            f: 0..ft.len(),
            h: 0..0,
        };
        let (mut annotations, labels) = (Annotations::default(), Labels::empty());
        let mut notes = Notes::new(&mut annotations, &labels, None, None);
        let got = kernel.at(&window, &mut notes).map(|o| match o {
            Output::Float(v) => v,
            Output::Histogram(_) => f64::NAN,
        });
        let same = match (got, want) {
            (Some(got), Some(want)) => (got - want).abs() < 1e-12,
            (got, want) => got == want,
        };
        assert!(same, "{id:?}: {got:?}, not {want:?}");
    }

    #[test]
    fn a_steady_counter_is_extrapolated_to_the_window() {
        let steady = [(15_000, 100.0), (30_000, 115.0), (45_000, 130.0), (60_000, 145.0)];
        check(FunctionId::Increase, &steady, Some(60.0));
        check(FunctionId::Rate, &steady, Some(1.0));
        check(FunctionId::Delta, &steady, Some(60.0));
    }

    #[test]
    fn resets_are_added_and_one_sample_is_too_few() {
        let reset = [(15_000, 130.0), (30_000, 145.0), (45_000, 15.0), (60_000, 30.0)];
        check(FunctionId::Increase, &reset, Some(60.0));
        check(FunctionId::Delta, &reset, Some(-100.0 * (60.0 / 45.0)));
        check(FunctionId::Rate, &reset[..1], None);
    }

    #[test]
    fn a_counter_is_not_extrapolated_below_zero() {
        // The line reaches zero 5 s before the first sample.
        check(
            FunctionId::Increase,
            &[(15_000, 5.0), (30_000, 20.0), (45_000, 35.0), (60_000, 50.0)],
            Some(50.0),
        );
    }
}
