//! Batches of series with their chunks as bytes, the unit that moves between parts.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

use crate::{
    budget::Lease,
    chunk::Encoding,
    model::{Aggr, Interval, Labels, LabelsRef},
};

/// Times, kind and place of one chunk of a batch.
///
/// See [`SeriesBatch`].
#[derive(Clone, Copy, Debug)]
pub struct ChunkMeta {
    /// First and last sample.
    pub interval: Interval,
    /// Which values the chunk holds.
    pub aggr: Aggr,
    /// How the bytes are encoded; [`Encoding::None`] for a chunk that came without data.
    pub encoding: Encoding,
    /// True for the first chunk of its window: the aggregates of one window follow each other.
    pub first: bool,
    /// Which buffers the data lies in, which of them, and where.
    group: u32,
    buffer: u32,
    offset: u32,
    len: u32,
}

/// Series in label order, each with its chunks, in a few shared allocations.
///
/// Labels ascend strictly over a stream of batches; only the last series of a batch may
/// go on as the first of the next.
///
/// ```
/// use thanoslib::{BatchBuilder, Encoding, Interval, Labels, XorAppender, model::Aggr};
/// let mut chunk = XorAppender::new();
/// chunk.append(1_000, 0.5)?;
/// let mut builder = BatchBuilder::default();
/// builder.series(Labels::from_pairs([("job", "api")]).view());
/// builder.chunk(Interval::new(1_000, 1_000), Aggr::Raw, Encoding::Xor, true, chunk.into_bytes().into());
/// let batch = builder.finish();
/// for series in batch.iter() {
///     assert_eq!(series.labels().get("job"), Some(&b"api"[..]));
///     assert!(series.chunks().all(|chunk| chunk.meta.aggr == Aggr::Raw && !chunk.data().is_empty()));
/// }
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct SeriesBatch {
    labels: Vec<u8>,
    label_ends: Vec<u32>,
    chunks: Vec<ChunkMeta>,
    chunk_ends: Vec<u32>,
    /// The buffers of this batch, then those of the batches that it shares data with.
    groups: Vec<Arc<[Bytes]>>,
    /// Where the groups come from, as far as that is known.
    origins: Vec<(u32, Arc<str>)>,
    leases: Vec<Arc<Lease>>,
    /// Bytes of all chunks.
    data_len: usize,
}

impl SeriesBatch {
    /// Number of series.
    #[inline]
    pub fn len(&self) -> usize {
        self.label_ends.len()
    }

    /// True without series.
    pub fn is_empty(&self) -> bool {
        self.label_ends.is_empty()
    }

    /// Series `i`, if there is one.
    #[inline]
    pub fn get(&self, i: usize) -> Option<SeriesView<'_>> {
        (i < self.len()).then_some(SeriesView { batch: self, index: i })
    }

    /// The series in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = SeriesView<'_>> {
        (0..self.len()).map(|index| SeriesView { batch: self, index })
    }

    /// Bytes that this batch keeps alive: labels, metas, chunk data.
    #[inline]
    pub fn size_bytes(&self) -> usize {
        let chunk = size_of::<ChunkMeta>();
        self.labels.len() + self.data_len + self.chunks.len() * chunk + self.len() * 8
    }

    /// Ties the budget that was reserved for this batch to its lifetime.
    #[must_use]
    pub fn with_lease(mut self, lease: Arc<Lease>) -> Self {
        self.hold(&lease);
        self
    }

    /// The same batch that remembers which store its chunks come from, for messages about those that
    /// do not decode. What has an origin keeps it.
    #[must_use]
    pub fn with_origin(mut self, origin: &Arc<str>) -> Self {
        let known = std::mem::take(&mut self.origins);
        let groups = 0..self.groups.len() as u32;
        let unknown = groups.filter(|group| known.iter().all(|(of, _)| of != group));
        self.origins.extend(unknown.map(|group| (group, Arc::clone(origin))));
        self.origins.extend(known);
        self
    }

    fn origin(&self, group: u32) -> Option<&Arc<str>> {
        self.origins.iter().find(|(of, _)| *of == group).map(|(_, origin)| origin)
    }

    /// True when memory was reserved for this batch, or for what it shares data with.
    #[cfg(feature = "store")]
    pub(crate) fn is_charged(&self) -> bool {
        !self.leases.is_empty()
    }

    fn hold(&mut self, lease: &Arc<Lease>) {
        if !self.leases.iter().any(|held| Arc::ptr_eq(held, lease)) {
            self.leases.push(Arc::clone(lease));
        }
    }
}

/// One series of a batch.
///
/// See [`SeriesBatch`].
#[derive(Clone, Copy, Debug)]
pub struct SeriesView<'a> {
    batch: &'a SeriesBatch,
    index: usize,
}

