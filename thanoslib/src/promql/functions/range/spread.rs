//! Functions of the distribution of floats: quantile, deviation, median absolute deviation.

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
    if !(0.0..=1.0).contains(&q) {
        notes.invalid_quantile(q);
    }
    if !w.h.is_empty() {
        notes.ignored_histograms();
    }
    scratch.clear();
    scratch.extend_from_slice(w.fv());
    Some(Output::Float(quantile_of(q, scratch)))
}

/// mad_over_time.
pub(super) fn mad(w: &Window<'_>, scratch: &mut Vec<f64>, notes: &mut Notes<'_>) -> Option<Output> {
    if w.f.is_empty() {
        return None;
    }
    if !w.h.is_empty() {
        notes.ignored_histograms();
    }
    if w.fv().iter().any(|v| v.is_nan()) {
        return Some(Output::Float(f64::NAN));
    }
    scratch.clear();
    scratch.extend_from_slice(w.fv());
    let median = quantile_of(0.5, scratch);
    for v in scratch.iter_mut() {
        *v = (*v - median).abs();
    }
    Some(Output::Float(quantile_of(0.5, scratch)))
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
    let long = long.over(&w.f, |i| Moments::of(w.samples.fv[i]));
    let variance = long.map_or_else(|| variance(w.fv()), Moments::variance);
    Some(Output::Float(if root { variance.sqrt() } else { variance }))
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
