//! Cursor over bytes that never reads past the end.

use crate::error::DecodeError;

/// Takes fixed and variable width fields from the front of a slice.
///
/// Every method checks what remains; offsets in errors count from the start of
/// the slice that was given to [`Take::new`] plus its base.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Take<'a> {
    rest: &'a [u8],
    len: usize,
    base: usize,
}

impl<'a> Take<'a> {
    /// A cursor at the start of `bytes`.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self::at(bytes, 0)
    }

    /// A cursor whose error offsets are shifted by `base`, the place of `bytes` in its object.
    #[inline]
    pub(crate) fn at(bytes: &'a [u8], base: usize) -> Self {
        Self { rest: bytes, len: bytes.len(), base }
    }

    /// The bytes not taken yet.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// True when nothing is left.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Number of bytes taken so far.
    #[inline]
    pub(crate) fn taken(&self) -> usize {
        self.len - self.rest.len()
    }

    /// Offset of the next byte, base included.
    #[inline]
    pub(crate) fn offset(&self) -> usize {
        self.base + self.taken()
    }

    /// An error at the current offset.
    pub(crate) fn error(&self, what: &'static str) -> DecodeError {
        DecodeError::new(what, self.offset())
    }

    /// Takes `n` bytes.
    #[inline]
    pub(crate) fn bytes(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(n) {
            Some((head, tail)) => {
                self.rest = tail;
                Ok(head)
            }
            None => Err(self.error("unexpected end of data")),
        }
    }

    /// Takes `N` bytes as an array.
    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((head, tail)) => {
                self.rest = tail;
                Ok(*head)
            }
            None => Err(self.error("unexpected end of data")),
        }
    }

    /// Takes one byte.
    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[b]| b)
    }

    /// Takes a big-endian u32.
    #[inline]
    pub(crate) fn be32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Takes a big-endian u64.
    pub(crate) fn be64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    /// Takes an unsigned LEB128 number of at most ten bytes.
    #[inline]
    pub(crate) fn uvarint(&mut self) -> Result<u64, DecodeError> {
        match self.rest.split_first() {
            Some((&b, rest)) if b < 0x80 => {
                self.rest = rest;
                Ok(b.into())
            }
            _ => self.long_uvarint(),
        }
    }

    /// A number of two bytes or more; up to eight are read as one word.
    fn long_uvarint(&mut self) -> Result<u64, DecodeError> {
        if let Some(word) = self.rest.first_chunk::<8>() {
            let word = u64::from_le_bytes(*word);
            let stops = !word & 0x8080_8080_8080_8080;
            if stops != 0 {
                // The bits up to the first byte that ends a number, then seven of each eight.
                let x = word & (stops ^ (stops - 1)) & 0x7f7f_7f7f_7f7f_7f7f;
                let x = x & 0x007f_007f_007f_007f | (x & 0x7f00_7f00_7f00_7f00) >> 1;
                let x = x & 0x0000_3fff_0000_3fff | (x & 0x3fff_0000_3fff_0000) >> 2;
                let x = x & 0x0000_0000_0fff_ffff | (x & 0x0fff_ffff_0000_0000) >> 4;
                let len = stops.trailing_zeros() as usize / 8 + 1;
                self.rest = self.rest.get(len..).unwrap_or(&[]);
                return Ok(x);
            }
        }
        self.slow_uvarint()
    }

    fn slow_uvarint(&mut self) -> Result<u64, DecodeError> {
        let mut x = 0u64;
        for i in 0..10 {
            let Some(&b) = self.rest.get(i) else {
                return Err(self.error("unexpected end of varint"));
            };
            if i == 9 && b > 1 {
                return Err(self.error("varint overflows 64 bits"));
            }
            x |= u64::from(b & 0x7f) << (7 * i);
            if b < 0x80 {
                self.rest = self.rest.get(i + 1..).unwrap_or(&[]);
                return Ok(x);
            }
        }
        Err(self.error("varint overflows 64 bits"))
    }

    /// Takes a zig-zag signed varint.
    pub(crate) fn varint(&mut self) -> Result<i64, DecodeError> {
        let u = self.uvarint()?;
        Ok((u >> 1) as i64 ^ -((u & 1) as i64))
    }

    /// Takes a uvarint that must fit `usize` and not exceed what remains, such as a length.
    pub(crate) fn len(&mut self) -> Result<usize, DecodeError> {
        let before = *self;
        let n = self.uvarint()?;
        match usize::try_from(n) {
            Ok(n) if n <= self.rest.len() => Ok(n),
            _ => Err(before.error("length exceeds the remaining data")),
        }
    }

    /// Takes a string: its length as uvarint, then its bytes.
    pub(crate) fn str(&mut self) -> Result<&'a [u8], DecodeError> {
        let n = self.len()?;
        self.bytes(n)
    }
}

/// Appends an unsigned LEB128 number.
pub(crate) fn put_uvarint(out: &mut Vec<u8>, mut x: u64) {
    while x >= 0x80 {
        out.push(x as u8 | 0x80);
        x >>= 7;
    }
    out.push(x as u8);
}

/// Appends a zig-zag signed varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, x: i64) {
    put_uvarint(out, ((x << 1) ^ (x >> 63)) as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_at_every_boundary() {
        for shift in 0..64 {
            for delta in [-1i64, 0, 1] {
                let x = (1u64 << shift).wrapping_add(delta as u64);
                let mut out = Vec::new();
                put_uvarint(&mut out, x);
                put_varint(&mut out, x as i64);
                let mut take = Take::new(&out);
                assert_eq!(take.uvarint(), Ok(x));
                assert_eq!(take.varint(), Ok(x as i64));
                assert!(take.is_empty());
                // With bytes behind, words are read.
                out.extend_from_slice(&[0xff; 8]);
                let (mut take, mut slow) = (Take::new(&out), Take::new(&out));
                assert_eq!((take.uvarint(), slow.slow_uvarint()), (Ok(x), Ok(x)));
                assert_eq!(take.varint(), Ok(x as i64));
                assert_eq!(take.rest(), [0xff; 8]);
            }
        }
    }

    #[test]
    fn bad_input_is_an_error_with_its_offset() {
        assert_eq!(Take::at(&[0x80; 11], 7).uvarint(), Err(DecodeError::new("varint overflows 64 bits", 7)));
        assert_eq!(Take::new(&[0x80]).uvarint(), Err(DecodeError::new("unexpected end of varint", 0)));
        assert_eq!(Take::new(&[5, 1]).str(), Err(DecodeError::new("length exceeds the remaining data", 0)));
        assert_eq!(Take::new(&[1, 2, 3]).be32(), Err(DecodeError::new("unexpected end of data", 0)));
    }
}
