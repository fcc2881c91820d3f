//! A position in a run of codes, and the bits found there.
//!
//! Only the position is carried from code to code. Each run of codes takes its bits from words
//! that are read afresh at its place ([`int_codes`](super::int_codes),
//! [`value_codes`](super::value_codes)). Behind the end of the data there are zeros, as many as a
//! run asks for; whether it went beyond the end is asked once, behind the run.

use crate::{encoding::BitReader, error::DecodeError};

/// The bits at a position, at least 57 of them; zeros behind the end.
#[inline(always)]
pub(super) fn word57(bytes: &[u8], bit: usize) -> u64 {
    let at = bit / 8;
    let head = bytes.get(at..at + 8).and_then(|b| b.first_chunk::<8>());
    head.map_or_else(|| last_word(bytes, at), |b| u64::from_be_bytes(*b)) << (bit % 8)
}

/// The 64 bits at a position; zeros behind the end.
#[inline(always)]
pub(super) fn word(bytes: &[u8], bit: usize) -> u64 {
    let at = bit / 8;
    let last = bytes.get(at + 8).map_or(0, |b| u64::from(*b));
    let head = bytes.get(at..at + 8).and_then(|b| b.first_chunk::<8>());
    let head = head.map_or_else(|| last_word(bytes, at), |b| u64::from_be_bytes(*b));
    let shift = bit % 8;
    head << shift | (last << shift) >> 8
}

/// The word at a byte less than eight of which are left.
#[cold]
fn last_word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.iter_mut().zip(bytes.get(at..).unwrap_or_default()).for_each(|(to, byte)| *to = *byte);
    u64::from_be_bytes(word)
}

/// Reads codes by their position.
#[derive(Clone, Copy, Debug)]
pub(super) struct CodeReader<'a> {
    pub(super) bytes: &'a [u8],
    /// The next bit to read.
    pub(super) bit: usize,
}

impl<'a> CodeReader<'a> {
    /// Fails when codes were read from behind the end.
    #[inline(always)]
    pub(super) fn check(&self) -> Result<(), DecodeError> {
        if self.bit <= self.bytes.len() * 8 { Ok(()) } else { Err(cut(self.bytes)) }
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

#[cold]
fn cut(bytes: &[u8]) -> DecodeError {
    DecodeError::new("unexpected end of bit stream", bytes.len())
}
