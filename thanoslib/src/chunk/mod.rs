//! Sample chunks: encodings, appenders and decoders into columns.
//!
//! Invariant: works on byte slices; knows no files, no labels, no clock.
//!
#![doc = include_str!("../../docs/format/chunks.md")]

mod aggr;
mod clip;
mod codes;
mod cut;
mod cutter;
mod encoding;
mod fit;
mod float_histogram;
mod grow;
mod header;
mod histogram;
mod histogram_appender;
mod int_buckets;
mod int_codes;
mod kind;
mod layout;
mod reduce;
mod running;
mod segment;
mod sink;
mod st;
mod transcode;
mod value_codes;
mod varbit;
mod view;
mod widen;
mod xor;
mod xor2;
mod xor_begin;
mod xor_run;
mod xor_write;

pub use aggr::{AGGREGATES, AggrChunk, AggrError};
pub use clip::clip;
pub use cut::CutPolicy;
pub use cutter::{ChunkCutter, ChunkFormat, EncodedChunk};
pub use encoding::Encoding;
pub use fit::{Fit, NewChunk};
pub use float_histogram::FloatHistogramDecoder;
pub use histogram::HistogramDecoder;
pub use histogram_appender::{FloatHistogramAppender, HistogramAppender, IntHistogramAppender};
pub use kind::HistogramKind;
#[cfg(feature = "store")]
pub(crate) use segment::SEGMENT_HEADER_LEN;
pub use segment::{
    ChunkRecord, SEGMENT_SIZE_MAX, SegmentWriter, parse_segment_header, put_chunk_record, segment_name,
};
pub use transcode::transcode;
pub use view::Chunk;
pub use xor::{XorAppender, XorDecoder};
pub use xor2::{Xor2Appender, Xor2Decoder};
