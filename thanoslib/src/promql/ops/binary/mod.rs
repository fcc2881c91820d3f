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
mod tests;
