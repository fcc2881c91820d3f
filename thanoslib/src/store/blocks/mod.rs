//! A store over many blocks that come and go: of a bucket, or of a local folder.

mod choose;
mod clip;
mod one;
mod source;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use futures::{FutureExt, StreamExt, stream};
use xxhash_rust::xxh64::Xxh64;

use super::{
    Abilities, Conform, Frame, LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest,
    PartialResponse, SeriesRequest, SeriesStream, Store, StoreInfo,
    external::may_match,
    fanout::{self, Member},
};
use crate::{
    block::{BlockId, labels_with_id},
    context::Context,
    error::{Error, Result},
    model::{Interval, Labels, Matcher, Resolution, TimeRange, Warning},
};
use choose::Chosen;
pub use one::BlockStore;
pub use source::{BlockSource, BucketSource, FolderSource, Listed, Listing};

/// Blocks that are opened at the same time.
const OPEN_CONCURRENT: usize = 20;
/// Longest time that opening one block may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);

/// A store over the blocks of a source, as of the last [`BlockSet::sync`].
///
/// Each request is answered by the blocks of its time range whose resolution fits. A block
/// that cannot be opened is left out, tried again at the next sync, and named in a warning
/// of every answer that it might have been part of.
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::{BlockId, BlockSet, Context, FolderSource, Labels, block::BlockSpec, model::TimeRange};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let id = BlockId::from_parts(1, 1);
/// let spec = BlockSpec { id, range: TimeRange::new(0, 7_200_000), external_labels: Labels::empty() };
/// spec.write(folder.path(), [(Labels::from_pairs([("__name__", "up")]), [(0, 1.0)])])?;
///
/// let labels = Labels::from_pairs([("cluster", "eu1")]);
/// let blocks = BlockSet::new("local", Arc::new(FolderSource::new(folder.path(), labels)?));
/// assert_eq!(blocks.sync(&Context::default()).await?.loaded, 1);
/// assert_eq!(blocks.block_ids(), [id]);
/// # Ok(())
/// # }
/// ```
pub struct BlockSet {
    name: String,
    source: Arc<dyn BlockSource>,
    state: RwLock<Arc<State>>,
}

impl fmt::Debug for BlockSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockSet")
            .field("name", &self.name)
            .field("blocks", &self.state().blocks.len())
            .finish()
    }
}

/// What was found by the last sync.
#[derive(Default)]
struct State {
    blocks: BTreeMap<BlockId, Loaded>,
    /// Known gaps: blocks that cannot be read, data that is not read.
    gaps: Vec<Warning>,
    /// Of the blocks, unless there are none or something is known to be missing.
    hash: Option<u128>,
}

impl State {
    /// A hash of which blocks there are, under which labels.
    fn blocks_hash(&self) -> Option<u128> {
        if self.blocks.is_empty() || !self.gaps.is_empty() {
            return None;
        }
        let (mut low, mut high) = (Xxh64::new(0), Xxh64::new(1));
        for (id, loaded) in &self.blocks {
            let labels = loaded.external.as_bytes();
            let of = format!("{id} {} {} {}", loaded.range.mint, loaded.range.maxt, labels.len());
            for hash in [&mut low, &mut high] {
                hash.update(of.as_bytes());
                hash.update(labels);
            }
        }
        Some(u128::from(high.digest()) << 64 | u128::from(low.digest()))
    }
}

#[derive(Clone)]
struct Loaded {
    store: Arc<dyn Store>,
    external: Labels,
    range: TimeRange,
    resolution: Resolution,
}

/// What one sync did.
///
/// See [`BlockSet`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Blocks that answer requests now.
    pub loaded: usize,
    /// Blocks opened by this sync.
    pub opened: usize,
    /// Blocks dropped by this sync.
    pub dropped: usize,
    /// Known gaps, for people.
    pub gaps: Vec<String>,
}

