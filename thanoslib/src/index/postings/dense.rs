//! Lists that lie dense: one marks a window of bytes, the other looks them up.
//!
//! A byte for each number, not a bit: marking is then a plain store, which does not wait for
//! the store before as setting bits of one word would.

use super::ids::{Id, PIECE, Sieve};

/// Numbers in a window; its bytes stay in the first cache.
const WINDOW: usize = 1 << 14;

/// Numbers of range for each number of the lists up to which this pays.
pub(super) const SPREAD: u64 = 20;

/// Keeps the numbers of `set` that are in `list`, or those that are not.
pub(super) fn sieve<I: Id>(set: &mut Vec<u32>, list: &[I], keep: bool) {
    // Of a known size, so that a number cut to it needs no check.
    let mut marks = Box::new([0u8; WINDOW]);
    let mut sieve = Sieve::new();
    let (mut read, mut list) = (0, list);
    while let Some(base) = set.get(read).copied() {
        let last = base.saturating_add(WINDOW as u32 - 1);
        let below = list.partition_point(|id| id.value() < base);
        list = list.get(below..).unwrap_or_default();
        let inside = window(list, last);
        let (marking, rest) = list.split_at(inside);
        list = rest;
        marks.fill(u8::from(!keep));
        for id in marking {
            marks[id.value().wrapping_sub(base) as usize % WINDOW] = u8::from(keep);
        }
        let end = read + window(set.get(read..).unwrap_or_default(), last);
        while read < end {
            let piece = set.get(read..end.min(read + PIECE)).unwrap_or_default();
            read += piece.len();
            for id in piece {
                sieve.offer(*id, usize::from(marks[id.wrapping_sub(base) as usize % WINDOW]));
            }
            sieve.flush(set);
        }
    }
    set.truncate(sieve.written);
}

/// How many numbers of the front of a list are at most `last`.
fn window<I: Id>(ids: &[I], last: u32) -> usize {
    // No window holds more numbers than it has bytes.
    let near = ids.get(..WINDOW).unwrap_or(ids);
    near.partition_point(|id| id.value() <= last)
}