impl<'a> SeriesView<'a> {
    /// Labels.
    #[inline]
    pub fn labels(&self) -> LabelsRef<'a> {
        let ends = &self.batch.label_ends;
        let start = if self.index == 0 { 0 } else { ends[self.index - 1] as usize };
        LabelsRef::from_flat(&self.batch.labels[start..ends[self.index] as usize])
    }

    /// Number of chunks.
    #[inline]
    pub fn chunk_count(&self) -> usize {
        let (start, end) = self.range();
        end - start
    }

    /// Chunks in the order of the source.
    pub fn chunks(&self) -> impl ExactSizeIterator<Item = ChunkView<'a>> + use<'a> {
        let (start, end) = self.range();
        let batch = self.batch;
        batch.chunks[start..end].iter().map(move |meta| ChunkView { meta: *meta, batch })
    }

    /// Bytes of all chunks.
    #[cfg(feature = "promql")]
    #[inline]
    pub(crate) fn data_len(&self) -> usize {
        let (start, end) = self.range();
        self.batch.chunks[start..end].iter().map(|meta| meta.len as usize).sum()
    }

    /// Chunk `i`, if there is one.
    #[inline]
    pub fn chunk(&self, i: usize) -> Option<ChunkView<'a>> {
        let (start, end) = self.range();
        let meta = *self.batch.chunks.get(start + i).filter(|_| start + i < end)?;
        Some(ChunkView { meta, batch: self.batch })
    }

    #[inline]
    fn range(&self) -> (usize, usize) {
        let ends = &self.batch.chunk_ends;
        let start = if self.index == 0 { 0 } else { ends[self.index - 1] as usize };
        (start, ends[self.index] as usize)
    }
}

/// One chunk of a series of a batch.
///
/// See [`SeriesBatch`].
#[derive(Clone, Copy, Debug)]
pub struct ChunkView<'a> {
    /// Times and kind.
    pub meta: ChunkMeta,
    batch: &'a SeriesBatch,
}

impl<'a> ChunkView<'a> {
    /// The encoded samples, without encoding byte, length and checksum.
    #[inline]
    pub fn data(&self) -> &'a [u8] {
        let start = self.meta.offset as usize;
        &self.buffer()[start..start + self.meta.len as usize]
    }

    /// The encoded samples as a shared slice.
    pub fn bytes(&self) -> Bytes {
        let start = self.meta.offset as usize;
        self.buffer().slice(start..start + self.meta.len as usize)
    }

    /// The store that the chunk comes from, if that is known.
    pub fn origin(&self) -> Option<&'a Arc<str>> {
        self.batch.origin(self.meta.group)
    }

    #[inline]
    fn buffer(&self) -> &'a Bytes {
        &self.batch.groups[self.meta.group as usize][self.meta.buffer as usize]
    }
}

/// Groups of a batch that a shared chunk is looked for in before its own is added.
const RECENT_GROUPS: usize = 16;

/// Builds a [`SeriesBatch`] series by series.
///
/// See [`SeriesBatch`].
#[derive(Debug, Default)]
pub struct BatchBuilder {
    batch: SeriesBatch,
    /// Buffers that were handed in, which become the first group.
    buffers: Vec<Bytes>,
    owned: Vec<u8>,
    /// Chunks with data in `owned`, which becomes the last buffer.
    owned_chunks: Vec<usize>,
}

impl BatchBuilder {
    /// Makes room for so many series, bytes of their labels, and chunks.
    #[cfg(feature = "store")]
    pub(crate) fn reserve(&mut self, series: usize, label_bytes: usize, chunks: usize) {
        self.batch.labels.reserve(label_bytes);
        self.batch.label_ends.reserve(series);
        self.batch.chunk_ends.reserve(series);
        self.batch.chunks.reserve(chunks);
    }

    /// Begins a series; chunks that are pushed next belong to it.
    #[inline]
    pub fn series(&mut self, labels: LabelsRef<'_>) {
        self.batch.labels.extend_from_slice(labels.as_bytes());
        self.batch.label_ends.push(self.batch.labels.len() as u32);
        self.batch.chunk_ends.push(self.batch.chunks.len() as u32);
    }

    /// Adds a chunk whose data is a slice of a shared buffer; nothing is copied.
    pub fn chunk(&mut self, interval: Interval, aggr: Aggr, encoding: Encoding, first: bool, data: Bytes) {
        let len = data.len() as u32;
        // Slices of the allocation used last are told by address, so that a run of chunks
        // of one segment shares one entry.
        let at = match self.buffers.last() {
            Some(last) if within(last, &data) => data.as_ptr() as usize - last.as_ptr() as usize,
            _ => {
                self.buffers.push(data);
                0
            }
        };
        let buffer = (self.buffers.len() - 1) as u32;
        self.push(ChunkMeta { interval, aggr, encoding, first, group: 0, buffer, offset: at as u32, len });
    }

