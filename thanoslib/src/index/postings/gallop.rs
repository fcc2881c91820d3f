//! Searching a long list for the numbers of a short one.

use super::ids::{Id, Sieve};

/// Numbers that are searched for at the same time, so that their memory reads overlap.
const GROUP: usize = 8;

/// Finds ascending numbers in a list, group by group.
pub(super) struct Finder<'a, I> {
    list: &'a [I],
    /// Everything before lies below what comes next.
    pos: usize,
    /// First step when looking for the end of a group.
    step: usize,
}

impl<'a, I: Id> Finder<'a, I> {
    /// A finder that will look for about `needles` numbers.
    pub(super) fn new(list: &'a [I], needles: usize) -> Self {
        Self { list, pos: 0, step: (list.len() / needles.max(1)).max(1) * GROUP }
    }

    /// For each number the place of the first in the list that is not below it.
    fn seek(&mut self, group: &[u32; GROUP]) -> [usize; GROUP] {
        let last = group[GROUP - 1];
        // The end is doubled away until it is not below the last of the group.
        let (mut end, mut step) = (self.pos, self.step);
        loop {
            end = (end + step).min(self.list.len());
            step *= 2;
            match self.list.get(end) {
                Some(id) if id.value() < last => {}
                _ => break,
            }
        }
        let window = self.list.get(self.pos..end).unwrap_or_default();
        // All halve the same window in step and without branches.
        let mut at = [0; GROUP];
        let mut len = window.len();
        while len > 1 {
            let half = len / 2;
            for (at, id) in at.iter_mut().zip(group) {
                let probe = window.get(*at + half - 1).map_or(u32::MAX, |i| i.value());
                *at += half * usize::from(probe < *id);
            }
            len -= half;
        }
        for (at, id) in at.iter_mut().zip(group) {
            *at += usize::from(window.get(*at).is_some_and(|i| i.value() < *id));
            *at += self.pos;
        }
        self.pos = at[GROUP - 1];
        at
    }

    /// True where a number is in the list; `ids` has at most [`GROUP`] numbers.
    fn contains(&mut self, ids: &[impl Id]) -> [bool; GROUP] {
        let last = ids.last().map_or(0, |id| id.value());
        let mut group = [last; GROUP];
        for (slot, id) in group.iter_mut().zip(ids) {
            *slot = id.value();
        }
        let at = self.seek(&group);
        let mut found = [false; GROUP];
        for ((found, at), id) in found.iter_mut().zip(at).zip(group) {
            *found = self.list.get(at).is_some_and(|i| i.value() == id);
        }
        found
    }
}

/// Keeps the numbers of a short `set` that are in `list`, or those that are not.
pub(super) fn sieve<I: Id>(set: &mut Vec<u32>, list: &[I], keep: bool) {
    let mut finder = Finder::new(list, set.len());
    let mut sieve = Sieve::new();
    for start in (0..set.len()).step_by(GROUP) {
        let group = set.get(start..set.len().min(start + GROUP)).unwrap_or_default();
        let found = finder.contains(group);
        for (id, found) in group.iter().zip(found) {
            sieve.offer(*id, usize::from(found == keep));
        }
        sieve.flush(set);
    }
    set.truncate(sieve.written);
}

/// Keeps the numbers of `set` that are in a short `list`.
pub(super) fn pick<I: Id>(set: &mut Vec<u32>, list: &[I]) {
    let mut written = 0;
    let mut pos = 0;
    for group in list.chunks(GROUP) {
        // What was found before lies in front of `pos`, and is at most as much.
        let rest = set.get(pos..).unwrap_or_default();
        let mut finder = Finder::new(rest, list.len());
        let found = finder.contains(group);
        pos += finder.pos;
        for (id, found) in group.iter().zip(found) {
            if let Some(slot) = set.get_mut(written).filter(|_| found) {
                *slot = id.value();
                written += 1;
            }
        }
    }
    set.truncate(written);
}

/// Removes the numbers of a short `list` from `set`.
pub(super) fn strike<I: Id>(set: &mut Vec<u32>, list: &[I]) {
    let mut struck: Vec<usize> = Vec::with_capacity(list.len());
    let mut finder = Finder::new(set.as_slice(), list.len());
    for group in list.chunks(GROUP) {
        let last = group.last().map_or(0, |id| id.value());
        let mut ids = [last; GROUP];
        for (slot, id) in ids.iter_mut().zip(group) {
            *slot = id.value();
        }
        for (at, id) in finder.seek(&ids).into_iter().zip(ids).take(group.len()) {
            if set.get(at) == Some(&id) {
                struck.push(at);
            }
        }
    }
    // The runs between what is struck move to the front.
    let mut written = struck.first().copied().unwrap_or(set.len());
    for (i, at) in struck.iter().enumerate() {
        let end = struck.get(i + 1).copied().unwrap_or(set.len());
        set.copy_within(at + 1..end, written);
        written += end - (at + 1);
    }
    set.truncate(written);
}
