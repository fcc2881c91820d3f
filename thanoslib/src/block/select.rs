//! Selecting series of a block: postings, series entries, chunks.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    fmt,
    ops::Range,
    sync::Arc,
};

use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};

use super::{
    Block,
    plan::{Compute, Fetched, ReadPlan, Step, run_plan},
    read::INDEX,
};
use crate::{
    budget::Lease,
    chunk::{AGGREGATES, AggrChunk, AggrError, ChunkRecord, Encoding},
    context::Context,
    error::{Error, Result},
    index::{
        ChunkRef, Entry, LabelReader, ListRef, Postings, PostingsPlan, SeriesEntry, label_values,
        plan_postings,
    },
    model::{Interval, LabelsRef, Matcher, Strings},
    series::{Aggr, BatchBuilder, ChunkMeta, SeriesBatch},
};

/// Bytes that a series entry is assumed to have at most, unless the block's description says.
const SERIES_SIZE: u64 = 16 << 10;
/// Most that the description may say; larger entries take a second round.
const SERIES_SIZE_MAX: u64 = 64 << 10;
/// Bytes that a chunk is assumed to have at most; larger ones take a second round.
const CHUNK_SIZE: u64 = 16_000;
/// Bytes of the checksum of a chunk.
const CRC: usize = 4;
/// Bytes read behind an entry, so that the last of its numbers are read as words too.
const WORD: u64 = 8;
/// Bytes of the lists of all values of a label that are read before it is known which series
/// are asked for.
const VALUES_BYTES: u64 = 64 << 10;
/// Series whose entries are read at a time.
const SERIES_BATCH: usize = 4096;
/// Bytes of chunks that are read at a time and make up one batch.
const CHUNKS_BATCH: u64 = 4 << 20;

/// The same of a block that costs nothing to read, so that they stay near the processor from one
/// pass to the next.
const CHUNKS_BATCH_LOCAL: u64 = 256 << 10;
/// Labels and chunks for which room is made in each entry, when the first one has as many.
const ALIKE_MAX: usize = 32;
/// Bytes for which room is made for the name and value of a label.
const LABEL_BYTES: usize = 16;
/// Chunks behind the last one among which the next one is looked for.
const NEAR: usize = 16;

/// What to select of a block.
///
/// See [`Block`].
#[derive(Clone, Debug)]
pub struct BlockSelect {
    /// All must match; they see labels as stored, without external labels.
    pub matchers: Vec<Matcher>,
    /// Chunks that overlap it are wanted, both ends inside.
    pub interval: Interval,
    /// Labels only, of the series that have a chunk in the interval.
    pub skip_chunks: bool,
    /// Aggregates wanted of downsampled chunks; raw chunks come in any case.
    pub aggregates: Vec<Aggr>,
}

/// Some series of a block with their chunks as stored.
///
/// See [`Block`].
#[derive(Debug)]
pub struct BlockBatch {
    /// Series in label order; the last may go on in the next batch.
    pub series: SeriesBatch,
    /// Deleted intervals of series of the batch, by their place in it. Chunks that are
    /// deleted whole are left out; of the others the bytes are kept as stored, so whoever
    /// decodes them removes these samples with [`clip`](super::clip). Empty for blocks of
    /// buckets, which have no tombstones.
    pub deleted: Vec<(usize, Vec<Interval>)>,
}

/// The answer of [`Block::select`].
pub type BlockStream = BoxStream<'static, Result<BlockBatch>>;

