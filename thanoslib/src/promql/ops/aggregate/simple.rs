//! `count`, `group`, `min`, `max`, `stddev`, `stdvar`: one pass, a few columns.

use crate::{
    error::Result,
    promql::{BitSet, Block, names::steps_of, scope::Scope},
};

use super::{Blame, Group, State, of_group};

/// Steps with values, and one float for each.
#[derive(Debug)]
struct Column {
    present: BitSet,
    values: Vec<f64>,
}

impl Column {
    fn new(steps: usize, v: f64) -> Self {
        Self { present: BitSet::new(steps), values: vec![v; steps] }
    }

    fn block(self, group: Group) -> Block {
        Block {
            labels: group.labels,
            drop_name: group.drop_name,
            floats: self.values,
            present: self.present,
            histograms: Vec::new(),
        }
    }
}

fn blocks(columns: impl IntoIterator<Item = Column>, groups: Vec<Group>) -> Vec<Block> {
    columns.into_iter().zip(groups).map(|(column, group)| column.block(group)).collect()
}

/// `count` and `group`, of floats and histograms.
#[derive(Debug)]
pub(super) struct Counts {
    steps: usize,
    /// Every group that has a member counts 1.
    ones: bool,
    groups: Vec<Column>,
}

impl Counts {
    pub(super) fn new(steps: usize, ones: bool) -> Self {
        Self { steps, ones, groups: Vec::new() }
    }
}

/// Bytes of a column of `steps` steps.
fn column_bytes(steps: usize) -> usize {
    steps * 8 + steps.div_ceil(8)
}

impl State for Counts {
    fn group_bytes(&self) -> usize {
        column_bytes(self.steps)
    }

    fn absorb(&mut self, _: &mut Scope<'_>, _: &Blame, group: usize, block: &mut Block) -> Result<()> {
        let (steps, start) = (self.steps, if self.ones { 1.0 } else { 0.0 });
        let column = of_group(&mut self.groups, group, || Column::new(steps, start));
        let present = steps_of(block);
        if !self.ones {
            present.iter().for_each(|i| column.values[i] += 1.0);
        }
        column.present.union(&present);
        Ok(())
    }

    fn finish(self: Box<Self>, _: &mut Scope<'_>, _: &Blame, groups: Vec<Group>) -> Result<Vec<Block>> {
        Ok(blocks(self.groups, groups))
    }
}

/// `min` and `max`.
#[derive(Debug)]
pub(super) struct Extremes {
    steps: usize,
    max: bool,
    groups: Vec<Column>,
}

impl Extremes {
    pub(super) fn new(steps: usize, max: bool) -> Self {
        Self { steps, max, groups: Vec::new() }
    }
}

impl State for Extremes {
    fn group_bytes(&self) -> usize {
        column_bytes(self.steps)
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
        let steps = self.steps;
        // Any value replaces NaN, so it is what a group without members holds.
        let column = of_group(&mut self.groups, group, || Column::new(steps, f64::NAN));
        column.present.union(&block.present);
        for i in block.present.iter() {
            let (best, v) = (&mut column.values[i], block.floats[i]);
            if best.is_nan() || if self.max { v > *best } else { v < *best } {
                *best = v;
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>, _: &mut Scope<'_>, _: &Blame, groups: Vec<Group>) -> Result<Vec<Block>> {
        Ok(blocks(self.groups, groups))
    }
}

/// `stddev` and `stdvar` of the population, after Welford.
#[derive(Debug)]
pub(super) struct Deviations {
    steps: usize,
    root: bool,
    groups: Vec<Deviation>,
}

#[derive(Debug)]
struct Deviation {
    counts: Vec<f64>,
    means: Vec<f64>,
    squares: Column,
}

impl Deviations {
    pub(super) fn new(steps: usize, root: bool) -> Self {
        Self { steps, root, groups: Vec::new() }
    }
}

impl State for Deviations {
    fn group_bytes(&self) -> usize {
        column_bytes(self.steps) + 16 * self.steps
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
        let steps = self.steps;
        let state = of_group(&mut self.groups, group, || Deviation {
            counts: vec![0.0; steps],
            means: vec![0.0; steps],
            squares: Column::new(steps, 0.0),
        });
        state.squares.present.union(&block.present);
        for i in block.present.iter() {
            let v = block.floats[i];
            let (count, mean) = (&mut state.counts[i], &mut state.means[i]);
            let squares = &mut state.squares.values[i];
            *count += 1.0;
            if *count == 1.0 {
                *mean = v;
                *squares = if v.is_finite() { 0.0 } else { f64::NAN };
            } else {
                let delta = v - *mean;
                *mean += delta / *count;
                *squares += delta * (v - *mean);
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, _: &mut Scope<'_>, _: &Blame, groups: Vec<Group>) -> Result<Vec<Block>> {
        for state in &mut self.groups {
            for i in state.squares.present.iter() {
                let variance = state.squares.values[i] / state.counts[i];
                state.squares.values[i] = if self.root { variance.sqrt() } else { variance };
            }
        }
        Ok(blocks(self.groups.into_iter().map(|s| s.squares), groups))
    }
}
