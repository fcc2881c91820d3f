//! Where the blocks of a set come from.

use std::{fmt, path::PathBuf, sync::Arc, time::UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use object_store::path::Path;

use crate::{
    block::{
        Block, BlockCache, BlockFilter, BlockId, BlockMeta, Discovery, LocalReader, MetaFetcher,
        ObjectReader, Partial, build_index_header,
    },
    bucket::Bucket,
    context::Context,
    error::{DecodeError, Error, Result},
    index::{INDEX_HEADER_SAMPLING, IndexHeader},
    model::{
        Interval, Labels, LabelsBuilder, Warning,
        duration::{UnixTime, format_rfc3339},
    },
};

/// Lists blocks and opens them.
///
/// See [`BlockSet`](super::super::BlockSet).
#[async_trait]
pub trait BlockSource: fmt::Debug + Send + Sync + 'static {
    /// The blocks that are there now and may be served.
    async fn list(&self, ctx: &Context) -> Result<Listing>;

    /// Opens a listed block.
    async fn open(&self, ctx: &Context, listed: Listed) -> Result<Arc<Block>>;
}

/// A block that may be served.
///
/// See [`BlockSource`].
#[derive(Clone, Debug)]
pub struct Listed {
    /// Description.
    pub meta: BlockMeta,
    /// Labels that its series get.
    pub external_labels: Labels,
}

/// What a source holds now.
///
/// See [`BlockSource`].
#[derive(Debug, Default)]
pub struct Listing {
    /// Blocks that may be served.
    pub blocks: Vec<Listed>,
    /// Known gaps: broken blocks, data that is not read.
    pub gaps: Vec<Warning>,
    /// False when something could not be looked at; then no block is dropped.
    pub complete: bool,
}

/// External labels of a block as its description names them.
pub(super) fn external_labels(meta: &BlockMeta) -> Labels {
    Labels::from_pairs(&meta.thanos.labels)
}

/// The blocks of a local folder, such as the data folder of a Prometheus; opened read-only.
///
/// External labels of the folder are laid over those that a block's description names. The
/// write-ahead log and the head's chunks are not read: what they hold is told as a gap.
///
/// See [`BlockSet`](super::super::BlockSet).
#[derive(Debug)]
pub struct FolderSource {
    dir: PathBuf,
    labels: Labels,
}

impl FolderSource {
    /// The blocks below `dir`, whose series get these labels.
    ///
    /// # Errors
    /// `NotFound` when there is no such folder.
    pub fn new(dir: impl Into<PathBuf>, labels: Labels) -> Result<Self> {
        let dir = dir.into();
        if !dir.is_dir() {
            return Err(Error::not_found(format!("no folder {}", dir.display())));
        }
        Ok(Self { dir, labels })
    }

    fn labels_of(&self, meta: &BlockMeta) -> Labels {
        let mut labels = LabelsBuilder::from_labels(external_labels(meta).view());
        for label in self.labels.iter() {
            labels.set(label.name, label.value);
        }
        labels.labels()
    }
}

#[async_trait]
impl BlockSource for FolderSource {
    async fn list(&self, _: &Context) -> Result<Listing> {
        let failed =
            |e| Error::unavailable(format!("cannot read folder {}", self.dir.display())).with_source(e);
        let mut listing = Listing { complete: true, ..Listing::default() };
        for entry in std::fs::read_dir(&self.dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Some(id) = entry.file_name().to_str().and_then(|n| n.parse::<BlockId>().ok()) else {
                continue;
            };
            match read_meta(&entry.path()) {
                Ok(meta) if meta.ulid == id => {
                    let external_labels = self.labels_of(&meta);
                    listing.blocks.push(Listed { meta, external_labels });
                }
                Ok(meta) => {
                    listing.gaps.push(left_out(id, format!("its description is of block {}", meta.ulid)))
                }
                Err(e) => listing.gaps.push(left_out(id, e.to_string())),
            }
        }
        listing.blocks = without_compacted(listing.blocks);
        listing.gaps.extend(self.unread(&listing.blocks));
        Ok(listing)
    }

    async fn open(&self, ctx: &Context, listed: Listed) -> Result<Arc<Block>> {
        let reader = Arc::new(LocalReader::new(self.dir.join(listed.meta.ulid.to_string())));
        Block::open_with_meta(ctx, reader, listed.meta).await
    }
}

fn read_meta(dir: &std::path::Path) -> Result<BlockMeta> {
    let path = dir.join(BlockMeta::FILE);
    let bytes = std::fs::read(&path)
        .map_err(|e| Error::corrupt(format!("cannot read {}: {e}", path.display())).with_source(e))?;
    BlockMeta::parse(&bytes).map_err(|e| e.context(BlockMeta::FILE))
}

fn left_out(id: BlockId, why: String) -> Warning {
    Warning::new(format!("block {id} is left out: {why}")).origin(id.to_string())
}

/// Blocks without those that another one was made of, as Prometheus deletes them late.
fn without_compacted(blocks: Vec<Listed>) -> Vec<Listed> {
    let parents: std::collections::BTreeSet<BlockId> =
        blocks.iter().flat_map(|b| b.meta.compaction.parents.iter().map(|p| p.ulid)).collect();
    blocks.into_iter().filter(|b| !parents.contains(&b.meta.ulid)).collect()
}

