//! Byte-level building blocks of the formats: cursors, varints, bit streams, checksums, snappy.
//!
//! Invariant: works on byte slices; knows no format of its own.

mod bits;
mod buf;
mod crc;
mod crc_lanes;
mod snappy;
mod words;

pub use bits::BitWriter;
pub(crate) use bits::{BIT_ROOM, BitReader, BitRun, PutBits};
pub(crate) use buf::{Take, put_uvarint, put_varint};
pub use crc::{Crc32c, crc32c};
pub use snappy::SnappyReader;
#[cfg(any(test, feature = "remote"))]
pub(crate) use snappy::put_snappy_block;
pub(crate) use snappy::{SnappyWriter, take_snappy_block};
pub(crate) use words::Words;
