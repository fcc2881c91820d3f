//! `quantile`.

use std::cmp::Ordering;

use crate::{
    error::Result,
    model::float::General,
    promql::{BitSet, Block, scope::Scope},
};

use super::{Blame, Group, State, of_group};

/// The `q` quantile of `values`, whose order changes.
///
/// NaN sorts below all numbers; between two values the result is interpolated.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let last = values.len() - 1;
    let rank = q * last as f64;
    let low = rank.floor();
    let weight = rank - low;
    let (_, lower, above) = values.select_nth_unstable_by(low as usize, nan_first);
    let upper = above.iter().copied().min_by(nan_first).unwrap_or(*lower);
    *lower * (1.0 - weight) + upper * weight
}

fn nan_first(a: &f64, b: &f64) -> Ordering {
    a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

/// Adds a warning for quantiles outside of 0 to 1.
fn report(scope: &mut Scope<'_>, blame: &Blame, q: &[f64]) {
    let mut warn = |q: f64| {
        scope.warn_at(blame.param, format!("quantile value should be between 0 and 1, got {}", General(q)));
    };
    if q.iter().any(|q| q.is_nan()) {
        warn(f64::NAN);
        return;
    }
    let (min, max) = q.iter().fold((0.0f64, 1.0f64), |(min, max), q| (min.min(*q), max.max(*q)));
    if max > 1.0 {
        warn(max);
    }
    if min < 0.0 {
        warn(min);
    }
}

/// Floats of all members; they are needed together at the end.
#[derive(Debug)]
pub(super) struct Quantiles {
    q: Vec<f64>,
    groups: Vec<Vec<(Vec<f64>, BitSet)>>,
}

impl Quantiles {
    pub(super) fn new(q: Vec<f64>) -> Self {
        Self { q, groups: Vec::new() }
    }
}

impl State for Quantiles {
    fn group_bytes(&self) -> usize {
        0
    }

    fn absorb(
        &mut self,
        scope: &mut Scope<'_>,
        blame: &Blame,
        group: usize,
        block: &mut Block,
    ) -> Result<()> {
        if !block.histograms.is_empty() {
            blame.ignored_histogram(scope);
        }
        let members = of_group(&mut self.groups, group, Vec::new);
        if !block.present.is_empty() {
            let block = std::mem::take(block);
            members.push((block.floats, block.present));
        }
        Ok(())
    }

    fn finish(
        self: Box<Self>,
        scope: &mut Scope<'_>,
        blame: &Blame,
        groups: Vec<Group>,
    ) -> Result<Vec<Block>> {
        report(scope, blame, &self.q);
        let mut out = Vec::with_capacity(groups.len());
        let mut values = Vec::new();
        for (members, group) in self.groups.into_iter().zip(groups) {
            scope.check()?;
            let mut block = group.block(self.q.len());
            for (i, q) in self.q.iter().enumerate() {
                values.clear();
                values.extend(members.iter().filter(|(_, p)| p.contains(i)).map(|(v, _)| v[i]));
                if !values.is_empty() {
                    block.set(i, quantile(*q, &mut values));
                }
            }
            out.push(block);
        }
        Ok(out)
    }
}
