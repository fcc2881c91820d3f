//! Metadata labels that operations drop, and series that become equal by it.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use crate::{
    error::{Error, Result},
    model::{LABEL_NAME, Labels},
};

use super::{BitSet, Block, EngineOptions, scope::Scope};

/// Label of the type of a metric.
pub(crate) const LABEL_TYPE: &[u8] = b"__type__";
/// Label of the unit of a metric.
pub(crate) const LABEL_UNIT: &[u8] = b"__unit__";

/// True for the labels that describe a metric rather than tell its series apart.
pub(crate) fn is_metadata(name: &[u8]) -> bool {
    name == LABEL_NAME.as_bytes() || name == LABEL_TYPE || name == LABEL_UNIT
}

/// The labels without metadata labels.
pub(crate) fn drop_metadata(labels: &Labels) -> Labels {
    if labels.iter().any(|l| is_metadata(l.name)) {
        labels.filter(|l| !is_metadata(l.name))
    } else {
        labels.clone()
    }
}

/// Drops the metadata labels of a block: at once, or at the end with delayed name removal.
pub(crate) fn drop_name(block: &mut Block, options: &EngineOptions) {
    if options.delayed_name_removal {
        block.drop_name = true;
    } else {
        block.labels = drop_metadata(&block.labels);
    }
}

/// The name of a metric as annotations show it, for texts that leave it out when names fall at
/// each operation.
pub(crate) fn delayed_metric_name<'a>(labels: &'a Labels, options: &EngineOptions) -> &'a [u8] {
    if options.delayed_name_removal { labels.metric_name() } else { &[] }
}

/// Joins series of equal labels into the first of them; blocks without values fall away.
///
/// # Errors
/// `Invalid` when two of them have a value at the same step.
pub(crate) fn merge_equal(mut blocks: Vec<Block>) -> Result<Vec<Block>> {
    if blocks.windows(2).all(|pair| pair[0].labels < pair[1].labels) {
        // No two are equal.
        blocks.retain(|block| !block.is_empty());
        return Ok(blocks);
    }
    let mut out: Vec<Block> = Vec::with_capacity(blocks.len());
    let mut seen: HashMap<Labels, usize> = HashMap::with_capacity(blocks.len());
    for block in blocks {
        if block.is_empty() {
            continue;
        }
        match seen.entry(block.labels.clone()) {
            Entry::Vacant(e) => {
                e.insert(out.len());
                out.push(block);
            }
            Entry::Occupied(e) => join(&mut out[*e.get()], block)?,
        }
    }
    Ok(out)
}

/// Label sets that were seen, most of which came in order.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    ascending: Vec<Labels>,
    others: HashSet<Labels>,
}

impl Seen {
    /// True before the first label set.
    pub(crate) fn is_empty(&self) -> bool {
        self.ascending.is_empty() && self.others.is_empty()
    }

    /// Adds a label set; false when it was there.
    pub(crate) fn insert(&mut self, labels: &Labels) -> bool {
        if self.ascending.last().is_none_or(|last| last < labels) {
            if self.others.contains(labels) {
                return false;
            }
            self.ascending.push(labels.clone());
            return true;
        }
        self.ascending.binary_search(labels).is_err() && self.others.insert(labels.clone())
    }
}

/// What an operator must do with its result after it dropped labels: series of equal labels are
/// joined, and two values at one step are an error.
///
/// With delayed name removal an instant query looks at its end only.
pub(crate) fn unique(scope: &Scope<'_>, blocks: Vec<Block>) -> Result<Vec<Block>> {
    if scope.options.delayed_name_removal && scope.steps.count == 1 {
        return Ok(blocks);
    }
    merge_equal(blocks)
}

/// Drops the metadata labels that fell due and joins the series that became equal.
///
/// # Errors
/// `Invalid` when two of those have a value at the same step.
pub(crate) fn finish_names(mut blocks: Vec<Block>, options: &EngineOptions) -> Result<Vec<Block>> {
    if !options.delayed_name_removal || !blocks.iter().any(|b| b.drop_name) {
        return Ok(blocks);
    }
    for block in &mut blocks {
        if std::mem::take(&mut block.drop_name) {
            block.labels = drop_metadata(&block.labels);
        }
    }
    merge_equal(blocks)
}

/// Steps of a block with a float or a histogram.
pub(crate) fn steps_of(block: &Block) -> BitSet {
    let mut steps = block.present.clone();
    for (i, _) in &block.histograms {
        steps.insert(*i as usize);
    }
    steps
}

/// The error of two series with equal labels at one step.
pub(crate) fn same_labelset() -> Error {
    Error::invalid("vector cannot contain metrics with the same labelset")
}

fn join(into: &mut Block, from: Block) -> Result<()> {
    let held = steps_of(into);
    if from.histograms.iter().any(|(i, _)| held.contains(*i as usize)) {
        return Err(same_labelset());
    }
    for i in from.present.iter() {
        if held.contains(i) {
            return Err(same_labelset());
        }
        into.set(i, from.floats[i]);
    }
    if !from.histograms.is_empty() {
        into.histograms.extend(from.histograms);
        into.histograms.sort_by_key(|(i, _)| *i);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(name: &str, values: &[Option<f64>]) -> Block {
        let mut block = Block::new(Labels::from_pairs([(LABEL_NAME, name), ("a", "1")]), values.len());
        for (i, v) in values.iter().enumerate() {
            if let Some(v) = v {
                block.set(i, *v);
            }
        }
        block
    }

    #[test]
    fn a_label_set_is_seen_once_in_any_order() {
        let mut seen = Seen::default();
        let mut check = |a: &str, want: bool| {
            assert_eq!(seen.insert(&Labels::from_pairs([("a", a)])), want, "{a}");
        };
        check("b", true);
        check("d", true);
        check("c", true);
        check("c", false);
        check("b", false);
        check("e", true);
        check("a", true);
        check("e", false);
        check("a", false);
        check("d", false);
    }

    #[test]
    fn names_fall_at_once_or_at_the_end() {
        let check = |delayed: bool, second: &[Option<f64>], want: Option<&[Option<f64>]>| {
            let options = EngineOptions { delayed_name_removal: delayed, ..EngineOptions::default() };
            let mut blocks = vec![block("x", &[Some(1.0), None]), block("y", second)];
            for block in &mut blocks {
                drop_name(block, &options);
                assert_eq!(block.labels.get(LABEL_NAME).is_some(), delayed);
            }
            let got = finish_names(blocks, &options).and_then(merge_equal).ok();
            let got = got.map(|blocks| {
                assert_eq!(blocks.len(), 1);
                assert_eq!(blocks[0].labels, Labels::from_pairs([("a", "1")]));
                (0..2).map(|i| blocks[0].float(i)).collect::<Vec<_>>()
            });
            assert_eq!(got.as_deref(), want);
        };
        for delayed in [false, true] {
            check(delayed, &[None, Some(2.0)], Some(&[Some(1.0), Some(2.0)]));
            check(delayed, &[Some(3.0), Some(2.0)], None);
        }
    }
}
