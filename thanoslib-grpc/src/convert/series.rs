//! What series on the wire are bound to. Their frames are read and written by
//! [`codec`](crate::codec), so that chunk data is not copied.

use thanoslib::{Error, Result, chunk::Encoding};

use crate::pb::thanos::chunk::Encoding as Wire;

/// Chunk data in one frame of one series; the chunk that crosses it is the frame's last.
///
/// Source: Thanos `pkg/store/tsdb.go`, which takes the labels off this.
pub const FRAME_CHUNKS_MAX_BYTES: usize = 1 << 20;

/// The encoding of a number on the wire, which is one less than that of chunk files.
///
/// # Errors
/// `Unsupported` for an unknown one, with the name of the field.
pub(crate) fn encoding(wire: i32, field: &str) -> Result<Encoding> {
    match Wire::try_from(wire) {
        Ok(Wire::Xor) => Ok(Encoding::Xor),
        Ok(Wire::Histogram) => Ok(Encoding::Histogram),
        Ok(Wire::FloatHistogram) => Ok(Encoding::FloatHistogram),
        Err(_) => Err(Error::unsupported(format!("{field}.type: unknown chunk encoding {wire}"))),
    }
}
