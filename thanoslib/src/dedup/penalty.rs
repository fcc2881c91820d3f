//! The penalty merge: a left fold of pairs that stay on one side until it falls behind.
//!
//! Source: Thanos `pkg/dedup/iter.go`.

use super::{
    chain::Walk,
    replica::{Cursor, Replica},
};
use crate::model::Interval;

/// Time that the other side must be ahead of the very first sample to be taken.
pub(super) const INITIAL_PENALTY_MS: i64 = 5000;

/// Replicas folded pairwise: pair 0 merges replicas 0 and 1, pair `k` merges pair `k - 1` and
/// replica `k + 1`.
#[derive(Debug)]
pub(super) struct Penalty<'a> {
    cursors: Vec<Cursor<'a>>,
    pairs: Vec<Pair>,
    /// What the values of each replica are raised by, if values are adjusted.
    raised: Option<Vec<f64>>,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    last_t: Option<i64>,
    /// The side of the next sample, before the first one a guess.
    use_a: bool,
    /// The side that gave the last sample.
    last_a: bool,
    penalty_a: i64,
    penalty_b: i64,
    alive_a: bool,
    alive_b: bool,
}

impl<'a> Penalty<'a> {
    /// A merge before its first sample; `adjust` for functions that look at resets.
    pub(super) fn new(replicas: &'a [Replica], bounds: Interval, adjust: bool) -> Self {
        let cursors: Vec<_> = replicas.iter().map(|r| Cursor::new(r, bounds)).collect();
        let raised = adjust.then(|| vec![0.0; cursors.len()]);
        let mut merge = Self { cursors, pairs: Vec::new(), raised };
        let mut alive_a = merge.cursors.first_mut().is_some_and(Cursor::next);
        for b in 1..merge.cursors.len() {
            if b > 1 {
                alive_a = merge.next_pair(b - 2);
            }
            let alive_b = merge.cursors[b].next();
            merge.pairs.push(Pair {
                last_t: None,
                use_a: true,
                last_a: true,
                penalty_a: 0,
                penalty_b: 0,
                alive_a,
                alive_b,
            });
        }
        merge
    }

    /// Moves to the next sample.
    pub(super) fn next(&mut self) -> bool {
        self.next_pair(self.pairs.len() - 1)
    }

    /// Moves on until a sample is at or after `t`.
    pub(super) fn seek(&mut self, t: i64) -> bool {
        self.seek_pair(self.pairs.len() - 1, t)
    }

    /// Replica of the current sample.
    pub(super) fn leaf(&self) -> usize {
        self.leaf_of(self.pairs.len() - 1)
    }

    pub(super) fn cursor(&self, leaf: usize) -> &Cursor<'a> {
        &self.cursors[leaf]
    }

    /// What the current value of a replica is raised by; `None` when values stay as they are.
    pub(super) fn raised(&self, leaf: usize) -> Option<f64> {
        self.raised.as_ref().map(|r| r[leaf])
    }

    fn next_pair(&mut self, k: usize) -> bool {
        let before = self.pairs[k];
        let value = if self.raised.is_some() { self.side_value(k, before.use_a) } else { None };
        let alive = self.advance(k);
        if let Some(last) = value
            && self.pairs[k].use_a != before.use_a
        {
            self.adjust(k, last);
        }
        alive
    }

    fn advance(&mut self, k: usize) -> bool {
        let mut p = self.pairs[k];
        let after = p.last_t.unwrap_or(i64::MIN).saturating_add(1);
        if p.alive_a {
            p.alive_a = self.seek_side(k, true, after.saturating_add(p.penalty_a));
        }
        if p.alive_b {
            p.alive_b = self.seek_side(k, false, after.saturating_add(p.penalty_b));
        }
        match (p.alive_a, p.alive_b) {
            (false, false) => p.use_a = false,
            (false, true) => {
                (p.use_a, p.last_a, p.penalty_b) = (false, false, 0);
                p.last_t = Some(self.side_t(k, false));
            }
            (true, false) => {
                (p.use_a, p.last_a, p.penalty_a) = (true, true, 0);
                p.last_t = Some(self.side_t(k, true));
            }
            (true, true) => {
                let (ta, tb) = (self.side_t(k, true), self.side_t(k, false));
                let t = ta.min(tb);
                // The side not taken must wait twice the distance of the last two samples.
                let penalty =
                    p.last_t.map_or(INITIAL_PENALTY_MS, |last| t.saturating_sub(last).saturating_mul(2));
                p.use_a = ta <= tb;
                p.last_a = p.use_a;
                (p.penalty_a, p.penalty_b) = if p.use_a { (0, penalty) } else { (penalty, 0) };
                p.last_t = Some(t);
            }
        }
        self.pairs[k] = p;
        p.alive_a || p.alive_b
    }

    fn seek_pair(&mut self, k: usize, t: i64) -> bool {
        while self.pairs[k].last_t.is_none_or(|last| last < t) {
            if !self.next_pair(k) {
                return false;
            }
        }
        // Compat: the side taken is asked once more, and refuses beyond the upper bound.
        let side = self.pairs[k].last_a;
        let at = self.side_t(k, side);
        self.seek_side(k, side, at)
    }

    fn seek_side(&mut self, k: usize, a: bool, t: i64) -> bool {
        match (a, k) {
            (true, 0) => self.cursors[0].seek(t),
            (true, _) => self.seek_pair(k - 1, t),
            (false, _) => self.cursors[k + 1].seek(t),
        }
    }

    /// The replica behind one side of a pair.
    fn side_leaf(&self, mut k: usize, mut a: bool) -> usize {
        loop {
            match (a, k) {
                (true, 0) => return 0,
                (false, _) => return k + 1,
                (true, _) => {
                    k -= 1;
                    a = self.pairs[k].last_a;
                }
            }
        }
    }

    fn leaf_of(&self, k: usize) -> usize {
        self.side_leaf(k, self.pairs[k].last_a)
    }

    fn side_t(&self, k: usize, a: bool) -> i64 {
        self.cursors[self.side_leaf(k, a)].t()
    }

    /// The raised value of a side that is alive and at a float.
    fn side_value(&self, k: usize, a: bool) -> Option<f64> {
        let pair = self.pairs[k];
        if !(if a { pair.alive_a } else { pair.alive_b }) {
            return None;
        }
        let leaf = self.side_leaf(k, a);
        Some(self.cursors[leaf].float()? + self.raised(leaf).unwrap_or(0.0))
    }

    /// Raises both sides of pair `k` to `last` where they lie below.
    fn adjust(&mut self, mut k: usize, last: f64) {
        loop {
            let pair = self.pairs[k];
            if pair.alive_b {
                self.adjust_leaf(k + 1, last);
            }
            // A composite side is asked only while its own current value is a float.
            if !pair.alive_a || self.cursors[self.side_leaf(k, true)].float().is_none() {
                return;
            }
            if k == 0 {
                self.adjust_leaf(0, last);
                return;
            }
            k -= 1;
        }
    }

    fn adjust_leaf(&mut self, leaf: usize, last: f64) {
        if let (Some(raised), Some(v)) = (&mut self.raised, self.cursors[leaf].float()) {
            let v = v + raised[leaf];
            if last > v {
                raised[leaf] += last - v;
            }
        }
    }
}
