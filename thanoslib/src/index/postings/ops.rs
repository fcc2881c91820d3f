//! Set operations on ascending lists of series numbers.
//!
//! Each picks its way by the sizes of the lists and by how dense they lie: a long list is
//! searched for the numbers of a short one, dense lists mark and look up bytes, thin ones
//! are compared block by block, and many are collected as bits or in a roaring bitmap.

use super::{
    blocks, dense, gallop,
    ids::{Id, SortedIds, between, ends},
    members::{Members, ends_of},
};

/// From this ratio of lengths on, the longer list is searched instead of read.
const SEARCH: usize = 48;

/// Keeps the ids of `set` that are in `list`.
pub fn intersect(set: &mut Vec<u32>, list: &impl SortedIds) {
    let (Some((low, high)), Some((first, last))) = (ends(set.as_slice()), ends(list.ids())) else {
        set.clear();
        return;
    };
    let (low, high) = (low.max(first), high.min(last));
    let list = between(list.ids(), low, high);
    trim(set, low, high);
    if set.len() / SEARCH > list.len() {
        gallop::pick(set, list);
    } else {
        sieve(set, list, true);
    }
}

/// Removes from `set` the ids that are in `list`.
pub fn subtract(set: &mut Vec<u32>, list: &impl SortedIds) {
    let Some((low, high)) = ends(set.as_slice()) else { return };
    let list = between(list.ids(), low, high);
    if list.is_empty() {
        return;
    }
    if set.len() / SEARCH > list.len() {
        gallop::strike(set, list);
    } else {
        sieve(set, list, false);
    }
}

/// Keeps the numbers of `set` that are in `list`, or those that are not; `list` is not much
/// shorter than `set`.
fn sieve<I: Id>(set: &mut Vec<u32>, list: &[I], keep: bool) {
    let Some((low, high)) = ends(set.as_slice()) else { return };
    if list.len() / SEARCH > set.len() {
        gallop::sieve(set, list, keep);
    } else if u64::from(high - low) < dense::SPREAD * (set.len() + list.len()) as u64 && set.len() >= 64 {
        dense::sieve(set, list, keep);
    } else {
        blocks::sieve(set, list, keep);
    }
}

/// Drops the numbers outside of `low` to `high`.
fn trim(set: &mut Vec<u32>, low: u32, high: u32) {
    set.truncate(set.partition_point(|id| *id <= high));
    let start = set.partition_point(|id| *id < low);
    if start > 0 {
        set.copy_within(start.., 0);
        set.truncate(set.len() - start);
    }
}

/// Keeps the ids of `set` that are in any of the lists.
pub(crate) fn intersect_any<L: SortedIds>(set: &mut Vec<u32>, lists: &[L]) {
    match lists {
        [one] => intersect(set, one),
        many => sieve_many(set, many, true),
    }
}

/// Removes from `set` the ids that are in any of the lists.
pub(crate) fn subtract_all<L: SortedIds>(set: &mut Vec<u32>, lists: &[L]) {
    match lists {
        [one] => subtract(set, one),
        many => sieve_many(set, many, false),
    }
}

fn sieve_many<L: SortedIds>(set: &mut Vec<u32>, lists: &[L], keep: bool) {
    let Some((low, high)) = ends(set.as_slice()) else { return };
    let inside: Vec<&[L::Id]> =
        lists.iter().map(|l| between(l.ids(), low, high)).filter(|l| !l.is_empty()).collect();
    let total: usize = inside.iter().map(|l| l.len()).sum();
    let mut members = Members::new(low, high, total.max(set.len()));
    for list in inside {
        members.add_wanted(list, set);
    }
    members.sieve(set, keep);
}

/// True when some id is in both lists.
pub fn intersects(a: &impl SortedIds, b: &impl SortedIds) -> bool {
    if a.count() > b.count() { meets(b.ids(), a.ids()) } else { meets(a.ids(), b.ids()) }
}

/// Looks at more and more of a list at a time, since lists that meet mostly do so soon.
fn meets<A: Id, B: Id>(mut short: &[A], mut long: &[B]) -> bool {
    let mut piece = 8;
    while let Some((low, high)) = ends(short.get(..piece).unwrap_or(short)) {
        let (now, later) = short.split_at(piece.min(short.len()));
        long = long.get(long.partition_point(|id| id.value() < low)..).unwrap_or_default();
        if long.is_empty() {
            return false;
        }
        let near = long.partition_point(|id| id.value() <= high);
        let mut both: Vec<u32> = now.iter().map(|id| id.value()).collect();
        sieve(&mut both, long.get(..near).unwrap_or_default(), true);
        if !both.is_empty() {
            return true;
        }
        short = later;
        piece *= 4;
    }
    false
}

