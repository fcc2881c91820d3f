//! Counts the samples that the parts of a query look at.
//!
//! Source: Prometheus `util/stats/query_stats.go`, `promql/engine.go`.

use crate::promql::Block;

use super::meter::histogram_samples;

/// Samples that a part of a query looked at; a histogram counts by its size.
///
/// Counts are taken once per series, not per sample; those of single steps only when a query
/// asks for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Looked {
    sum: Count,
    /// By step; empty when not asked for.
    steps: Vec<Count>,
}

/// Samples looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Each sample as often as a step looks at it.
    pub(crate) total: u64,
    /// The same without what the window of the step before held.
    pub(crate) read: u64,
}

impl Count {
    /// Samples that no step before looked at.
    pub(crate) fn new(samples: u64) -> Self {
        Self { total: samples, read: samples }
    }

    fn add(&mut self, other: Self) {
        self.total += other.total;
        self.read += other.read;
    }
}

impl Looked {
    /// Nothing yet; `per_step` asks for the counts of each of so many steps.
    pub(crate) fn new(per_step: bool, steps: usize) -> Self {
        Self {
            sum: Count::default(),
            steps: if per_step { vec![Count::default(); steps] } else { Vec::new() },
        }
    }

    /// The counts of all steps together.
    pub(crate) fn sum(&self) -> Count {
        self.sum
    }

    /// The counts by step; empty when not asked for.
    pub(crate) fn steps(&self) -> &[Count] {
        &self.steps
    }

    /// True when counts of single steps are wanted, too.
    pub(crate) fn per_step(&self) -> bool {
        !self.steps.is_empty()
    }

    /// Adds counts of all steps together; those of single steps come through [`at`](Self::at).
    pub(crate) fn add_sum(&mut self, count: Count) {
        self.sum.add(count);
    }

    /// Adds counts to a step, but not to the sum.
    pub(crate) fn at(&mut self, step: usize, count: Count) {
        if let Some(of_step) = self.steps.get_mut(step) {
            of_step.add(count);
        }
    }

    /// Adds counts to a step and to the sum.
    pub(crate) fn add_at(&mut self, step: usize, count: Count) {
        self.add_sum(count);
        self.at(step, count);
    }

    /// Adds counts to the last step and to the sum.
    pub(crate) fn add_at_end(&mut self, count: Count) {
        self.add_at(self.steps.len().saturating_sub(1), count);
    }

    /// Adds the values of a selector, one for each step at most; gives their number.
    pub(crate) fn block(&mut self, block: &Block) -> u64 {
        let floats = block.present.count() as u64;
        let histograms: u64 = block.histograms.iter().map(|(_, h)| histogram_samples(h)).sum();
        self.add_sum(Count::new(floats + histograms));
        if self.per_step() {
            block.present.iter().for_each(|step| self.at(step, Count::new(1)));
            for (step, h) in &block.histograms {
                self.at(*step as usize, Count::new(histogram_samples(h)));
            }
        }
        floats + histograms
    }

    /// Adds what a part looked at that has the same steps.
    pub(crate) fn merge(&mut self, part: &Self) {
        self.sum.add(part.sum);
        if self.steps.len() < part.steps.len() {
            self.steps.resize(part.steps.len(), Count::default());
        }
        self.steps.iter_mut().zip(&part.steps).for_each(|(own, of_part)| own.add(*of_part));
    }

    /// The same samples, of which none was read.
    pub(crate) fn without_reads(mut self) -> Self {
        self.sum.read = 0;
        self.steps.iter_mut().for_each(|count| count.read = 0);
        self
    }

    /// Adds what a part looked at whose one step stands for `count` steps.
    ///
    /// Compat: every step counts the samples, the first one has read them.
    pub(crate) fn repeat(&mut self, part: &Self, count: usize) {
        let Count { total, read } = part.sum;
        self.sum.add(Count { total: total.saturating_mul(count as u64), read });
        if self.per_step() {
            (0..count)
                .for_each(|step| self.at(step, Count { total, read: if step == 0 { read } else { 0 } }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Labels;

    #[test]
    fn one_step_counts_for_all_and_is_read_once() {
        let mut block = Block::new(Labels::empty(), 1);
        block.set(0, 1.0);
        for per_step in [false, true] {
            let mut inner = Looked::new(per_step, 1);
            assert_eq!(inner.block(&block), 1);
            let mut outer = Looked::new(per_step, 3);
            outer.repeat(&inner, 3);
            assert_eq!(outer.sum(), Count { total: 3, read: 1 });
            let reads: Vec<u64> = outer.steps().iter().map(|c| c.read).collect();
            assert_eq!(reads, if per_step { vec![1, 0, 0] } else { vec![] });
            outer.add_at_end(Count { total: 0, read: 5 });
            assert_eq!(outer.steps().last().map(|c| c.read), per_step.then_some(5));
        }
    }

    #[test]
    fn parts_add_up_step_by_step() {
        let mut block = Block::new(Labels::empty(), 3);
        block.set(1, 1.0);
        block.histograms.push((2, Default::default()));
        let mut part = Looked::new(true, 3);
        let weight = part.block(&block);
        let mut sum = Looked::default();
        sum.merge(&part);
        sum.merge(&part);
        assert_eq!(sum.sum().total, 2 * weight);
        let totals: Vec<u64> = sum.steps().iter().map(|c| c.total).collect();
        assert_eq!(totals, [0, 2, 2 * (weight - 1)]);
    }
}
