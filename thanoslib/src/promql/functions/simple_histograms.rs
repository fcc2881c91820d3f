//! One number of each native histogram: count, sum, average, deviation.

use crate::{
    error::Result,
    model::{FloatHistogram, LABEL_NAME},
    promql::{BitSet, Block, names::unique, scope::Scope},
};

use crate::promql::ast::FunctionId as Id;

/// The number that a function takes from a histogram.
pub(super) fn statistic(id: Id) -> Option<fn(&FloatHistogram) -> f64> {
    Some(match id {
        Id::HistogramCount => |h| h.count,
        Id::HistogramSum => |h| h.sum,
        Id::HistogramAvg => |h| h.sum / h.count,
        Id::HistogramStdvar => FloatHistogram::variance,
        Id::HistogramStddev => FloatHistogram::deviation,
        _ => return None,
    })
}

/// Takes a number from each histogram; floats fall away.
pub(super) fn apply(
    scope: &Scope<'_>,
    mut blocks: Vec<Block>,
    statistic: fn(&FloatHistogram) -> f64,
) -> Result<Vec<Block>> {
    blocks.retain(|b| !b.histograms.is_empty());
    for block in &mut blocks {
        scope.check()?;
        block.present = BitSet::new(block.floats.len());
        for (i, h) in std::mem::take(&mut block.histograms) {
            block.set(i as usize, statistic(&h));
        }
        if scope.options.delayed_name_removal {
            block.drop_name = true;
        } else {
            // Compat: promql/functions.go, simpleHistogramFunc: type and unit labels stay.
            block.labels = block.labels.filter(|l| l.name != LABEL_NAME.as_bytes());
        }
    }
    unique(scope, blocks)
}
