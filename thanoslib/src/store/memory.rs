//! A store over series held in memory.

use std::{
    mem::size_of,
    sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};

use super::{
    Abilities, Frame, LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, SeriesRequest,
    SeriesStream, Store, StoreInfo, TsdbInfo,
    conform::{cut, sort_and_cut},
    merge,
};
use crate::{
    budget::Lease,
    chunk::{Encoding, XorAppender},
    context::Context,
    error::{Error, ErrorKind, Result},
    index::{MemoryIndex, SeriesIds},
    model::{Interval, Labels, Matcher, Strings},
    series::{Aggr, BatchBuilder},
};

/// Samples in a chunk, as Prometheus cuts them.
const CHUNK_SAMPLES: usize = 120;
/// Series in a batch.
const BATCH_SERIES: usize = 256;

/// Series of one producer, held as chunks in memory.
///
/// Series are found through an index of their label pairs. An answer shows the store as it
/// was when it was asked for: what is appended meanwhile is not seen. Nothing is ever
/// dropped; the store adds no external labels and removes no replica labels,
/// [`Conform`](super::Conform) does.
///
/// ```
/// use thanoslib::{model::Labels, store::MemoryStore};
/// let store = MemoryStore::new(Labels::empty());
/// let up = Labels::from_pairs([("__name__", "up")]);
/// store.push(&up, 15_000, 1.0)?;
/// assert!(store.push(&up, 14_000, 1.0).is_err());
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct MemoryStore {
    labels: Labels,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    index: MemoryIndex,
    /// By number.
    series: Vec<MemorySeries>,
    interval: Option<Interval>,
}

#[derive(Debug)]
struct MemorySeries {
    labels: Labels,
    /// By first time.
    chunks: Vec<MemoryChunk>,
    open: Option<Open>,
}

#[derive(Clone, Debug)]
struct MemoryChunk {
    interval: Interval,
    encoding: Encoding,
    data: Bytes,
}

/// The chunk that samples are appended to.
#[derive(Debug)]
struct Open {
    chunk: XorAppender,
    samples: usize,
    interval: Interval,
    last: f64,
}

impl MemorySeries {
    fn intervals(&self) -> impl Iterator<Item = Interval> {
        self.chunks.iter().map(|c| c.interval).chain(self.open.as_ref().map(|o| o.interval))
    }

    /// The chunks that overlap an interval, by first time.
    fn chunks(&self, interval: Interval) -> Vec<MemoryChunk> {
        let mut out: Vec<_> = self.chunks.iter().filter(|c| c.interval.overlaps(interval)).cloned().collect();
        if let Some(open) = self.open.as_ref().filter(|o| o.interval.overlaps(interval)) {
            let data = Bytes::copy_from_slice(open.chunk.bytes());
            let at = out.partition_point(|c| c.interval.mint <= open.interval.mint);
            out.insert(at, MemoryChunk { interval: open.interval, encoding: Encoding::Xor, data });
        }
        out
    }

    fn insert(&mut self, chunk: MemoryChunk) {
        let at = self.chunks.partition_point(|c| c.interval.mint <= chunk.interval.mint);
        self.chunks.insert(at, chunk);
    }

    fn push(&mut self, t_ms: i64, v: f64) -> Result<()> {
        if let Some(open) = &self.open {
            let last = open.interval.maxt;
            if t_ms == last && v.to_bits() == open.last.to_bits() {
                return Ok(());
            }
            if t_ms <= last {
                let what = if t_ms == last { "another value for" } else { "sample out of order:" };
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("{what} {t_ms} ms, the last is at {last} ms, series {}", self.labels),
                ));
            }
        }
        if self.open.as_ref().is_some_and(|o| o.samples >= CHUNK_SAMPLES)
            && let Some(full) = self.open.take()
        {
            let data = full.chunk.into_bytes().into();
            self.insert(MemoryChunk { interval: full.interval, encoding: Encoding::Xor, data });
        }
        let open = self.open.get_or_insert_with(|| Open {
            chunk: XorAppender::new(),
            samples: 0,
            interval: Interval::new(t_ms, t_ms),
            last: v,
        });
        open.chunk.append(t_ms, v)?;
        open.samples += 1;
        open.interval = Interval::new(open.interval.mint, t_ms);
        open.last = v;
        Ok(())
    }
}

impl State {
    /// The series of these labels, made if there is none.
    fn series_mut(&mut self, labels: &Labels) -> Result<&mut MemorySeries> {
        let id = match self.index.get(labels) {
            Some(id) => id,
            None => {
                let id = self.index.add(labels);
                self.series.push(MemorySeries { labels: labels.clone(), chunks: Vec::new(), open: None });
                id.ok_or_else(|| Error::limit("the memory store holds 4294967296 series already"))?
            }
        };
        self.series.get_mut(id as usize).ok_or_else(|| Error::internal("a series has no place"))
    }

    fn cover(&mut self, interval: Interval) {
        let held = self.interval.get_or_insert(interval);
        *held = Interval::new(held.mint.min(interval.mint), held.maxt.max(interval.maxt));
    }

    /// The series that satisfy the matchers and have a chunk in the interval; `None` for all
    /// series.
    fn find(&self, interval: Interval, matchers: &[Matcher]) -> Option<SeriesIds> {
        let whole = self.interval.is_none_or(|h| interval.mint <= h.mint && h.maxt <= interval.maxt);
        if whole && matchers.is_empty() {
            return None;
        }
        let found = self.index.select(matchers);
        if whole {
            return Some(found);
        }
        let overlaps = |id: &u32| {
            let series = self.series.get(*id as usize);
            series.is_some_and(|s| s.intervals().any(|held| held.overlaps(interval)))
        };
        Some(found.into_iter().filter(overlaps).collect())
    }
}

