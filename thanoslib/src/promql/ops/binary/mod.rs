//! Binary operators: between scalars, a vector and a scalar, two vectors.
//!
//! Invariant: pairs of samples at one step; knows no neighbouring steps.

mod element;
mod join;
mod matching;
mod scalar;
mod sets;

use crate::{
    error::{Error, Result},
    promql::{
        Block,
        ast::{Binary, BinaryOp, Expr},
        scope::Scope,
    },
};

pub(crate) use scalar::vector_scalar;

/// Applies an operator to two scalars; a comparison gives 1 or 0.
///
/// # Errors
/// `Invalid` for operators that exist for vectors only.
pub(crate) fn scalar_scalar(op: BinaryOp, l: f64, r: f64) -> Result<f64> {
    if op.is_trim() || op.is_set() {
        return Err(Error::invalid(format!("operator {:?} not allowed for Scalar operations", op.as_str())));
    }
    let mut out = [0.0];
    element::zip_floats(op, true, &[l], &[r], &[l], &mut out, &mut [1]);
    Ok(out[0])
}

/// Applies an operator to the series of two vectors that belong together.
///
/// # Errors
/// `Invalid` when series cannot be paired, with the text that Prometheus gives.
pub(crate) fn vector_vector(
    scope: &mut Scope<'_>,
    node: &Expr,
    binary: &Binary,
    lhs: Vec<Block>,
    rhs: Vec<Block>,
) -> Result<Vec<Block>> {
    if binary.op.is_set() {
        sets::set_operator(scope, binary, lhs, rhs)
    } else {
        join::join(scope, node, binary, lhs, rhs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars() {
        let check = |op, l, r, want: Option<f64>| {
            let got = scalar_scalar(op, l, r).ok();
            assert_eq!(got.map(f64::to_bits), want.map(f64::to_bits), "{l} {op:?} {r}");
        };
        check(BinaryOp::Mod, -7.0, 3.0, Some(-1.0));
        check(BinaryOp::Pow, 2.0, -1.0, Some(0.5));
        check(BinaryOp::Div, 1.0, -0.0, Some(f64::NEG_INFINITY));
        check(BinaryOp::Atan2, 0.0, -1.0, Some(std::f64::consts::PI));
        check(BinaryOp::Eq, f64::NAN, f64::NAN, Some(0.0));
        check(BinaryOp::Ne, f64::NAN, f64::NAN, Some(1.0));
        check(BinaryOp::TrimUpper, 1.0, 2.0, None);
    }
}
