//! `and`, `or`, `unless`.

use crate::{
    error::Result,
    promql::{
        BitSet, Block,
        ast::{Binary, BinaryOp},
        names::{steps_of, unique},
        scope::Scope,
    },
};

use super::matching::Signatures;

/// Keeps the samples of the left side that have a partner (`and`) or none (`unless`), or adds
/// those of the right side that have none (`or`).
pub(super) fn set_operator(
    scope: &mut Scope<'_>,
    binary: &Binary,
    mut lhs: Vec<Block>,
    mut rhs: Vec<Block>,
) -> Result<Vec<Block>> {
    let mut signatures = Signatures::default();
    let left = signatures.assign(&binary.matching, &lhs);
    let right = signatures.assign(&binary.matching, &rhs);
    let mut covered = vec![BitSet::new(scope.steps.count); signatures.labels.len()];
    let mut cover = |ids: &[usize], blocks: &[Block]| {
        ids.iter().zip(blocks).for_each(|(id, block)| covered[*id].union(&steps_of(block)));
    };
    match binary.op {
        BinaryOp::Or => {
            cover(&left, &lhs);
            for (id, block) in right.iter().zip(&mut rhs) {
                scope.check()?;
                retain(block, &covered[*id], false);
            }
            lhs.append(&mut rhs);
        }
        _ => {
            cover(&right, &rhs);
            for (id, block) in left.iter().zip(&mut lhs) {
                scope.check()?;
                retain(block, &covered[*id], binary.op == BinaryOp::And);
            }
        }
    }
    lhs.retain(|b| !b.is_empty());
    // Both sides may bring the same series at different steps.
    if binary.op == BinaryOp::Or { unique(scope, lhs) } else { Ok(lhs) }
}

/// Keeps the values of steps that are in the set, or of those that are not.
fn retain(block: &mut Block, steps: &BitSet, inside: bool) {
    if inside {
        block.present.intersect(steps);
    } else {
        block.present.subtract(steps);
    }
    block.histograms.retain(|(i, _)| steps.contains(*i as usize) == inside);
}
