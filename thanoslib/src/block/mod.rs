//! Blocks: immutable folders of series for a time range, local or in a bucket.
//!
//! Identity, description and marks are values; [`Block`] reads one through a
//! [`RangeReader`], so that a mapped folder and an object store share all code.
//!
//! Invariant: knows single blocks and their objects; knows no requests, no peers, no engine.
//!
#![doc = include_str!("../../docs/format/block.md")]

mod cache;
mod downsample;

mod fetcher;
mod file;
mod filter;
mod id;
mod index_header;
mod json;
mod map;
mod marker;
mod meta;
mod plan;
mod range;
mod read;
mod select;
mod spill;
mod spill_symbols;
#[cfg(test)]
mod tests;
mod tombstones;
mod verify;
mod view;
mod write;

pub use cache::{BlockCache, scan_cache_file};
pub use downsample::{Downsampled, downsample_block};
pub use fetcher::{Discovery, MetaFetcher};
pub use file::{LocalReader, ObjectReader};
pub use filter::BlockFilter;
pub(crate) use filter::labels_with_id;
pub use id::{BlockId, BlockIdGenerator};
pub use index_header::{INDEX_HEADER_FILE, build_index_header, open_index_header};
pub use marker::{DeletionMark, Mark, NoCompactMark, NoDownsampleMark, put_mark, read_mark, remove_mark};
pub use meta::{
    BlockMeta, BlockStats, Compaction, Deletion, DownsampleMeta, FileHash, FileMeta, IndexStats, MatcherMeta,
    ParentMeta, Rewrite, RewriteInterval, ThanosMeta, UploadTime,
};
pub use range::RangeReader;
pub use read::Block;
pub use select::{BlockBatch, BlockSelect, BlockStream};
pub use tombstones::{Tombstones, clip};
pub use verify::{Finding, FindingKind, IndexHealth, VerifyReport, VerifySettings, verify_block};
pub use view::{Excluded, Partial, View};
pub use write::{BlockSpec, BlockWriter, upload_block};
