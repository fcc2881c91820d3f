//! `histogram_quantile`, `histogram_quantiles`, `histogram_fraction`.
//!
//! Native histograms are values of a series. Classic ones are groups of series that differ in
//! the label `le` only; they are put together once, then computed step by step.

mod classic;

use std::{collections::HashMap, sync::Arc};

use crate::{
    error::Result,
    model::{
        FloatHistogram, Labels, LabelsBuilder,
        float::{General, Quoted, write_openmetrics},
        histogram::{NanObservations, bucket_fraction, bucket_quantile},
    },
    promql::{
        Block,
        ast::Expr,
        names::{delayed_metric_name, drop_name, unique},
        scope::Scope,
    },
};

use classic::{Classic, Forced};

/// Native histograms by step.
type Points = Vec<(u32, Arc<FloatHistogram>)>;

/// The histograms of an argument.
struct Histograms {
    /// Series with native histograms.
    native: Vec<(Labels, Points)>,
    /// Groups of buckets, in order of their first bucket.
    classic: Vec<Classic>,
}

/// ` for metric name "m"`, or nothing for an empty name.
fn for_metric(name: &[u8]) -> String {
    if name.is_empty() { String::new() } else { format!(" for metric name {}", Quoted(name)) }
}

impl Histograms {
    fn new(scope: &mut Scope<'_>, blame: &Expr, blocks: Vec<Block>) -> Self {
        let mut native = Vec::new();
        let mut classic: Vec<Classic> = Vec::new();
        let mut index: HashMap<Labels, usize> = HashMap::new();
        for mut block in blocks {
            if !block.histograms.is_empty() {
                native.push((block.labels.clone(), std::mem::take(&mut block.histograms)));
            }
            if !block.present.is_empty() {
                classic::add(scope, blame, &mut classic, &mut index, block);
            }
        }
        for (labels, histograms) in &mut native {
            if let Some(group) = index.get(labels) {
                classic[*group].exclude_native(scope, blame, histograms);
            }
        }
        native.retain(|(_, histograms)| !histograms.is_empty());
        Self { native, classic }
    }

    /// Adds the quantiles `q` of all histograms to `out`.
    fn quantiles(
        &self,
        scope: &mut Scope<'_>,
        blame: &Expr,
        q: &[f64],
        forced: &mut Forced,
        mut set: impl FnMut(usize, &Labels, usize, f64),
    ) -> Result<()> {
        for (series, (labels, histograms)) in self.native.iter().enumerate() {
            scope.check()?;
            for (i, h) in histograms {
                let quantile = h.quantile(q[*i as usize]);
                if let Some(nan) = quantile.nan {
                    let effect = match nan {
                        NanObservations::NanResult => "result is NaN",
                        NanObservations::Skewed => "result is skewed higher",
                    };
                    scope.info(
                        blame,
                        format!(
                            "input to histogram_quantile has NaN observations, {effect}{}",
                            for_metric(delayed_metric_name(labels, scope.options))
                        ),
                    );
                }
                set(series, labels, *i as usize, quantile.value);
            }
        }
        let mut buckets = Vec::new();
        for (series, group) in self.classic.iter().enumerate() {
            scope.check()?;
            for i in group.steps.iter() {
                group.fill(i, &mut buckets);
                let quantile = bucket_quantile(q[i], &mut buckets);
                if let Some(repair) = quantile.forced {
                    forced.add(delayed_metric_name(&group.labels, scope.options), i, series, repair);
                }
                set(self.native.len() + series, &group.labels, i, quantile.value);
            }
        }
        Ok(())
    }
}

/// Warns about quantiles that do not exist.
fn check_quantiles(scope: &mut Scope<'_>, blame: &Expr, q: &[f64]) {
    let mut last = 0u64;
    for q in q.iter().filter(|q| !(0.0..=1.0).contains(*q)) {
        if q.to_bits() != last {
            scope.warn(blame, format!("quantile value should be between 0 and 1, got {}", General(*q)));
            last = q.to_bits();
        }
    }
}

/// Result series by the number of a histogram series.
struct Results {
    steps: usize,
    places: HashMap<usize, usize>,
    /// The series that was set last, and its place.
    last: Option<(usize, usize)>,
    blocks: Vec<Block>,
}

impl Results {
    fn new(steps: usize) -> Self {
        Self { steps, places: HashMap::new(), last: None, blocks: Vec::new() }
    }

