//! Quantiles of plain floats.

/// The `q`-quantile, interpolated between neighbours; sorts `values`, NaN first.
///
/// Outside 0 to 1 the result is infinite, without values or with a NaN `q` it is NaN.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_by(|a, b| b.is_nan().cmp(&a.is_nan()).then(a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal)));
    let last = values.len() - 1;
    let rank = q * last as f64;
    let lower = rank.floor().max(0.0) as usize;
    let upper = last.min(lower + 1);
    let weight = rank - rank.floor();
    values[lower.min(last)] * (1.0 - weight) + values[upper] * weight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_interpolated() {
        let check = |q, values: &[f64], want: f64| {
            let got = quantile(q, &mut values.to_vec());
            assert!(got == want || (got.is_nan() && want.is_nan()), "{q} of {values:?}: {got}");
        };
        check(0.5, &[3.0, 1.0, 2.0], 2.0);
        check(0.25, &[1.0, 2.0], 1.25);
        check(1.0, &[1.0, 2.0], 2.0);
        check(0.0, &[f64::NAN, 1.0], f64::NAN);
        check(1.0, &[f64::NAN, 1.0], 1.0);
        check(-1.0, &[1.0], f64::NEG_INFINITY);
        check(2.0, &[1.0], f64::INFINITY);
        check(f64::NAN, &[1.0], f64::NAN);
        check(0.5, &[], f64::NAN);
    }
}
