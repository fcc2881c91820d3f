//! Byte-level building blocks of the formats: cursors, varints, bit streams, checksums.
//!
//! Invariant: works on byte slices; knows no format of its own.

mod bits;
mod buf;
mod crc;

pub use bits::{BitReader, BitWriter};
pub use buf::{Take, put_uvarint, put_varint};
pub use crc::crc32c;
