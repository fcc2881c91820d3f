//! Functions over windows of samples: one value for each step from the samples before it.
//!
//! Each function is a kernel that walks all windows of one series, choosing the function
//! once and keeping what neighbouring windows share.
//!
//! Invariant: sees one series at a time, stale marks removed; knows no selects.

mod changes;
mod edges;
mod extremes;
mod histogram_delta;
mod instant_delta;
mod notes;
mod over_time;
mod rate;
mod regression;
mod smoothing;
mod spread;
mod start_time;
mod window;

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    model::{FloatHistogram, Labels},
    promql::{
        Block, FunctionId, Grain, Steps,
        ast::{Expr, Node},
        exec::histogram_bytes,
        names::drop_name,
        plan::{RangePlan, Reference},
        scope::Scope,
    },
    series::SampleColumns,
};

use notes::Notes;
use window::{Samples, Window};

/// What a function gives at a step.
#[derive(Debug)]
enum Output {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// A range function with its parameters, as plain data.
#[derive(Debug)]
pub(crate) struct RangeCall {
    id: FunctionId,
    steps: Steps,
    reference: Reference,
    range_ms: i64,
    /// Scalar arguments, each with a value for each step.
    params: Vec<Vec<f64>>,
    /// Where the range vector stands in the query.
    vector_position: Option<(u32, u32)>,
    /// Where the first argument stands in the query.
    first_position: Option<(u32, u32)>,
}

impl RangeCall {
    /// The call of a plan; `params` holds a value for each step of each scalar argument.
    pub(crate) fn new(plan: &RangePlan<'_>, params: Vec<Vec<f64>>, scope: &Scope<'_>) -> Self {
        // Compat: a blamed subquery always stands at the start (promql/engine.go).
        let position = |expr: &Expr| match expr.node {
            Node::Subquery(_) => expr.span.map(|_| (1, 1)),
            _ => scope.position(expr),
        };
        Self {
            id: plan.id,
            steps: plan.steps,
            reference: plan.reference,
            range_ms: plan.range_ms,
            params,
            vector_position: position(&plan.exprs[plan.vector]),
            first_position: position(&plan.exprs[0]),
        }
    }

    /// True when results lose their metadata labels.
    pub(crate) fn drops_name(&self) -> bool {
        !matches!(self.id, FunctionId::FirstOverTime | FunctionId::LastOverTime | FunctionId::AbsentOverTime)
    }

    /// Applies the function to a selected series; also gives the weight of the samples seen.
    ///
    /// # Errors
    /// Bad parameters, cancellation.
    pub(crate) fn over_columns(
        &self,
        scope: &mut Scope<'_>,
        labels: &Labels,
        columns: &SampleColumns,
        grain: &Grain,
    ) -> Result<Option<(Block, u64)>> {
        let histograms: Vec<_> =
            (0..columns.histograms.len()).map(|i| Arc::new(columns.histograms.get(i))).collect();
        let with_starts = scope.options.start_timestamps;
        let starts = |st| if with_starts { st } else { &[][..] };
        let samples = Samples {
            ft: &columns.floats.ts,
            fv: &columns.floats.vs,
            fs: starts(&columns.floats.st),
            ht: &columns.histograms.ts,
            hv: &histograms,
            hs: starts(&columns.histograms.st),
            grain: (!grain.stretches.is_empty()).then_some(grain),
        };
        self.over_samples(scope, labels, false, &samples)
    }

    /// Applies the function to the values of a subquery.
    ///
    /// # Errors
    /// Bad parameters, cancellation.
    pub(crate) fn over_values(
        &self,
        scope: &mut Scope<'_>,
        labels: &Labels,
        dropping: bool,
        floats: (&[i64], &[f64]),
        histograms: (&[i64], &[Arc<FloatHistogram>]),
    ) -> Result<Option<(Block, u64)>> {
        let samples = Samples {
            ft: floats.0,
            fv: floats.1,
            fs: &[],
            ht: histograms.0,
            hv: histograms.1,
            hs: &[],
            grain: None,
        };
        self.over_samples(scope, labels, dropping, &samples)
    }

    fn over_samples(
        &self,
        scope: &mut Scope<'_>,
        labels: &Labels,
        dropping: bool,
        samples: &Samples<'_>,
    ) -> Result<Option<(Block, u64)>> {
        scope.check()?;
        let mut block = Block::new(labels.clone(), self.steps.count);
        block.drop_name = dropping;
        let mut notes = Notes::new(scope.annotations, labels, self.vector_position, self.first_position);
        self.windows(samples, &mut block, &mut notes)?;
        if block.is_empty() {
            return Ok(None);
        }
        if matches!(self.id, FunctionId::Rate | FunctionId::Increase) && !block.present.is_empty() {
            notes.possible_non_counter(scope.options.type_and_unit_labels);
        }
        if self.drops_name() {
            drop_name(&mut block, scope.options);
        }
        Ok(Some((block, self.weight(samples))))
    }

