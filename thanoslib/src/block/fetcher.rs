//! What blocks a bucket holds: their descriptions, and what is missing of the picture.
//!
//! Invariant: a broken block hides no other; a fetch that saw not everything says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;

use super::{
    BlockCache, BlockId, BlockMeta, DeletionMark, Mark,
    filter::BlockFilter,
    view::{Partial, View},
};
use crate::{
    bucket::Bucket,
    clock::{Clock, SystemClock},
    context::Context,
    error::{Error, ErrorKind, Result},
    model::Warning,
};

/// Requests under way at a time, unless set otherwise.
pub(crate) const FETCH_CONCURRENCY: usize = 32;
/// Longest `meta.json` that is read.
pub(super) const META_BYTES_MAX: u64 = 64 << 20;

/// Lists the blocks of a bucket and reads their descriptions.
///
/// A description that was read once is kept, because blocks do not change; whether the
/// block is still there is asked each time.
///
/// ```
/// use thanoslib::{Bucket, Context, block::{BlockFilter, BlockId, BlockMeta, MetaFetcher, Partial}};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (whole, partial) = (BlockId::from_parts(1, 1), BlockId::from_parts(2, 1));
/// let meta = BlockMeta { ulid: whole, version: 1, ..BlockMeta::default() };
/// let bucket = Bucket::memory("demo");
/// bucket.put(&format!("{whole}/meta.json"), meta.encode()?).await?;
/// bucket.put(&format!("{partial}/index"), "cut off").await?;
/// let view = MetaFetcher::new(bucket, BlockFilter::default()).fetch(&Context::default()).await?;
/// assert!(view.metas.contains_key(&whole));
/// assert!(matches!(view.partial[&partial], Partial::NoMeta));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MetaFetcher {
    bucket: Bucket,
    clock: Arc<dyn Clock>,
    filter: BlockFilter,
    concurrency: usize,
    discovery: Discovery,
    cache: Option<Arc<BlockCache>>,
    known: Mutex<BTreeMap<BlockId, Known>>,
}

/// How blocks are looked for.
///
/// See [`BucketSource`](crate::store::BucketSource).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Discovery {
    /// The root is listed, then each block is asked for its description and its marks. A
    /// description that changes is not noticed. The default, as in Thanos.
    #[default]
    Concurrent,
    /// Everything is listed at once: few large requests in place of several for each block. A
    /// description that was written again is read again.
    Recursive,
}

/// A description read before, and when its object was written: 0 when that is not known.
#[derive(Clone, Debug)]
struct Known {
    meta: Arc<BlockMeta>,
    stamp_ms: i64,
}

/// What a recursive listing shows of a block.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// When `meta.json` was written, if there is one.
    meta_ms: Option<i64>,
    /// True when there is a deletion mark.
    marked: bool,
}

/// What came of one block.
enum Fetched {
    Meta(Known),
    Partial(Partial),
    Failed(Error),
}

impl MetaFetcher {
    /// A fetcher for the blocks of a bucket that pass the filter.
    pub fn new(bucket: Bucket, filter: BlockFilter) -> Self {
        Self {
            bucket,
            clock: Arc::new(SystemClock),
            filter,
            concurrency: FETCH_CONCURRENCY,
            discovery: Discovery::default(),
            cache: None,
            known: Mutex::default(),
        }
    }

    /// The same fetcher with another source of the time of day.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// The same fetcher with this many requests at a time, at least one.
    #[must_use]
    pub fn with_concurrency(self, concurrency: usize) -> Self {
        Self { concurrency: concurrency.max(1), ..self }
    }

    /// The same fetcher that looks for blocks in another way.
    #[must_use]
    pub fn with_discovery(self, discovery: Discovery) -> Self {
        Self { discovery, ..self }
    }

    /// The same fetcher that keeps descriptions in a file and takes them from there.
    #[must_use]
    pub fn with_cache(self, cache: Arc<BlockCache>) -> Self {
        Self { cache: Some(cache), ..self }
    }

    /// Looks at the whole bucket.
    ///
    /// # Errors
    /// When the root cannot be listed or a deletion mark cannot be read, or when the context
    /// ends. Other failures leave an incomplete view with [`View::error`].
    pub async fn fetch(&self, ctx: &Context) -> Result<View> {
        ctx.run(self.fetch_all()).await
    }

