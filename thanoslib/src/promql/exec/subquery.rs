//! The values of a subquery as samples.

use std::sync::Arc;

use crate::{
    error::Result,
    model::{CounterReset, FloatHistogram},
    promql::{Block, MatrixSeries, Steps, functions::range::RangeCall, scope::Scope},
};

use super::Looked;

/// The samples of one series of a subquery.
#[derive(Debug)]
pub(super) struct Points {
    pub(super) ft: Vec<i64>,
    fv: Vec<f64>,
    pub(super) ht: Vec<i64>,
    pub(super) hv: Vec<Arc<FloatHistogram>>,
}

impl Points {
    /// The values of a block, each at the time of its step.
    pub(super) fn of(block: &Block, steps: Steps) -> Self {
        let count = block.present.count();
        let (mut ft, mut fv) = (Vec::with_capacity(count), Vec::with_capacity(count));
        if count == steps.count {
            ft.extend(steps.iter());
            fv.extend_from_slice(&block.floats);
        } else {
            for step in block.present.iter() {
                ft.push(steps.time(step));
                fv.push(block.floats[step]);
            }
        }
        let (mut ht, mut hv) = (Vec::new(), Vec::new());
        for (step, h) in &block.histograms {
            ht.push(steps.time(*step as usize));
            hv.push(without_hint(h));
        }
        Self { ft, fv, ht, hv }
    }

    /// Applies a range function; `block` gives the labels.
    pub(super) fn apply(
        &self,
        call: &RangeCall,
        scope: &mut Scope<'_>,
        block: &Block,
        looked: &mut Looked,
    ) -> Result<Option<Block>> {
        let (floats, histograms) = ((&self.ft[..], &self.fv[..]), (&self.ht[..], &self.hv[..]));
        call.over_values(scope, &block.labels, block.drop_name, floats, histograms, looked)
    }
}

/// What a hint says of two neighbouring samples is not true of two inner steps.
fn without_hint(h: &Arc<FloatHistogram>) -> Arc<FloatHistogram> {
    match h.hint {
        CounterReset::Reset | CounterReset::NotReset => {
            Arc::new(FloatHistogram { hint: CounterReset::Unknown, ..h.as_ref().clone() })
        }
        CounterReset::Unknown | CounterReset::Gauge => Arc::clone(h),
    }
}

/// The samples after `window.0` up to `window.1`, for a subquery that is the whole query.
pub(super) fn window(blocks: &[Block], steps: Steps, window: (i64, i64)) -> Vec<(MatrixSeries, bool)> {
    let inside = |t: i64| window.0 < t && t <= window.1;
    let series = blocks.iter().map(|block| {
        let points = Points::of(block, steps);
        let floats = points.ft.into_iter().zip(points.fv).filter(|(t, _)| inside(*t)).collect();
        let histograms = points.ht.into_iter().zip(points.hv).filter(|(t, _)| inside(*t)).collect();
        (MatrixSeries { labels: block.labels.clone(), floats, histograms }, block.drop_name)
    });
    series.filter(|(s, _)| !s.floats.is_empty() || !s.histograms.is_empty()).collect()
}
