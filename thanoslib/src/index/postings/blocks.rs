//! Lists of like size that lie thin: eight numbers against eight, all compared at once.

use super::ids::{Id, Sieve};

/// Numbers in a block.
const BLOCK: usize = 8;

/// Notes in `hits` which numbers of `a` are in `b`.
///
/// The loops have no branches and fixed lengths, so they become a few vector instructions.
#[inline(always)]
fn compare(a: &[u32; BLOCK], b: &[u32; BLOCK], hits: &mut [u32; BLOCK]) {
    for y in b {
        for (hit, x) in hits.iter_mut().zip(a) {
            *hit |= u32::from(x == y);
        }
    }
}

/// Keeps the numbers of `set` that are in `list`, or those that are not.
pub(super) fn sieve<I: Id>(set: &mut Vec<u32>, list: &[I], keep: bool) {
    let mut sieve = Sieve::new();
    let (blocks, tail) = list.as_chunks::<BLOCK>();
    let mut blocks = blocks.iter();
    let mut load = || blocks.next().map(|block| block.map(Id::value));
    let mut b = load();
    let mut read = 0;
    // Blocks of the list that are passed never matter again; what is behind the last whole
    // block is compared one by one.
    let mut tail = tail.iter().map(|id| id.value()).peekable();
    while read < set.len() {
        let rest = set.get(read..).unwrap_or_default();
        let Some(a) = rest.first_chunk::<BLOCK>().copied() else { break };
        let mut hits = [0; BLOCK];
        let last = a[BLOCK - 1];
        while let Some(block) = &b {
            compare(&a, block, &mut hits);
            if block[BLOCK - 1] > last {
                break;
            }
            b = load();
        }
        if b.is_none() {
            walk(&a, &mut tail, &mut hits);
        }
        read += BLOCK;
        for (id, hit) in a.iter().zip(hits) {
            sieve.offer(*id, usize::from((hit == 1) == keep));
        }
        sieve.flush(set);
    }
    // Fewer numbers than a block are left.
    let rest: Vec<u32> = set.get(read..).unwrap_or_default().to_vec();
    for id in rest {
        let mut hits = [0; 1];
        while let Some(block) = &b {
            hits[0] |= u32::from(block.contains(&id));
            if block[BLOCK - 1] >= id {
                break;
            }
            b = load();
        }
        if b.is_none() {
            walk(&[id], &mut tail, &mut hits);
        }
        sieve.offer(id, usize::from((hits[0] == 1) == keep));
        sieve.flush(set);
    }
    set.truncate(sieve.written);
}

/// Notes which numbers are in the rest of a list, number by number.
fn walk<const N: usize>(
    ids: &[u32; N],
    rest: &mut std::iter::Peekable<impl Iterator<Item = u32>>,
    hits: &mut [u32; N],
) {
    for (id, hit) in ids.iter().zip(hits) {
        while rest.next_if(|r| r < id).is_some() {}
        *hit |= u32::from(rest.peek() == Some(id));
    }
}
