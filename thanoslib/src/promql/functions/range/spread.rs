//! Functions of the distribution of floats: quantile, deviation, median absolute deviation.

use std::ops::Range;

use crate::{model::kahan_add, promql::ops::aggregate::quantile as quantile_of};

use super::{
    Notes, Output, Window,
    sliding::{LongWindows, Moments},
};

/// quantile_over_time.
pub(super) fn quantile(
    w: &Window<'_>,
    q: f64,
    scratch: &mut Vec<f64>,
    notes: &mut Notes<'_>,
) -> Option<Output> {
    if w.f.is_empty() {
        return None;
    }
    check_quantile(q, notes);
    if !w.h.is_empty() {
        notes.ignored_histograms();
    }
    Some(Output::Float(quantile_of_floats(w.fv(), q, scratch)))
}

/// Remarks on a quantile outside 0 to 1.
pub(super) fn check_quantile(q: f64, notes: &mut Notes<'_>) {
    if !(0.0..=1.0).contains(&q) {
        notes.invalid_quantile(q);
    }
}

/// The quantile of some floats, which stay as they are.
pub(super) fn quantile_of_floats(values: &[f64], q: f64, scratch: &mut Vec<f64>) -> f64 {
    scratch.clear();
    scratch.extend_from_slice(values);
    quantile_of(q, scratch)
}

/// mad_over_time.
pub(super) fn mad(w: &Window<'_>, scratch: &mut Vec<f64>, notes: &mut Notes<'_>) -> Option<Output> {
    if w.f.is_empty() {
        return None;
    }
    if !w.h.is_empty() {
        notes.ignored_histograms();
    }
    Some(Output::Float(mad_of_floats(w.fv(), scratch)))
}

/// The median absolute deviation of some floats, which stay as they are.
pub(super) fn mad_of_floats(values: &[f64], scratch: &mut Vec<f64>) -> f64 {
    if values.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    let median = quantile_of_floats(values, 0.5, scratch);
    for v in scratch.iter_mut() {
        *v = (*v - median).abs();
    }
    quantile_of(0.5, scratch)
}

/// stddev_over_time, or stdvar_over_time without the root.
pub(super) fn deviation(
    w: &Window<'_>,
    root: bool,
    long: &mut LongWindows<Moments>,
    notes: &mut Notes<'_>,
) -> Option<Output> {
    if w.f.is_empty() {
        return None;
    }
    if !w.h.is_empty() {
        notes.ignored_histograms();
    }
    Some(Output::Float(deviation_of_floats(w.samples.fv, &w.f, root, long)))
}

/// The deviation, or the variance without the root, of a run of floats.
pub(super) fn deviation_of_floats(
    values: &[f64],
    run: &Range<usize>,
    root: bool,
    long: &mut LongWindows<Moments>,
) -> f64 {
    let long = long.over(run, |i| Moments::of(values[i]));
    let variance = long.map_or_else(|| variance(&values[run.clone()]), Moments::variance);
    if root { variance.sqrt() } else { variance }
}

/// Population variance by Welford's method with compensated mean and squares.
fn variance(values: &[f64]) -> f64 {
    let (mut mean, mut mean_c, mut squares, mut squares_c, mut n) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for v in values {
        n += 1.0;
        let delta = v - (mean + mean_c);
        (mean, mean_c) = kahan_add(delta / n, mean, mean_c);
        (squares, squares_c) = kahan_add(delta * (v - (mean + mean_c)), squares, squares_c);
    }
    (squares + squares_c) / n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variance_is_that_of_the_population() {
        assert_eq!(variance(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]), 4.0);
        assert_eq!(variance(&[1.5]), 0.0);
        assert!(variance(&[f64::NAN, 1.0]).is_nan());
    }
}
