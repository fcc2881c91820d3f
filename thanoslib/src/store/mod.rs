//! Stores: anything that answers Series, LabelNames and LabelValues.
//!
//! Invariant: chunks stay bytes; knows no PromQL and no protocol.
//!
#![doc = include_str!("../../docs/PLUG_IN.md")]

mod blocks;
mod conform;
mod external;
mod fanout;
mod lay;
mod limited;
mod memory;
pub(crate) mod merge;
#[cfg(feature = "prometheus")]
pub mod prometheus;
mod proxy;
mod request;
mod source;
mod union;
mod windowed;

use std::fmt;

use async_trait::async_trait;
use futures::stream::BoxStream;

pub use blocks::{
    BlockSet, BlockSource, BlockStore, BucketSource, FolderSource, Listed, Listing, SyncReport,
};
pub use conform::Conform;
#[cfg(feature = "promql")]
pub(crate) use external::may_match;
pub use fanout::{Fanout, Member};
pub use limited::{LimitCounter, LimitViolated, Limited, StoreLimits};
pub use memory::MemoryStore;
pub use proxy::{
    Breaker, MetricNames, Proxy, ProxyMember, ProxySettings, ProxyStatistics, Retrieval, Stores, Tolerance,
    TsdbSelector,
};
pub use request::{
    Grouping, LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, PartialResponse, Projection,
    SelectHints, SeriesRequest, ShardInfo,
};
pub use source::{
    ChunkRow, ChunkSink, ChunkSource, ChunkStore, SampleSink, SampleSource, Scan, SourceSettings, SourceStore,
};
pub(crate) use union::union;
pub use windowed::Windowed;

use crate::{
    context::Context,
    error::Result,
    model::{Interval, Labels, Warning},
    series::SeriesBatch,
};

/// Answers StoreAPI queries for the series it holds.
///
/// Contract: labels ascend over the whole stream; a batch's last series may go on in the
/// next batch; dropping the stream cancels the work behind it. What a store does not do
/// itself it says in [`StoreInfo::abilities`], and [`Conform`](crate::store) does it.
///
/// ```
/// use futures::TryStreamExt;
/// use thanoslib::{Context, Frame, Interval, Labels, Matcher, MemoryStore, SeriesRequest, Store};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new(Labels::empty());
/// store.push(&Labels::from_pairs([("__name__", "up"), ("job", "api")]), 15_000, 1.0)?;
/// let request = SeriesRequest::new(Interval::ALL, vec![Matcher::equal("__name__", "up")]);
/// let frames: Vec<Frame> = store.series(&Context::default(), request).await?.try_collect().await?;
/// let Some(Frame::Batch(batch)) = frames.first() else { panic!("the series comes first") };
/// assert_eq!(batch.get(0).map(|series| series.chunk_count()), Some(1));
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Label sets, time range and abilities of this store, as of now.
    fn info(&self) -> StoreInfo;

    /// What this store does itself, equal to [`StoreInfo::abilities`]; worth writing where making
    /// the whole info takes time, since every request asks for it.
    fn abilities(&self) -> Abilities {
        self.info().abilities
    }

    /// False when surely no series of this store has the label, external labels aside: then
    /// [`Conform`](crate::store) need not sort anew to set or remove it.
    fn may_have(&self, _label: &[u8]) -> bool {
        true
    }

    /// Streams every series that satisfies all matchers and overlaps the range.
    ///
    /// An empty stream means that nothing matches. A request without matchers selects
    /// nothing.
    async fn series(&self, ctx: &Context, request: SeriesRequest) -> Result<SeriesStream>;

    /// Sorted, distinct label names.
    async fn label_names(&self, ctx: &Context, request: LabelNamesRequest) -> Result<LabelNames>;

    /// Sorted, distinct values of one label.
    async fn label_values(&self, ctx: &Context, request: LabelValuesRequest) -> Result<LabelValues>;
}

/// The answer of [`Store::series`].
pub type SeriesStream = BoxStream<'static, Result<Frame>>;

/// One item of a [`SeriesStream`].
///
/// See [`Store`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Frame {
    /// Series in label order.
    Batch(SeriesBatch),
    /// A known gap of the answer.
    Warning(Warning),
    /// What the store did, such as which blocks it read.
    Hints(Hints),
}

/// What a store did to answer.
///
/// ```
/// use thanoslib::{Frame, store::Hints};
/// let mut hints = Hints::default();
/// hints.queried_blocks.push("01BX5ZZKBKACTAV9WEVGEMMVS0".to_owned());
/// assert!(matches!(Frame::Hints(hints), Frame::Hints(hints) if hints.queried_blocks.len() == 1));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hints {
    /// The blocks that were read, as ULID texts.
    pub queried_blocks: Vec<String>,
}

/// What a store holds and does, as of now.
///
/// ```
/// use thanoslib::{Labels, MemoryStore, Store};
/// let store = MemoryStore::new(Labels::from_pairs([("cluster", "eu1")]));
/// store.push(&Labels::from_pairs([("__name__", "up")]), 15_000, 1.0)?;
/// let info = store.info();
/// assert_eq!(info.interval.map(|i| i.mint), Some(15_000));
/// assert!(!info.abilities.external_labels);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct StoreInfo {
    /// What it is: `store`, `sidecar`, `query`, …
    pub component: &'static str,
    /// One label set for each producer; a store without label sets may hold anything.
    pub label_sets: Vec<Labels>,
    /// The time it has data for; `None` when it holds nothing.
    pub interval: Option<Interval>,
    /// Time range of each producer's data.
    pub tsdbs: Vec<TsdbInfo>,
    /// What the store does itself.
    pub abilities: Abilities,
    /// A hash of the blocks that answer; `None` when the store holds anything else, or knows that
    /// something is missing. Stores of equal hashes and labels hold the same data.
    pub blocks_hash: Option<u128>,
}

/// Labels and time of one producer's data.
///
/// See [`StoreInfo`].
#[derive(Clone, Debug, PartialEq)]
pub struct TsdbInfo {
    /// External labels.
    pub labels: Labels,
    /// The time there is data for.
    pub interval: Interval,
}

/// What a store does itself; nothing by default.
///
/// See [`StoreInfo`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// Removes the request's replica labels and sorts without them.
    pub without_replica_labels: bool,
    /// Keeps only the series of the request's shard.
    pub sharding: bool,
    /// Series carry the external labels already, and matchers on them are understood.
    pub external_labels: bool,
    /// Stops after the request's limit of series.
    pub limit: bool,
    /// Sends only the labels that the request's projection wants.
    pub projection: bool,
}

impl Abilities {
    /// All of them.
    pub const ALL: Self = Self {
        without_replica_labels: true,
        sharding: true,
        external_labels: true,
        limit: true,
        projection: true,
    };
}
