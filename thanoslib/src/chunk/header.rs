//! The first bytes of a chunk and the checks that bound what it may claim.

use crate::{encoding::BitReader, error::DecodeError};

/// The sample count in the first two bytes.
pub(super) fn count(data: &[u8]) -> Result<usize, DecodeError> {
    match data.first_chunk::<2>() {
        Some(head) => Ok(usize::from(u16::from_be_bytes(*head))),
        None => Err(DecodeError::new("chunk is shorter than its header", 0)),
    }
}

/// The bit stream after a header of `len` bytes.
pub(super) fn body(data: &[u8], len: usize) -> Result<BitReader<'_>, DecodeError> {
    match data.get(len..) {
        Some(rest) => Ok(BitReader::new(rest)),
        None => Err(DecodeError::new("chunk is shorter than its header", 0)),
    }
}

/// Refuses a count that the remaining bits can not hold.
pub(super) fn fits(count: usize, most: usize) -> Result<(), DecodeError> {
    if count > most {
        return Err(DecodeError::new("chunk claims more samples than it has bits", 0));
    }
    Ok(())
}
