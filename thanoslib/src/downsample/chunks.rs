//! The chunks of aggregates that a downsampler gives for one series.

use std::ops::Range;

use crate::{
    chunk::{AggrChunk, Chunk, Encoding},
    model::Interval,
};

/// Chunks of aggregates of one series, in time order, in one buffer.
///
/// See [`RawDownsampler`](super::RawDownsampler).
#[derive(Clone, Debug, Default)]
pub struct AggrChunks {
    bytes: Vec<u8>,
    metas: Vec<(Interval, Range<usize>)>,
}

impl AggrChunks {
    /// Number of chunks.
    pub fn len(&self) -> usize {
        self.metas.len()
    }

    /// True without chunks: the series had nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.metas.is_empty()
    }

    /// Removes all chunks, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.metas.clear();
    }

    /// The chunks with their first and last window.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Interval, Chunk<'_>)> {
        let data = |at: &Range<usize>| &self.bytes[at.clone()];
        self.metas
            .iter()
            .map(move |(interval, at)| (*interval, Chunk { encoding: Encoding::Aggr, data: data(at) }))
    }

    /// Appends the chunk made of `parts`.
    pub(super) fn push(&mut self, interval: Interval, parts: &[Option<Chunk<'_>>; 5]) {
        let start = self.bytes.len();
        AggrChunk::encode(parts, &mut self.bytes);
        self.metas.push((interval, start..self.bytes.len()));
    }

    /// Appends a chunk of aggregates as it is.
    pub(super) fn push_bytes(&mut self, interval: Interval, data: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(data);
        self.metas.push((interval, start..self.bytes.len()));
    }
}
