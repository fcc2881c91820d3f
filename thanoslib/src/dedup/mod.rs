//! Merging the replicas of an HA pair: overlap split, penalty merge, chain merge, counters.
//!
//! For queries a [`Deduplicator`] takes the chunks of one series, grouped by replica, decodes each
//! replica into columns and walks them by index. For compaction a [`ChunkMerge`] takes the chunks
//! of one series, grouped by block, and gives chunks: copied where nothing overlaps.
//!
//! Invariant: sync and per series; knows no labels, no stores, no clock.

mod chain;
mod chunks;
mod heap;
mod interval;
mod lift;
mod merge;
mod pair;
mod penalty;
mod place;
mod reader;
mod replica;
mod series;
mod split;
#[cfg(test)]
mod tests;

pub use chunks::{SeriesChunk, windows};
pub use merge::{ChunkMerge, MergedChunk};
pub use reader::Reader;
pub use replica::Replica;
pub use series::Deduplicator;
pub(crate) use split::split_overlaps;

use crate::model::Interval;

/// How replicas are merged.
///
/// See [`Deduplicator`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// Stays on one replica and changes to another when it falls behind: for HA pairs that scrape
    /// the same targets at times of their own.
    #[default]
    Penalty,
    /// Every distinct time once: for replicas that hold the same samples.
    Chain,
    /// The replica that missed the fewest scrapes in each slot of five minutes, the others where
    /// it missed one: for HA pairs, with the same answer whatever a query begins with.
    Interval,
}

impl Algorithm {
    /// The time whose samples decide what a merge gives inside `interval`: callers that read all
    /// of it get the same samples for every interval.
    pub fn reads(self, interval: Interval) -> Interval {
        match self {
            Self::Penalty | Self::Chain => interval,
            Self::Interval => interval::around(interval),
        }
    }
}

/// What becomes of counters under a function that looks at resets.
///
/// See [`Deduplicator`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Counters {
    /// Values as stored. `increase`, `rate`, `irate` and `resets` see values lifted where a change
    /// of replica, and no reset of the counter, would make them fall. A series of which any
    /// chunk is a counter aggregate is read as with [`Thanos`](Self::Thanos).
    #[default]
    Prometheus,
    /// Resets are added up before anything else sees the values.
    Thanos,
}

/// How the series of one select are deduplicated.
///
/// See [`Deduplicator`].
#[derive(Clone, Copy, Debug)]
pub struct DedupRequest<'a> {
    /// How replicas are merged.
    pub algorithm: Algorithm,
    /// What becomes of counters.
    pub counters: Counters,
    /// The innermost function or aggregation around the selector, empty for none.
    pub function: &'a str,
    /// The samples that are wanted, both ends inside.
    pub interval: Interval,
}

/// What a caller has to know about a deduplicated series.
///
/// See [`Deduplicator::dedup`], which gives it, and the example of [`Deduplicator`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Outcome {
    /// True when [`Counters::Prometheus`] was asked for, but a counter aggregate made it
    /// necessary to add up the resets of the whole series.
    pub rewritten: bool,
}

/// True for the functions under which a change of replica must not look like a reset.
///
/// Compat: Thanos `pkg/dedup/iter.go`: `xrate` and `xincrease` are not among them.
fn adjusts(function: &str) -> bool {
    matches!(function, "increase" | "rate" | "irate" | "resets")
}
