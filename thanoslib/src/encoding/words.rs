//! Varints that are read as words of eight bytes, for contents of many short numbers.
//!
//! A number costs one load, the search of the first byte without a mark, and a few shifts; no
//! branch depends on its length. Two short numbers that lie in one word cost hardly more.

use std::num::NonZero;

/// The mark on every byte of a number but the last.
const MARKS: u64 = 0x8080_8080_8080_8080;

/// A cursor that reads varints in words. It answers `None` where the careful cursor,
/// [`Take`](super::Take), has to look: long numbers, bad ones, and those near the end.
///
/// The bytes may go on behind the content that is read; whoever is done compares
/// [`taken`](Words::taken) with the length of the content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Words<'a> {
    /// A cursor at the start of `bytes`.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Number of bytes taken so far.
    #[inline]
    pub(crate) fn taken(&self) -> usize {
        self.at
    }

    /// The next eight bytes; the first is the lowest.
    #[inline(always)]
    fn word(&self) -> Option<u64> {
        Some(u64::from_le_bytes(*self.bytes.get(self.at..)?.first_chunk()?))
    }

    /// Takes a number of at most eight bytes.
    #[inline(always)]
    pub(crate) fn uvarint(&mut self) -> Option<u64> {
        let word = self.word()?;
        let ends = NonZero::new(!word & MARKS)?;
        self.at += (ends.trailing_zeros() / 8 + 1) as usize;
        Some(fold4(fold2(word & up_to_lowest(ends) & !MARKS)))
    }

    /// Takes a zig-zag signed number of at most eight bytes.
    #[inline(always)]
    pub(crate) fn varint(&mut self) -> Option<i64> {
        let u = self.uvarint()?;
        Some((u >> 1) as i64 ^ -((u & 1) as i64))
    }

    /// Takes two numbers below 2^28 each that together have at most eight bytes.
    #[inline(always)]
    pub(crate) fn pair(&mut self) -> Option<(u32, u32)> {
        let word = self.word()?;
        let ends = NonZero::new(!word & MARKS)?;
        let last = NonZero::new(ends.get() & (ends.get() - 1))?;
        let first = word & up_to_lowest(ends);
        let second = ((word & up_to_lowest(last)) >> ends.trailing_zeros()) >> 1;
        if (first | second) >> 32 != 0 {
            return None;
        }
        self.at += (last.trailing_zeros() / 8 + 1) as usize;
        let both = fold2((first | second << 32) & !MARKS);
        Some((both as u32, (both >> 32) as u32))
    }
}

/// All bits up to the lowest that is set, itself included.
#[inline]
const fn up_to_lowest(bits: NonZero<u64>) -> u64 {
    bits.get() ^ (bits.get() - 1)
}

/// Joins the seven bits of each byte to 28 of each half.
#[inline]
const fn fold2(x: u64) -> u64 {
    let x = x & 0x007f_007f_007f_007f | (x & 0x7f00_7f00_7f00_7f00) >> 1;
    x & 0x0000_3fff_0000_3fff | (x & 0x3fff_0000_3fff_0000) >> 2
}

/// Joins the 28 bits of both halves.
#[inline]
const fn fold4(x: u64) -> u64 {
    x & 0x0fff_ffff | (x & 0x0fff_ffff_0000_0000) >> 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::{Take, put_uvarint, put_varint};

    /// Zero and the numbers around each power of two.
    fn numbers() -> Vec<u64> {
        let around = |shift: u32| [-1i64, 0, 1].map(|d| (1u64 << shift).wrapping_add_signed(d));
        (0..64).flat_map(around).collect()
    }

    #[test]
    fn numbers_are_those_of_the_careful_cursor() {
        for x in numbers() {
            for tail in [0x00, 0x7f, 0x80, 0xff] {
                let mut bytes = Vec::new();
                put_uvarint(&mut bytes, x);
                let len = bytes.len();
                bytes.extend([tail; 8]);
                let mut words = Words::new(&bytes);
                let want = (len <= 8).then_some(x);
                assert_eq!((words.uvarint(), words.taken()), (want, want.map_or(0, |_| len)), "{x:#x}");
                bytes.truncate(7);
                assert_eq!(Words::new(&bytes).uvarint(), None, "{x:#x} near the end");
                bytes.clear();
                put_varint(&mut bytes, x as i64);
                bytes.extend([tail; 8]);
                let want = Take::new(&bytes).varint().ok();
                let got = Words::new(&bytes).varint();
                assert!(got == want || got.is_none() && (x as i64).unsigned_abs() >= 1 << 55, "{x:#x}");
            }
        }
    }

    #[test]
    fn pairs_are_two_numbers_of_the_careful_cursor() {
        for a in numbers() {
            for b in numbers() {
                let mut bytes = Vec::new();
                put_uvarint(&mut bytes, a);
                put_uvarint(&mut bytes, b);
                let len = bytes.len();
                bytes.extend([0xff; 8]);
                let mut words = Words::new(&bytes);
                let short = a < 1 << 28 && b < 1 << 28;
                let want = short.then_some((a as u32, b as u32));
                assert_eq!(
                    (words.pair(), words.taken()),
                    (want, if short { len } else { 0 }),
                    "{a:#x} {b:#x}"
                );
            }
        }
    }

    #[test]
    fn any_bytes_are_read_as_the_careful_cursor_reads_them() {
        let mut state = 7u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Marks are frequent and rare in turns.
            let bytes = (state ^ state >> 29).to_le_bytes();
            let (mut words, mut take) = (Words::new(&bytes), Take::new(&bytes));
            if let Some((a, b)) = words.pair() {
                assert_eq!((Ok(a.into()), Ok(b.into())), (take.uvarint(), take.uvarint()), "{bytes:x?}");
                assert_eq!(words.taken(), take.taken());
            }
            let (mut words, mut take) = (Words::new(&bytes), Take::new(&bytes));
            if let Some(x) = words.uvarint() {
                assert_eq!(Ok(x), take.uvarint(), "{bytes:x?}");
                assert_eq!(words.taken(), take.taken());
            }
        }
    }
}