impl Block {
    /// Streams the series that satisfy all matchers and have chunks in the interval, in
    /// label order. No matchers select nothing.
    ///
    /// What is held is charged to the budget of `ctx` before it is fetched, and travels
    /// with the batch.
    ///
    /// # Errors
    /// `Corrupt` naming block, object and offset, `Limit` when the budget is used up, and
    /// what the reader fails with.
    pub async fn select(self: &Arc<Self>, ctx: &Context, request: BlockSelect) -> Result<BlockStream> {
        let (ids, lease) = self.series_ids(ctx, &request.matchers).await.map_err(|e| self.named(e))?;
        let cursor = Cursor {
            block: Arc::clone(self),
            ctx: ctx.clone(),
            request,
            ids,
            next: 0,
            _ids_lease: lease,
            ready: VecDeque::new(),
            labels: Vec::new(),
            chunks: Vec::new(),
            refs: Vec::new(),
            entries_lease: None,
            behind: 0,
        };
        let stream = stream::try_unfold(cursor, async |mut cursor| match cursor.advance().await {
            Ok(batch) => Ok(batch.map(|b| (b, cursor))),
            Err(e) => Err(cursor.block.named(e)),
        });
        Ok(stream.boxed())
    }

    /// True if a series has the label.
    pub(crate) fn has_label(&self, name: &[u8]) -> bool {
        self.index.table.values(name).next().is_some()
    }

    /// Sorted label names of the series that satisfy all matchers; of all without matchers.
    ///
    /// # Errors
    /// As [`Block::select`].
    pub async fn label_names(&self, ctx: &Context, matchers: &[Matcher]) -> Result<Vec<String>> {
        let work = async {
            if matchers.is_empty() {
                return Ok(self.index.table.names().map(text).collect());
            }
            let (ids, _lease) = self.series_ids(ctx, matchers).await?;
            let mut names = BTreeSet::new();
            for ids in ids.chunks(SERIES_BATCH) {
                let (entries, _lease) = self.entries(ctx, ids).await?;
                names.extend(entries.labels.iter().map(|(name, _)| *name));
            }
            let mut names: Vec<_> =
                names.into_iter().filter_map(|n| self.index.symbols.get(n)).map(text).collect();
            names.sort_unstable();
            Ok(names)
        };
        work.await.map_err(|e| self.named(e))
    }

    /// Sorted values of a label over the series that satisfy all matchers; over all
    /// series without matchers.
    ///
    /// # Errors
    /// As [`Block::select`].
    pub async fn label_values(&self, ctx: &Context, name: &str, matchers: &[Matcher]) -> Result<Strings> {
        let name = name.as_bytes();
        if name.is_empty() {
            return Ok(Strings::new());
        }
        if matchers.is_empty() {
            return Ok(Strings::from_lossy(self.index.table.values(name).map(|(value, _)| value)));
        }
        let plan = plan_postings(&self.index.table, matchers);
        if plan.is_empty() {
            return Ok(Strings::new());
        }
        let work = async {
            let mut of_values: Vec<ListRef> = self.index.table.values(name).map(|(_, list)| list).collect();
            let bytes: u64 = of_values.iter().map(|list| list.end - list.start).sum();
            let mut lease = ctx.budget().reserve(0)?;
            if bytes > VALUES_BYTES {
                let (ids, _lease) = self.series_ids(ctx, matchers).await?;
                // Fewer entries than lists: the series are asked what they have.
                if ids.len() < of_values.len() {
                    return self.values_of(ctx, name, &ids).await;
                }
                let lists = self.fetch_lists(ctx, of_values, &mut lease).await?;
                let values = label_values(&self.index.table, name, &ids, |list| lists.get(list))?;
                return Ok(Strings::from_lossy(values));
            }
            of_values.extend(plan.lists());
            of_values.sort_unstable();
            of_values.dedup();
            let lists = self.fetch_lists(ctx, of_values, &mut lease).await?;
            let ids = plan.series(|list| lists.get(list))?;
            let values = label_values(&self.index.table, name, &ids, |list| lists.get(list))?;
            Ok(Strings::from_lossy(values))
        };
        work.await.map_err(|e| self.named(e))
    }

