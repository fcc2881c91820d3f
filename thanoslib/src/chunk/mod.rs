//! Sample chunks: encodings, appenders and decoders into columns.
//!
//! Invariant: works on byte slices; knows no files, no labels, no clock.

mod encoding;
mod segment;

pub use encoding::Encoding;
pub use segment::{
    ChunkRecord, SEGMENT_HEADER_LEN, SEGMENT_SIZE_MAX, SegmentWriter, parse_segment_header, put_chunk_record,
    segment_name,
};
