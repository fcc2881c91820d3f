//! Operators between two vectors: one-to-one and many-to-one matches.
//!
//! Series are paired once, by their labels; the steps of a pair are then computed together.
//! Prometheus goes step by step and reports the first failure, so failures are kept with
//! their step until the earliest is known.

use std::collections::HashMap;

use crate::{
    error::{Error, Result},
    model::Labels,
    promql::{
        BitSet, Block,
        ast::{Binary, Cardinality, Expr},
        names::{steps_of, unique},
        scope::Scope,
    },
};

use super::{
    element::{Remark, pair, zip_floats},
    matching::{Signatures, result_labels},
};

/// Applies an operator to the series that belong together.
pub(super) fn join(
    scope: &mut Scope<'_>,
    node: &Expr,
    binary: &Binary,
    lhs: Vec<Block>,
    rhs: Vec<Block>,
) -> Result<Vec<Block>> {
    let matching = &binary.matching;
    let swapped = matching.cardinality == Cardinality::OneToMany;
    let (many, one) = if swapped { (rhs, lhs) } else { (lhs, rhs) };
    // Compat: `fill_left` stands for the many side with `group_right` too (promql/engine.go
    // swaps the vectors, not the values that fill them).
    let (fill_many, fill_one) = (matching.fill_left, matching.fill_right);
    let steps = scope.steps.count;

    let mut signatures = Signatures::default();
    let many_ids = signatures.assign(matching, &many);
    let one_ids = signatures.assign(matching, &one);
    let many_steps: Vec<BitSet> = many.iter().map(steps_of).collect();
    let mut one_steps: Vec<BitSet> = one.iter().map(steps_of).collect();

    // A step where one side is empty gives nothing and is not looked at, unless it is filled.
    let mut live = BitSet::full(steps);
    for (side, fill) in [(&many_steps, fill_many), (&one_steps, fill_one)] {
        if fill.is_none() {
            let mut any = BitSet::new(steps);
            side.iter().for_each(|s| any.union(s));
            live.intersect(&any);
        }
    }
    one_steps.iter_mut().for_each(|s| s.intersect(&live));

    let groups = signatures.labels.len();
    let mut ones: Vec<Vec<usize>> = vec![Vec::new(); groups];
    let mut covered = vec![BitSet::new(steps); groups];
    let mut clash: Option<usize> = None;
    for (i, &id) in one_ids.iter().enumerate() {
        if let Some(step) = covered[id].first_common(&one_steps[i]) {
            clash = Some(clash.map_or(step, |c| c.min(step)));
        }
        covered[id].union(&one_steps[i]);
        ones[id].push(i);
    }

    let mut pairs = Pairs::new(binary, swapped, steps, groups, scope.options.delayed_name_removal);
    for (i, &id) in many_ids.iter().enumerate() {
        scope.check()?;
        for &j in &ones[id] {
            let mut both = many_steps[i].clone();
            both.intersect(&one_steps[j]);
            pairs.add(id, &many[i], &one[j], &both);
        }
        if let Some(v) = fill_one {
            let mut alone = many_steps[i].clone();
            alone.intersect(&live);
            alone.subtract(&covered[id]);
            pairs.add(id, &many[i], &constant(&signatures.labels[id], v, steps, &alone), &alone);
        }
    }
    if let Some(v) = fill_many {
        let matched = pairs.matched.clone();
        for (j, &id) in one_ids.iter().enumerate() {
            scope.check()?;
            let mut alone = one_steps[j].clone();
            alone.subtract(&matched[id]);
            pairs.add(id, &constant(&signatures.labels[id], v, steps, &alone), &one[j], &alone);
        }
    }

    match (clash, pairs.clash) {
        (Some(step), other) if other.is_none_or(|other| step <= other) => {
            Err(duplicate(step, &one, &one_ids, &signatures, swapped))
        }
        (_, Some(_)) => Err(Error::invalid(match matching.cardinality {
            Cardinality::OneToOne => {
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
            }
            _ => "multiple matches for labels: grouping labels must ensure unique matches",
        })),
        _ => {
            let mut reported: Vec<Remark> = Vec::new();
            for remark in pairs.remarks.into_iter().flatten() {
                if !reported.contains(&remark) {
                    reported.push(remark);
                    remark.report(scope, node, binary.op);
                }
            }
            let blocks = pairs.results.into_iter().map(|r| r.block).filter(|b| !b.is_empty()).collect();
            unique(scope, blocks)
        }
    }
}

/// A series that stands for a missing partner.
fn constant(labels: &Labels, v: f64, steps: usize, present: &BitSet) -> Block {
    let mut block = Block::new(labels.clone(), steps);
    block.floats.fill(v);
    block.present = present.clone();
    block
}

