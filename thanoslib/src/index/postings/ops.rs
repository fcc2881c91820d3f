//! Set operations on ascending lists of series numbers.

/// An ascending list without repeats that can be read at any place.
pub trait SortedIds {
    /// Number of ids.
    fn count(&self) -> usize;
    /// Id number `i`.
    fn at(&self, i: usize) -> Option<u32>;
}

impl SortedIds for &[u32] {
    #[inline]
    fn count(&self) -> usize {
        self.len()
    }

    #[inline]
    fn at(&self, i: usize) -> Option<u32> {
        self.get(i).copied()
    }
}

/// From this ratio of lengths on, the longer list is searched instead of walked.
const GALLOP_RATIO: usize = 8;

/// Walks a list forward to given ids.
struct Cursor<'a, L> {
    list: &'a L,
    pos: usize,
    gallop: bool,
}

impl<'a, L: SortedIds> Cursor<'a, L> {
    fn new(list: &'a L, other_len: usize) -> Self {
        Self { list, pos: 0, gallop: list.count() / GALLOP_RATIO > other_len }
    }

    /// Moves to the first id that is not below `id`, and gives it.
    #[inline]
    fn seek(&mut self, id: u32) -> Option<u32> {
        if self.gallop {
            self.leap(id);
        }
        loop {
            let at = self.list.at(self.pos)?;
            if at >= id {
                return Some(at);
            }
            self.pos += 1;
        }
    }

    /// Doubles steps until `id` is passed, then halves the last step.
    fn leap(&mut self, id: u32) {
        let below = |i: usize| self.list.at(i).is_some_and(|v| v < id);
        if !below(self.pos) {
            return;
        }
        let (mut low, mut step) = (self.pos, 1);
        while below(low + step) {
            low += step;
            step *= 2;
        }
        // The id at `low` is below, the one at `low + step` is not.
        let mut high = low + step;
        while high - low > 1 {
            let mid = low + (high - low) / 2;
            if below(mid) {
                low = mid;
            } else {
                high = mid;
            }
        }
        self.pos = high;
    }
}

/// Keeps the ids of `set` that are in `list`.
pub fn intersect(set: &mut Vec<u32>, list: &impl SortedIds) {
    if set.len() / GALLOP_RATIO > list.count() {
        let mut kept = Vec::with_capacity(list.count());
        let long = set.as_slice();
        let mut cursor = Cursor::new(&long, list.count());
        let ids = (0..list.count()).filter_map(|i| list.at(i));
        kept.extend(ids.filter(|id| cursor.seek(*id) == Some(*id)));
        *set = kept;
        return;
    }
    let mut cursor = Cursor::new(list, set.len());
    set.retain(|id| cursor.seek(*id) == Some(*id));
}

/// True when some id is in both lists.
pub fn intersects(a: &impl SortedIds, b: &impl SortedIds) -> bool {
    if a.count() > b.count() {
        return intersects(b, a);
    }
    let mut cursor = Cursor::new(b, a.count());
    (0..a.count()).filter_map(|i| a.at(i)).any(|id| cursor.seek(id) == Some(id))
}

/// Removes from `set` the ids that are in `list`.
pub fn subtract(set: &mut Vec<u32>, list: &impl SortedIds) {
    let mut cursor = Cursor::new(list, set.len());
    set.retain(|id| cursor.seek(*id) != Some(*id));
}

/// The ids that are in any of the lists.
pub fn union<L: SortedIds>(lists: &[L]) -> Vec<u32> {
    let mut out = Vec::with_capacity(lists.iter().map(SortedIds::count).sum());
    for list in lists {
        out.extend((0..list.count()).filter_map(|i| list.at(i)));
    }
    if lists.len() > 1 {
        // The stable sort finds the ascending runs and merges them.
        out.sort();
        out.dedup();
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn ids(max: usize) -> impl Strategy<Value = BTreeSet<u32>> {
        prop::collection::btree_set(0u32..2000, 0..max)
    }

    fn list(set: &BTreeSet<u32>) -> Vec<u32> {
        set.iter().copied().collect()
    }

    proptest! {
        #[test]
        fn operations_equal_those_of_sets(a in ids(400), b in ids(400), c in ids(12)) {
            for (x, y) in [(&a, &b), (&a, &c), (&c, &a)] {
                let (xs, ys) = (list(x), list(y));
                let (mut both, mut rest) = (xs.clone(), xs.clone());
                intersect(&mut both, &ys.as_slice());
                subtract(&mut rest, &ys.as_slice());
                prop_assert_eq!(&both, &list(&(x & y)));
                prop_assert_eq!(&rest, &list(&(x - y)));
                prop_assert_eq!(union(&[xs.as_slice(), ys.as_slice()]), list(&(x | y)));
                prop_assert_eq!(intersects(&xs.as_slice(), &ys.as_slice()), !both.is_empty());
            }
        }
    }
}
