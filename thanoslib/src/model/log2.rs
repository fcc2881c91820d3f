//! The logarithm to base 2 with the last digits of Go's `math`.

/// A fraction of at least 0.5 and below 1 (or their negatives) and a power of two; `v` is finite
/// and not zero.
pub(crate) fn split(v: f64) -> (f64, i64) {
    let (v, shift) = if v.is_normal() { (v, 0) } else { (v * (1u64 << 52) as f64, 52) };
    let bits = v.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i64 - 1022 - shift;
    (f64::from_bits(bits & !(0x7ff << 52) | 1022 << 52), exponent)
}

/// Logarithm to base 2, exact for powers of two.
///
/// Compat: Go's `math/log10.go` takes the logarithm of the fraction alone, which costs digits
/// near 1.
pub(crate) fn log2(v: f64) -> f64 {
    if v <= 0.0 || !v.is_finite() {
        return v.log2();
    }
    let (fraction, exponent) = split(v);
    if fraction == 0.5 {
        return (exponent - 1) as f64;
    }
    fraction.ln() * (1.0 / std::f64::consts::LN_2) + exponent as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_exact_and_the_rest_is_near() {
        let check = |v: f64, want: f64| assert_eq!(log2(v).to_bits(), want.to_bits(), "{v}");
        check(8.0, 3.0);
        check(f64::from_bits(1), -1074.0);
        check(0.0, f64::NEG_INFINITY);
        check(f64::INFINITY, f64::INFINITY);
        assert!(log2(-1.0).is_nan());
        assert!((log2(10.0) - 10f64.log2()).abs() < 1e-15);
    }
}
