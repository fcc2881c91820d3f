//! deriv and predict_linear: a line through the floats by least squares.

use crate::model::KahanSum;

use super::{Notes, Output, Window};

/// Slope per second.
pub(super) fn deriv(w: &Window<'_>, notes: &mut Notes<'_>) -> Option<Output> {
    if !enough_floats(w, notes) {
        return None;
    }
    let (slope, _) = line(w.ft(), w.fv(), w.ft()[0]);
    Some(Output::Float(slope))
}

/// The value `seconds` after the step.
pub(super) fn predict(w: &Window<'_>, seconds: f64, notes: &mut Notes<'_>) -> Option<Output> {
    if !enough_floats(w, notes) {
        return None;
    }
    let (slope, intercept) = line(w.ft(), w.fv(), w.t_ms);
    Some(Output::Float(slope * seconds + intercept))
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
}