impl MemoryStore {
    /// An empty store of a producer with these external labels.
    pub fn new(external: Labels) -> Self {
        Self { labels: external, state: RwLock::default() }
    }

    /// Appends one sample to a series; chunks are cut after 120 samples.
    ///
    /// The same sample once more changes nothing.
    ///
    /// # Errors
    /// `Conflict` for a sample that is older than the last of its series or has another value
    /// at the same time; `Internal` when another thread panicked while it held the store.
    pub fn push(&self, labels: &Labels, t_ms: i64, v: f64) -> Result<()> {
        let mut state = self.write()?;
        state.series_mut(labels)?.push(t_ms, v)?;
        state.cover(Interval::new(t_ms, t_ms));
        Ok(())
    }

    /// Adds one chunk of a series, at its place in time; chunks may overlap.
    ///
    /// # Errors
    /// `Internal` when another thread panicked while it held the store.
    pub fn append(&self, labels: &Labels, interval: Interval, encoding: Encoding, data: Bytes) -> Result<()> {
        let mut state = self.write()?;
        state.series_mut(labels)?.insert(MemoryChunk { interval, encoding, data });
        state.cover(interval);
        Ok(())
    }

    fn read(&self) -> Result<RwLockReadGuard<'_, State>> {
        self.state.read().map_err(|_| poisoned())
    }

    fn write(&self) -> Result<RwLockWriteGuard<'_, State>> {
        self.state.write().map_err(|_| poisoned())
    }

    /// The wanted series as they are now, in label order, with the budget for them.
    fn snapshot(&self, ctx: &Context, request: &SeriesRequest) -> Result<(Vec<Taken>, Lease)> {
        let mut lease = ctx.budget().reserve(0)?;
        let state = self.read()?;
        let found = state.find(request.interval, &request.matchers);
        let ids: Vec<u32> = match found {
            Some(ids) => ids.into_iter().collect(),
            None => (0..state.series.len() as u32).collect(),
        };
        lease.grow((ids.len() * size_of::<Taken>()) as u64)?;
        let mut out: Vec<Taken> = Vec::with_capacity(ids.len());
        for (n, id) in ids.into_iter().enumerate() {
            if n % 1024 == 0 {
                ctx.check()?;
            }
            let Some(series) = state.series.get(id as usize) else { continue };
            let chunks = if request.skip_chunks { Vec::new() } else { series.chunks(request.interval) };
            // What is not in an open chunk is shared with the store.
            let open = series.open.as_ref().map_or(0, |o| o.chunk.bytes().len());
            lease.grow((chunks.len() * size_of::<MemoryChunk>() + open) as u64)?;
            out.push(Taken { labels: series.labels.clone(), chunks });
        }
        drop(state);
        out.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        Ok((out, lease))
    }
}

/// One series of an answer.
struct Taken {
    labels: Labels,
    chunks: Vec<MemoryChunk>,
}

fn poisoned() -> Error {
    Error::internal("a writer of the memory store panicked")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[async_trait]
impl Store for MemoryStore {
    fn info(&self) -> StoreInfo {
        let interval = self.read().ok().and_then(|state| state.interval);
        let tsdbs = interval.map(|interval| TsdbInfo { labels: self.labels.clone(), interval });
        StoreInfo {
            component: "store",
            label_sets: if self.labels.is_empty() { Vec::new() } else { vec![self.labels.clone()] },
            interval,
            tsdbs: tsdbs.into_iter().collect(),
            abilities: Abilities::default(),
            blocks_hash: None,
        }
    }

    async fn series(&self, ctx: &Context, request: SeriesRequest) -> Result<SeriesStream> {
        if request.matchers.is_empty() {
            return Ok(merge::ready(Vec::new()));
        }
        let (taken, lease) = self.snapshot(ctx, &request)?;
        let (lease, ctx) = (Arc::new(lease), ctx.clone());
        let mut taken = taken.into_iter();
        let batches = std::iter::from_fn(move || {
            if let Err(e) = ctx.check()
                && taken.len() > 0
            {
                taken = Vec::new().into_iter();
                return Some(Err(e));
            }
            let mut out = BatchBuilder::default();
            for series in taken.by_ref().take(BATCH_SERIES) {
                out.series(series.labels.view());
                for c in series.chunks {
                    out.chunk(c.interval, Aggr::Raw, c.encoding, true, c.data);
                }
            }
            (!out.is_empty()).then(|| Ok(Frame::Batch(out.finish().with_lease(Arc::clone(&lease)))))
        });
        Ok(stream::iter(batches).boxed())
    }

    async fn label_names(&self, _: &Context, request: LabelNamesRequest) -> Result<LabelNames> {
        let state = self.read()?;
        let found = state.find(request.interval, &request.matchers);
        let mut names = state.index.label_names(found.as_ref()).map(text).collect();
        sort_and_cut(&mut names, request.limit);
        Ok(LabelNames { names, ..LabelNames::default() })
    }

    async fn label_values(&self, _: &Context, request: LabelValuesRequest) -> Result<LabelValues> {
        let state = self.read()?;
        let found = state.find(request.interval, &request.matchers);
        let values = Strings::from_lossy(state.index.label_values(&request.label, found.as_ref()));
        let values = cut(values.into_sorted(), request.limit);
        Ok(LabelValues { values, ..LabelValues::default() })
    }
}