impl BlockSet {
    /// A set that is empty until its first [`BlockSet::sync`].
    pub fn new(name: impl Into<String>, source: Arc<dyn BlockSource>) -> Self {
        Self { name: name.into(), source, state: RwLock::default() }
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks for new and vanished blocks; answers go on from the old ones meanwhile.
    ///
    /// # Errors
    /// When the source cannot be listed at all; the blocks stay as they were.
    pub async fn sync(&self, ctx: &Context) -> Result<SyncReport> {
        let Listing { blocks, mut gaps, complete } = self.source.list(ctx).await?;
        let old = self.state();
        let mut next = State::default();
        let mut report = SyncReport::default();
        let wanted: BTreeSet<BlockId> = blocks.iter().map(|b| b.meta.ulid).collect();
        if !complete {
            // Of a listing with holes nothing is concluded about what it lacks.
            next.blocks = old.blocks.clone();
        }
        let mut missing = Vec::new();
        for listed in blocks {
            match old.blocks.get(&listed.meta.ulid) {
                Some(loaded) => {
                    next.blocks.insert(listed.meta.ulid, loaded.clone());
                }
                None => missing.push(listed),
            }
        }
        let opening = missing.into_iter().map(|listed| {
            let (source, ctx) = (Arc::clone(&self.source), ctx.with_timeout(OPEN_TIMEOUT));
            async move {
                let id = listed.meta.ulid;
                let (range, external) = (listed.meta.range(), listed.external_labels.clone());
                (id, range, external, open(&*source, &ctx, listed).await)
            }
            .boxed()
        });
        let mut opened = stream::iter(opening).buffer_unordered(OPEN_CONCURRENT);
        while let Some((id, range, external, result)) = opened.next().await {
            match result {
                Ok(loaded) => {
                    report.opened += 1;
                    next.blocks.insert(id, loaded);
                }
                Err(e) => {
                    let mut gap = Warning::new(format!("block {id} is left out: {e}")).origin(id.to_string());
                    (gap.interval, gap.labels) = (range.interval(), Some(external));
                    gaps.push(gap);
                }
            }
        }
        drop(opened);
        report.loaded = next.blocks.len();
        report.dropped = old.blocks.keys().filter(|id| complete && !wanted.contains(id)).count();
        report.gaps = gaps.iter().map(ToString::to_string).collect();
        next.gaps = gaps;
        next.hash = next.blocks_hash();
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(report)
    }

    /// Syncs at once and then every `every` until `shutdown`; a failing sync is told to
    /// `report` and tried again.
    pub async fn run(
        &self,
        every: Duration,
        shutdown: impl Future<Output = ()> + Send,
        mut report: impl FnMut(&str, Result<SyncReport>) + Send,
    ) {
        let ctx = Context::default();
        let work = async {
            loop {
                report(&self.name, self.sync(&ctx).await);
                tokio::time::sleep(every).await;
            }
        };
        futures::future::select(std::pin::pin!(work), std::pin::pin!(shutdown)).await;
    }

    /// Ids of the blocks that answer requests now.
    pub fn block_ids(&self) -> Vec<BlockId> {
        self.state().blocks.keys().copied().collect()
    }

    /// The blocks for a request, with the gaps that concern it; without a resolution all
    /// blocks that overlap.
    fn choose(
        &self,
        interval: Interval,
        matchers: &[Matcher],
        block_matchers: &[Matcher],
        max_resolution_ms: Option<i64>,
    ) -> (Vec<Member>, Vec<Warning>) {
        let state = self.state();
        let mut groups: BTreeMap<&Labels, Vec<(BlockId, &Loaded)>> = BTreeMap::new();
        for (id, loaded) in &state.blocks {
            let external = &loaded.external;
            // Blocks without external labels may hold anything.
            if !external.is_empty() && !may_match(std::slice::from_ref(external), matchers) {
                continue;
            }
            if chosen_by(block_matchers, *id, external) {
                groups.entry(external).or_default().push((*id, loaded));
            }
        }
        let mut members = Vec::new();
        for group in groups.values() {
            let candidates: Vec<Chosen> = group
                .iter()
                .map(|(id, l)| Chosen { id: *id, range: l.range, resolution: l.resolution })
                .collect();
            let ids = match max_resolution_ms {
                Some(max) => choose::choose(&candidates, interval, max),
                // Compat: Thanos `pkg/store/bucket.go` asks all blocks for labels, also those
                // around a range that ends before it begins.
                None => candidates.iter().filter(|c| c.range.overlaps(interval)).map(|c| c.id).collect(),
            };
            members.extend(ids.into_iter().filter_map(|id| {
                let store = Arc::clone(&state.blocks.get(&id)?.store);
                Some(Member { name: format!("block {id}"), store })
            }));
        }
        let concerned = |gap: &&Warning| {
            gap.interval.is_none_or(|at| at.overlaps(interval))
                && gap.labels.as_ref().is_none_or(|l| may_match(std::slice::from_ref(l), matchers))
        };
        (members, state.gaps.iter().filter(concerned).cloned().collect())
    }
}

/// True when the matchers accept a block's external labels and its `__block_id`.
fn chosen_by(block_matchers: &[Matcher], id: BlockId, external: &Labels) -> bool {
    if block_matchers.is_empty() {
        return true;
    }
    let labels = labels_with_id(external, id);
    block_matchers.iter().all(|m| m.matches_labels(labels.view()))
}

async fn open(source: &dyn BlockSource, ctx: &Context, listed: Listed) -> Result<Loaded> {
    let resolution =
        Resolution::from_window_ms(listed.meta.thanos.downsample.resolution).ok_or_else(|| {
            Error::corrupt(format!("unknown resolution {} ms", listed.meta.thanos.downsample.resolution))
        })?;
    let external = listed.external_labels.clone();
    let range = listed.meta.range();
    let block = source.open(ctx, listed).await?;
    let store = Arc::new(BlockStore::new(block, external.clone()));
    Ok(Loaded { store: Arc::new(Conform::new(store, external.clone())), external, range, resolution })
}

/// Gaps as frames in front of an answer, or as the error that a request without partial
/// answers gets.
fn gaps_first(gaps: &[Warning], strategy: PartialResponse) -> Result<()> {
    match gaps.first() {
        Some(gap) if strategy == PartialResponse::Abort => Err(Error::unavailable(gap.message.clone())),
        _ => Ok(()),
    }
}

#[async_trait]
impl Store for BlockSet {
    fn info(&self) -> StoreInfo {
        let state = self.state();
        let mut infos: Vec<StoreInfo> = state.blocks.values().map(|l| l.store.info()).collect();
        let mut tsdbs: Vec<_> = infos.iter_mut().flat_map(|i| std::mem::take(&mut i.tsdbs)).collect();
        tsdbs.sort_by(|a, b| {
            (&a.labels, a.interval.mint, a.interval.maxt).cmp(&(&b.labels, b.interval.mint, b.interval.maxt))
        });
        // Blocks that touch are one stretch of a producer's data.
        let mut joined: Vec<super::TsdbInfo> = Vec::new();
        for tsdb in tsdbs {
            match joined.last_mut() {
                Some(last) if last.labels == tsdb.labels && tsdb.interval.mint <= last.interval.maxt => {
                    last.interval.maxt = last.interval.maxt.max(tsdb.interval.maxt);
                }
                _ => joined.push(tsdb),
            }
        }
        StoreInfo { tsdbs: joined, blocks_hash: state.hash, ..fanout::join_infos("store", infos) }
    }