    fn set(&mut self, series: usize, labels: &Labels, step: usize, v: f64) {
        let place = match self.last {
            Some((last, place)) if last == series => place,
            _ => *self.places.entry(series).or_insert_with(|| {
                self.blocks.push(Block::new(labels.clone(), self.steps));
                self.blocks.len() - 1
            }),
        };
        self.last = Some((series, place));
        self.blocks[place].set(step, v);
    }

    fn finish(mut self, scope: &Scope<'_>) -> Result<Vec<Block>> {
        for block in &mut self.blocks {
            drop_name(block, scope.options);
        }
        unique(scope, self.blocks)
    }
}

/// `histogram_quantile(q, v)`.
pub(super) fn quantile(
    scope: &mut Scope<'_>,
    exprs: &[Expr],
    q: &[f64],
    blocks: Vec<Block>,
) -> Result<Vec<Block>> {
    let [q_expr, blame, ..] = exprs else { return Ok(Vec::new()) };
    check_quantiles(scope, q_expr, q);
    let histograms = Histograms::new(scope, blame, blocks);
    let mut results = Results::new(scope.steps.count);
    let mut forced = Forced::default();
    histograms
        .quantiles(scope, blame, q, &mut forced, |series, labels, i, v| results.set(series, labels, i, v))?;
    forced.report(scope, blame);
    results.finish(scope)
}

/// `histogram_quantiles(v, label, q…)`: the quantile becomes the value of a label.
pub(super) fn quantiles(
    scope: &mut Scope<'_>,
    exprs: &[Expr],
    blocks: Vec<Block>,
    label: &[u8],
    qs: &[Vec<f64>],
) -> Result<Vec<Block>> {
    let [blame, _, q_exprs @ ..] = exprs else { return Ok(Vec::new()) };
    for (expr, q) in q_exprs.iter().zip(qs) {
        check_quantiles(scope, expr, q);
    }
    let histograms = Histograms::new(scope, blame, blocks);
    let steps = scope.steps.count;
    let mut forced = Forced::default();
    let mut out = Vec::new();
    for q in qs {
        // A quantile that changes from step to step gives a series for each of its values.
        let mut places: HashMap<(usize, u64), usize> = HashMap::new();
        histograms.quantiles(scope, blame, q, &mut forced, |series, labels, i, v| {
            let place = *places.entry((series, q[i].to_bits())).or_insert_with(|| {
                let mut text = String::new();
                // Writing to a string does not fail.
                let _ = write_openmetrics(&mut text, q[i]);
                let labels = LabelsBuilder::from_labels(labels.view()).set(label, &text).labels();
                out.push(Block::new(labels, steps));
                out.len() - 1
            });
            let block: &mut Block = &mut out[place];
            block.set(i, v);
        })?;
    }
    forced.report(scope, blame);
    for block in &mut out {
        drop_name(block, scope.options);
    }
    unique(scope, out)
}

/// `histogram_fraction(lower, upper, v)`.
pub(super) fn fraction(
    scope: &mut Scope<'_>,
    exprs: &[Expr],
    lower: &[f64],
    upper: &[f64],
    blocks: Vec<Block>,
) -> Result<Vec<Block>> {
    let [_, _, blame, ..] = exprs else { return Ok(Vec::new()) };
    let histograms = Histograms::new(scope, blame, blocks);
    let mut results = Results::new(scope.steps.count);
    for (series, (labels, native)) in histograms.native.iter().enumerate() {
        scope.check()?;
        for (i, h) in native {
            let fraction = h.fraction(lower[*i as usize], upper[*i as usize]);
            if fraction.nan_excluded {
                scope.info(
                    blame,
                    format!(
                        "input to histogram_fraction has NaN observations, which are excluded from all \
                         fractions{}",
                        for_metric(delayed_metric_name(labels, scope.options))
                    ),
                );
            }
            results.set(series, labels, *i as usize, fraction.value);
        }
    }
    let mut buckets = Vec::new();
    for (series, group) in histograms.classic.iter().enumerate() {
        scope.check()?;
        for i in group.steps.iter() {
            group.fill(i, &mut buckets);
            let v = bucket_fraction(lower[i], upper[i], &mut buckets);
            results.set(histograms.native.len() + series, &group.labels, i, v);
        }
    }
    results.finish(scope)
}
