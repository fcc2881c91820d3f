//! Makes any store keep the whole contract.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use xxhash_rust::xxh64::Xxh64;

use super::{
    Abilities, Frame, LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, Projection,
    SeriesRequest, SeriesStream, ShardInfo, Store, StoreInfo,
    external::{consume, overlay},
    lay::lay,
    merge,
};
use crate::{
    budget::Lease,
    context::Context,
    error::{Error, Result},
    model::{Labels, LabelsRef, Strings},
    series::{BatchBuilder, ChunkJoin, SeriesBatch},
};

/// Series in a batch that was sorted anew.
const BATCH_SERIES: usize = 256;

/// A store that does what the store inside it does not do itself: external labels, removal
/// of replica labels, sharding, limits; with the series sorted by their final labels.
///
/// What the store inside can do it does; what is missing is done here. Labels that no series has
/// are laid over while the series stream. Where others change, the answer is collected under the
/// budget of the request and sorted anew, since they change the order.
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::{Conform, Context, Interval, LabelNamesRequest, Labels, MemoryStore, Store};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new(Labels::empty());
/// store.push(&Labels::from_pairs([("__name__", "up")]), 15_000, 1.0)?;
/// let store = Conform::new(Arc::new(store), Labels::from_pairs([("cluster", "eu1")]));
/// let request = LabelNamesRequest::new(Interval::ALL, Vec::new());
/// assert_eq!(store.label_names(&Context::default(), request).await?.names, ["__name__", "cluster"]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Conform {
    inner: Arc<dyn Store>,
    external: Labels,
}

impl Conform {
    /// Wraps a store whose series get these external labels, if it does not add its own.
    pub fn new(inner: Arc<dyn Store>, external: Labels) -> Self {
        let external = if inner.abilities().external_labels { Labels::empty() } else { external };
        Self { inner, external }
    }
}

#[async_trait]
impl Store for Conform {
    fn info(&self) -> StoreInfo {
        let mut info = self.inner.info();
        if !info.abilities.external_labels && !self.external.is_empty() {
            info.label_sets = vec![self.external.clone()];
            for tsdb in &mut info.tsdbs {
                tsdb.labels = self.external.clone();
            }
        }
        info.abilities = Abilities::ALL;
        info
    }

    fn abilities(&self) -> Abilities {
        Abilities::ALL
    }

    async fn series(&self, ctx: &Context, request: SeriesRequest) -> Result<SeriesStream> {
        let Some(matchers) = consume(&self.external, &request.matchers) else {
            return Ok(merge::ready(Vec::new()));
        };
        let able = self.inner.abilities();
        let mut work = Work {
            replica_labels: request.without_replica_labels.clone(),
            external: self.external.clone(),
            shard: request.shard.clone().filter(|s| s.total >= 1),
            limit: request.limit,
            projection: request.projection.clone(),
        };
        if work.projection.as_ref().is_some_and(|p| p.hash_label.is_empty()) {
            return Err(Error::invalid("a projection needs a label for the hash"));
        }
        let mut inner = SeriesRequest { matchers, ..request };
        // A shard is told by the final labels, so a store that shards must know them all.
        if able.sharding && self.external.is_empty() {
            work.shard = None;
        } else {
            inner.shard = None;
        }
        if able.without_replica_labels {
            work.replica_labels.retain(|name| self.external.get(name).is_some());
        } else {
            inner.without_replica_labels = Vec::new();
        }
        // Labels that no series has are laid over while the series stream.
        let streams = work.relabels() && !work.touched().any(|name| self.inner.may_have(name));
        let laid = streams.then(|| {
            let replica_labels = std::mem::take(&mut work.replica_labels);
            let left = |name: &[u8]| !replica_labels.iter().any(|r| r.as_bytes() == name);
            std::mem::take(&mut work.external).filter(|label| left(label.name))
        });
        // The hash is that of the final labels, and so it comes last.
        if able.projection && laid.is_none() && !work.relabels() && work.shard.is_none() {
            work.projection = None;
        } else {
            inner.projection = None;
        }
        // A store that does not stop by itself may still spare us the most of it.
        if laid.is_some() || work.changes_labels() || work.shard.is_some() {
            inner.limit = 0;
        }
        let stream = self.inner.series(ctx, inner).await?;
        let stream = match laid {
            Some(external) if !external.is_empty() => lay(ctx, external, stream),
            _ => stream,
        };
        Ok(work.apply(ctx, stream))
    }