    fn abilities(&self) -> Abilities {
        Abilities::ALL
    }

    async fn series(&self, ctx: &Context, request: SeriesRequest) -> Result<SeriesStream> {
        let (members, gaps) = self.choose(
            request.interval,
            &request.matchers,
            &request.block_matchers,
            Some(request.max_resolution_ms),
        );
        gaps_first(&gaps, request.partial_response)?;
        let answer = fanout::series(ctx, members, request).await?;
        let gaps = stream::iter(gaps.into_iter().map(|g| Ok(Frame::Warning(g))));
        Ok(gaps.chain(answer).boxed())
    }

    async fn label_names(&self, ctx: &Context, request: LabelNamesRequest) -> Result<LabelNames> {
        let (members, gaps) = self.choose(request.interval, &request.matchers, &request.block_matchers, None);
        gaps_first(&gaps, request.partial_response)?;
        let mut answer = fanout::label_names(ctx, members, request).await?;
        answer.warnings.extend(gaps);
        Ok(answer)
    }

    async fn label_values(&self, ctx: &Context, request: LabelValuesRequest) -> Result<LabelValues> {
        let (members, gaps) = self.choose(request.interval, &request.matchers, &request.block_matchers, None);
        gaps_first(&gaps, request.partial_response)?;
        let mut answer = fanout::label_values(ctx, members, request).await?;
        answer.warnings.extend(gaps);
        Ok(answer)
    }
}
