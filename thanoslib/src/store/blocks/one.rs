//! A store over one block.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};

use super::{super::merge, clip};
use crate::{
    block::{Block, BlockSelect},
    context::Context,
    error::Result,
    model::{Interval, Labels},
    store::{
        Abilities, Hints, LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, SeriesRequest,
        SeriesStream, Store, StoreInfo, TsdbInfo,
    },
};

/// The series of one block, with the labels that the block stores.
///
/// [`Conform`](crate::store::Conform) lays the external labels over them.
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::block::{Block, BlockId, BlockSpec, LocalReader};
/// use thanoslib::{Conform, Context, Labels, Store, model::TimeRange, store::BlockStore};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let external_labels = Labels::from_pairs([("cluster", "eu1")]);
/// # let id = BlockId::from_parts(1, 1);
/// # let spec = BlockSpec { id, range: TimeRange::new(0, 7_200_000), external_labels: external_labels.clone() };
/// # let dir = spec.write(folder.path(), [(Labels::from_pairs([("__name__", "up")]), [(0, 1.0)])])?;
/// let block = Block::open(&Context::default(), Arc::new(LocalReader::new(dir))).await?;
/// let store = BlockStore::new(block, external_labels.clone());
/// let store = Conform::new(Arc::new(store), external_labels);
/// assert!(store.info().abilities.external_labels);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct BlockStore {
    block: Arc<Block>,
    external: Labels,
}

impl BlockStore {
    /// A store over a block of a producer with these external labels.
    pub fn new(block: Arc<Block>, external: Labels) -> Self {
        Self { block, external }
    }

    fn id(&self) -> String {
        self.block.meta().ulid.to_string()
    }

    fn overlaps(&self, interval: Interval) -> bool {
        self.block.meta().range().overlaps(interval)
    }
}

#[async_trait]
impl Store for BlockStore {
    fn info(&self) -> StoreInfo {
        let range = self.block.meta().range();
        // Compat: the end of a block is advertised as it stands in its description, although
        // the block holds nothing at that very time.
        let interval = Interval::new(range.mint, range.maxt);
        StoreInfo {
            component: "store",
            label_sets: if self.external.is_empty() { Vec::new() } else { vec![self.external.clone()] },
            interval: Some(interval),
            tsdbs: vec![TsdbInfo { labels: self.external.clone(), interval }],
            abilities: Abilities::default(),
            blocks_hash: None,
        }
    }

    fn may_have(&self, label: &[u8]) -> bool {
        self.block.has_label(label)
    }

    async fn series(&self, ctx: &Context, request: SeriesRequest) -> Result<SeriesStream> {
        if !self.overlaps(request.interval) {
            return Ok(merge::ready(Vec::new()));
        }
        let select = BlockSelect {
            matchers: request.matchers,
            interval: request.interval,
            skip_chunks: request.skip_chunks,
            aggregates: request.aggregates,
        };
        let batches = self.block.select(ctx, select).await?;
        let series = batches.map_ok(clip::apply).map_ok(|frames| stream::iter(frames).map(Ok)).try_flatten();
        let hints = Hints { queried_blocks: vec![self.id()] };
        Ok(merge::hints(hints).chain(series).boxed())
    }

    async fn label_names(&self, ctx: &Context, request: LabelNamesRequest) -> Result<LabelNames> {
        if !self.overlaps(request.interval) {
            return Ok(LabelNames::default());
        }
        let names = self.block.label_names(ctx, &request.matchers).await?;
        Ok(LabelNames { names, queried_blocks: vec![self.id()], ..LabelNames::default() })
    }

    async fn label_values(&self, ctx: &Context, request: LabelValuesRequest) -> Result<LabelValues> {
        if !self.overlaps(request.interval) {
            return Ok(LabelValues::default());
        }
        let values = self.block.label_values(ctx, &request.label, &request.matchers).await?;
        Ok(LabelValues { values, queried_blocks: vec![self.id()], ..LabelValues::default() })
    }
}
