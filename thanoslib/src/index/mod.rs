//! The index of a block: symbols, series entries, postings and their offset table.
//!
//! An index is read from *parts*: the table of contents, the symbols and the postings
//! offset table make an [`Index`]; single postings lists and series entries are then read
//! by range. So the same code serves a mapped file and an object in a bucket.
//!
//! Invariant: works on byte slices; knows no files, no buckets, no samples.
//!
#![doc = include_str!("../../docs/format/index.md")]

mod header;
mod labels;
#[cfg(any(feature = "store", test))]
mod memory;

mod postings;
mod reader;
mod select;
mod series;
mod symbols;
mod table;
mod toc;
mod writer;

pub use header::{INDEX_HEADER_SAMPLING, IndexHeader, IndexHeaderPlan};
pub use labels::LabelReader;
#[cfg(feature = "store")]
pub(crate) use memory::{MemoryIndex, SeriesIds};
pub use postings::{
    Id, Postings, PostingsDecoder, SortedIds, encode_postings, intersect, intersects, subtract, union,
};
pub use reader::{Index, IndexFile};
pub use select::{PostingsPlan, label_values, plan_postings};
pub use series::{ChunkRef, Entry, SeriesEntry};
pub use symbols::Symbols;
pub use table::{ListRef, PostingsTable};
pub(crate) use toc::HEADER_LEN;
pub use toc::{Toc, Version, parse_header};
pub use writer::{IndexChunk, IndexWriter};

use crate::{
    encoding::{Take, crc32c},
    error::DecodeError,
};

/// Takes a framed section: its length, the content, the checksum of the content.
///
/// Bytes behind the section are ignored. `base` is the offset of `bytes` in the file.
fn section(bytes: &[u8], base: usize) -> Result<&[u8], DecodeError> {
    let mut take = Take::at(bytes, base);
    let len = take.be32()? as usize;
    let content = take.bytes(len)?;
    let at = take.offset();
    if take.be32()? != crc32c(content) {
        return Err(DecodeError::new("section checksum mismatch", at));
    }
    Ok(content)
}
