//! Operators between a vector and a scalar.

use crate::{
    error::Result,
    model::Value,
    promql::{
        Block,
        ast::{Binary, Expr},
        names::{drop_name, unique},
        scope::Scope,
    },
};

use super::element::{Remark, pair, zip_floats};

/// Applies an operator to each series of a vector and a scalar that has a value for each step.
///
/// `scalar_left` says on which side the scalar was written.
pub(crate) fn vector_scalar(
    scope: &mut Scope<'_>,
    node: &Expr,
    binary: &Binary,
    mut vector: Vec<Block>,
    scalar: &[f64],
    scalar_left: bool,
) -> Result<Vec<Block>> {
    let op = binary.op;
    // Comparisons without bool and trimming give back samples of the vector, name and all.
    let renamed = binary.return_bool || !op.is_comparison() && !op.is_trim();
    let mut scratch = vec![0.0; scope.steps.count];
    for block in &mut vector {
        scope.check()?;
        let floats = &block.floats;
        let (l, r) = if scalar_left { (scalar, &floats[..]) } else { (&floats[..], scalar) };
        if op.is_trim() && !block.present.is_empty() {
            Remark::Types(false, false).report(scope, node, op);
        }
        zip_floats(op, binary.return_bool, l, r, floats, &mut scratch, block.present.words_mut());
        std::mem::swap(&mut block.floats, &mut scratch);
        let mut kept = Vec::new();
        for (step, h) in block.histograms.drain(..) {
            let (h, v) = (Value::Histogram(h), Value::Float(scalar[step as usize]));
            match if scalar_left { pair(op, &v, &h) } else { pair(op, &h, &v) } {
                Ok(outcome) if outcome.keep => kept.push((step, outcome.value)),
                Ok(_) => {}
                Err(remark) => remark.report(scope, node, op),
            }
        }
        block.histograms = kept;
        if renamed {
            drop_name(block, scope.options);
        }
    }
    vector.retain(|b| !b.is_empty());
    if renamed { unique(scope, vector) } else { Ok(vector) }
}
