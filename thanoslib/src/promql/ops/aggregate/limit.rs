//! `limitk` and `limit_ratio`, and whole numbers as parameters.

use crate::{
    error::{Error, Result},
    model::float::General,
    promql::{BitSet, Block, scope::Scope},
};

use super::{Blame, Group, State, of_group};

/// The parameter of `topk`, `bottomk` and `limitk` at each step; below 1 is 0.
///
/// # Errors
/// `Invalid` for NaN and for what no 64-bit integer holds.
pub(super) fn whole(param: &[f64]) -> Result<Vec<u64>> {
    /// Compat: promql/engine.go, `maxInt64`: the largest float that is surely below 2^63.
    const MAX: f64 = 9_223_372_036_854_774_784.0;
    const MIN: f64 = -9_223_372_036_854_775_808.0;
    if param.iter().any(|k| k.is_nan()) {
        return Err(Error::invalid("Parameter value is NaN"));
    }
    let min = param.iter().copied().fold(f64::INFINITY, f64::min);
    if min <= MIN {
        return Err(Error::invalid(format!("Scalar value {} underflows int64", General(min))));
    }
    let max = param.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if max >= MAX {
        return Err(Error::invalid(format!("Scalar value {} overflows int64", General(max))));
    }
    Ok(param.iter().map(|k| *k as u64).collect())
}

/// Series as they came, cut to the steps where they are among the chosen.
#[derive(Debug, Default)]
struct Chosen(Vec<(usize, Block)>);

impl Chosen {
    fn add(&mut self, group: usize, mut block: Block, steps: &BitSet) {
        block.present.intersect(steps);
        block.histograms.retain(|(i, _)| steps.contains(*i as usize));
        if !block.is_empty() {
            self.0.push((group, block));
        }
    }

    /// Group after group.
    fn finish(mut self) -> Vec<Block> {
        self.0.sort_by_key(|(group, _)| *group);
        self.0.into_iter().map(|(_, block)| block).collect()
    }
}

/// The first series of each group.
#[derive(Debug)]
pub(super) struct Limitk {
    k: Vec<u64>,
    /// How many each group may still take at each step.
    left: Vec<Vec<u64>>,
    chosen: Chosen,
}

impl Limitk {
    pub(super) fn new(k: Vec<u64>) -> Self {
        Self { k, left: Vec::new(), chosen: Chosen::default() }
    }
}

impl State for Limitk {
    fn group_bytes(&self) -> usize {
        self.k.len() * 8
    }

    fn absorb(&mut self, _: &mut Scope<'_>, _: &Blame, group: usize, block: &mut Block) -> Result<()> {
        let left = of_group(&mut self.left, group, || self.k.clone());
        let mut steps = crate::promql::names::steps_of(block);
        for (i, left) in left.iter_mut().enumerate() {
            if steps.contains(i) {
                if *left == 0 {
                    steps.remove(i);
                }
                *left = left.saturating_sub(1);
            }
        }
        self.chosen.add(group, std::mem::take(block), &steps);
        Ok(())
    }

    fn finish(self: Box<Self>, _: &mut Scope<'_>, _: &Blame, _: Vec<Group>) -> Result<Vec<Block>> {
        Ok(self.chosen.finish())
    }
}

/// A share of all series, chosen by the hash of their labels.
#[derive(Debug)]
pub(super) struct LimitRatio {
    ratio: Vec<f64>,
    chosen: Chosen,
}

impl LimitRatio {
    /// # Errors
    /// `Invalid` for NaN.
    pub(super) fn new(ratio: Vec<f64>) -> Result<Self> {
        if ratio.iter().any(|r| r.is_nan()) {
            return Err(Error::invalid("Ratio value is NaN"));
        }
        Ok(Self { ratio, chosen: Chosen::default() })
    }
}

impl State for LimitRatio {
    fn group_bytes(&self) -> usize {
        0
    }

    fn absorb(&mut self, _: &mut Scope<'_>, _: &Blame, group: usize, block: &mut Block) -> Result<()> {
        let offset = block.labels.hash() as f64 / u64::MAX as f64;
        let mut steps = BitSet::new(self.ratio.len());
        for (i, ratio) in self.ratio.iter().enumerate() {
            let ratio = ratio.clamp(-1.0, 1.0);
            if ratio > 0.0 && offset < ratio || ratio < 0.0 && offset >= 1.0 + ratio {
                steps.insert(i);
            }
        }
        self.chosen.add(group, std::mem::take(block), &steps);
        Ok(())
    }

    fn finish(self: Box<Self>, scope: &mut Scope<'_>, blame: &Blame, _: Vec<Group>) -> Result<Vec<Block>> {
        let mut warn = |ratio: f64, cap: f64| {
            scope.warn_at(
                blame.param,
                format!(
                    "ratio value should be between -1 and 1, got {}, capping to {}",
                    General(ratio),
                    General(cap)
                ),
            );
        };
        let max = self.ratio.iter().copied().fold(0.0, f64::max);
        if max > 1.0 {
            warn(max, 1.0);
        }
        let min = self.ratio.iter().copied().fold(0.0, f64::min);
        if min < -1.0 {
            warn(min, -1.0);
        }
        Ok(self.chosen.finish())
    }
}
