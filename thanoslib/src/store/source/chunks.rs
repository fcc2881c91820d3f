//! Providers that hold compressed chunks.

use std::{collections::VecDeque, fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};

use super::{EachLabels, Scan, ScanLabels, info, label_names, label_values};
use crate::{
    budget::Lease,
    chunk::Encoding,
    context::Context,
    error::{Error, Result},
    model::{Interval, Labels},
    series::{Aggr, BatchBuilder, SeriesBatch},
    store::{
        Conform, Frame, LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, SeriesRequest,
        SeriesStream, Store, StoreInfo, merge,
    },
};

/// Series in a batch.
const BATCH_SERIES: usize = 256;
/// Bytes of chunks that are asked for at a time.
const BATCH_BYTES: u64 = 4 << 20;

/// Gives series as compressed chunks, whose bytes are asked for only when they are needed.
///
/// [`ChunkStore`] turns it into a [`Store`]: it applies the matchers, sorts, joins and
/// answers label calls without any chunk.
///
/// ```
/// use thanoslib::{ChunkSink, ChunkSource, Context, Encoding, Interval, Labels, Result, Scan, store::ChunkRow};
///
/// #[derive(Debug)]
/// struct One(bytes::Bytes);
///
/// #[async_trait::async_trait]
/// impl ChunkSource for One {
///     async fn series(&self, _: &Context, _: &Scan, sink: &mut ChunkSink) -> Result<()> {
///         let size_bytes = self.0.len() as u32;
///         let row = ChunkRow { interval: Interval::new(0, 60_000), encoding: Encoding::Xor, id: 0, size_bytes };
///         sink.series(&Labels::from_pairs([("__name__", "one")]), [row])
///     }
///
///     async fn chunks(&self, _: &Context, ids: &[u64]) -> Result<Vec<bytes::Bytes>> {
///         Ok(vec![self.0.clone(); ids.len()])
///     }
/// }
/// ```
#[async_trait]
pub trait ChunkSource: fmt::Debug + Send + Sync + 'static {
    /// Puts every series that may match, with its chunks inside the interval, into the sink.
    ///
    /// Series may come in any order and more than once, and may match nothing; the sink sorts
    /// and filters. Errors of the sink must be passed on.
    async fn series(&self, ctx: &Context, scan: &Scan, sink: &mut ChunkSink) -> Result<()>;

    /// The bytes of these chunks, one for each, in this order.
    ///
    /// `ids` are those of [`ChunkRow::id`], of some neighbouring series at a time.
    async fn chunks(&self, ctx: &Context, ids: &[u64]) -> Result<Vec<Bytes>>;

    /// The time there is data for, if it is known; all time by default.
    fn interval(&self) -> Interval {
        Interval::ALL
    }
}

/// One chunk of a series of a [`ChunkSource`].
///
/// See [`ChunkSource`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRow {
    /// First and last sample.
    pub interval: Interval,
    /// How the samples are encoded.
    pub encoding: Encoding,
    /// What [`ChunkSource::chunks`] is asked for.
    pub id: u64,
    /// Bytes that the chunk has, at most; so much budget is reserved before they are read.
    pub size_bytes: u32,
}

/// Takes the series of a [`ChunkSource`] and charges them to the budget of the request.
///
/// See [`ChunkSource`].
#[derive(Debug)]
pub struct ChunkSink {
    scan: Scan,
    lease: Lease,
    series: Vec<(Labels, Vec<ChunkRow>)>,
}

/// What one more series costs beside its labels and chunks.
const SERIES_BYTES: u64 = 64;

impl ChunkSink {
    fn new(ctx: &Context, scan: Scan) -> Result<Self> {
        Ok(Self { scan, lease: ctx.budget().reserve(0)?, series: Vec::new() })
    }

    /// Takes a series with its chunks; what lies outside of the interval or does not match is
    /// dropped, and so is a series without chunks.
    ///
    /// # Errors
    /// `Limit` when the budget of the request is used up; `Invalid` for a chunk of no encoding.
    pub fn series(&mut self, labels: &Labels, chunks: impl IntoIterator<Item = ChunkRow>) -> Result<()> {
        if !self.scan.matchers.iter().all(|m| m.matches_labels(labels.view())) {
            return Ok(());
        }
        let mut kept = Vec::new();
        for chunk in chunks {
            if chunk.encoding == Encoding::None {
                return Err(Error::invalid(format!("chunk {} of {labels} has no encoding", chunk.id)));
            }
            if chunk.interval.overlaps(self.scan.interval) {
                if kept.len() == kept.capacity() {
                    self.lease.grow((kept.capacity().max(4) * size_of::<ChunkRow>()) as u64)?;
                    kept.reserve_exact(kept.capacity().max(4));
                }
                kept.push(chunk);
                if self.scan.labels_only {
                    break;
                }
            }
        }
        if !kept.is_empty() {
            self.lease.grow(SERIES_BYTES + labels.as_bytes().len() as u64)?;
            self.series.push((labels.clone(), kept));
        }
        Ok(())
    }

