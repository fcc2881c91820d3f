//! What a look at the blocks of a bucket saw.

use std::{collections::BTreeMap, sync::Arc};

use super::{BlockId, BlockMeta, DeletionMark};
use crate::{
    error::{Error, Result},
    model::Warning,
};

/// Why a folder named like a block counts as none.
///
/// See [`MetaFetcher`](super::MetaFetcher).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Partial {
    /// There is no `meta.json`: an upload is under way or was given up.
    NoMeta,
    /// `meta.json` is no description of a block; the text says why.
    CorruptMeta(String),
}

/// What a fetch saw.
///
/// See [`MetaFetcher`](super::MetaFetcher).
#[derive(Debug, Default)]
pub struct View {
    /// The blocks that passed the filter.
    pub metas: BTreeMap<BlockId, Arc<BlockMeta>>,
    /// Folders that are no complete block.
    pub partial: BTreeMap<BlockId, Partial>,
    /// Deletion marks, if the filter asks for them, of blocks inside and outside `metas`.
    pub marked: BTreeMap<BlockId, DeletionMark>,
    /// The blocks that the filter left out, and why.
    pub excluded: BTreeMap<BlockId, Excluded>,
    /// What the fetch could not see. The view is incomplete then: a block that is in none
    /// of the maps may exist.
    pub error: Option<Error>,
    /// Gaps and oddities, each with the block that it is about.
    pub warnings: Vec<Warning>,
}

impl View {
    /// The view, if it is complete.
    ///
    /// # Errors
    /// What the fetch could not see.
    pub fn complete(mut self) -> Result<Self> {
        match self.error.take() {
            Some(e) => Err(e),
            None => Ok(self),
        }
    }
}

/// Why a filter left a block out.
///
/// ```
/// use std::time::Duration;
/// use thanoslib::{Bucket, Context, clock::SystemClock};
/// use thanoslib::block::{BlockFilter, BlockIdGenerator, BlockMeta, Excluded, MetaFetcher};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let id = BlockIdGenerator::new(std::sync::Arc::new(SystemClock), 1).next_id();
/// let meta = BlockMeta { ulid: id, version: 1, ..BlockMeta::default() };
/// let bucket = Bucket::memory("demo");
/// bucket.put(&format!("{id}/meta.json"), meta.encode()?).await?;
/// let filter = BlockFilter { consistency_delay: Duration::from_secs(1800), ..BlockFilter::default() };
/// let view = MetaFetcher::new(bucket, filter).fetch(&Context::default()).await?;
/// assert_eq!(view.excluded[&id], Excluded::TooFresh);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Excluded {
    /// It lies outside of the time asked for.
    Time,
    /// The selector of the filter does not keep its labels.
    Labels,
    /// It is too new to be surely whole.
    TooFresh,
    /// It was marked for deletion long enough ago.
    MarkedForDeletion,
    /// Another block holds all its sources.
    Duplicate,
}

impl Excluded {
    /// The value of the label `state` of `thanos_blocks_meta_synced`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Excluded::Time => "time-excluded",
            Excluded::Labels => "label-excluded",
            Excluded::TooFresh => "too-fresh",
            Excluded::MarkedForDeletion => "marked-for-deletion",
            Excluded::Duplicate => "duplicate",
        }
    }
}
