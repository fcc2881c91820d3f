//! deriv and predict_linear: a line through the floats by least squares.

use std::ops::Range;

use crate::model::KahanSum;

use super::{
    Notes, Output, Samples, Window,
    sliding::{LongWindows, Partial, equal_runs},
};

/// Lines through the floats of windows over one series.
#[derive(Debug)]
pub(super) struct Lines {
    long: LongWindows<Points>,
    /// Where runs of equal floats begin.
    runs: Vec<usize>,
}

impl Lines {
    pub(super) fn new(steps: usize, samples: &Samples<'_>) -> Self {
        Self { long: LongWindows::new(steps, samples.fv), runs: equal_runs(samples.fv) }
    }

    /// Slope per second.
    pub(super) fn deriv(&mut self, w: &Window<'_>, notes: &mut Notes<'_>) -> Option<Output> {
        if !enough_floats(w, notes) {
            return None;
        }
        Some(Output::Float(self.slope(w.samples, &w.f)))
    }

    /// Slope per second of a run of floats that is not empty.
    pub(super) fn slope(&mut self, samples: &Samples<'_>, run: &Range<usize>) -> f64 {
        self.line(samples, run, samples.ft[run.start]).0
    }

    /// The value `seconds` after the step.
    pub(super) fn predict(&mut self, w: &Window<'_>, seconds: f64, notes: &mut Notes<'_>) -> Option<Output> {
        if !enough_floats(w, notes) {
            return None;
        }
        Some(Output::Float(self.value(w.samples, &w.f, w.t_ms, seconds)))
    }

    /// The value of the line through a run of floats `seconds` after `t_ms`.
    pub(super) fn value(
        &mut self,
        samples: &Samples<'_>,
        run: &Range<usize>,
        t_ms: i64,
        seconds: f64,
    ) -> f64 {
        let (slope, intercept) = self.line(samples, run, t_ms);
        slope * seconds + intercept
    }

    /// Slope and value at `origin_ms`.
    fn line(&mut self, s: &Samples<'_>, run: &Range<usize>, origin_ms: i64) -> (f64, f64) {
        let base_ms = s.ft[0];
        let long = self.long.over(run, |i| Points::of(seconds(base_ms, s.ft[i]), s.fv[i]));
        match long {
            None => line(&s.ft[run.clone()], &s.fv[run.clone()], origin_ms),
            Some(_) if self.runs[run.end - 1] <= run.start => (0.0, s.fv[run.start]),
            Some(points) => points.line(seconds(base_ms, origin_ms)),
        }
    }
}

fn seconds(from_ms: i64, to_ms: i64) -> f64 {
    to_ms.wrapping_sub(from_ms) as f64 / 1000.0
}

/// Number and means of points, and how they vary around the means, compensated.
#[derive(Clone, Copy, Debug, Default)]
struct Points {
    n: f64,
    x: KahanSum,
    y: KahanSum,
    xx: KahanSum,
    xy: KahanSum,
}

impl Points {
    fn of(x: f64, y: f64) -> Self {
        let exactly = |v| KahanSum { sum: v, c: 0.0 };
        Self { n: 1.0, x: exactly(x), y: exactly(y), ..Self::default() }
    }

    /// Slope and value at `origin` of the line through the points.
    fn line(self, origin: f64) -> (f64, f64) {
        let slope = self.xy.value() / self.xx.value();
        (slope, self.y.value() + slope * (origin - self.x.value()))
    }
}

impl Partial for Points {
    fn then(self, after: Self) -> Self {
        if self.n == 0.0 {
            return after;
        }
        if after.n == 0.0 {
            return self;
        }
        let n = self.n + after.n;
        let (share, weight) = (after.n / n, self.n * (after.n / n));
        let apart = |from: KahanSum, to: KahanSum| (to.sum - from.sum) + (to.c - from.c);
        let (dx, dy) = (apart(self.x, after.x), apart(self.y, after.y));
        let mut all = Self { n, xx: self.xx.then(after.xx), xy: self.xy.then(after.xy), ..self };
        all.x.add(dx * share);
        all.y.add(dy * share);
        all.xx.add(dx * dx * weight);
        all.xy.add(dx * dy * weight);
        all
    }
}

/// True with two floats; remarks on histograms beside them.
pub(super) fn enough_floats(w: &Window<'_>, notes: &mut Notes<'_>) -> bool {
    if w.is_mixed() {
        notes.ignored_histograms();
    }
    w.f.len() >= 2
}

/// Slope and value at `origin_ms` of the line through the points.
fn line(ts: &[i64], vs: &[f64], origin_ms: i64) -> (f64, f64) {
    let first = vs[0];
    let (mut sx, mut sy) = (KahanSum::default(), KahanSum::default());
    let (mut sxy, mut sxx) = (KahanSum::default(), KahanSum::default());
    for (t, y) in ts.iter().zip(vs) {
        let x = (t - origin_ms) as f64 / 1000.0;
        sx.add(x);
        sy.add(*y);
        sxy.add(x * y);
        sxx.add(x * x);
    }
    if vs[1..].iter().all(|v| *v == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let total = |s: KahanSum| s.sum + s.c;
    let n = vs.len() as f64;
    let (sx, sy, sxy, sxx) = (total(sx), total(sy), total(sxy), total(sxx));
    let covariance = sxy - sx * sy / n;
    let variance = sxx - sx * sx / n;
    let slope = covariance / variance;
    (slope, sy / n - slope * sx / n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_on_a_line_give_the_line() {
        let check = |vs: &[f64], origin_ms, want: (f64, f64)| {
            let ts: Vec<i64> = (0..vs.len() as i64).map(|i| i * 1000).collect();
            assert_eq!(line(&ts, vs, origin_ms), want, "{vs:?}");
        };
        check(&[1.0, 3.0, 5.0], 0, (2.0, 1.0));
        check(&[1.0, 3.0, 5.0], 2000, (2.0, 5.0));
        check(&[4.0, 4.0], 0, (0.0, 4.0));
        let (slope, intercept) = line(&[0, 1], &[f64::INFINITY; 2], 0);
        assert!(slope.is_nan() && intercept.is_nan());
    }

    #[test]
    fn long_windows_give_what_each_alone_gives() {
        let n = 400;
        let ft: Vec<i64> = (0..n).map(|i| 1_700_000_000_000 + i * 15_000 + i * i % 7).collect();
        let fv: Vec<f64> = (0..n).map(|i| 500.0 + (i * 7919 % 1013) as f64 / 7.0 + 2.0 * i as f64).collect();
        let samples = Samples { ft: &ft, fv: &fv, fs: &[], ht: &[], hv: &[], hs: &[], grain: None };
        let check = |lines: &mut Lines, f: std::ops::Range<usize>| {
            let t_ms = ft[f.end - 1] + 5000;
            let w = Window { samples: &samples, step: 0, t_ms, start_ms: 0, end_ms: t_ms, f, h: 0..0 };
            let (got, want) = (lines.line(&samples, &w.f, t_ms), line(w.ft(), w.fv(), t_ms));
            for (got, want) in [(got.0, want.0), (got.1, want.1)] {
                assert!((got - want).abs() <= 1e-12 * want.abs(), "{:?}: {got}, want {want}", w.f);
            }
        };
        let mut lines = Lines::new(100, &samples);
        (0..300).for_each(|start| check(&mut lines, start..start + 100));
    }
}