    /// All series in label order, each once, its chunks in the order of time.
    fn finish(mut self) -> (VecDeque<(Labels, Vec<ChunkRow>)>, Lease) {
        self.series.sort_by(|a, b| a.0.cmp(&b.0));
        self.series.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1.append(&mut next.1);
            }
            same
        });
        for (_, chunks) in &mut self.series {
            chunks.sort_by_key(|c| (c.interval.mint, c.interval.maxt));
        }
        (self.series.into(), self.lease)
    }
}

/// A [`Store`] over a [`ChunkSource`].
///
/// See [`ChunkSource`], and [`SourceStore`](super::SourceStore) for how a source becomes a store.
#[derive(Debug)]
pub struct ChunkStore {
    source: Arc<dyn ChunkSource>,
    external: Labels,
}

impl ChunkStore {
    /// A store whose series get these external labels.
    ///
    /// The answer is a store that keeps the whole contract: external labels, replica labels,
    /// sharding and limits are done by [`Conform`].
    pub fn conforming(source: Arc<dyn ChunkSource>, external: Labels) -> Arc<dyn Store> {
        let inner = Arc::new(Self { source, external: external.clone() });
        Arc::new(Conform::new(inner, external))
    }

    async fn collect(&self, ctx: &Context, scan: Scan) -> Result<ChunkSink> {
        let mut sink = ChunkSink::new(ctx, scan.clone())?;
        ctx.run(self.source.series(ctx, &scan, &mut sink)).await?;
        Ok(sink)
    }
}

#[async_trait]
impl Store for ChunkStore {
    fn info(&self) -> StoreInfo {
        info(self.source.interval(), &self.external)
    }

    async fn series(&self, ctx: &Context, request: SeriesRequest) -> Result<SeriesStream> {
        let Some(scan) = Scan::of_series(request) else { return Ok(merge::ready(Vec::new())) };
        let labels_only = scan.labels_only;
        let (series, lease) = self.collect(ctx, scan).await?.finish();
        let source = Arc::clone(&self.source);
        let read = Reading { source, ctx: ctx.clone(), series, labels_only, _lease: lease };
        let batches = stream::try_unfold(read, |mut read| async move {
            Ok(read.next().await?.map(|batch| (Frame::Batch(batch), read)))
        });
        Ok(batches.boxed())
    }

    async fn label_names(&self, ctx: &Context, request: LabelNamesRequest) -> Result<LabelNames> {
        label_names(self, ctx, request).await
    }

    async fn label_values(&self, ctx: &Context, request: LabelValuesRequest) -> Result<LabelValues> {
        label_values(self, ctx, request).await
    }
}

#[async_trait]
impl ScanLabels for ChunkStore {
    async fn each_labels(&self, ctx: &Context, scan: Scan, each: &mut EachLabels<'_>) -> Result<()> {
        let sink = self.collect(ctx, scan).await?;
        sink.series.iter().try_for_each(|(labels, _)| each(labels.view()))
    }
}

/// Series whose chunks are not read yet.
struct Reading {
    source: Arc<dyn ChunkSource>,
    ctx: Context,
    series: VecDeque<(Labels, Vec<ChunkRow>)>,
    labels_only: bool,
    _lease: Lease,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<SeriesBatch>> {
        self.ctx.check()?;
        let mut lease = self.ctx.budget().reserve(0)?;
        let (mut rows, mut ends, mut bytes) = (Vec::new(), Vec::new(), 0);
        while ends.len() < BATCH_SERIES && bytes < BATCH_BYTES {
            let Some((labels, mut chunks)) = self.series.pop_front() else { break };
            if self.labels_only {
                chunks.clear();
            }
            // A series with many chunks goes on in the next batch.
            let mut taken = 0;
            for chunk in &chunks {
                if bytes >= BATCH_BYTES {
                    break;
                }
                bytes += u64::from(chunk.size_bytes);
                taken += 1;
            }
            let rest = chunks.split_off(taken);
            rows.append(&mut chunks);
            if !rest.is_empty() {
                self.series.push_front((labels.clone(), rest));
            }
            ends.push((labels, rows.len()));
        }
        if ends.is_empty() {
            return Ok(None);
        }
        let labels: usize = ends.iter().map(|(l, _)| l.as_bytes().len()).sum();
        lease.grow(bytes + (labels + rows.len() * size_of::<ChunkRow>()) as u64)?;
        let ids: Vec<u64> = rows.iter().map(|r| r.id).collect();
        let data = match ids.as_slice() {
            [] => Vec::new(),
            ids => self.ctx.run(self.source.chunks(&self.ctx, ids)).await?,
        };
        if data.len() != ids.len() {
            return Err(Error::internal(format!(
                "a chunk source gave {} chunks where {} were asked for",
                data.len(),
                ids.len()
            )));
        }
        let mut out = BatchBuilder::default();
        let mut chunks = rows.into_iter().zip(data);
        let mut start = 0;
        for (labels, end) in ends {
            out.series(labels.view());
            for (row, data) in chunks.by_ref().take(end - start) {
                if data.len() > row.size_bytes as usize {
                    return Err(Error::internal(format!(
                        "chunk {} of {labels} has {} bytes, its source said {}",
                        row.id,
                        data.len(),
                        row.size_bytes
                    )));
                }
                out.chunk(row.interval, Aggr::Raw, row.encoding, true, data);
            }
            start = end;
        }
        Ok(Some(out.finish().with_lease(Arc::new(lease))))
    }
}