    /// Sorted values of a label, from the entries of some series.
    async fn values_of(&self, ctx: &Context, name: &[u8], ids: &[u32]) -> Result<Strings> {
        let symbols = &self.index.symbols;
        let (mut is_name, mut values) = (HashMap::new(), BTreeSet::new());
        for ids in ids.chunks(SERIES_BATCH) {
            let (entries, _lease) = self.entries(ctx, ids).await?;
            for (other, value) in &entries.labels {
                if *is_name.entry(*other).or_insert_with(|| symbols.get(*other) == Some(name)) {
                    values.insert(*value);
                }
            }
        }
        let values = values.into_iter().filter_map(|value| symbols.get(value)).filter(|v| !v.is_empty());
        let mut values: Vec<&[u8]> = values.collect();
        values.sort_unstable();
        Ok(Strings::from_lossy(values))
    }

    fn named(&self, e: Error) -> Error {
        e.context(format_args!("block {}", self.meta.ulid))
    }

    /// The series that satisfy all matchers, with the budget for their numbers.
    async fn series_ids(&self, ctx: &Context, matchers: &[Matcher]) -> Result<(Vec<u32>, Lease)> {
        let plan: PostingsPlan = plan_postings(&self.index.table, matchers);
        let mut lease = ctx.budget().reserve(0)?;
        if plan.is_empty() {
            return Ok((Vec::new(), lease));
        }
        let lists = self.fetch_lists(ctx, plan.lists(), &mut lease).await?;
        lease.grow(lists.lists.iter().map(|l| l.series_max() * 4).sum())?;
        let ids = plan.series(|list| lists.get(list))?;
        lease.shrink_to(ids.len() as u64 * 4);
        Ok((ids, lease))
    }

    async fn fetch_lists(&self, ctx: &Context, lists: Vec<ListRef>, lease: &mut Lease) -> Result<Lists> {
        let plan = ReadPlan::of(INDEX, lists.iter().map(|l| l.range()).collect());
        let Fetched(mut objects) = plan.fetch(ctx, &*self.reader, lease).await?;
        Ok(Lists { lists, bytes: objects.pop().unwrap_or_default().into_bytes() })
    }

    /// The entries of series.
    async fn entries(&self, ctx: &Context, ids: &[u32]) -> Result<(Entries, Lease)> {
        let stats = self.meta.thanos.index_stats.series_max_size;
        let size =
            u64::try_from(stats).ok().filter(|n| (1..=SERIES_SIZE_MAX).contains(n)).unwrap_or(SERIES_SIZE);
        let offsets = ids.iter().map(|id| self.index.series_offset(*id).map_err(|e| e.context(INDEX)));
        let offsets = offsets.collect::<Result<Vec<u64>>>()?;
        // An entry ends before the next one begins, and before the postings.
        let ends = offsets.iter().skip(1).copied().chain([self.index.toc.postings]);
        let ranges = offsets.iter().zip(ends).map(|(at, end)| *at..end.min(at + size) + WORD);
        let plan = ReadPlan::of(INDEX, ranges.collect());
        let mut lease = ctx.budget().reserve(0)?;
        let entries = run_plan(ctx, &*self.reader, &mut lease, plan, Entries::new(offsets)).await?;
        lease.shrink_to(entries.held_bytes());
        Ok((entries, lease))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Fetched postings lists, in file order.
struct Lists {
    lists: Vec<ListRef>,
    bytes: Vec<Bytes>,
}

impl Lists {
    fn get(&self, list: ListRef) -> Result<Postings<'_>> {
        let bytes = self.lists.binary_search(&list).ok().and_then(|i| self.bytes.get(i));
        let bytes = bytes.ok_or_else(|| Error::internal("a postings list was not planned"))?;
        Postings::parse(bytes, list.start).map_err(|e| e.context(INDEX))
    }
}

/// File offset, references of the labels, and chunks of an entry.
type Decoded<'a> = (u64, &'a [(u32, u32)], &'a [(Interval, ChunkRef)]);

/// Decodes series entries; those longer than assumed are asked for again.
#[derive(Default)]
struct Entries {
    offsets: Vec<u64>,
    /// The references of labels and the chunks of all entries.
    labels: Vec<(u32, u32)>,
    chunks: Vec<(Interval, ChunkRef)>,
    /// For each entry where its labels and its chunks lie.
    done: Vec<(Range<usize>, Range<usize>)>,
    waiting: Vec<usize>,
}

impl Entries {
    fn new(offsets: Vec<u64>) -> Self {
        let (done, waiting) = (vec![(0..0, 0..0); offsets.len()], (0..offsets.len()).collect());
        Self { offsets, done, waiting, ..Self::default() }
    }