    async fn label_names(&self, ctx: &Context, request: LabelNamesRequest) -> Result<LabelNames> {
        let Some(matchers) = consume(&self.external, &request.matchers) else {
            return Ok(LabelNames::default());
        };
        let (without, limit) = (request.without_replica_labels.clone(), request.limit);
        let inner = LabelNamesRequest { matchers, limit: 0, ..request };
        let mut answer = self.inner.label_names(ctx, inner).await?;
        if !answer.names.is_empty() {
            answer.names.extend(self.external.iter().map(|l| text(l.name)));
        }
        answer.names.retain(|name| !without.contains(name));
        sort_and_cut(&mut answer.names, limit);
        Ok(answer)
    }

    async fn label_values(&self, ctx: &Context, request: LabelValuesRequest) -> Result<LabelValues> {
        if request.without_replica_labels.contains(&request.label) {
            return Ok(LabelValues::default());
        }
        let Some(matchers) = consume(&self.external, &request.matchers) else {
            return Ok(LabelValues::default());
        };
        let limit = request.limit;
        let Some(value) = self.external.get(&request.label).map(text) else {
            let inner = LabelValuesRequest { matchers, limit: 0, ..request };
            let answer = self.inner.label_values(ctx, inner).await?;
            let values = cut(answer.values.into_sorted(), limit);
            return Ok(LabelValues { values, ..answer });
        };
        // An external label has its one value if any series is left.
        let names = LabelNamesRequest {
            without_replica_labels: Vec::new(),
            limit: 1,
            partial_response: request.partial_response,
            block_matchers: request.block_matchers,
            ..LabelNamesRequest::new(request.interval, matchers)
        };
        let found = self.inner.label_names(ctx, names).await?;
        let values = (!found.names.is_empty()).then_some(value).into_iter().collect();
        Ok(LabelValues { values, warnings: found.warnings, queried_blocks: found.queried_blocks })
    }
}

