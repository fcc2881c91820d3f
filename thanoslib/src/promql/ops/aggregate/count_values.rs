//! `count_values`: groups by the text of values.

use std::fmt::Write;

use crate::{
    error::{Error, Result},
    model::{
        LABEL_NAME, LabelsBuilder,
        float::{Plain, Quoted},
    },
    promql::{BitSet, Block},
    store::Grouping,
};

use super::{Group, Groups, of_group};

/// How often each value occurs.
#[derive(Debug)]
pub(super) struct CountValues {
    steps: usize,
    label: Vec<u8>,
    /// Counts of each group, and the steps where it has members.
    groups: Vec<(Vec<f64>, BitSet)>,
}

impl CountValues {
    /// # Errors
    /// `Invalid` when `label` is no name of a label.
    pub(super) fn new(steps: usize, label: Vec<u8>) -> Result<Self> {
        if label.is_empty() || std::str::from_utf8(&label).is_err() {
            return Err(Error::invalid(format!("invalid label name {}", Quoted(&label))));
        }
        Ok(Self { steps, label, groups: Vec::new() })
    }

    pub(super) fn absorb(&mut self, grouping: Option<&Grouping>, groups: &mut Groups, block: &Block) {
        let mut builder = LabelsBuilder::from_labels(block.labels.view());
        let drop_name = block.drop_name && self.label != LABEL_NAME.as_bytes();
        let mut text = String::new();
        let mut group_of = |value: &dyn std::fmt::Display| {
            text.clear();
            // Writing to a string does not fail.
            let _ = write!(text, "{value}");
            builder.set(&self.label, &text);
            groups.id(grouping, &builder.labels(), Some(&self.label), drop_name)
        };
        let steps = self.steps;
        let mut count = |group: usize, step: usize| {
            let (counts, present) =
                of_group(&mut self.groups, group, || (vec![0.0; steps], BitSet::new(steps)));
            counts[step] += 1.0;
            present.insert(step);
        };
        // Values often stay the same from step to step.
        let mut last: Option<(u64, usize)> = None;
        for i in block.present.iter() {
            let v = block.floats[i];
            let group = match last {
                Some((bits, group)) if bits == v.to_bits() => group,
                _ => group_of(&Plain(v)),
            };
            last = Some((v.to_bits(), group));
            count(group, i);
        }
        for (i, h) in &block.histograms {
            count(group_of(h), *i as usize);
        }
    }

    pub(super) fn finish(self, groups: Vec<Group>) -> Vec<Block> {
        let columns = self.groups.into_iter().zip(groups);
        columns
            .map(|((counts, present), group)| Block {
                labels: group.labels,
                drop_name: group.drop_name,
                floats: counts,
                present,
                histograms: Vec::new(),
            })
            .collect()
    }
}