    /// The entries in order.
    fn iter(&self) -> impl Iterator<Item = Decoded<'_>> {
        self.offsets.iter().zip(&self.done).map(|(offset, (labels, chunks))| {
            let labels = self.labels.get(labels.clone()).unwrap_or_default();
            (*offset, labels, self.chunks.get(chunks.clone()).unwrap_or_default())
        })
    }

    fn held_bytes(&self) -> u64 {
        let lists = size_of_val(&*self.labels) + size_of_val(&*self.chunks);
        (lists + size_of_val(&*self.offsets) + size_of_val(&*self.done)) as u64
    }
}

impl Compute for Entries {
    type Output = Self;

    fn compute(&mut self, fetched: Fetched) -> Result<Step<Self>> {
        let pieces = fetched.0.into_iter().next().unwrap_or_default();
        let waiting = std::mem::take(&mut self.waiting);
        if pieces.len() != waiting.len() {
            return Err(Error::internal("a series entry was not fetched"));
        }
        let (mut short, mut ranges) = (Vec::new(), Vec::new());
        let mut entry = SeriesEntry::default();
        let of = waiting.len();
        for (at, (i, (_, _, bytes))) in waiting.into_iter().zip(pieces.iter()).enumerate() {
            let offset = self.offsets.get(i).copied().unwrap_or_default();
            match entry.parse(bytes, offset).map_err(|e| e.context(INDEX))? {
                Entry::Whole(_) => {
                    let (labels, chunks) = (self.labels.len(), self.chunks.len());
                    if at == 0 {
                        // Most entries are alike.
                        self.labels.reserve(of * entry.labels.len().min(ALIKE_MAX));
                        self.chunks.reserve(of * entry.chunks.len().min(ALIKE_MAX));
                    }
                    self.labels.extend_from_slice(&entry.labels);
                    self.chunks.extend_from_slice(&entry.chunks);
                    if let Some(slot) = self.done.get_mut(i) {
                        *slot = (labels..self.labels.len(), chunks..self.chunks.len());
                    }
                }
                Entry::Short(need) => {
                    short.push(i);
                    ranges.push(offset..offset + need as u64 + WORD);
                }
            }
        }
        if !short.is_empty() {
            self.waiting = short;
            return Ok(Step::More(ReadPlan::of(INDEX, ranges)));
        }
        Ok(Step::Done(std::mem::take(self)))
    }
}

/// One wanted series whose chunks are not read yet.
struct Ready {
    /// Where its flat labels lie.
    labels: Range<usize>,
    /// Which chunks are left.
    chunks: Range<usize>,
    deleted: Vec<Interval>,
}

/// A place in the series of a select.
struct Cursor {
    block: Arc<Block>,
    ctx: Context,
    request: BlockSelect,
    ids: Vec<u32>,
    next: usize,
    _ids_lease: Lease,
    ready: VecDeque<Ready>,
    /// Flat labels and wanted chunks of the entries read last.
    labels: Vec<u8>,
    chunks: Vec<(Interval, ChunkRef)>,
    /// Places of all chunks of the entries read last, ascending: each ends before the next.
    refs: Vec<u64>,
    entries_lease: Option<Lease>,
    /// The place in `refs` behind the chunk looked at last.
    behind: usize,
}

