//! Which series of two vectors belong together.

use std::collections::HashMap;

use crate::{
    model::{LABEL_NAME, Labels, LabelsBuilder},
    promql::{
        Block,
        ast::{Binary, Cardinality, Matching},
        names::is_metadata,
    },
};

/// Numbers of match groups; series of equal signature share one.
#[derive(Debug, Default)]
pub(super) struct Signatures {
    ids: HashMap<Labels, usize>,
    /// Labels of each match group.
    pub(super) labels: Vec<Labels>,
}

impl Signatures {
    /// The match group of each block.
    pub(super) fn assign(&mut self, matching: &Matching, blocks: &[Block]) -> Vec<usize> {
        blocks.iter().map(|b| self.id(signature(matching, &b.labels))).collect()
    }

    fn id(&mut self, labels: Labels) -> usize {
        *self.ids.entry(labels).or_insert_with_key(|labels| {
            self.labels.push(labels.clone());
            self.labels.len() - 1
        })
    }
}

fn signature(matching: &Matching, labels: &Labels) -> Labels {
    let named = |name: &[u8]| matching.labels.iter().any(|l| l.as_bytes() == name);
    if matching.on {
        labels.filter(|l| named(l.name))
    } else {
        labels.filter(|l| l.name != LABEL_NAME.as_bytes() && !named(l.name))
    }
}

/// Labels of the result of a pair; `many` is the left side of a one-to-one match.
///
/// Compat: promql/engine.go, resultMetric: arithmetic removes metadata labels at once, also with
/// delayed name removal.
pub(super) fn result_labels(binary: &Binary, drop_bool: bool, many: &Labels, one: &Labels) -> Labels {
    let (op, matching) = (binary.op, &binary.matching);
    let named = |name: &[u8]| matching.labels.iter().any(|l| l.as_bytes() == name);
    let nameless = !op.is_comparison() && !op.is_trim();
    let one_to_one = matching.cardinality == Cardinality::OneToOne;
    let base =
        many.filter(|l| !(nameless && is_metadata(l.name)) && (!one_to_one || named(l.name) == matching.on));
    let mut builder = None;
    for name in &matching.include {
        builder
            .get_or_insert_with(|| LabelsBuilder::from_labels(base.view()))
            .set(name, one.get(name).unwrap_or_default());
    }
    let labels = builder.map_or(base, |b| b.labels());
    if drop_bool { crate::promql::names::drop_metadata(&labels) } else { labels }
}