/// The ids that are in any of the lists.
pub fn union<L: SortedIds>(lists: &[L]) -> Vec<u32> {
    let lists: Vec<&[L::Id]> = lists.iter().map(SortedIds::ids).filter(|l| !l.is_empty()).collect();
    let total = lists.iter().map(|l| l.len()).sum();
    match lists.as_slice() {
        [] => Vec::new(),
        [one] => one.iter().map(|id| id.value()).collect(),
        [a, b] => merge(a, b),
        many => {
            let Some((low, high)) = ends_of(many.iter().copied()) else { return Vec::new() };
            let mut members = Members::new(low, high, total);
            many.iter().for_each(|list| members.add(list));
            members.into_ids()
        }
    }
}

/// Both lists as one, without branches in the loop.
fn merge<A: Id, B: Id>(a: &[A], b: &[B]) -> Vec<u32> {
    let mut out = vec![0; a.len() + b.len()];
    let (mut i, mut j, mut n) = (0, 0, 0);
    while let (Some(x), Some(y), Some(slot)) = (a.get(i), b.get(j), out.get_mut(n)) {
        let (x, y) = (x.value(), y.value());
        *slot = x.min(y);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
        n += 1;
    }
    out.truncate(n);
    out.extend(a.get(i..).unwrap_or_default().iter().map(|id| id.value()));
    out.extend(b.get(j..).unwrap_or_default().iter().map(|id| id.value()));
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::index::Postings;

    type Set = BTreeSet<u32>;

    fn list(set: &Set) -> Vec<u32> {
        set.iter().copied().collect()
    }

    fn encode(ids: &[u32]) -> Vec<u8> {
        let content: Vec<u8> = [ids.len() as u32].iter().chain(ids).flat_map(|id| id.to_be_bytes()).collect();
        let mut out = (content.len() as u32).to_be_bytes().to_vec();
        out.extend_from_slice(&content);
        out.extend_from_slice(&crate::encoding::crc32c(&content).to_be_bytes());
        out
    }

    /// Every operation on `x` and the lists, in memory and as they lie in a file.
    fn check(x: &Set, ys: &[&Set]) {
        let xs = list(x);
        let all: Set = ys.iter().flat_map(|y| y.iter().copied()).collect();
        let files: Vec<Vec<u8>> = ys.iter().map(|y| encode(&list(y))).collect();
        let stored: Vec<Postings<'_>> =
            files.iter().map(|f| Postings::parse(f, 0).expect("a sound list")).collect();
        let plain: Vec<Vec<u32>> = ys.iter().map(|y| list(y)).collect();
        assert_eq!(union(&stored), list(&all));
        assert_eq!(union(&plain), list(&all));
        let on = |f: &dyn Fn(&mut Vec<u32>)| {
            let mut set = xs.clone();
            f(&mut set);
            set
        };
        for ((y, stored), plain) in ys.iter().zip(&stored).zip(&plain) {
            let both = list(&(x & *y));
            assert_eq!(on(&|set| intersect(set, stored)), both);
            assert_eq!(on(&|set| intersect(set, plain)), both);
            assert_eq!(on(&|set| subtract(set, stored)), list(&(x - *y)));
            assert_eq!(intersects(&xs, stored), !both.is_empty());
            assert_eq!(intersects(stored, &xs), !both.is_empty());
        }
        assert_eq!(on(&|set| intersect_any(set, &stored)), list(&(x & &all)));
        assert_eq!(on(&|set| subtract_all(set, &stored)), list(&(x - &all)));
    }

    /// Lists of up to `max` numbers, dense, thin, or at both ends of all numbers.
    fn ids(max: usize) -> impl Strategy<Value = Set> {
        let number = prop_oneof![
            6 => 0u32..3000,
            3 => 0u32..2_000_000,
            1 => any::<u32>(),
            1 => u32::MAX - 200..=u32::MAX,
        ];
        let mixed = prop::collection::btree_set(number, 0..max);
        prop_oneof![prop::collection::btree_set(0u32..3000, 0..max), mixed]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
        #[test]
        fn operations_equal_those_of_sets(a in ids(1500), b in ids(1500), c in ids(12), d in ids(3)) {
            check(&a, &[&b, &c]);
            check(&c, &[&a, &b, &d]);
            check(&d, &[&a]);
            check(&b, &[]);
        }
    }

    #[test]
    fn every_shape_of_lists_is_computed_alike() {
        let every = |step: u32, range: std::ops::Range<u32>| range.step_by(step as usize).collect::<Set>();
        let shapes = [
            Set::new(),
            every(1, 0..5_000),
            every(3, 5..15_000),
            every(7, 12_000..26_000),
            every(1000, 0..500_000),
            every(999, 1..500_000),
            every(10_000_000, 7..u32::MAX),
            Set::from([0, u32::MAX]),
            Set::from([u32::MAX - 1]),
        ];
        for x in &shapes {
            check(x, &shapes.iter().collect::<Vec<_>>());
        }
    }
}