impl Cursor {
    async fn advance(&mut self) -> Result<Option<BlockBatch>> {
        while self.ready.is_empty() {
            self.ctx.check()?;
            let end = self.ids.len().min(self.next + SERIES_BATCH);
            if self.next >= end {
                return Ok(None);
            }
            let ids = self.next..end;
            self.next = end;
            self.load(ids).await?;
        }
        self.batch().await.map(Some)
    }

    /// Reads the entries of some series and keeps those with chunks in the interval.
    async fn load(&mut self, ids: Range<usize>) -> Result<()> {
        let ids = self.ids.get(ids).unwrap_or_default();
        self.entries_lease = None;
        let (entries, mut lease) = self.block.entries(&self.ctx, ids).await?;
        self.labels.clear();
        self.chunks.clear();
        self.refs.clear();
        self.labels.reserve(entries.labels.len() * LABEL_BYTES);
        self.chunks.reserve(entries.chunks.len());
        self.refs.extend(entries.chunks.iter().map(|(_, r)| r.0));
        self.refs.sort_unstable();
        self.refs.dedup();
        let mut reader = LabelReader::new(&self.block.index.symbols);
        for (id, (offset, labels, chunks)) in ids.iter().zip(entries.iter()) {
            let deleted = self.block.tombstones.get(u64::from(*id));
            let gone = |c: &Interval| deleted.iter().any(|d| d.mint <= c.mint && c.maxt <= d.maxt);
            let wanted = |c: &Interval| c.overlaps(self.request.interval) && !gone(c);
            let (at, first) = (self.labels.len(), self.chunks.len());
            self.chunks.extend(chunks.iter().filter(|(c, _)| wanted(c)));
            let chunks = self.chunks.get(first..).unwrap_or_default();
            if chunks.is_empty() {
                continue;
            }
            reader.append_pairs(labels, offset, &mut self.labels).map_err(|e| e.context(INDEX))?;
            let touched = |d: &&Interval| chunks.iter().any(|(c, _)| c.overlaps(**d));
            let deleted = deleted.iter().filter(touched).copied().collect();
            let (labels, chunks) = (at..self.labels.len(), first..self.chunks.len());
            self.ready.push_back(Ready { labels, chunks, deleted });
        }
        let held = self.labels.len()
            + size_of_val(&*self.chunks)
            + size_of_val(&*self.refs)
            + self.ready.len() * size_of::<Ready>();
        lease.grow(held as u64)?;
        drop(entries);
        lease.shrink_to(held as u64);
        self.entries_lease = Some(lease);
        Ok(())
    }

    /// Bytes to read for a chunk.
    fn range(&mut self, chunk: ChunkRef) -> Range<u64> {
        let stats = self.block.meta.thanos.index_stats.chunk_max_size;
        let size = u64::try_from(stats).ok().filter(|n| (1..=CHUNK_SIZE).contains(n)).unwrap_or(CHUNK_SIZE);
        // Chunks mostly lie in the order of their series, with unwanted ones between.
        let mut near = self.refs.get(self.behind..).unwrap_or_default().iter().take(NEAR);
        self.behind = match near.position(|r| *r == chunk.0) {
            Some(i) => self.behind + i + 1,
            None => self.refs.partition_point(|r| *r <= chunk.0),
        };
        let next = self.refs.get(self.behind).map(|r| ChunkRef(*r));
        let start = u64::from(chunk.offset());
        let end = match next {
            Some(next) if next.segment() == chunk.segment() => u64::from(next.offset()),
            _ => u64::MAX,
        };
        start..end.min(start + size)
    }

