//! The numbers of many lists together.

use roaring::RoaringBitmap;

use super::{
    gallop,
    ids::{Id, PIECE, Sieve, between, ends},
};

/// Numbers of range for each number of the lists up to which plain bits are used: then a
/// list of the same numbers would take as much memory.
const SPREAD: u64 = 64;
/// From this ratio on a list is searched for the numbers wanted.
const SEARCH: usize = 32;

/// The numbers that are in any of some lists, between two ends.
pub(super) enum Members {
    /// A bit for each number from `low` on.
    Bits { low: u32, words: Vec<u64> },
    /// Thin lists.
    Roaring { low: u32, high: u32, set: RoaringBitmap },
}

impl Members {
    /// An empty set for numbers from `low` to `high`, into which lists of `total` numbers come.
    pub(super) fn new(low: u32, high: u32, total: usize) -> Self {
        let range = u64::from(high.saturating_sub(low)) + 1;
        if range <= SPREAD * total as u64 {
            return Self::Bits { low, words: vec![0; range.div_ceil(64) as usize] };
        }
        Self::Roaring { low, high, set: RoaringBitmap::new() }
    }

    /// Adds the numbers of a list that lie between the ends.
    pub(super) fn add<I: Id>(&mut self, list: &[I]) {
        match self {
            Self::Bits { low, words } => {
                let high = u64::from(*low) + (words.len() as u64 * 64 - 1);
                for id in between(list, *low, high.min(u64::from(u32::MAX)) as u32) {
                    let at = id.value() - *low;
                    if let Some(word) = words.get_mut((at / 64) as usize) {
                        *word |= 1 << (at % 64);
                    }
                }
            }
            Self::Roaring { low, high, set } => {
                let inside = between(list, *low, *high).iter().map(|id| id.value());
                // The numbers of a list ascend, so that it is a set of its own at once.
                if let Ok(list) = RoaringBitmap::from_sorted_iter(inside) {
                    *set |= list;
                }
            }
        }
    }

    /// Adds those numbers of a list that may be wanted: the others need not be there.
    pub(super) fn add_wanted<I: Id>(&mut self, list: &[I], wanted: &[u32]) {
        if list.len() / SEARCH <= wanted.len() {
            return self.add(list);
        }
        let mut found = wanted.to_vec();
        gallop::sieve(&mut found, list, true);
        self.add(&found);
    }

    /// Keeps the numbers of `ids`, which lie between the ends, that are in this set, or
    /// those that are not.
    pub(super) fn sieve(&self, ids: &mut Vec<u32>, keep: bool) {
        let Self::Bits { low, words } = self else {
            return ids.retain(|id| self.contains(*id) == keep);
        };
        let mut sieve = Sieve::new();
        let mut read = 0;
        while read < ids.len() {
            let piece = ids.get(read..ids.len().min(read + PIECE)).unwrap_or_default();
            read += piece.len();
            for id in piece {
                let at = id.wrapping_sub(*low);
                let word = words.get((at / 64) as usize).copied().unwrap_or_default();
                sieve.offer(*id, usize::from((word >> (at % 64) & 1 == 1) == keep));
            }
            sieve.flush(ids);
        }
        ids.truncate(sieve.written);
    }

    fn contains(&self, id: u32) -> bool {
        match self {
            Self::Bits { low, words } => {
                let Some(at) = id.checked_sub(*low) else { return false };
                words.get((at / 64) as usize).is_some_and(|w| w >> (at % 64) & 1 == 1)
            }
            Self::Roaring { set, .. } => set.contains(id),
        }
    }

    /// The numbers in order.
    pub(super) fn into_ids(self) -> Vec<u32> {
        match self {
            Self::Bits { low, words } => {
                let count: u32 = words.iter().map(|w| w.count_ones()).sum();
                let mut out = Vec::with_capacity(count as usize);
                for (i, mut word) in words.into_iter().enumerate() {
                    while word != 0 {
                        out.push(low + i as u32 * 64 + word.trailing_zeros());
                        word &= word - 1;
                    }
                }
                out
            }
            Self::Roaring { set, .. } => set.into_iter().collect(),
        }
    }
}

/// The lowest and the highest number of some lists.
pub(super) fn ends_of<'a, I: Id + 'a>(lists: impl Iterator<Item = &'a [I]>) -> Option<(u32, u32)> {
    lists.filter_map(ends).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
}