    /// Adds a chunk whose data is a range of a shared buffer, such as a frame that was received;
    /// nothing is copied. Chunks of one buffer that follow each other share one entry. A range that
    /// reaches beyond the buffer is cut.
    #[inline]
    pub fn chunk_in(
        &mut self,
        interval: Interval,
        aggr: Aggr,
        encoding: Encoding,
        first: bool,
        buffer: &Bytes,
        data: Range<usize>,
    ) {
        let known = self.buffers.last().is_some_and(|last| last.as_ptr_range() == buffer.as_ptr_range());
        if !known {
            self.buffers.push(buffer.clone());
        }
        let start = data.start.min(buffer.len());
        let len = (data.end.clamp(start, buffer.len()) - start) as u32;
        let (number, offset) = ((self.buffers.len() - 1) as u32, start as u32);
        self.push(ChunkMeta { interval, aggr, encoding, first, group: 0, buffer: number, offset, len });
    }

    /// Adds a chunk by copying its data into the batch.
    pub fn chunk_copied(
        &mut self,
        interval: Interval,
        aggr: Aggr,
        encoding: Encoding,
        first: bool,
        data: &[u8],
    ) {
        let offset = self.owned.len() as u32;
        self.owned.extend_from_slice(data);
        self.owned_chunks.push(self.batch.chunks.len());
        let len = data.len() as u32;
        self.push(ChunkMeta { interval, aggr, encoding, first, group: 0, buffer: 0, offset, len });
    }

    /// Copies a series of another batch, sharing its chunk data.
    pub fn copy(&mut self, series: SeriesView<'_>) {
        self.series(series.labels());
        self.copy_chunks(series);
    }

    /// Adds the chunks of a series of another batch to the current series.
    pub fn copy_chunks(&mut self, series: SeriesView<'_>) {
        self.share(series.batch);
        for chunk in series.chunks() {
            self.add_shared(chunk);
        }
    }

    /// Adds one chunk of another batch to the current series, sharing its data.
    pub fn copy_chunk(&mut self, chunk: ChunkView<'_>) {
        self.share(chunk.batch);
        self.add_shared(chunk);
    }

    #[inline]
    fn add_shared(&mut self, chunk: ChunkView<'_>) {
        let Some(shared) = chunk.batch.groups.get(chunk.meta.group as usize) else { return };
        let groups = &mut self.batch.groups;
        if groups.is_empty() {
            // The first group is that of the buffers handed in.
            groups.push(Arc::default());
        }
        // Batches that are merged take turns, so more than the last group is looked at.
        let recent = groups.len().saturating_sub(RECENT_GROUPS).max(1);
        let found = groups[recent..].iter().rposition(|group| Arc::ptr_eq(group, shared));
        let group = found.map_or(groups.len(), |i| recent + i);
        if found.is_none() {
            groups.push(Arc::clone(shared));
            let origin = chunk.origin().map(|origin| (group as u32, Arc::clone(origin)));
            self.batch.origins.extend(origin);
        }
        self.push(ChunkMeta { group: group as u32, ..chunk.meta });
    }

    /// Keeps the budget of a batch whose data this one shares.
    fn share(&mut self, from: &SeriesBatch) {
        for lease in &from.leases {
            self.batch.hold(lease);
        }
    }

    #[inline]
    fn push(&mut self, meta: ChunkMeta) {
        debug_assert!(!self.batch.chunk_ends.is_empty(), "a chunk belongs to a series");
        self.batch.data_len += meta.len as usize;
        self.batch.chunks.push(meta);
        if let Some(end) = self.batch.chunk_ends.last_mut() {
            *end = self.batch.chunks.len() as u32;
        }
    }

    /// Labels of the series begun last.
    pub fn last_labels(&self) -> Option<Labels> {
        self.batch.get(self.batch.len().checked_sub(1)?).map(|s| s.labels().to_labels())
    }

    /// Number of series so far.
    #[inline]
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// True before the first series.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Bytes that the batch would keep alive.
    #[inline]
    pub fn size_bytes(&self) -> usize {
        self.batch.size_bytes()
    }

    /// Ends the batch and leaves the builder empty for the next one.
    pub fn finish(&mut self) -> SeriesBatch {
        let mut batch = std::mem::take(&mut self.batch);
        // The next batch is mostly of the same size.
        self.batch.labels.reserve(batch.labels.len());
        self.batch.label_ends.reserve(batch.label_ends.len());
        self.batch.chunks.reserve(batch.chunks.len());
        self.batch.chunk_ends.reserve(batch.chunk_ends.len());
        let mut buffers = std::mem::take(&mut self.buffers);
        let owned = std::mem::take(&mut self.owned);
        if !self.owned_chunks.is_empty() {
            let buffer = buffers.len() as u32;
            buffers.push(Bytes::from(owned));
            for i in self.owned_chunks.drain(..) {
                batch.chunks[i].buffer = buffer;
            }
        }
        match batch.groups.first_mut() {
            _ if buffers.is_empty() => {}
            Some(own) => *own = Arc::from(buffers),
            None => batch.groups.push(Arc::from(buffers)),
        }
        batch
    }
}