    /// Makes a batch of the series that are ready, up to the bytes of one batch.
    async fn batch(&mut self) -> Result<BlockBatch> {
        let mut builder = BatchBuilder::default();
        let mut deleted = Vec::new();
        if self.request.skip_chunks {
            for series in self.ready.drain(..) {
                builder.series(flat(&self.labels, series.labels));
            }
            let lease = self.ctx.budget().reserve(builder.size_bytes() as u64)?;
            return Ok(BlockBatch { series: builder.finish().with_lease(Arc::new(lease)), deleted });
        }
        let (mut taken, mut refs, mut bytes) = (Vec::new(), Vec::new(), 0u64);
        let most = if self.block.reader.gap_max() == 0 { CHUNKS_BATCH_LOCAL } else { CHUNKS_BATCH };
        while bytes < most {
            let Some(mut series) = self.ready.pop_front() else { break };
            let first = series.chunks.start;
            while bytes < most {
                let next = series.chunks.next().and_then(|n| self.chunks.get(n));
                let Some((_, chunk)) = next.copied() else { break };
                let range = self.range(chunk);
                bytes += range.end - range.start;
                refs.push((chunk, range));
            }
            if !series.deleted.is_empty() {
                deleted.push((taken.len(), series.deleted.clone()));
            }
            taken.push((series.labels.clone(), first..series.chunks.start));
            if !series.chunks.is_empty() {
                self.ready.push_front(series);
            }
        }
        let label_bytes = taken.iter().map(|(labels, _)| labels.len()).sum();
        builder.reserve(taken.len(), label_bytes, refs.len());
        let mut lease = self.ctx.budget().reserve(0)?;
        let (plan, computation) = Chunks::plan(&self.block.segments, refs)?;
        let data = run_plan(&self.ctx, &*self.block.reader, &mut lease, plan, computation).await?;
        let mut found = data.chunks.iter();
        let mut held = taken.len() * size_of::<u64>();
        for (labels, chunks) in taken {
            held += labels.len() + chunks.len() * size_of::<ChunkMeta>();
            builder.series(flat(&self.labels, labels));
            for (interval, chunk) in self.chunks.get(chunks).unwrap_or_default() {
                let Some(at) = found.next() else { continue };
                let Some(buffer) = data.buffers.get(at.buffer) else { continue };
                if at.encoding == Encoding::Aggr {
                    self.put_aggregates(&mut builder, *interval, *chunk, &buffer.slice(at.data.clone()))?;
                } else {
                    let data = at.data.clone();
                    builder.chunk_in(*interval, Aggr::Raw, at.encoding, true, buffer, data);
                }
            }
        }
        lease.grow(held as u64)?;
        Ok(BlockBatch { series: builder.finish().with_lease(Arc::new(lease)), deleted })
    }

    /// Adds the wanted aggregates that a downsampled chunk has.
    fn put_aggregates(
        &self,
        out: &mut BatchBuilder,
        at: Interval,
        chunk: ChunkRef,
        data: &Bytes,
    ) -> Result<()> {
        let mut first = true;
        for aggr in AGGREGATES.into_iter().filter(|a| self.request.aggregates.contains(a)) {
            match AggrChunk::new(data).get(aggr) {
                Ok(part) => out.chunk(at, aggr, part.encoding, first, data.slice_ref(part.data)),
                // Histograms have no smallest and largest sample.
                Err(AggrError::Missing) => continue,
                Err(e) => {
                    let segment =
                        self.block.segments.get(chunk.segment() as usize).map_or("", String::as_str);
                    let offset = chunk.offset();
                    return Err(
                        Error::from(e).context(format_args!("{segment}: {aggr:?} of chunk at {offset}"))
                    );
                }
            }
            first = false;
        }
        if first {
            out.chunk(at, Aggr::Raw, Encoding::None, true, Bytes::new());
        }
        Ok(())
    }
}

fn flat(labels: &[u8], at: Range<usize>) -> LabelsRef<'_> {
    LabelsRef::from_flat(labels.get(at).unwrap_or_default())
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor").field("next", &self.next).field("series", &self.ids.len()).finish()
    }
}

/// Chunks where they were fetched to.
#[derive(Default)]
struct Found {
    buffers: Vec<Bytes>,
    /// In the order asked.
    chunks: Vec<Place>,
}

