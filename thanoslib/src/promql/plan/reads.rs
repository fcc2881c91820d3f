//! Which selects answer the leaves: equal ones are read once, near ones by one read.

use crate::{
    model::{Interval, Matcher},
    promql::{Queryable, Select},
};

use super::Leaf;

/// One read of a query.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Read {
    /// What is selected; several are joined by the queryable.
    pub(crate) selects: Vec<Select>,
    /// The leaves that it answers, those of one select side by side.
    pub(crate) targets: Vec<Target>,
}

/// A leaf that a read answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    /// Number of the leaf.
    pub(crate) leaf: usize,
    /// Number of the select in the read.
    pub(crate) select: usize,
    /// What series must match beside the matchers of the select.
    pub(crate) filter: Vec<Matcher>,
}

/// Decides which leaves are answered by one read.
///
/// - Leaves with equal selects share it, whatever they compute; who groups them makes no difference.
/// - A leaf with more matchers takes its series out of a read with fewer, unless a matcher looks at a
///   label that series come without.
/// - Selects of equal matchers over times that touch become one read where the queryable can do
///   that without a change of their samples. Series pass through all leaves of a read at once, so
///   that none is held for another.
///
/// Reads stand in the order of their first leaves.
pub(super) fn reads(leaves: &[Leaf<'_>], queryable: &dyn Queryable, optimize: bool) -> Vec<Read> {
    let selects: Vec<Select> = leaves.iter().map(Leaf::select).collect();
    // Selects with fewer matchers come first, since others may be parts of them.
    let mut order: Vec<usize> = (0..leaves.len()).collect();
    order.sort_by_key(|i| selects[*i].matchers.len());
    let mut reads: Vec<Read> = Vec::new();
    for leaf in order {
        let select = &selects[leaf];
        let idle = leaves[leaf].steps.count == 0 || select.interval.mint > select.interval.maxt;
        let joined = optimize && !idle && reads.iter_mut().any(|read| join(read, leaf, select, queryable));
        if !joined {
            let targets = vec![Target { leaf, select: 0, filter: Vec::new() }];
            reads.push(Read { selects: vec![select.clone()], targets });
        }
    }
    for read in &mut reads {
        read.targets.sort_by_key(|t| (t.select, t.leaf));
    }
    reads.sort_by_key(|read| read.targets.iter().map(|t| t.leaf).min());
    reads
}

/// Adds a leaf to a read that can answer it, too.
fn join(read: &mut Read, leaf: usize, select: &Select, queryable: &dyn Queryable) -> bool {
    let Some(first) = read.selects.first() else { return false };
    let hidden = queryable.hidden_labels();
    let Some(filter) = beyond(&select.matchers, &first.matchers) else { return false };
    if filter.iter().any(|m| hidden.iter().any(|name| name == m.name())) {
        return false;
    }
    let wanted = Select { matchers: first.matchers.clone(), ..select.clone() };
    if let Some(same) = read.selects.iter_mut().position(|s| is_same(s, &wanted)) {
        let hints = &mut read.selects[same].hints;
        if hints.grouping != wanted.hints.grouping {
            hints.grouping = None;
        }
        if hints.projection != wanted.hints.projection {
            hints.projection = None;
        }
        read.targets.push(Target { leaf, select: same, filter });
        return true;
    }
    let touches = |s: &Select| touch(s.interval, wanted.interval) && queryable.joins(s, &wanted);
    if !read.selects.iter().all(touches) {
        return false;
    }
    read.selects.push(wanted);
    read.targets.push(Target { leaf, select: read.selects.len() - 1, filter });
    true
}

/// True when two selects ask for the same samples of the same series for the same purpose.
fn is_same(a: &Select, b: &Select) -> bool {
    (a.interval, a.hints.step_ms, a.hints.range_ms) == (b.interval, b.hints.step_ms, b.hints.range_ms)
        && a.hints.func == b.hints.func
}

/// The matchers that are not in `base`; `None` unless all of `base` are in `all`.
fn beyond(all: &[Matcher], base: &[Matcher]) -> Option<Vec<Matcher>> {
    base.iter().all(|m| all.contains(m)).then(|| all.iter().filter(|m| !base.contains(m)).cloned().collect())
}

/// True for times that overlap or follow each other.
fn touch(a: Interval, b: Interval) -> bool {
    let (first, second) = if a.mint <= b.mint { (a, b) } else { (b, a) };
    second.mint <= first.maxt.saturating_add(1)
}