/// The error of two series of one match group at `step`, the first two in input order.
fn duplicate(step: usize, one: &[Block], ids: &[usize], signatures: &Signatures, swapped: bool) -> Error {
    let mut first: HashMap<usize, &Block> = HashMap::new();
    for (block, id) in one.iter().zip(ids) {
        if block.value(step).is_none() {
            continue;
        }
        if let Some(other) = first.insert(*id, block) {
            let mut pair = [block.labels.to_string(), other.labels.to_string()];
            pair.sort_unstable();
            let side = if swapped { "left" } else { "right" };
            let group = &signatures.labels[*id];
            return Error::invalid(format!(
                "found duplicate series for the match group {group} on the {side} hand-side of the \
                 operation: [{}, {}];many-to-many matching not allowed: matching labels must be unique \
                 on one side",
                pair[0], pair[1]
            ));
        }
    }
    Error::internal("a duplicate series of a match group is gone")
}

/// A series of the result.
#[derive(Debug)]
struct Joined {
    /// Steps that some pair took, kept by the operator or not.
    taken: BitSet,
    block: Block,
}

/// The result as pairs are added.
#[derive(Debug)]
struct Pairs<'a> {
    binary: &'a Binary,
    swapped: bool,
    steps: usize,
    delayed: bool,
    /// Place in `results` by match group and labels.
    index: HashMap<(usize, Labels), usize>,
    results: Vec<Joined>,
    /// Steps of each match group where a pair was found.
    matched: Vec<BitSet>,
    /// First step where two pairs claim the same result.
    clash: Option<usize>,
    /// Of each step the remark of the last pair that had one; empty without remarks.
    remarks: Vec<Option<Remark>>,
    scratch: Vec<f64>,
}

impl<'a> Pairs<'a> {
    fn new(binary: &'a Binary, swapped: bool, steps: usize, groups: usize, delayed: bool) -> Self {
        Self {
            binary,
            swapped,
            steps,
            delayed,
            index: HashMap::new(),
            results: Vec::new(),
            matched: vec![BitSet::new(steps); groups],
            clash: None,
            remarks: Vec::new(),
            scratch: vec![0.0; steps],
        }
    }

    fn remark(&mut self, step: usize, remark: Remark) {
        self.remarks.resize(self.steps, None);
        self.remarks[step] = Some(remark);
    }

    /// Computes the pair of two series at `steps`, where both have a value.
    fn add(&mut self, id: usize, many: &Block, one: &Block, steps: &BitSet) {
        if steps.is_empty() {
            return;
        }
        let (op, return_bool) = (self.binary.op, self.binary.return_bool);
        let (l, r) = if self.swapped { (one, many) } else { (many, one) };

        let mut floats = steps.clone();
        floats.intersect(&l.present);
        floats.intersect(&r.present);
        let mut others = steps.clone();
        others.subtract(&floats);

        // Steps that have a result, before a comparison filters.
        let mut taken = floats.clone();
        if op.is_trim() {
            taken = BitSet::new(self.steps);
            floats.iter().for_each(|i| self.remark(i, Remark::Types(false, false)));
        }
        zip_floats(op, return_bool, &l.floats, &r.floats, &l.floats, &mut self.scratch, floats.words_mut());

        let mut histograms = Vec::new();
        for i in others.iter() {
            let (Some(a), Some(b)) = (l.value(i), r.value(i)) else { continue };
            match pair(op, &a, &b) {
                Ok(outcome) => {
                    taken.insert(i);
                    if let Some(remark) = outcome.remark {
                        self.remark(i, remark);
                    }
                    if return_bool {
                        self.scratch[i] = if outcome.keep { 1.0 } else { 0.0 };
                        floats.insert(i);
                    } else if outcome.keep {
                        histograms.push((i as u32, outcome.value));
                    }
                }
                Err(remark) => self.remark(i, remark),
            }
        }

        let labels = result_labels(self.binary, return_bool && !self.delayed, &many.labels, &one.labels);
        let place = *self.index.entry((id, labels)).or_insert_with_key(|(_, labels)| {
            let mut block = Block::new(labels.clone(), self.steps);
            block.drop_name = return_bool && self.delayed;
            self.results.push(Joined { taken: BitSet::new(self.steps), block });
            self.results.len() - 1
        });
        let result = &mut self.results[place];
        let claimed = match self.binary.matching.cardinality {
            Cardinality::OneToOne => &self.matched[id],
            _ => &result.taken,
        };
        if let Some(step) = claimed.first_common(&taken) {
            self.clash = Some(self.clash.map_or(step, |c| c.min(step)));
        }
        result.taken.union(&taken);
        self.matched[id].union(&taken);
        for i in floats.iter() {
            result.block.floats[i] = self.scratch[i];
        }
        result.block.present.union(&floats);
        if !histograms.is_empty() {
            result.block.histograms.append(&mut histograms);
            result.block.histograms.sort_unstable_by_key(|(i, _)| *i);
        }
    }
}