/// Where the data of a chunk lies.
#[derive(Clone)]
struct Place {
    encoding: Encoding,
    buffer: usize,
    data: Range<usize>,
}

impl Place {
    /// That of a chunk not found yet.
    const NONE: Self = Self { encoding: Encoding::None, buffer: usize::MAX, data: 0..0 };
}

/// Takes chunks out of their segments and checks them; those longer than assumed are asked
/// for again.
struct Chunks {
    segments: Vec<String>,
    refs: Vec<ChunkRef>,
    found: Found,
    /// For each object of the plan made last, the chunks that its ranges are for.
    waiting: Vec<(u32, Vec<usize>)>,
}

impl Chunks {
    fn plan(segments: &[String], refs: Vec<(ChunkRef, Range<u64>)>) -> Result<(ReadPlan, Self)> {
        let mut ranges: Vec<_> = refs.iter().enumerate().map(|(i, (_, range))| (i, range.clone())).collect();
        let refs: Vec<_> = refs.into_iter().map(|(r, _)| r).collect();
        ranges.sort_by_key(|(i, _)| refs.get(*i).copied());
        let found = Found { buffers: Vec::new(), chunks: vec![Place::NONE; refs.len()] };
        let mut chunks = Self { segments: segments.to_vec(), refs, found, waiting: Vec::new() };
        let plan = chunks.reads(&ranges)?;
        Ok((plan, chunks))
    }

    /// Plans ranges, which are sorted by segment.
    fn reads(&mut self, ranges: &[(usize, Range<u64>)]) -> Result<ReadPlan> {
        let mut plan = ReadPlan::default();
        self.waiting.clear();
        let segment = |i: usize| self.refs.get(i).map_or(0, |r| r.segment());
        for group in ranges.chunk_by(|a, b| segment(a.0) == segment(b.0)) {
            let number = group.first().map_or(0, |(i, _)| segment(*i));
            let Some(name) = self.segments.get(number as usize) else {
                let have = self.segments.len();
                return Err(Error::corrupt(format!(
                    "{INDEX}: chunk in segment {number}, but there are {have}"
                )));
            };
            plan.add(name.clone(), group.iter().map(|(_, range)| range.clone()).collect());
            self.waiting.push((number, group.iter().map(|(i, _)| *i).collect()));
        }
        Ok(plan)
    }
}

impl Compute for Chunks {
    type Output = Found;

    fn compute(&mut self, fetched: Fetched) -> Result<Step<Self::Output>> {
        let mut short = Vec::new();
        for ((number, items), pieces) in std::mem::take(&mut self.waiting).into_iter().zip(fetched.0) {
            let name = self.segments.get(number as usize).map_or("", String::as_str);
            let before = self.found.buffers.len();
            self.found.buffers.extend_from_slice(pieces.buffers());
            for (i, (buffer, start, bytes)) in items.into_iter().zip(pieces.iter()) {
                let offset = self.refs.get(i).map_or(0, |r| u64::from(r.offset()));
                match ChunkRecord::parse(bytes, offset).map_err(|e| e.context(name))? {
                    ChunkRecord::Whole { encoding, data, len } => {
                        // The data lies before the checksum.
                        let end = start + len.saturating_sub(CRC);
                        let data = end.saturating_sub(data.len())..end;
                        if let Some(slot) = self.found.chunks.get_mut(i) {
                            *slot = Place { encoding, buffer: before + buffer, data };
                        }
                    }
                    ChunkRecord::Short(need) => short.push((i, offset..offset + need as u64)),
                }
            }
        }
        if !short.is_empty() {
            return Ok(Step::More(self.reads(&short)?));
        }
        let found = std::mem::take(&mut self.found);
        if found.chunks.iter().any(|place| place.buffer == Place::NONE.buffer) {
            return Err(Error::internal("a chunk was not fetched"));
        }
        Ok(Step::Done(found))
    }
}
