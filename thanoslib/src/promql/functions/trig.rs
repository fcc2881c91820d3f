//! Sine, cosine, tangent and power with the last digits of Go's `math`.
//!
//! Go reduces angles in its own way and raises to whole powers by squaring; near zeros and for
//! large exponents the digits differ from those of the platform's library.

use std::f64::consts::LN_2;

use crate::model::log2::split;

use super::angle::quarter_turns;

pub(super) fn sin(v: f64) -> f64 {
    if v == 0.0 || !v.is_finite() {
        return v.sin();
    }
    let (quarter, rest) = quarter_turns(v.abs());
    let sine = match quarter {
        0 => rest.sin(),
        1 => rest.cos(),
        2 => -rest.sin(),
        _ => -rest.cos(),
    };
    if v < 0.0 { -sine } else { sine }
}

pub(super) fn cos(v: f64) -> f64 {
    if !v.is_finite() {
        return v.cos();
    }
    let (quarter, rest) = quarter_turns(v.abs());
    match quarter {
        0 => rest.cos(),
        1 => -rest.sin(),
        2 => -rest.cos(),
        _ => rest.sin(),
    }
}

pub(super) fn tan(v: f64) -> f64 {
    if v == 0.0 || !v.is_finite() {
        return v.tan();
    }
    let (quarter, rest) = quarter_turns(v.abs());
    let tangent = if quarter % 2 == 0 { rest.tan() } else { -1.0 / rest.tan() };
    if v < 0.0 { -tangent } else { tangent }
}

/// Above this, the smaller part of hyperbolic functions is lost, and Go leaves it out.
const HYPERBOLIC_ONE_SIDED: f64 = 21.0;

/// Infinite for less than twice the largest float, as in Go, which halves the power.
pub(super) fn sinh(v: f64) -> f64 {
    if v.abs() > HYPERBOLIC_ONE_SIDED { (v.abs().exp() * 0.5).copysign(v) } else { v.sinh() }
}

pub(super) fn cosh(v: f64) -> f64 {
    if v.abs() > HYPERBOLIC_ONE_SIDED { v.abs().exp() * 0.5 } else { v.cosh() }
}

/// Above this, Go takes the logarithm of twice the value.
const HYPERBOLIC_LARGE: f64 = (1u64 << 28) as f64;

pub(super) fn asinh(v: f64) -> f64 {
    if v.is_finite() && v.abs() > HYPERBOLIC_LARGE { (v.abs().ln() + LN_2).copysign(v) } else { v.asinh() }
}

pub(super) fn acosh(v: f64) -> f64 {
    if v.is_finite() && v >= HYPERBOLIC_LARGE { v.ln() + LN_2 } else { v.acosh() }
}

/// `x` to the power of `y`.
///
/// The whole part of the exponent is taken by squaring, with binary exponents kept apart, the
/// rest by `exp` and `ln`.
pub(crate) fn pow(x: f64, y: f64) -> f64 {
    let special = x == 0.0 || !x.is_finite() || !y.is_finite() || y == 0.0 || x == 1.0;
    if special || y.abs() >= (1u64 << 53) as f64 || x < 0.0 && y.fract() != 0.0 {
        return x.powf(y);
    }
    if y.abs() == 0.5 {
        return if y > 0.0 { x.sqrt() } else { 1.0 / x.sqrt() };
    }
    let (mut whole, mut rest) = (y.abs().trunc(), y.abs().fract());
    let mut result = 1.0;
    if rest != 0.0 {
        if rest > 0.5 {
            rest -= 1.0;
            whole += 1.0;
        }
        result = (rest * x.ln()).exp();
    }
    let mut exponent = 0i64;
    let (mut square, mut square_exponent) = split(x);
    let mut bits = whole as u64;
    while bits != 0 {
        // Twice the range of floats: the answer is decided.
        if square_exponent.abs() > 1 << 12 {
            exponent += square_exponent;
            break;
        }
        if bits & 1 == 1 {
            result *= square;
            exponent += square_exponent;
        }
        square *= square;
        square_exponent *= 2;
        if square < 0.5 {
            square *= 2.0;
            square_exponent -= 1;
        }
        bits >>= 1;
    }
    if y < 0.0 { scale(1.0 / result, -exponent) } else { scale(result, exponent) }
}

/// `v` times 2 to the `exponent`, rounded once.
fn scale(v: f64, exponent: i64) -> f64 {
    let (fraction, own) = split(v);
    let exponent = own.saturating_add(exponent);
    let power = |e: i64| f64::from_bits(((e + 1023) as u64) << 52);
    match exponent {
        1025.. => fraction.signum() * f64::INFINITY,
        -1020..=1024 => fraction * 2.0 * power(exponent - 1),
        -1080..-1020 => fraction * power(exponent + 100) * power(-100),
        _ => 0.0 * fraction,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers() {
        let check = |x: f64, y: f64, want: f64| {
            let got = pow(x, y);
            assert!(
                got.to_bits() == want.to_bits() || (got / want - 1.0).abs() < 1e-13,
                "{x} ^ {y} = {got}, want {want}"
            );
        };
        for (x, y) in [(2.0, 10.0), (-3.0, 3.0), (2.5, -7.25), (1.5, 0.75), (9.0, 0.5), (1e-3, 12.6)] {
            check(x, y, f64::powf(x, y));
        }
        check(10.0, 400.0, f64::INFINITY);
        check(-10.0, 401.0, f64::NEG_INFINITY);
        check(10.0, -400.0, 0.0);
        check(2.0, -1074.0, f64::from_bits(1));
        check(2.0, 1023.0, f64::powi(2.0, 1023));
        check(-1.0, f64::INFINITY, 1.0);
        check(0.0, -1.0, f64::INFINITY);
        check(f64::from_bits(1), 0.5, f64::from_bits(1).sqrt());
    }

    #[test]
    fn angles() {
        let check = |v: f64| {
            for (got, want) in [(sin(v), v.sin()), (cos(v), v.cos())] {
                assert!((got - want).abs() < 1e-13, "{v}: {got}, want {want}");
            }
            assert!((tan(v) / v.tan() - 1.0).abs() < 1e-9, "tan {v}");
        };
        for v in [0.1, 1.0, -2.0, 3.0, 4.5, -5.5, 7.0, 100.0, 1e6, 1e12, 1e300] {
            check(v);
        }
        assert_eq!(sin(-0.0).to_bits(), (-0.0f64).to_bits());
        assert!(sin(f64::INFINITY).is_nan() && cos(f64::NAN).is_nan());
    }
}
