//! Runs a plan: leaves are read and reduced as they come, then the tree is evaluated.
//!
//! Invariant: one async driver awaits; everything else computes and never waits.

mod analysis;
mod common;
mod cut;
mod driver;
mod eval;
mod fold;
mod leaf;
mod looked;
mod meter;
mod result;
mod selector;
mod stack;
mod subquery;
mod windows;

pub(crate) use driver::{Query, run};
pub(crate) use looked::{Count, Looked};
pub(crate) use meter::{histogram_bytes, histogram_samples};
pub(crate) use result::assemble;
pub(crate) use stack::{depth, with_room};

use std::sync::Arc;

use crate::{
    context::Context,
    promql::{Annotations, EngineOptions, Steps, plan::Costs, scope::Scope},
};
use analysis::Recorder;
use meter::Meter;

/// What all parts of one running query share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Settings.
    options: EngineOptions,
    /// When to stop, and the budget.
    ctx: Context,
    /// The query text.
    text: Arc<str>,
    /// How far instant selectors look back, in ms.
    lookback_ms: i64,
    /// Samples held.
    meter: Meter,
    /// Costs of operators, if the query is analyzed.
    recorder: Option<Recorder>,
}

impl Shared {
    /// What the parts of a query share that has not begun.
    pub(crate) fn new(
        options: EngineOptions,
        ctx: Context,
        text: Arc<str>,
        lookback_ms: i64,
        analyze: bool,
    ) -> Self {
        let meter = Meter::new(options.samples_max);
        Self { options, ctx, text, lookback_ms, meter, recorder: analyze.then(Recorder::default) }
    }

    /// What operators cost so far, if the query is analyzed.
    pub(crate) fn costs(&self) -> Option<Costs> {
        self.recorder.as_ref().map(Recorder::costs)
    }

    /// Samples looked at so far as they come, and most samples held at a time.
    pub(crate) fn samples(&self) -> (u64, u64) {
        (self.meter.total(), self.meter.peak())
    }

    /// Most samples held at a time.
    pub(crate) fn peak_samples(&self) -> u64 {
        self.meter.peak()
    }

    /// A count of the samples that so many steps look at.
    fn looked(&self, steps: usize) -> Looked {
        Looked::new(self.options.per_step_stats, steps)
    }

    /// The query text.
    pub(crate) fn text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    fn scope<'a>(&'a self, steps: Steps, annotations: &'a mut Annotations) -> Scope<'a> {
        Scope { steps, options: &self.options, ctx: &self.ctx, text: &self.text, annotations }
    }
}
