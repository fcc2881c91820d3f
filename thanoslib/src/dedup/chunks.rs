//! The chunks of a series as a reader sees them: one window, several aggregates.

use crate::{
    chunk::Chunk,
    model::Interval,
    series::{Aggr, ChunkView, SeriesView},
};

/// A chunk of raw samples, or the aggregates of one downsampled chunk.
///
/// See [`Deduplicator`](super::Deduplicator).
#[derive(Clone, Copy, Debug)]
pub struct SeriesChunk<'a> {
    /// First and last sample.
    pub interval: Interval,
    /// What there is, by [`Aggr`].
    parts: [Option<Chunk<'a>>; 6],
}

impl<'a> SeriesChunk<'a> {
    /// A chunk of raw samples.
    pub fn raw(interval: Interval, chunk: Chunk<'a>) -> Self {
        Self::empty(interval).with(Aggr::Raw, chunk)
    }

    /// A chunk that holds nothing yet.
    pub fn empty(interval: Interval) -> Self {
        Self { interval, parts: [None; 6] }
    }

    /// The same chunk with one more part.
    #[must_use]
    pub fn with(mut self, aggr: Aggr, chunk: Chunk<'a>) -> Self {
        self.parts[aggr as usize] = Some(chunk);
        self
    }

    /// A part, if there is one.
    pub fn get(&self, aggr: Aggr) -> Option<Chunk<'a>> {
        self.parts[aggr as usize]
    }

    /// All parts.
    #[cfg(feature = "promql")]
    pub(crate) fn parts(&self) -> impl Iterator<Item = Chunk<'a>> {
        self.parts.into_iter().flatten()
    }
}

/// The chunks of a series of a batch, aggregates of one window together.
pub fn windows<'a>(series: SeriesView<'a>) -> impl Iterator<Item = SeriesChunk<'a>> {
    let mut chunks = series.chunks().peekable();
    std::iter::from_fn(move || {
        let add = |window: SeriesChunk<'a>, c: ChunkView<'a>| {
            window.with(c.meta.aggr, Chunk { encoding: c.meta.encoding, data: c.data() })
        };
        let first = chunks.next()?;
        let mut window = add(SeriesChunk::empty(first.meta.interval), first);
        while let Some(next) = chunks.next_if(|c| !c.meta.first) {
            window = add(window, next);
        }
        Some(window)
    })
}