    async fn fetch_all(&self) -> Result<View> {
        let found = match self.discovery {
            Discovery::Concurrent => self.list().await?,
            Discovery::Recursive => self.list_recursive().await?,
        };
        let marked: Option<BTreeSet<BlockId>> = match self.discovery {
            Discovery::Concurrent => None,
            Discovery::Recursive => Some(
                found.iter().filter(|(_, seen)| seen.is_some_and(|s| s.marked)).map(|(id, _)| *id).collect(),
            ),
        };
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut view = View::default();
        let mut all = BTreeMap::new();
        let mut fetches = stream::iter(found)
            .map(|(id, seen)| {
                let known = known.get(&id).cloned();
                async move { (id, self.fetch_one(id, known, seen).await) }
            })
            .buffer_unordered(self.concurrency);
        let mut failed = 0_u64;
        while let Some((id, fetched)) = fetches.next().await {
            match fetched {
                Fetched::Meta(known) => {
                    all.insert(id, known);
                }
                Fetched::Partial(partial) => drop(view.partial.insert(id, partial)),
                Fetched::Failed(e) => {
                    failed += 1;
                    view.warnings.push(Warning::new(e.to_string()).origin(id.to_string()));
                    view.error.get_or_insert(e);
                }
            }
        }
        drop(fetches);
        for (id, partial) in &view.partial {
            let message = match partial {
                Partial::NoMeta => format!("block {id} is partial: no meta.json"),
                Partial::CorruptMeta(why) => format!("block {id} is partial: {why}"),
            };
            view.warnings.push(Warning::new(message).origin(id.to_string()));
        }
        view.error =
            view.error.map(|e| e.context(format!("incomplete view: {failed} blocks failed, the first")));
        if view.error.is_none() {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&all);
        }
        view.metas = all.into_iter().map(|(id, known)| (id, known.meta)).collect();
        let (now_ms, marked) = (self.clock.now_ms(), marked.as_ref());
        self.filter.apply(&self.bucket, now_ms, self.concurrency, marked, &mut view).await?;
        Ok(view)
    }

    /// The folders named like blocks.
    async fn list(&self) -> Result<BTreeMap<BlockId, Option<Seen>>> {
        let entries = self.bucket.list("").await?;
        // A set: names in upper and lower case may mean the same block.
        let ids = entries.iter().filter(|e| e.is_dir()).filter_map(|e| e.base_name().parse().ok());
        Ok(ids.map(|id| (id, None)).collect())
    }

    /// The folders named like blocks, with what matters in them.
    async fn list_recursive(&self) -> Result<BTreeMap<BlockId, Option<Seen>>> {
        let mut found: BTreeMap<BlockId, Option<Seen>> = BTreeMap::new();
        let mut entries = self.bucket.list_recursive("");
        while let Some(entry) = entries.try_next().await? {
            let Some((folder, object)) = entry.name.split_once('/') else { continue };
            let Ok(id) = folder.parse::<BlockId>() else { continue };
            let seen = found.entry(id).or_default().get_or_insert_default();
            match object {
                BlockMeta::FILE => seen.meta_ms = Some(entry.attributes.map_or(0, |a| a.last_modified_ms)),
                DeletionMark::FILE => seen.marked = true,
                _ => {}
            }
        }
        Ok(found)
    }

    async fn fetch_one(&self, id: BlockId, known: Option<Known>, seen: Option<Seen>) -> Fetched {
        let name = format!("{id}/{}", BlockMeta::FILE);
        let stamp_ms = match seen {
            Some(Seen { meta_ms: None, .. }) => return Fetched::Partial(Partial::NoMeta),
            Some(Seen { meta_ms, .. }) => meta_ms,
            None => None,
        };
        let known = known.filter(|k| stamp_ms.is_none_or(|s| s == k.stamp_ms)).or_else(|| {
            let meta = Arc::new(self.cache.as_ref()?.meta(id, stamp_ms)?);
            Some(Known { meta, stamp_ms: stamp_ms.unwrap_or_default() })
        });
        if let Some(known) = known {
            if seen.is_some() {
                return Fetched::Meta(known);
            }
            return match self.bucket.exists(&name).await {
                Ok(true) => Fetched::Meta(known),
                Ok(false) => Fetched::Partial(Partial::NoMeta),
                Err(e) => Fetched::Failed(e),
            };
        }
        let bytes = match self.bucket.get_at_most(&name, META_BYTES_MAX).await {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => return Fetched::Partial(Partial::NoMeta),
            Err(e) => return Fetched::Failed(e),
        };
        match BlockMeta::parse(&bytes) {
            Ok(meta) if meta.ulid != id => {
                let why = format!("meta.json is that of block {}", meta.ulid);
                Fetched::Partial(Partial::CorruptMeta(why))
            }
            Ok(meta) => {
                let stamp_ms = stamp_ms.unwrap_or_default();
                if let Some(Err(e)) = self.cache.as_ref().map(|c| c.put_meta(id, stamp_ms, &bytes)) {
                    tracing::warn!(block = %id, error = %e, "description is not kept");
                }
                Fetched::Meta(Known { meta: Arc::new(meta), stamp_ms })
            }
            Err(e) if other_version(&bytes) => Fetched::Failed(e.context(name)),
            Err(e) => Fetched::Partial(Partial::CorruptMeta(e.context(BlockMeta::FILE).to_string())),
        }
    }
}

/// True for a description of a version that is not ours: whole, but not understood.
fn other_version(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Versions {
        version: i64,
        #[serde(default)]
        thanos: Inner,
    }
    #[derive(Default, Deserialize)]
    struct Inner {
        #[serde(default)]
        version: i64,
    }
    let versions: Result<Versions, _> = serde_json::from_slice(bytes);
    versions.is_ok_and(|v| v.version != 1 || !matches!(v.thanos.version, 0 | 1))
}
