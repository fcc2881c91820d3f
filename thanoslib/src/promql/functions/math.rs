//! Functions of one float, clamping and rounding, with the special cases of Go's `math`.

use crate::{
    error::Result,
    model::log2::log2,
    promql::{BitSet, Block, ast::FunctionId as Id, names::unique, scope::Scope},
};

use super::{map_blocks, trig};

/// The function of one float behind `id`.
pub(super) fn function(id: Id) -> Option<fn(f64) -> f64> {
    Some(match id {
        Id::Abs => f64::abs,
        Id::Ceil => f64::ceil,
        Id::Floor => f64::floor,
        Id::Exp => f64::exp,
        Id::Sqrt => f64::sqrt,
        Id::Ln => ln,
        Id::Log2 => log2,
        Id::Log10 => |v| ln(v) * std::f64::consts::LOG10_E,
        Id::Sin => trig::sin,
        Id::Cos => trig::cos,
        Id::Tan => trig::tan,
        Id::Asin => f64::asin,
        Id::Acos => f64::acos,
        Id::Atan => f64::atan,
        Id::Sinh => trig::sinh,
        Id::Cosh => trig::cosh,
        Id::Tanh => f64::tanh,
        Id::Asinh => trig::asinh,
        Id::Acosh => trig::acosh,
        Id::Atanh => f64::atanh,
        Id::Deg => |v| v * 180.0 / std::f64::consts::PI,
        Id::Rad => |v| v * std::f64::consts::PI / 180.0,
        Id::Sgn => |v| {
            if v < 0.0 {
                -1.0
            } else if v > 0.0 {
                1.0
            } else {
                v
            }
        },
        _ => return None,
    })
}

const MANTISSA: u64 = (1 << 52) - 1;

/// Natural logarithm.
///
/// Compat: Go's `math/log_amd64.s` reads the exponent of a subnormal number as if it were
/// normal, with the hidden bit.
fn ln(v: f64) -> f64 {
    if v > 0.0 && !v.is_normal() && v.is_finite() {
        let fraction = 1.0 + (v.to_bits() & MANTISSA) as f64 / (1u64 << 52) as f64;
        return (fraction / 2.0).ln() - 1022.0 * std::f64::consts::LN_2;
    }
    v.ln()
}

/// The greater of two: +Inf, else NaN if there is one; +0 is above -0.
///
/// Compat: Go's `math.Max`.
pub(crate) fn go_max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else if a > b {
        a
    } else {
        b
    }
}

/// The lesser of two: -Inf, else NaN if there is one; -0 is below +0.
///
/// Compat: Go's `math.Min`.
pub(crate) fn go_min(a: f64, b: f64) -> f64 {
    if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY {
        f64::NEG_INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { a } else { b }
    } else if a < b {
        a
    } else {
        b
    }
}

/// [`go_max`] without branches, for loops over columns.
#[inline(always)]
fn greatest(a: f64, b: f64) -> f64 {
    // Of two zeros the sign falls unless both have it.
    let equal = f64::from_bits(a.to_bits() & b.to_bits());
    let above = if a > b { a } else { b };
    let v = if a == b { equal } else { above };
    let v = if a.is_nan() | b.is_nan() { f64::NAN } else { v };
    if (a == f64::INFINITY) | (b == f64::INFINITY) { f64::INFINITY } else { v }
}

/// [`go_min`] without branches, for loops over columns.
#[inline(always)]
fn least(a: f64, b: f64) -> f64 {
    // Of two zeros one sign is enough.
    let equal = f64::from_bits(a.to_bits() | b.to_bits());
    let below = if a < b { a } else { b };
    let v = if a == b { equal } else { below };
    let v = if a.is_nan() | b.is_nan() { f64::NAN } else { v };
    if (a == f64::NEG_INFINITY) | (b == f64::NEG_INFINITY) { f64::NEG_INFINITY } else { v }
}

/// `clamp`, `clamp_min`, `clamp_max`; nothing is left of a step whose limits cross.
pub(super) fn clamp(
    scope: &Scope<'_>,
    mut blocks: Vec<Block>,
    min: Option<&[f64]>,
    max: Option<&[f64]>,
) -> Result<Vec<Block>> {
    let mut crossed = BitSet::new(scope.steps.count);
    if let (Some(min), Some(max)) = (min, max) {
        let limits = min.iter().zip(max).enumerate();
        limits.filter(|(_, (min, max))| max < min).for_each(|(i, _)| crossed.insert(i));
    }
    map_blocks(scope, &mut blocks, |block| {
        // Steps without a value have a float, too, which may become anything.
        if let Some(max) = max {
            block.floats.iter_mut().zip(max).for_each(|(v, max)| *v = least(*max, *v));
        }
        if let Some(min) = min {
            block.floats.iter_mut().zip(min).for_each(|(v, min)| *v = greatest(*min, *v));
        }
        block.present.subtract(&crossed);
    })?;
    unique(scope, blocks)
}

/// `round`, to multiples of `nearest`; halves go up.
pub(super) fn round(
    scope: &Scope<'_>,
    mut blocks: Vec<Block>,
    nearest: Option<&[f64]>,
) -> Result<Vec<Block>> {
    map_blocks(scope, &mut blocks, |block| {
        let floats = &mut block.floats;
        for i in block.present.iter() {
            // Multiplying with the inverse is exact for 0.1 and the like.
            let inverse = 1.0 / nearest.map_or(1.0, |n| n[i]);
            floats[i] = (floats[i] * inverse + 0.5).floor() / inverse;
        }
    })?;
    unique(scope, blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_cases_of_go() {
        let check = |id, v: f64, want: f64| {
            let got = function(id).expect("a function of one float")(v);
            assert_eq!(got.to_bits(), want.to_bits(), "{id:?}({v}) = {got}");
        };
        check(Id::Log2, 8.0, 3.0);
        check(Id::Log2, f64::from_bits(1), -1074.0);
        check(Id::Log2, 0.0, f64::NEG_INFINITY);
        check(Id::Ln, f64::from_bits(1), -709.089_565_712_824);
        check(Id::Sgn, -0.0, -0.0);
        check(Id::Sgn, -3.0, -1.0);
    }

    #[test]
    fn extremes_of_go() {
        let check = |a: f64, b: f64, min: f64, max: f64| {
            assert_eq!(go_min(a, b).to_bits(), min.to_bits(), "min {a} {b}");
            assert_eq!(go_max(a, b).to_bits(), max.to_bits(), "max {a} {b}");
            assert_eq!(least(a, b).to_bits(), min.to_bits(), "least {a} {b}");
            assert_eq!(greatest(a, b).to_bits(), max.to_bits(), "greatest {a} {b}");
        };
        check(f64::NAN, f64::INFINITY, f64::NAN, f64::INFINITY);
        check(f64::NEG_INFINITY, f64::NAN, f64::NEG_INFINITY, f64::NAN);
        check(0.0, -0.0, -0.0, 0.0);
        check(-0.0, 0.0, -0.0, 0.0);
        check(1.0, 2.0, 1.0, 2.0);
        check(2.0, 1.0, 1.0, 2.0);
        check(3.0, 3.0, 3.0, 3.0);
        check(0.0, 0.0, 0.0, 0.0);
        check(-0.0, -0.0, -0.0, -0.0);
        check(1.0, f64::NAN, f64::NAN, f64::NAN);
        check(f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY, f64::INFINITY);
    }
}
