//! Functions over windows of samples: one value for each step from the samples before it.
//!
//! Each function is a kernel that walks all windows of one series, choosing the function
//! once and keeping what neighbouring windows share.
//!
//! Beside one pass over all samples, a step costs
//!
//! | functions | floats | histograms |
//! |---|---|---|
//! | count, present, first, last, `ts_of_*`, changes, resets, irate, idelta, min, max | constant, amortised | constant |
//! | rate, increase, delta, their extended forms, `x*` | logarithmic, and each reset in the window; of more than 64 resets constant, amortised | the same, and each change of layout; extended: each hint in the window |
//! | sum, avg, stddev, stdvar, deriv, `predict_linear` | up to 64 samples, or 8 steps: each sample in the window; else constant, amortised | sum and avg: the same, but where the layout changes |
//! | quantile, mad | each sample in the window, by selection | - |
//! | `double_exponential_smoothing` | each sample in the window, since it depends on the first | - |
//!
//! Where a sum takes samples in another order than upstream, it differs in the last digits.
//!
//! Invariant: sees one series at a time, stale marks removed; knows no selects.

mod changes;
mod counts;
mod edges;
mod ends;
mod extended;
mod extended_histogram;
mod extremes;
mod histogram_delta;
mod instant_delta;
mod interpolate;
mod lanes;
mod largest;
mod notes;
mod over_time;
mod plain;
mod plain_histograms;
mod plain_rate;
mod rate;
mod regression;
mod runs;
mod sliding;
mod sliding_histogram;
mod smoothed;
mod smoothing;
mod spread;
mod start_time;
mod stretch;
mod window;
mod x_rate;

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    model::{FloatHistogram, Labels},
    promql::{
        Block, FunctionId, Grain, Steps,
        ast::{Expr, Extension, Node},
        exec::Looked,
        names::drop_name,
        plan::{RangePlan, Reach, Reference},
        scope::Scope,
    },
    series::SampleColumns,
};

pub(crate) use edges::Edged;
pub(crate) use smoothed::Smoothed;