fn within(outer: &Bytes, inner: &Bytes) -> bool {
    let (outer, inner) = (outer.as_ptr_range(), inner.as_ptr_range());
    outer.start <= inner.start && inner.end <= outer.end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_share_data_among_each_other() {
        let at = Interval::new(1, 2);
        let make = |bytes: &'static [u8]| {
            let mut builder = BatchBuilder::default();
            builder.series(LabelsRef::EMPTY);
            builder.chunk(at, Aggr::Raw, Encoding::Xor, true, Bytes::from_static(bytes));
            builder.chunk_copied(at, Aggr::Raw, Encoding::Xor, true, bytes);
            builder.finish()
        };
        let sources: Vec<SeriesBatch> = [&b"one"[..], b"two"].map(make).to_vec();
        let mut builder = BatchBuilder::default();
        for series in sources.iter().chain(&sources).filter_map(|b| b.get(0)) {
            builder.copy(series);
            builder.chunk_copied(at, Aggr::Raw, Encoding::Xor, true, b"own");
        }
        let second = builder.finish();
        drop(sources);
        builder.copy(second.get(1).expect("a series"));
        let third = builder.finish();
        assert_eq!((second.groups.len(), third.groups.len()), (3, 3));
        let data = |s: SeriesView<'_>| s.chunks().map(|c| c.bytes()).collect::<Vec<_>>().join(&b' ');
        let data: Vec<_> = second.iter().chain(third.iter()).map(data).collect();
        assert_eq!(
            data,
            [&b"one one own"[..], b"two two own", b"one one own", b"two two own", b"two two own"]
        );
    }

    #[test]
    fn chunks_remember_where_they_come_from() {
        let (at, mut builder) = (Interval::new(1, 2), BatchBuilder::default());
        let mut make = |origin: Option<&str>| {
            builder.series(LabelsRef::EMPTY);
            builder.chunk_copied(at, Aggr::Raw, Encoding::Xor, true, b"x");
            let batch = builder.finish();
            origin.map_or(batch.clone(), |origin| batch.with_origin(&Arc::from(origin)))
        };
        let sources = [make(Some("a")), make(None), make(Some("b"))];
        let mut builder = BatchBuilder::default();
        builder.series(LabelsRef::EMPTY);
        builder.chunk_copied(at, Aggr::Raw, Encoding::Xor, true, b"own");
        sources.iter().filter_map(|b| b.get(0)).for_each(|series| builder.copy_chunks(series));
        let joined = builder.finish().with_origin(&Arc::from("near"));
        let origins = |batch: &SeriesBatch| -> Vec<_> {
            let chunks = batch.iter().flat_map(|s| s.chunks().collect::<Vec<_>>());
            chunks.map(|c| c.origin().map(|origin| origin.to_string()).unwrap_or_default()).collect()
        };
        assert_eq!(origins(&joined), ["near", "a", "near", "b"]);
        assert_eq!(origins(&sources[1]), [""]);
    }

    #[test]
    fn a_batch_gives_back_its_series() {
        let segment = Bytes::from_static(b"0123456789");
        let labels = Labels::from_pairs([("a", "1")]);
        let mut builder = BatchBuilder::default();
        builder.series(labels.view());
        let at = Interval::new(1, 2);
        builder.chunk(at, Aggr::Raw, Encoding::Xor, true, segment.clone());
        builder.chunk(at, Aggr::Raw, Encoding::Xor, true, segment.slice(3..5));
        builder.chunk_copied(at, Aggr::Raw, Encoding::Xor, true, b"copied");
        builder.chunk_in(at, Aggr::Raw, Encoding::Xor, true, &segment, 7..9);
        builder.chunk_in(at, Aggr::Raw, Encoding::Xor, true, &segment, 9..90);
        builder.series(LabelsRef::EMPTY);
        let batch = builder.finish();
        assert!(builder.is_empty());
        let first = batch.get(0).expect("first");
        assert_eq!(first.labels().to_labels(), labels);
        let data: Vec<_> = first.chunks().map(|c| c.data().to_vec()).collect();
        assert_eq!(data, [&b"0123456789"[..], b"34", b"copied", b"78", b"9"]);
        // The segment and what was copied.
        assert_eq!(batch.groups[0].len(), 2);
        assert_eq!(batch.get(1).expect("second").chunk_count(), 0);
        assert!(batch.get(2).is_none());
    }
}
