//! What was found in a block.

use std::{collections::BTreeMap, fmt};

use crate::block::BlockStats;

/// What is wrong at one place of a block.
///
/// See [`VerifySettings`](super::VerifySettings).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// An object is missing.
    Missing,
    /// An object has another size than the description says.
    FileSize,
    /// The description cannot be read.
    Meta,
    /// The description counts other than is there.
    Stats,
    /// Header or table of contents of the index are damaged; nothing else of it was checked.
    Toc,
    /// The symbols have another checksum, or cannot be read.
    Symbols,
    /// Symbols that do not ascend.
    SymbolOrder,
    /// A series entry has another checksum.
    SeriesChecksum,
    /// A series entry cannot be read.
    SeriesEntry,
    /// A series that is not after the one before.
    SeriesOrder,
    /// A series without labels.
    SeriesLabels,
    /// A series without chunks.
    SeriesChunks,
    /// A label that names no symbol.
    UnknownSymbol,
    /// A label name that is not after the one before.
    LabelOrder,
    /// The postings offset table has another checksum, or cannot be read.
    PostingsTable,
    /// A postings list has another checksum, or cannot be read.
    Postings,
    /// A postings list whose series do not ascend.
    PostingsOrder,
    /// A postings list with other series than have the label.
    PostingsSeries,
    /// A label of some series that has no postings list.
    PostingsMissing,
    /// A chunk that begins before the one before ended.
    ChunkOrder,
    /// A chunk with the time of the one before.
    ChunkDuplicate,
    /// A chunk that ends before it begins.
    ChunkInterval,
    /// A chunk whose place is before that of the chunk before.
    ChunkRefOrder,
    /// A chunk partly outside of the time of the block.
    ChunkOutside,
    /// A chunk wholly outside of the time of the block.
    ChunkOutsideWhole,
    /// A chunk that begins where the block ends, as Prometheus before 2.1 wrote (its issue 347).
    Chunk347,
    /// A chunk segment has no sound header.
    Segment,
    /// A chunk lies outside of the segments.
    ChunkRef,
    /// A chunk has another checksum.
    ChunkChecksum,
    /// A chunk cannot be read or decoded.
    ChunkContent,
    /// A chunk has samples of other times than the index says.
    ChunkTimes,
    /// The tombstones cannot be read.
    Tombstones,
    /// Tombstones of a series that is not there.
    TombstoneSeries,
}

impl FindingKind {
    /// True for what compaction repairs or bears: it is told, and does not stop.
    pub const fn is_tolerable(self) -> bool {
        matches!(self, FindingKind::Chunk347 | FindingKind::ChunkDuplicate)
    }
}

/// One thing that is wrong.
///
/// See [`VerifySettings`](super::VerifySettings).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// In which object of the block.
    pub object: String,
    /// Where in it, in bytes.
    pub offset: u64,
    /// The number that is there, where the finding is about one.
    pub got: Option<i64>,
    /// The number that should be there.
    pub want: Option<i64>,
    /// More, for people: labels, names, times.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {} at {}", self.kind, self.object, self.offset)?;
        match (self.got, self.want) {
            (Some(got), Some(want)) => write!(f, ": {got}, want {want}")?,
            (Some(got), None) => write!(f, ": {got}")?,
            _ => {}
        }
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}

/// Numbers about the chunks of an index that decide what compaction does with a block.
///
/// Source: Thanos `pkg/block/index.go`.
///
/// See [`VerifySettings`](super::VerifySettings).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexHealth {
    /// Series.
    pub series: u64,
    /// Chunks.
    pub chunks: u64,
    /// Series that are not after the one before.
    pub out_of_order_series: u64,
    /// Series with label names out of order.
    pub out_of_order_labels: u64,
    /// Chunks that begin before the one before ended, duplicates aside.
    pub out_of_order_chunks: u64,
    /// Chunks with the time of the one before.
    pub duplicate_chunks: u64,
    /// Chunks that are not wholly inside of the block's time, whose end counts as inside here.
    pub outside_chunks: u64,
    /// Of these, the ones wholly outside.
    pub outside_whole_chunks: u64,
    /// Chunks, not wholly outside, that begin where the block ends.
    pub issue_347_chunks: u64,
    /// Longest distance between the entries of two series, in bytes: a hint for readers.
    pub series_max_bytes: u64,
    /// Longest distance between two chunks of a series in a segment, in bytes: a hint.
    pub chunk_max_bytes: u64,
}

impl IndexHealth {
    /// Why a compaction must stop at this block; `None` when it need not.
    pub fn critical(&self) -> Option<String> {
        let partly = self.outside_chunks.saturating_sub(self.outside_whole_chunks + self.issue_347_chunks);
        if self.outside_whole_chunks == 0 && partly == 0 {
            return None;
        }
        Some(format!(
            "{} of {} chunks lie wholly and {partly} partly outside of the block's time",
            self.outside_whole_chunks, self.chunks
        ))
    }

    /// Everything that is not as it should be, one text each; critical things first.
    pub fn problems(&self) -> Vec<String> {
        let mut out: Vec<String> = self.critical().into_iter().collect();
        let mut say = |n: u64, what: &str| {
            if n > 0 {
                out.push(format!("{n} {what}"));
            }
        };
        say(self.issue_347_chunks, "chunks begin where the block ends (issue 347)");
        say(self.out_of_order_series, "series are out of order");
        say(self.out_of_order_labels, "series have label names out of order");
        say(self.out_of_order_chunks, "chunks are out of order");
        say(self.duplicate_chunks, "chunks have the time of the chunk before");
        out
    }
}

/// All that was found.
///
/// See [`VerifySettings`](super::VerifySettings).
#[derive(Clone, Debug, Default)]
pub struct VerifyReport {
    /// Findings as they came, of each kind so many at most as the settings say.
    pub findings: Vec<Finding>,
    /// How many there are of each kind, listed or not.
    pub counts: BTreeMap<FindingKind, u64>,
    /// What compaction wants to know.
    pub health: IndexHealth,
    /// What was counted, to be compared with the description.
    pub stats: BlockStats,
    listed_max: u64,
}

impl VerifyReport {
    pub(super) fn new(listed_max: usize) -> Self {
        Self { listed_max: listed_max as u64, ..Self::default() }
    }

    /// True when nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.counts.is_empty()
    }

    /// True when something is wrong that compaction neither repairs nor bears.
    pub fn is_broken(&self) -> bool {
        self.counts.keys().any(|kind| !kind.is_tolerable())
    }

    /// How many findings there are of a kind.
    pub fn count(&self, kind: FindingKind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or_default()
    }

    /// Notes a finding; `describe` is asked only when it is listed.
    pub(super) fn add(
        &mut self,
        kind: FindingKind,
        object: &str,
        offset: u64,
        describe: impl FnOnce() -> (Option<i64>, Option<i64>, String),
    ) {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        if *count <= self.listed_max {
            let (got, want, detail) = describe();
            self.findings.push(Finding { kind, object: object.to_owned(), offset, got, want, detail });
        }
    }

    /// Notes a finding that a text describes.
    pub(super) fn say(&mut self, kind: FindingKind, object: &str, offset: u64, detail: impl fmt::Display) {
        self.add(kind, object, offset, || (None, None, detail.to_string()));
    }

    /// Compares two numbers.
    pub(super) fn equal(&mut self, kind: FindingKind, object: &str, what: &str, got: u64, want: u64) {
        if got != want {
            self.add(kind, object, 0, || (Some(got as i64), Some(want as i64), what.to_owned()));
        }
    }
}