    fn windows(&self, samples: &Samples<'_>, block: &mut Block, notes: &mut Notes<'_>) -> Result<()> {
        use FunctionId as F;
        let each = |block, of: &mut dyn FnMut(&Window<'_>) -> Result<Option<Output>>| {
            self.each_window(samples, block, of)
        };
        match self.id {
            F::Rate | F::Increase | F::Delta => {
                let kernel = rate::Rate::new(self.id, self.range_ms, samples);
                each(block, &mut |w| Ok(kernel.at(w, notes)))
            }
            F::Irate | F::Idelta => each(block, &mut |w| Ok(instant_delta::at(self.id, w, notes))),
            F::Changes | F::Resets => {
                let kernel = changes::Events::new(self.id, samples);
                each(block, &mut |w| Ok(Some(kernel.at(w))))
            }
            F::MinOverTime | F::MaxOverTime | F::TsOfMinOverTime | F::TsOfMaxOverTime => {
                let mut kernel = extremes::Extreme::new(self.id, samples);
                each(block, &mut |w| Ok(kernel.at(w, notes)))
            }
            F::Deriv => each(block, &mut |w| Ok(regression::deriv(w, notes))),
            F::PredictLinear => {
                each(block, &mut |w| Ok(regression::predict(w, self.param(0, w.step)?, notes)))
            }
            F::DoubleExponentialSmoothing => each(block, &mut |w| {
                smoothing::double_exponential(w, self.param(0, w.step)?, self.param(1, w.step)?, notes)
            }),
            F::QuantileOverTime => {
                let mut scratch = Vec::new();
                each(block, &mut |w| Ok(spread::quantile(w, self.param(0, w.step)?, &mut scratch, notes)))
            }
            F::MadOverTime => {
                let mut scratch = Vec::new();
                each(block, &mut |w| Ok(spread::mad(w, &mut scratch, notes)))
            }
            F::StddevOverTime => each(block, &mut |w| Ok(spread::deviation(w, true, notes))),
            F::StdvarOverTime => each(block, &mut |w| Ok(spread::deviation(w, false, notes))),
            F::SumOverTime => each(block, &mut |w| Ok(over_time::sum(w, notes))),
            F::AvgOverTime => each(block, &mut |w| Ok(over_time::avg(w, notes))),
            F::CountOverTime => each(block, &mut |w| Ok(Some(Output::Float(w.scrapes())))),
            F::PresentOverTime | F::AbsentOverTime => each(block, &mut |_| Ok(Some(Output::Float(1.0)))),
            F::FirstOverTime => each(block, &mut |w| Ok(over_time::first(w))),
            F::LastOverTime => each(block, &mut |w| Ok(over_time::last(w))),
            F::TsOfFirstOverTime => each(block, &mut |w| Ok(over_time::first_time(w))),
            F::TsOfLastOverTime => each(block, &mut |w| Ok(over_time::last_time(w))),
            other => Err(Error::internal(format!("{other:?} is no function of a range vector"))),
        }
    }

    /// Calls `of` for each window that holds a sample.
    fn each_window(
        &self,
        samples: &Samples<'_>,
        block: &mut Block,
        of: &mut dyn FnMut(&Window<'_>) -> Result<Option<Output>>,
    ) -> Result<()> {
        let (mut f, mut h) = (0..0, 0..0);
        for step in 0..self.steps.count {
            let t_ms = self.steps.time(step);
            let end_ms = self.reference.time(t_ms);
            let start_ms = end_ms.saturating_sub(self.range_ms);
            window::advance(samples.ft, start_ms, end_ms, &mut f);
            window::advance(samples.ht, start_ms, end_ms, &mut h);
            if f.is_empty() && h.is_empty() {
                continue;
            }
            let window = Window { samples, step, t_ms, start_ms, end_ms, f: f.clone(), h: h.clone() };
            match of(&window)? {
                Some(Output::Float(v)) => block.set(step, v),
                Some(Output::Histogram(h)) => block.histograms.push((step as u32, h)),
                None => {}
            }
        }
        Ok(())
    }

    fn param(&self, index: usize, step: usize) -> Result<f64> {
        let of_step = self.params.get(index).and_then(|p| p.get(step)).copied();
        of_step.ok_or_else(|| Error::internal("a scalar argument has no value for a step"))
    }

    /// Weight of the samples in all windows; a histogram counts by its size.
    fn weight(&self, samples: &Samples<'_>) -> u64 {
        let mut sum = 0u64;
        let mut before = vec![0u64];
        for h in samples.hv {
            sum += (histogram_bytes(h) + 8) / 16;
            before.push(sum);
        }
        let (mut f, mut h) = (0..0, 0..0);
        let mut weight = 0;
        for t in self.steps.iter() {
            let end = self.reference.time(t);
            let start = end.saturating_sub(self.range_ms);
            window::advance(samples.ft, start, end, &mut f);
            window::advance(samples.ht, start, end, &mut h);
            weight += f.len() as u64 + before[h.end] - before[h.start];
        }
        weight
    }
}
