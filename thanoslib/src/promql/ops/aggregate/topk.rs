//! `topk` and `bottomk`.

use crate::{
    error::Result,
    model::Labels,
    promql::{Block, order::sort_like_go, scope::Scope},
};

use super::{Blame, Group, State, of_group};

/// A value and the number of its series.
#[derive(Clone, Copy, Debug)]
struct Entry {
    v: f64,
    series: u32,
}

/// The best values of all groups and steps.
#[derive(Debug)]
pub(super) struct Topk {
    /// How many to keep at each step.
    k: Vec<u64>,
    top: bool,
    /// Nothing is kept at any step.
    idle: bool,
    series: Vec<(Labels, bool)>,
    groups: Vec<Heaps>,
}

/// The best values of one group.
#[derive(Debug)]
struct Heaps {
    /// A heap for each step, its worst value first.
    heaps: Vec<Vec<Entry>>,
    /// Of each step the value that a new one must be better than; NaN where any may enter.
    gates: Vec<f64>,
}

impl Topk {
    pub(super) fn new(k: Vec<u64>, top: bool) -> Self {
        let idle = k.iter().all(|k| *k == 0);
        Self { k, top, idle, series: Vec::new(), groups: Vec::new() }
    }
}

/// True when `a` is worse than `b`; NaN is worse than everything, another NaN included.
#[inline]
fn worse(top: bool, a: f64, b: f64) -> bool {
    a.is_nan() || if top { a < b } else { a > b }
}

/// Adds a value to a heap of at most `k` (above 0) values.
///
/// Which of equal values leaves, and their order, follows from the places in the heap.
/// Compat: promql/engine.go, aggregationK, with Go's `container/heap`.
fn offer(heap: &mut Vec<Entry>, k: u64, top: bool, entry: Entry) {
    if (heap.len() as u64) < k {
        heap.push(entry);
        let mut i = heap.len() - 1;
        while i > 0 {
            let parent = (i - 1) / 2;
            if !worse(top, heap[i].v, heap[parent].v) {
                break;
            }
            heap.swap(i, parent);
            i = parent;
        }
        return;
    }
    let worst = heap[0].v;
    let better = if top { worst < entry.v } else { worst > entry.v };
    if !better && (!worst.is_nan() || entry.v.is_nan()) {
        return;
    }
    heap[0] = entry;
    let mut i = 0;
    loop {
        let mut child = 2 * i + 1;
        if child >= heap.len() {
            break;
        }
        if child + 1 < heap.len() && worse(top, heap[child + 1].v, heap[child].v) {
            child += 1;
        }
        if !worse(top, heap[child].v, heap[i].v) {
            break;
        }
        heap.swap(i, child);
        i = child;
    }
}

/// A bit for each pair whose first is no more than the second; NaN clears it.
fn no_more(a: &[f64], b: &[f64]) -> u64 {
    let pairs = a.iter().zip(b).enumerate();
    pairs.fold(0, |word, (i, (a, b))| word | u64::from(a <= b) << i)
}

impl State for Topk {
    fn group_bytes(&self) -> usize {
        // An empty heap and a gate for each step.
        self.k.len() * 32
    }

    fn absorb(
        &mut self,
        scope: &mut Scope<'_>,
        blame: &Blame,
        group: usize,
        block: &mut Block,
    ) -> Result<()> {
        let (n, top) = (self.k.len(), self.top);
        let heaps = of_group(&mut self.groups, group, || Heaps {
            heaps: vec![Vec::new(); n],
            gates: vec![f64::NAN; n],
        });
        if self.idle {
            return Ok(());
        }
        if !block.histograms.is_empty() {
            blame.ignored_histogram(scope);
        }
        if block.present.is_empty() {
            return Ok(());
        }
        let series = self.series.len() as u32;
        let Heaps { heaps, gates } = heaps;
        let columns = block.floats.chunks(64).zip(gates.chunks_mut(64)).zip(block.present.words());
        for (at, ((values, gates), present)) in columns.enumerate() {
            let mut enters = present & !if top { no_more(values, gates) } else { no_more(gates, values) };
            while enters != 0 {
                let lane = enters.trailing_zeros() as usize;
                let i = at * 64 + lane;
                enters &= enters - 1;
                if self.k[i] > 0 {
                    offer(&mut heaps[i], self.k[i], top, Entry { v: values[lane], series });
                    if heaps[i].len() as u64 >= self.k[i] {
                        gates[lane] = heaps[i][0].v;
                    }
                }
            }
        }
        self.series.push((block.labels.clone(), block.drop_name));
        Ok(())
    }

    fn finish(self: Box<Self>, scope: &mut Scope<'_>, _: &Blame, _: Vec<Group>) -> Result<Vec<Block>> {
        let (n, top) = (self.k.len(), self.top);
        let mut out: Vec<Block> = Vec::new();
        let mut places: Vec<Option<usize>> = vec![None; self.series.len()];
        for group in self.groups {
            scope.check()?;
            for (i, mut heap) in group.heaps.into_iter().enumerate() {
                sort_like_go(&mut heap, |a, b| worse(top, b.v, a.v));
                for entry in heap {
                    let (labels, drop_name) = &self.series[entry.series as usize];
                    let place = *places[entry.series as usize].get_or_insert_with(|| {
                        let mut block = Block::new(labels.clone(), n);
                        block.drop_name = *drop_name;
                        out.push(block);
                        out.len() - 1
                    });
                    out[place].set(i, entry.v);
                }
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_ties_follows_the_heap() {
        let check = |top: bool, k: u64, values: &[f64], want: &[u32]| {
            let mut heap = Vec::new();
            for (i, v) in values.iter().enumerate() {
                offer(&mut heap, k, top, Entry { v: *v, series: i as u32 });
            }
            sort_like_go(&mut heap, |a, b| worse(top, b.v, a.v));
            assert_eq!(heap.iter().map(|e| e.series).collect::<Vec<_>>(), want, "{values:?}");
        };
        check(true, 4, &[1.0, 1.0, 0.0, 1.0], &[1, 0, 3, 2]);
        check(true, 2, &[1.0, 3.0, 2.0, f64::NAN], &[1, 2]);
        check(false, 2, &[1.0, 3.0, 2.0, f64::NAN], &[0, 2]);
        check(true, 3, &[f64::NAN, 1.0], &[1, 0]);
        check(true, 1, &[2.0, 2.0], &[0]);
    }
}