/// Series in any order, with the final labels that a request asks for, in their order.
#[cfg(feature = "prometheus")]
pub(crate) fn arrange(
    ctx: &Context,
    external: Labels,
    request: &SeriesRequest,
    series: SeriesStream,
) -> SeriesStream {
    let work = Work {
        replica_labels: request.without_replica_labels.clone(),
        external,
        shard: request.shard.clone().filter(|s| s.total >= 1),
        limit: request.limit,
        projection: request.projection.clone(),
    };
    work.apply(ctx, series)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The first `limit` strings; 0 means all.
pub(crate) fn cut(mut strings: Strings, limit: usize) -> Strings {
    if limit > 0 {
        strings.truncate(limit);
    }
    strings
}

pub(crate) fn sort_and_cut(list: &mut Vec<String>, limit: usize) {
    // The lists of several stores follow each other, each sorted: this sort merges them.
    list.sort();
    list.dedup();
    if limit > 0 {
        list.truncate(limit);
    }
}

/// What is left to be done on a stream.
struct Work {
    external: Labels,
    replica_labels: Vec<String>,
    shard: Option<ShardInfo>,
    projection: Option<Projection>,
    limit: usize,
}

impl Work {
    fn changes_labels(&self) -> bool {
        self.relabels() || self.projection.is_some()
    }

    /// Names that are set or removed.
    fn touched(&self) -> impl Iterator<Item = &[u8]> {
        self.external.iter().map(|label| label.name).chain(self.replica_labels.iter().map(String::as_bytes))
    }

    fn relabels(&self) -> bool {
        !self.external.is_empty() || !self.replica_labels.is_empty()
    }

    /// The labels that a series goes out with; `None` if it belongs to another shard.
    fn final_labels(&self, series: LabelsRef<'_>) -> Option<Labels> {
        let labels = if self.relabels() {
            overlay(series, &self.external, &self.replica_labels)
        } else {
            series.to_labels()
        };
        if self.shard.as_ref().is_some_and(|shard| !in_shard(shard, labels.view())) {
            return None;
        }
        Some(match &self.projection {
            Some(projection) => projection.apply(&labels),
            None => labels,
        })
    }

    fn apply(mut self, ctx: &Context, stream: SeriesStream) -> SeriesStream {
        let limit = self.limit;
        let stream = if self.changes_labels() {
            stream::once(sort_anew(ctx.clone(), stream, self)).try_flatten().boxed()
        } else {
            match self.shard.take() {
                None => stream,
                Some(shard) => stream.map_ok(move |frame| in_shard_only(frame, &shard)).boxed(),
            }
        };
        if limit == 0 { stream } else { merge::limit(stream, limit) }
    }
}

/// A frame without the series of other shards.
fn in_shard_only(frame: Frame, shard: &ShardInfo) -> Frame {
    let Frame::Batch(batch) = frame else { return frame };
    let mut out = BatchBuilder::default();
    for series in batch.iter().filter(|s| in_shard(shard, s.labels())) {
        out.copy(series);
    }
    Frame::Batch(out.finish())
}

/// True when a series of these final labels belongs to the shard.
pub(crate) fn in_shard(shard: &ShardInfo, labels: LabelsRef<'_>) -> bool {
    let mut hash = Xxh64::new(0);
    for label in labels.iter() {
        if shard.labels.iter().any(|n| n.as_bytes() == label.name) == shard.by {
            hash.update(label.name);
            hash.update(&[0xff]);
            hash.update(label.value);
            hash.update(&[0xff]);
        }
    }
    hash.digest() % shard.total == shard.index
}

/// The batch with what it holds taken from the memory of the request, if its source did not.
pub(super) fn charged(ctx: &Context, batch: SeriesBatch) -> Result<SeriesBatch> {
    if batch.is_charged() {
        return Ok(batch);
    }
    let lease = ctx.budget().reserve(batch.size_bytes() as u64)?;
    Ok(batch.with_lease(Arc::new(lease)))
}

/// Collects a stream, gives each series its final labels, and streams them in their order.
async fn sort_anew(ctx: Context, mut stream: SeriesStream, work: Work) -> Result<SeriesStream> {
    let mut frames = Vec::new();
    let mut batches: Vec<SeriesBatch> = Vec::new();
    let mut order: Vec<(Labels, usize, usize)> = Vec::new();
    let mut lease: Lease = ctx.budget().reserve(0)?;
    while let Some(frame) = ctx.run(async { stream.try_next().await }).await? {
        let Frame::Batch(batch) = frame else {
            frames.push(frame);
            continue;
        };
        // Chunk data is charged by most sources; labels and the order are held here.
        let batch = charged(&ctx, batch)?;
        for (i, series) in batch.iter().enumerate() {
            let Some(labels) = work.final_labels(series.labels()) else { continue };
            lease.grow((labels.as_bytes().len() + size_of::<(Labels, usize, usize)>()) as u64)?;
            order.push((labels, batches.len(), i));
        }
        batches.push(batch);
    }
    // Stable, so that parts of one series stay in the order in which they came.
    order.sort_by(|a, b| a.0.cmp(&b.0));
    let lease = Arc::new(lease);
    let mut groups = order.into_iter().peekable();
    let (mut join, mut parts) = (ChunkJoin::default(), Vec::new());
    let sorted = std::iter::from_fn(move || {
        let _held = &lease;
        let mut out = BatchBuilder::default();
        while out.len() < BATCH_SERIES {
            let Some((labels, batch, at)) = groups.next() else { break };
            out.series(labels.view());
            parts.clear();
            parts.push((batch, at));
            while let Some((_, batch, at)) = groups.next_if(|(next, ..)| *next == labels) {
                parts.push((batch, at));
            }
            parts.retain(|(batch, at)| batches.get(*batch).is_some_and(|b| *at < b.len()));
            let part = |i: usize| batches.get(parts[i].0)?.get(parts[i].1);
            match parts.len() {
                1 => part(0).into_iter().for_each(|s| out.copy_chunks(s)),
                many => join.join(many, part, &mut out),
            }
        }
        (!out.is_empty()).then(|| Ok::<Frame, Error>(Frame::Batch(out.finish())))
    });
    Ok(stream::iter(frames.into_iter().map(Ok)).chain(stream::iter(sorted)).boxed())
}
