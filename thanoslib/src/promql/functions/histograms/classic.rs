//! Classic histograms: series that differ in `le` only.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{
    model::{
        FloatHistogram, Labels,
        float::{Quoted, parse_float},
        histogram::{ClassicBucket, ForcedMonotonicity},
    },
    promql::{BitSet, Block, annotations::Repairs, ast::Expr, names::delayed_metric_name, scope::Scope},
};

use super::for_metric;

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
pub(super) struct Forced(BTreeMap<Vec<u8>, BTreeMap<usize, BTreeMap<usize, ForcedMonotonicity>>>);

impl Forced {
    /// Notes the repair of a histogram of some number, which of several quantiles the first one makes.
    pub(super) fn add(&mut self, name: &[u8], step: usize, series: usize, repair: ForcedMonotonicity) {
        let of_step = self.0.entry(name.to_vec()).or_default().entry(step).or_default();
        of_step.entry(series).or_insert(repair);
    }

    /// Adds one info for each metric name.
    pub(super) fn report(self, scope: &mut Scope<'_>, blame: &Expr) {
        for (name, steps) in self.0 {
            let repairs = || steps.values().flat_map(BTreeMap::values);
            let (Some(first), Some(last)) = (steps.keys().next(), steps.keys().next_back()) else { continue };
            let of_step = |step: usize| steps.get(&step).map_or(0, BTreeMap::len);
            let repairs = Repairs {
                bounds: (
                    repairs().map(|r| r.min_bound).fold(f64::INFINITY, f64::min),
                    repairs().map(|r| r.max_bound).fold(f64::NEG_INFINITY, f64::max),
                ),
                max_diff: repairs().map(|r| r.max_diff).fold(0.0, f64::max),
                times_ms: (scope.steps.time(*first), scope.steps.time(*last)),
                more: counted((*first..scope.steps.count).map(of_step)),
            };
            let text = format!(
                "input to histogram_quantile needed to be fixed for monotonicity (see \
                 https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){}",
                for_metric(&name),
            );
            let position = scope.position(blame);
            scope.annotations.repaired(text, repairs, position);
        }
    }
}

/// How many more samples than one Prometheus says that were repaired, from the repairs of each step
/// from the first one with any.
///
/// Compat: promql/engine.go and util/annotations: each merge of two remarks counts one more, and at
/// each step after the first the sum so far is merged with itself; sums wrap.
fn counted(mut steps: impl Iterator<Item = usize>) -> i64 {
    let more = steps.next().unwrap_or_default() as i64 - 1;
    steps.fold(more, |more, repairs| {
        let sum = more.wrapping_add(repairs as i64);
        sum.wrapping_add(sum).wrapping_add(1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_repaired_samples() {
        let check = |steps: &[usize], want: i64| {
            assert_eq!(counted(steps.iter().copied()).wrapping_add(1), want, "{steps:?}");
        };
        check(&[1], 1);
        check(&[1, 1], 4);
        check(&[1; 4], 22);
        check(&[1; 6], 94);
        // Steps without repairs merge, too.
        check(&[1, 0, 0], 4);
        check(&[3, 2, 0], 20);
        check(&[1; 66], -2);
    }
}