use notes::Notes;
use plain_histograms::Steady;
use sliding::LongWindows;
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
    extension: Option<Extension>,
    reach: Reach,
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
            extension: plan.extension,
            reach: plan.reach,
            params,
            vector_position: position(&plan.exprs[plan.vector]),
            first_position: position(&plan.exprs[0]),
        }
    }

    /// True when results lose their metadata labels.
    pub(crate) fn drops_name(&self) -> bool {
        !matches!(self.id, FunctionId::FirstOverTime | FunctionId::LastOverTime | FunctionId::AbsentOverTime)
    }

    /// Applies the function to a selected series and counts the samples that it looks at; false when
    /// no step has a value. Labels are those of the series, [with their names](Self::drops_name).
    ///
    /// # Errors
    /// Bad parameters, cancellation.
    pub(crate) fn over_columns(
        &self,
        scope: &mut Scope<'_>,
        labels: &Labels,
        columns: &SampleColumns,
        grain: &Grain,
        looked: &mut Looked,
        out: &mut Block,
    ) -> Result<bool> {
        let with_starts = scope.options.start_timestamps;
        if columns.floats.is_empty()
            && self.is_steady()
            && grain.stretches.is_empty()
            && (columns.histograms.st.is_empty() || !with_starts)
            && let Some(steady) = Steady::of(&columns.histograms)
        {
            scope.check()?;
            out.reset(labels, self.steps.count);
            out.drop_name = false;
            self.steady(&steady, looked, out);
            return Ok(!out.is_empty());
        }
        let histograms: Vec<_> =
            (0..columns.histograms.len()).map(|i| Arc::new(columns.histograms.get(i))).collect();
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
        self.over_samples(scope, labels, false, &samples, looked, out)
    }

    /// Applies the function to the values of a subquery and counts those that it looks at.
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
        looked: &mut Looked,
    ) -> Result<Option<Block>> {
        let samples = Samples {
            ft: floats.0,
            fv: floats.1,
            fs: &[],
            ht: histograms.0,
            hv: histograms.1,
            hs: &[],
            grain: None,
        };
        let mut block = Block::default();
        let any = self.over_samples(scope, labels, dropping, &samples, looked, &mut block)?;
        if any && self.drops_name() {
            drop_name(&mut block, scope.options);
        }
        Ok(any.then_some(block))
    }

    fn over_samples(
        &self,
        scope: &mut Scope<'_>,
        labels: &Labels,
        dropping: bool,
        samples: &Samples<'_>,
        looked: &mut Looked,
        block: &mut Block,
    ) -> Result<bool> {
        scope.check()?;
        block.reset(labels, self.steps.count);
        block.drop_name = dropping;
        let mut notes = Notes::new(scope.annotations, labels, self.vector_position, self.first_position);
        let floats_in_windows = self.plain(samples, block, &mut notes)?;
        if floats_in_windows.is_none() {
            self.windows(samples, block, &mut notes)?;
        }
        self.count(samples, floats_in_windows, looked);
        if block.is_empty() {
            return Ok(false);
        }
        if matches!(self.id, FunctionId::Rate | FunctionId::Increase) && !block.present.is_empty() {
            notes.possible_non_counter(scope.options.type_and_unit_labels);
        }
        Ok(true)
    }

    fn windows(&self, samples: &Samples<'_>, block: &mut Block, notes: &mut Notes<'_>) -> Result<()> {
        use FunctionId as F;
        let each = |block, of: &mut dyn FnMut(&Window<'_>) -> Result<Option<Output>>| {
            self.each_window(samples, block, of)
        };
        match self.id {
            F::Xdelta | F::Xincrease | F::Xrate => {
                let mut kernel = x_rate::XRate::new(self.id, self.steps.count, self.range_ms, samples)?;
                each(block, &mut |w| Ok(kernel.at(w)))
            }
            F::Rate | F::Increase | F::Delta if self.extension.is_some() => {
                let smoothed = self.extension == Some(Extension::Smoothed);
                let kernel = extended::Extended::new(self.id, smoothed, self.range_ms, samples);
                each(block, &mut |w| Ok(kernel.at(w, notes)))
            }
            F::Rate | F::Increase | F::Delta => {
                let mut kernel = rate::Rate::new(self.id, self.steps.count, self.range_ms, samples);
                each(block, &mut |w| Ok(kernel.at(w, notes)))
            }
            F::Irate | F::Idelta => each(block, &mut |w| Ok(instant_delta::at(self.id, w, notes))),
            F::Changes | F::Resets => {
                let kernel = changes::Events::new(self.id, samples);
                match self.extension {
                    Some(_) => each(block, &mut |w| Ok(kernel.anchored(w))),
                    None => each(block, &mut |w| Ok(Some(kernel.at(w)))),
                }
            }
            F::MinOverTime | F::MaxOverTime | F::TsOfMinOverTime | F::TsOfMaxOverTime => {
                let mut kernel = extremes::Extreme::new(self.id, samples);
                each(block, &mut |w| Ok(kernel.at(w, notes)))
            }
            F::Deriv => {
                let mut kernel = regression::Lines::new(self.steps.count, samples);
                each(block, &mut |w| Ok(kernel.deriv(w, notes)))
            }
            F::PredictLinear => {
                let mut kernel = regression::Lines::new(self.steps.count, samples);
                each(block, &mut |w| Ok(kernel.predict(w, self.param(0, w.step)?, notes)))
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
            F::StddevOverTime | F::StdvarOverTime => {
                let root = self.id == F::StddevOverTime;
                let mut long = LongWindows::new(self.steps.count, samples.fv);
                each(block, &mut |w| Ok(spread::deviation(w, root, &mut long, notes)))
            }
            F::SumOverTime | F::AvgOverTime => {
                let average = self.id == F::AvgOverTime;
                let mut kernel = over_time::Sums::new(average, self.steps.count, samples);
                each(block, &mut |w| Ok(kernel.at(w, notes)))
            }
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
            self.advance(samples.ft, end_ms, &mut f);
            self.advance(samples.ht, end_ms, &mut h);
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

    /// Moves a window, with its reach, to the range that ends at `end_ms`.
    fn advance(&self, times: &[i64], end_ms: i64, window: &mut std::ops::Range<usize>) {
        let start_ms = end_ms.saturating_sub(self.range_ms).saturating_sub(self.reach.before_ms);
        window::advance(times, start_ms, end_ms.saturating_add(self.reach.after_ms), window);
    }

    fn param(&self, index: usize, step: usize) -> Result<f64> {
        let of_step = self.params.get(index).and_then(|p| p.get(step)).copied();
        of_step.ok_or_else(|| Error::internal("a scalar argument has no value for a step"))
    }
}
