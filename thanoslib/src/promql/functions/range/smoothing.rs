//! double_exponential_smoothing.

use crate::error::{Error, Result};

use super::{Notes, Output, Window, regression::enough_floats};

/// Smooths with the factors `sf` for values and `tf` for the trend.
///
/// # Errors
/// `Invalid` when a factor is not between 0 and 1.
pub(super) fn double_exponential(
    w: &Window<'_>,
    sf: f64,
    tf: f64,
    notes: &mut Notes<'_>,
) -> Result<Option<Output>> {
    check_factors(sf, tf)?;
    if !enough_floats(w, notes) {
        return Ok(None);
    }
    Ok(Some(Output::Float(level(w.fv(), sf, tf))))
}

/// The smoothed value after the last of some floats, of which there are two at least.
pub(super) fn level(vs: &[f64], sf: f64, tf: f64) -> f64 {
    let (mut before, mut level, mut trend) = (0.0, vs[0], vs[1] - vs[0]);
    for (i, v) in vs.iter().enumerate().skip(1) {
        if i > 1 {
            trend = tf * (level - before) + (1.0 - tf) * trend;
        }
        let next = sf * v + (1.0 - sf) * (level + trend);
        (before, level) = (level, next);
    }
    level
}

/// Refuses factors that are not between 0 and 1.
///
/// # Errors
/// `Invalid`.
pub(super) fn check_factors(sf: f64, tf: f64) -> Result<()> {
    check_factor("smoothing", "sf", sf)?;
    check_factor("trend", "tf", tf)
}

/// NaN passes, as upstream.
fn check_factor(what: &str, name: &str, v: f64) -> Result<()> {
    if v <= 0.0 || v >= 1.0 {
        return Err(Error::invalid(format!("invalid {what} factor. Expected: 0 < {name} < 1, got: {v:.6}")));
    }
    Ok(())
}
