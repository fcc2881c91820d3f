//! Classic histograms: series that differ in `le` only.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{
    model::{
        FloatHistogram, Labels,
        float::{General, Quoted, parse_float, write_general_precision},
        histogram::{ClassicBucket, ForcedMonotonicity},
    },
    promql::{BitSet, Block, ast::Expr, names::delayed_metric_name, scope::Scope},
};

use super::{super::dates::Rfc3339, for_metric};

/// The buckets of one classic histogram.
#[derive(Debug)]
pub(super) struct Classic {
    /// Labels without `le`.
    pub(super) labels: Labels,
    /// Steps at which some bucket has a value.
    pub(super) steps: BitSet,
    /// Upper bounds and counts, in input order.
    buckets: Vec<(f64, Block)>,
}

/// Adds a series to the group that it is a bucket of.
pub(super) fn add(
    scope: &mut Scope<'_>,
    blame: &Expr,
    groups: &mut Vec<Classic>,
    index: &mut HashMap<Labels, usize>,
    block: Block,
) {
    let le = block.labels.get("le").unwrap_or_default();
    let Some(bound) = std::str::from_utf8(le).ok().and_then(|le| parse_float(le).ok()) else {
        let name = delayed_metric_name(&block.labels, scope.options);
        scope.warn(
            blame,
            format!(
                "bucket label \"le\" is missing or has a malformed value of {}{}",
                Quoted(le),
                for_metric(name)
            ),
        );
        return;
    };
    let labels = block.labels.filter(|l| l.name != b"le");
    let group = *index.entry(labels).or_insert_with_key(|labels| {
        let steps = BitSet::new(block.floats.len());
        groups.push(Classic { labels: labels.clone(), steps, buckets: Vec::new() });
        groups.len() - 1
    });
    groups[group].steps.union(&block.present);
    groups[group].buckets.push((bound, block));
}

impl Classic {
    /// Removes the steps that have both buckets and a native histogram, from both sides.
    pub(super) fn exclude_native(
        &mut self,
        scope: &mut Scope<'_>,
        blame: &Expr,
        native: &mut Vec<(u32, Arc<FloatHistogram>)>,
    ) {
        native.retain(|(i, _)| {
            let both = self.steps.contains(*i as usize);
            if both {
                self.steps.remove(*i as usize);
                let name = delayed_metric_name(&self.labels, scope.options);
                scope.warn(
                    blame,
                    format!("vector contains a mix of classic and native histograms{}", for_metric(name)),
                );
            }
            !both
        });
    }

    /// Collects the buckets of a step.
    pub(super) fn fill(&self, step: usize, out: &mut Vec<ClassicBucket>) {
        out.clear();
        for (upper_bound, block) in &self.buckets {
            if let Some(count) = block.float(step) {
                out.push(ClassicBucket { upper_bound: *upper_bound, count });
            }
        }
    }
}

/// Repairs of classic histograms whose counts shrank towards higher bounds: by metric name, as
/// far as annotations tell it, those of each step.
#[derive(Debug, Default)]
pub(super) struct Forced(BTreeMap<Vec<u8>, BTreeMap<usize, Vec<ForcedMonotonicity>>>);

impl Forced {
    pub(super) fn add(&mut self, name: &[u8], step: usize, repair: ForcedMonotonicity) {
        self.0.entry(name.to_vec()).or_default().entry(step).or_default().push(repair);
    }

    /// Adds one info for each metric name.
    pub(super) fn report(self, scope: &mut Scope<'_>, blame: &Expr) {
        for (name, steps) in self.0 {
            let repairs = || steps.values().flatten();
            let min = repairs().map(|r| r.min_bound).fold(f64::INFINITY, f64::min);
            let max = repairs().map(|r| r.max_bound).fold(f64::NEG_INFINITY, f64::max);
            let diff = repairs().map(|r| r.max_diff).fold(0.0, f64::max);
            // Compat: the text has whole seconds (util/annotations).
            let time = |i: Option<&usize>| {
                let t = scope.steps.time(i.copied().unwrap_or_default());
                Rfc3339(t.saturating_sub(t.rem_euclid(1000)))
            };
            let (first, last) = (time(steps.keys().next()), time(steps.keys().next_back()));
            let mut diff_text = String::new();
            // Writing to a string does not fail.
            let _ = write_general_precision(&mut diff_text, diff, 2);
            let text = format!(
                "input to histogram_quantile needed to be fixed for monotonicity (see \
                 https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){}, from \
                 buckets {} to {}, with a max diff of {diff_text}, over {} samples from {first} to {last}",
                for_metric(&name),
                General(min),
                General(max),
                counted(steps.values().map(Vec::len))
            );
            scope.info(blame, text);
        }
    }
}

/// How many samples Prometheus says that were repaired, from the repairs of each step.
///
/// Compat: util/annotations: each merge of two remarks counts one more, and after the first step
/// the sum so far is merged with itself.
fn counted(steps: impl Iterator<Item = usize>) -> u64 {
    let mut total: Option<u64> = None;
    for repairs in steps {
        let repairs = repairs as u64;
        total = Some(match total {
            None => repairs,
            Some(n) => n.saturating_add(repairs).saturating_mul(2),
        });
    }
    total.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_repaired_samples() {
        let check = |steps: usize, want| assert_eq!(counted((0..steps).map(|_| 1)), want);
        check(1, 1);
        check(2, 4);
        check(4, 22);
        check(6, 94);
    }
}