impl FolderSource {
    /// Samples that lie in the write-ahead log, from the end of the blocks to the last write.
    fn unread(&self, blocks: &[Listed]) -> Option<Warning> {
        let wal = self.dir.join("wal");
        let newest = std::fs::read_dir(&wal)
            .ok()?
            .flatten()
            .filter(|e| e.file_name().to_str().is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit())))
            .filter_map(|e| e.metadata().ok())
            .filter(|m| m.len() > 0)
            .filter_map(|m| m.modified().ok()?.duration_since(UNIX_EPOCH).ok())
            .max()?;
        let maxt = i64::try_from(newest.as_millis()).ok()?;
        let mint = blocks.iter().map(|b| b.meta.max_time).max().unwrap_or(i64::MIN);
        if mint > maxt {
            return None;
        }
        let since = if blocks.is_empty() {
            "everything".to_owned()
        } else {
            format!("what is newer than {}", format_rfc3339(UnixTime::from_ms(mint)))
        };
        let text = format!(
            "the write-ahead log in {} is not read: {since} is missing, up to its last write at {}",
            wal.display(),
            format_rfc3339(UnixTime::from_ms(maxt))
        );
        let gap = Warning::new(text).origin(wal.display().to_string());
        Some(gap.interval(Interval::new(mint, maxt)).labels(self.labels.clone()))
    }
}

/// The blocks of a bucket: all but those marked for deletion, partial or superseded.
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::{BlockSet, Bucket, BucketSource, Context, block::Discovery};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bucket = Bucket::memory("demo");
/// let source = BucketSource::new(bucket).with_discovery(Discovery::Recursive).with_index_sampling(32);
/// let blocks = BlockSet::new("gateway", Arc::new(source));
/// assert_eq!(blocks.sync(&Context::default()).await?.loaded, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct BucketSource {
    bucket: Bucket,
    fetcher: MetaFetcher,
    cache: Option<Arc<BlockCache>>,
    sampling: usize,
}

impl BucketSource {
    /// The blocks that a store gateway shows by default.
    pub fn new(bucket: Bucket) -> Self {
        Self::with_filter(bucket, BlockFilter::gateway())
    }

    /// The blocks that pass a filter.
    pub fn with_filter(bucket: Bucket, filter: BlockFilter) -> Self {
        let fetcher = MetaFetcher::new(bucket.clone(), filter);
        Self { fetcher, bucket, cache: None, sampling: INDEX_HEADER_SAMPLING }
    }

    /// The same source that looks for blocks in another way.
    #[must_use]
    pub fn with_discovery(self, discovery: Discovery) -> Self {
        Self { fetcher: self.fetcher.with_discovery(discovery), ..self }
    }

    /// The same source that keeps descriptions and index-headers in a file. Together with
    /// [`Discovery::Recursive`], a source whose blocks are all in the file only lists.
    #[must_use]
    pub fn with_cache(self, cache: Arc<BlockCache>) -> Self {
        Self { fetcher: self.fetcher.with_cache(Arc::clone(&cache)), cache: Some(cache), ..self }
    }

    /// The same source that holds the place of every `sampling`-th symbol and label value of
    /// an index-header from the file; the memory for them is divided by it, and finding one takes
    /// as many steps at most. Default: 32.
    #[must_use]
    pub fn with_index_sampling(self, sampling: usize) -> Self {
        Self { sampling, ..self }
    }

    /// The index-header of a block: from the file, or built from the bucket and kept there.
    async fn index_header(
        &self,
        ctx: &Context,
        cache: &BlockCache,
        reader: &ObjectReader,
        meta: &BlockMeta,
    ) -> Result<IndexHeader> {
        let id = meta.ulid;
        let parse = |bytes: &Bytes| IndexHeader::parse(bytes, self.sampling);
        if let Some(bytes) = cache.index_header(id) {
            match parse(&bytes) {
                Ok(header) => return Ok(header),
                Err(e) => cache.drop_index_header(id, &e.to_string()),
            }
        }
        let built = build_index_header(ctx, reader, meta.index_bytes()).await;
        let built = built.map_err(|e| e.context(format_args!("block {id}")))?;
        let failed = |e: DecodeError| e.context(format_args!("block {id}: index"));
        // Only what is sound is kept.
        let header = parse(&built).map_err(failed)?;
        match cache.put_index_header(id, &built) {
            Ok(mapped) => parse(&mapped).map_err(failed),
            Err(e) => {
                tracing::warn!(block = %id, error = %e, "index-header is not kept");
                Ok(header)
            }
        }
    }
}

#[async_trait]
impl BlockSource for BucketSource {
    async fn list(&self, ctx: &Context) -> Result<Listing> {
        let view = self.fetcher.fetch(ctx).await?;
        if let Some(cache) = self.cache.as_ref().filter(|_| view.error.is_none()) {
            let known = |id| view.metas.contains_key(&id) || view.excluded.contains_key(&id);
            if let Err(e) = cache.retain(known) {
                tracing::warn!(error = %e, "cache file is not written anew");
            }
        }
        let mut listing = Listing { complete: view.error.is_none(), ..Listing::default() };
        for meta in view.metas.into_values() {
            let external_labels = external_labels(&meta);
            listing.blocks.push(Listed { meta: BlockMeta::clone(&meta), external_labels });
        }
        for (id, partial) in view.partial {
            // A block without description is an upload under way: no part of the data yet.
            if let Partial::CorruptMeta(why) = partial {
                listing.gaps.push(left_out(id, why));
            }
        }
        if let Some(e) = view.error {
            listing.gaps.push(Warning::new(format!("the list of blocks is incomplete: {e}")));
        }
        Ok(listing)
    }

    async fn open(&self, ctx: &Context, listed: Listed) -> Result<Arc<Block>> {
        let prefix = Path::from(listed.meta.ulid.to_string());
        let reader = Arc::new(ObjectReader::new(Arc::clone(self.bucket.store()), prefix));
        let Some(cache) = &self.cache else {
            return Block::open_with_meta(ctx, reader, listed.meta).await;
        };
        let header = self.index_header(ctx, cache, &reader, &listed.meta).await?;
        Block::open_with_index(ctx, reader, listed.meta, header).await
    }
}
