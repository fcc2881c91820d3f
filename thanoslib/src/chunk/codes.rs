//! A position in a run of codes, and the bits found there.
//!
//! Only the position is carried from code to code. Each run of codes takes its bits from words
//! that are read afresh at its place ([`int_codes`](super::int_codes),
//! [`value_codes`](super::value_codes)); near the end of the data the readers bit by bit take over.

use crate::{encoding::BitReader, error::DecodeError};

/// Bytes that a code and the words read for it take at most.
const REACH: usize = 32;

/// The bits at a position, at least 57 of them; zeros where there are none.
#[inline(always)]
pub(super) fn word57(bytes: &[u8], bit: usize) -> u64 {
    let at = bit / 8;
    let Some(head) = bytes.get(at..at + 8).and_then(|b| b.first_chunk::<8>()) else { return 0 };
    u64::from_be_bytes(*head) << (bit % 8)
}

/// The 64 bits at a position; zeros where there are none.
#[inline(always)]
pub(super) fn word(bytes: &[u8], bit: usize) -> u64 {
    let at = bit / 8;
    let Some([head @ .., last]) = bytes.get(at..at + 9) else { return 0 };
    let Some(head) = head.first_chunk::<8>() else { return 0 };
    let shift = bit % 8;
    u64::from_be_bytes(*head) << shift | (u64::from(*last) << shift) >> 8
}

/// Reads codes by their position.
#[derive(Clone, Copy, Debug)]
pub(super) struct CodeReader<'a> {
    pub(super) bytes: &'a [u8],
    /// The next bit to read.
    pub(super) bit: usize,
}

impl<'a> CodeReader<'a> {
    /// The first bit at which a code may lie too near to the end to be read by words.
    #[inline(always)]
    pub(super) fn safe(&self) -> usize {
        self.bytes.len().saturating_sub(REACH) * 8
    }

    /// A reader bit by bit at the same place.
    #[inline]
    pub(super) fn bits(&self) -> BitReader<'a> {
        BitReader::at(self.bytes, self.bit)
    }

    /// Reads bit by bit.
    #[inline]
    pub(super) fn bitwise<T>(
        &mut self,
        read: impl FnOnce(&mut BitReader<'a>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let mut r = self.bits();
        let out = read(&mut r);
        self.bit = r.position();
        out
    }
}
