//! Which series of two vectors belong together.

use crate::{
    model::{LABEL_NAME, Labels, LabelsBuilder},
    promql::{
        Block,
        ast::{Binary, Cardinality, Matching},
        names::is_metadata,
        ops::keys::LabelKeys,
    },
};

/// Numbers of match groups; series of equal signature share one.
#[derive(Debug, Default)]
pub(super) struct Signatures {
    keys: LabelKeys,
    /// Labels of each match group.
    pub(super) labels: Vec<Labels>,
}

impl Signatures {
    /// The match group of each block.
    pub(super) fn assign(&mut self, matching: &Matching, blocks: &[Block]) -> Vec<usize> {
        let named = |name: &[u8]| matching.labels.iter().any(|l| l.as_bytes() == name);
        let keep = |name: &[u8]| match matching.on {
            true => named(name),
            false => name != LABEL_NAME.as_bytes() && !named(name),
        };
        let mut of = |b: &Block| {
            let found = |labels| self.labels.push(labels);
            self.keys.id(b.labels.view(), |l| keep(l.name), found)
        };
        blocks.iter().map(&mut of).collect()
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
