//! xrate, xincrease and xdelta, which Thanos adds: the change since the sample before a range.

use crate::{
    error::{Error, Result},
    model::KahanSum,
    promql::FunctionId,
};

use super::{
    Output, Samples, Window,
    sliding::{LongWindows, equal_runs, long_sum},
};

/// xrate, xincrease or xdelta over one series.
#[derive(Debug)]
pub(super) struct XRate {
    id: FunctionId,
    range_ms: i64,
    /// When the series appears, as far as it was read.
    appeared_ms: i64,
    /// For each float, where the run of equal floats begins that it is in.
    runs: Vec<usize>,
    /// Floats below the one before.
    drops: Vec<usize>,
    /// The float before each of those.
    lost: Vec<f64>,
    /// Sums of those, where windows hold many.
    long: LongWindows<KahanSum>,
}

impl XRate {
    /// # Errors
    /// `Invalid` for histograms.
    pub(super) fn new(id: FunctionId, steps: usize, range_ms: i64, samples: &Samples<'_>) -> Result<Self> {
        if !samples.hv.is_empty() {
            // Compat: the text of promql-engine, storage/prometheus/matrix_selector.go.
            return Err(Error::invalid("native histograms are not supported in extended range functions"));
        }
        let vs = samples.fv;
        let mut drops = Vec::new();
        if id != FunctionId::Xdelta {
            drops.extend((1..vs.len()).filter(|i| vs[*i] < vs[*i - 1]));
        }
        let lost: Vec<f64> = drops.iter().map(|i| vs[i - 1]).collect();
        let appeared_ms = samples.ft.first().copied().unwrap_or(i64::MAX);
        let long = LongWindows::new(steps, &lost);
        let runs = equal_runs(vs);
        Ok(Self { id, range_ms, appeared_ms, runs, drops, lost, long })
    }

    /// The value of a window that reaches back before its range.
    pub(super) fn at(&mut self, w: &Window<'_>) -> Option<Output> {
        let (ts, vs) = (w.samples.ft, w.samples.fv);
        let inside = w.f.start + w.ft().partition_point(|t| *t <= w.start_ms);
        let (mut first, end) = (inside.saturating_sub(1).max(w.f.start), w.f.end);
        let (last, n) = (end - 1, end - first);
        let increase = self.id == FunctionId::Xincrease;
        // A series that just appeared has grown from zero.
        let young = w.end_ms <= self.appeared_ms.saturating_add(self.range_ms);
        if increase && young && self.runs[last] <= first {
            return Some(Output::Float(vs[first]));
        }
        let ms = |from: i64, to: i64| to.wrapping_sub(from) as f64;
        let mut sampled_ms = ms(ts[first], ts[last]);
        let mut average_ms = sampled_ms / (n - 1) as f64;
        // A sample far before the range does not tell where the range begins.
        if !increase && ms(ts[first], w.start_ms) > average_ms {
            if n < 3 {
                return Some(Output::Float(0.0));
            }
            first += 1;
            sampled_ms = ms(ts[first], ts[last]);
            average_ms = sampled_ms / (n - 2) as f64;
        }
        let mut change = vs[last] - vs[first] + self.lost(first, end);
        // Samples from edge to edge of the range stand for all of it.
        // Compat: promql-engine, ringbuffer/functions.go: the range counts whole seconds.
        let range_s = (self.range_ms / 1000) as f64;
        if !increase && ts[first] <= w.start_ms && ms(ts[last], w.end_ms) < average_ms {
            change *= range_s / (sampled_ms / 1000.0);
        }
        if self.id == FunctionId::Xrate {
            change /= range_s;
        }
        Some(Output::Float(change))
    }

    /// What resets after `first` and before `end` took away.
    fn lost(&mut self, first: usize, end: usize) -> f64 {
        let from = self.drops.partition_point(|i| *i <= first);
        let until = from + self.drops[from..].partition_point(|i| *i < end);
        let long = long_sum(&mut self.long, &self.lost, &(from..until)).map(KahanSum::value);
        long.unwrap_or_else(|| self.lost[from..until].iter().fold(0.0, |sum, v| sum + v))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sample each 30 s; the range is one minute and ends at `t_s`.
    fn check(id: FunctionId, values: &[f64], t_s: i64, want: f64) {
        let ft: Vec<i64> = (0..values.len() as i64).map(|i| i * 30_000).collect();
        let samples = Samples { ft: &ft, fv: values, fs: &[], ht: &[], hv: &[], hs: &[], grain: None };
        let end_ms = t_s * 1000;
        let (start_ms, f) = (end_ms - 60_000, 0..ft.partition_point(|t| *t <= end_ms));
        let w = Window { samples: &samples, step: 0, t_ms: end_ms, start_ms, end_ms, f, h: 0..0 };
        let got = XRate::new(id, 1, 60_000, &samples).expect("floats").at(&w);
        assert!(matches!(got, Some(Output::Float(v)) if v == want), "{id:?} at {t_s} s: {got:?}, not {want}");
    }

    #[test]
    fn the_sample_before_the_range_counts() {
        let values = [0.0, 30.0, 60.0, 90.0, 120.0];
        check(FunctionId::Xincrease, &values, 120, 60.0);
        check(FunctionId::Xrate, &values, 120, 1.0);
        check(FunctionId::Xdelta, &values, 125, 60.0);
        // A sample 80 s before the range is left out.
        check(FunctionId::Xdelta, &values, 200, 0.0);
        check(FunctionId::Xincrease, &[0.0, 30.0, 60.0, 10.0, 20.0], 120, 20.0);
    }

    #[test]
    fn a_series_appears_from_zero() {
        check(FunctionId::Xincrease, &[5.0, 5.0], 30, 5.0);
        check(FunctionId::Xincrease, &[5.0, 5.0, 5.0, 5.0], 90, 0.0);
        check(FunctionId::Xrate, &[5.0], 0, 0.0);
    }
}
