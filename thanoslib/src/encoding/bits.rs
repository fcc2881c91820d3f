//! Bit streams, most significant bit first.

use crate::error::DecodeError;

/// Reads bits from the front of a slice, most significant bit first.
///
/// Reading past the end is an error; the unused low bits of the last byte are readable.
#[derive(Clone, Debug)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Next byte to load.
    pos: usize,
    /// Loaded bits, left-aligned.
    word: u64,
    /// How many bits of `word` are loaded.
    loaded: u32,
}

impl<'a> BitReader<'a> {
    /// A reader at the first bit of `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, pos: 0, word: 0, loaded: 0 }
    }

    /// A reader at a bit of `bytes`; one behind the end reads nothing.
    pub(crate) fn at(bytes: &'a [u8], bit: usize) -> Self {
        let mut r = Self { bytes, pos: (bit / 8).min(bytes.len()), word: 0, loaded: 0 };
        if !bit.is_multiple_of(8) {
            r.refill();
            r.consume(((bit % 8) as u32).min(r.loaded));
        }
        r
    }

    /// All bytes, those read already included.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Byte offset of the next unread bit.
    pub(crate) fn offset(&self) -> usize {
        self.pos - (self.loaded as usize).div_ceil(8)
    }

    #[cold]
    fn end(&self) -> DecodeError {
        DecodeError::new("unexpected end of bit stream", self.offset())
    }

    /// Number of bits read so far.
    pub(crate) fn position(&self) -> usize {
        self.pos * 8 - self.loaded as usize
    }

    /// Number of bits left, the unused low bits of the last byte included.
    pub(crate) fn remaining(&self) -> usize {
        (self.bytes.len() - self.pos) * 8 + self.loaded as usize
    }

    /// Loads bytes until at least 56 bits are there or the input ends.
    ///
    /// Bits of `word` beyond `loaded` are either 0 or already those that follow in the
    /// input, so that loading them again by OR changes nothing.
    #[inline]
    fn refill(&mut self) {
        if let Some(next) = self.bytes.get(self.pos..).and_then(|r| r.first_chunk::<8>()) {
            debug_assert!(self.loaded < 64);
            self.word |= u64::from_be_bytes(*next) >> self.loaded;
            self.pos += ((63 - self.loaded) / 8) as usize;
            self.loaded |= 56;
            return;
        }
        while self.loaded <= 56 {
            let Some(&b) = self.bytes.get(self.pos) else { return };
            self.word |= u64::from(b) << (56 - self.loaded);
            self.pos += 1;
            self.loaded += 8;
        }
    }

    /// Skips `n` bits, fewer than 64 and at most those that are loaded.
    #[inline]
    pub(crate) fn consume(&mut self, n: u32) {
        debug_assert!(n <= self.loaded && n < 64);
        self.word <<= n;
        self.loaded -= n;
    }

    /// Reads one bit.
    #[inline]
    pub(crate) fn bit(&mut self) -> Result<bool, DecodeError> {
        if self.loaded == 0 {
            self.refill();
            if self.loaded == 0 {
                return Err(self.end());
            }
        }
        let bit = self.word >> 63 == 1;
        self.word <<= 1;
        self.loaded -= 1;
        Ok(bit)
    }

    /// Reads `n` bits (at most 64) as the low bits of a u64.
    #[inline]
    pub(crate) fn bits(&mut self, n: u32) -> Result<u64, DecodeError> {
        debug_assert!(n <= 64);
        if n > 56 {
            let high = self.short(n - 32)?;
            return Ok(high << 32 | self.short(32)?);
        }
        self.short(n)
    }

    /// Reads at most 56 bits.
    #[inline]
    fn short(&mut self, n: u32) -> Result<u64, DecodeError> {
        if n == 0 {
            return Ok(0);
        }
        if self.loaded < n {
            self.refill();
            if self.loaded < n {
                return Err(self.end());
            }
        }
        let v = self.word >> (64 - n);
        self.word <<= n;
        self.loaded -= n;
        Ok(v)
    }

    /// Counts one bits up to the first zero bit, at most `max`; the zero is consumed if reached.
    #[inline]
    pub(crate) fn ones(&mut self, max: u32) -> Result<u32, DecodeError> {
        debug_assert!(max < 32);
        if self.loaded <= max {
            self.refill();
        }
        let ones = (!self.word).leading_zeros().min(max);
        let used = if ones < max { ones + 1 } else { ones };
        if self.loaded < used {
            return Err(self.end());
        }
        self.word <<= used;
        self.loaded -= used;
        Ok(ones)
    }

    /// Reads an unsigned LEB128 number at the current bit position.
    pub(crate) fn uvarint(&mut self) -> Result<u64, DecodeError> {
        let mut x = 0u64;
        for i in 0..10 {
            let b = self.bits(8)?;
            if i == 9 && b > 1 {
                break;
            }
            x |= (b & 0x7f) << (7 * i);
            if b < 0x80 {
                return Ok(x);
            }
        }
        Err(DecodeError::new("varint overflows 64 bits", self.offset()))
    }

    /// Reads a zig-zag signed varint at the current bit position.
    pub(crate) fn varint(&mut self) -> Result<i64, DecodeError> {
        let u = self.uvarint()?;
        Ok((u >> 1) as i64 ^ -((u & 1) as i64))
    }
}

/// Appends bits to a byte vector, most significant bit first.
///
/// Bits that do not fill a byte yet are kept in a register; every write stores the register
/// behind the whole bytes, so that the bytes so far can be read at any time.
///
/// ```
/// use thanoslib::encoding::BitWriter;
/// let mut bits = BitWriter::after(Vec::new());
/// bits.bits(0b101, 3);
/// bits.bit(true);
/// assert_eq!(bits.into_bytes(), [0b1011_0000]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct BitWriter {
    /// Whole bytes, then the register, then room.
    bytes: Vec<u8>,
    /// Number of whole bytes.
    pos: usize,
    /// Bits after the whole bytes, left-aligned, 0 below.
    word: u64,
    /// How many bits of `word` are in use, fewer than 8 between writes.
    filled: u32,
}

impl BitWriter {
    /// A writer that goes on after whole bytes.
    pub fn after(bytes: Vec<u8>) -> Self {
        Self { pos: bytes.len(), bytes, word: 0, filled: 0 }
    }

    /// A writer that goes on after the first `bits` bits of `bytes`; what follows them is cut.
    pub fn resume(mut bytes: Vec<u8>, bits: usize) -> Self {
        bytes.truncate(bits.div_ceil(8));
        let free = (bytes.len() * 8).saturating_sub(bits) as u32;
        match bytes.last_mut() {
            Some(last) if free > 0 => {
                *last = *last >> free << free;
                let word = u64::from(*last) << 56;
                Self { pos: bytes.len() - 1, bytes, word, filled: 8 - free }
            }
            _ => Self::after(bytes),
        }
    }

    /// The bytes so far; unused bits of the last one are 0.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len()]
    }

    /// The bytes so far, for patching a header in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let len = self.len();
        &mut self.bytes[..len]
    }

    /// Number of bytes so far, the last one perhaps in part.
    pub fn len(&self) -> usize {
        self.pos + usize::from(self.filled > 0)
    }

    /// True before the first bit.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Begins anew after `zeros` zero bytes, keeps the memory.
    pub fn restart(&mut self, zeros: usize) {
        if self.bytes.len() < zeros {
            self.bytes.resize(zeros, 0);
        }
        self.bytes[..zeros].fill(0);
        (self.pos, self.word, self.filled) = (zeros, 0, 0);
    }

    /// Ends writing.
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.truncate(self.len());
        self.bytes
    }

    /// Appends one bit.
    #[inline]
    pub fn bit(&mut self, bit: bool) {
        self.short(u64::from(bit), 1);
    }

    /// Appends the low `n` bits of `value` (at most 64).
    #[inline]
    pub fn bits(&mut self, value: u64, n: u32) {
        debug_assert!(n <= 64);
        if n > Self::SHORT_MAX {
            self.short(value >> 32, n - 32);
            self.short(value, 32);
            return;
        }
        if n > 0 {
            self.short(value, n);
        }
    }

    /// Most bits that [`short`](Self::short) takes: a word without the bits of an open byte.
    pub(crate) const SHORT_MAX: u32 = 57;

    /// Appends the low `n` bits of `value`, from 1 to 57.
    #[inline(always)]
    pub(crate) fn short(&mut self, value: u64, n: u32) {
        self.top(value << (64 - n), n);
    }

    /// Appends the top `n` bits of `top`, from 1 to 57; the others are 0.
    #[inline(always)]
    fn top(&mut self, top: u64, n: u32) {
        debug_assert!((1..=Self::SHORT_MAX).contains(&n));
        self.word |= top >> self.filled;
        match self.bytes.get_mut(self.pos..self.pos + 8) {
            Some(room) => room.copy_from_slice(&self.word.to_be_bytes()),
            None => grow(&mut self.bytes, self.pos, self.word),
        }
        self.filled += n;
        self.pos += (self.filled / 8) as usize;
        // Up to 64 bits leave the register, so the shift goes in two steps.
        self.word = self.word << (self.filled / 8 * 4) << (self.filled / 8 * 4);
        self.filled %= 8;
    }

    /// The state of the writer, to be kept in registers while some bits are written; they are in
    /// the bytes after [`take_back`](Self::take_back).
    pub(crate) fn lend<'a>(&self, room: &'a mut BitRoom) -> BitRun<'a> {
        BitRun { room, pos: 0, word: self.word, filled: self.filled }
    }

    /// Goes on where a lent state has come to: takes its position, its last bits, its bytes.
    pub(crate) fn take_back(&mut self, (pos, word, filled): (usize, u64, u32), room: &BitRoom) {
        let end = self.pos + pos;
        self.bytes.truncate(self.pos);
        // With the open byte, which is stored behind the whole ones.
        self.bytes.extend_from_slice(&room[..pos + 8]);
        (self.pos, self.word, self.filled) = (end, word, filled);
    }

    /// Appends an unsigned LEB128 number at the current bit position.
    pub fn uvarint(&mut self, mut x: u64) {
        // Up to seven bytes go out at once.
        let (mut bytes, mut n) = (0, 0);
        while x >= 0x80 {
            bytes = bytes << 8 | x & 0x7f | 0x80;
            n += 8;
            if n == 56 {
                self.short(bytes, n);
                (bytes, n) = (0, 0);
            }
            x >>= 7;
        }
        self.short(bytes << 8 | x, n + 8);
    }

    /// Appends a zig-zag signed varint at the current bit position.
    pub fn varint(&mut self, x: i64) {
        self.uvarint(((x << 1) ^ (x >> 63)) as u64);
    }
}

/// Takes bits, most significant bit first.
pub(crate) trait PutBits {
    /// Most bits that [`put`](Self::put) takes: with those of an open byte they are not a word.
    const MOST: u32 = 56;

    /// Appends the top `n` bits of `top`, from 1 to 56; the others are 0.
    fn put(&mut self, top: u64, n: u32);
}

impl PutBits for BitWriter {
    #[inline(always)]
    fn put(&mut self, top: u64, n: u32) {
        self.top(top, n);
    }
}

/// Bytes that a [`BitRun`] writes at most.
const ROOM: usize = 1024;

/// Where a [`BitRun`] writes: a word may begin at each byte.
pub(crate) type BitRoom = [u8; ROOM + 7];
/// A room before its first use.
pub(crate) const BIT_ROOM: BitRoom = [0; _];

/// The state of a [`BitWriter`] while it writes to a small room of its own.
///
/// Nothing takes its address, so that a loop keeps it in registers.
#[derive(Debug)]
pub(crate) struct BitRun<'a> {
    room: &'a mut BitRoom,
    pos: usize,
    word: u64,
    filled: u32,
}

impl BitRun<'_> {
    /// What the writer has to take back.
    pub(crate) fn end(self) -> (usize, u64, u32) {
        (self.pos, self.word, self.filled)
    }
}

impl PutBits for BitRun<'_> {
    #[inline(always)]
    fn put(&mut self, top: u64, n: u32) {
        debug_assert!((1..=Self::MOST).contains(&n) && self.pos < ROOM);
        self.word |= top >> self.filled;
        let at = self.pos % ROOM;
        self.room[at..at + 8].copy_from_slice(&self.word.to_be_bytes());
        let filled = self.filled + n;
        self.pos += (filled / 8) as usize;
        self.word <<= filled / 8 * 8;
        self.filled = filled % 8;
    }
}

/// Makes room behind the whole bytes and stores the register there. Not a method, so that the
/// rest of a writer can stay in registers.
#[cold]
#[inline(never)]
fn grow(bytes: &mut Vec<u8>, pos: usize, word: u64) {
    bytes.resize((pos * 2).max(pos + 64), 0);
    bytes[pos..pos + 8].copy_from_slice(&word.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_round_trip_in_any_mix_of_widths() {
        let mut seed = 42u64;
        let mut rand = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        let items: Vec<(u64, u32)> = (0..5000)
            .map(|_| {
                let n = (rand() % 65) as u32;
                (if n == 0 { 0 } else { rand() >> (64 - n) }, n)
            })
            .collect();
        let mut w = BitWriter::default();
        for &(v, n) in &items {
            w.bits(v, n);
        }
        let mut r = BitReader::new(w.bytes());
        for &(v, n) in &items {
            assert_eq!(r.bits(n), Ok(v), "width {n}");
        }
    }

    #[test]
    fn a_resumed_writer_continues_at_the_bit() {
        let mut whole = BitWriter::default();
        whole.bits(0x1ffff, 17);
        let mut dirty = whole.bytes().to_vec();
        dirty[2] |= 0x3f;
        dirty.push(0xff);
        let mut resumed = BitWriter::resume(dirty, 17);
        whole.bits(0b0101, 4);
        resumed.bits(0b0101, 4);
        assert_eq!(resumed.bytes(), whole.bytes());
        let mut r = BitReader::new(whole.bytes());
        assert_eq!((r.position(), r.remaining()), (0, 24));
        assert_eq!(r.bits(17), Ok(0x1ffff));
        assert_eq!((r.position(), r.remaining()), (17, 7));
        whole.restart(2);
        assert_eq!(whole.bytes(), [0, 0]);
        whole.bits(1, 9);
        assert_eq!(whole.bytes(), [0, 0, 0, 0x80]);
    }

    #[test]
    fn ones_stops_at_zero_or_max() {
        let mut w = BitWriter::default();
        for n in [0u32, 1, 2, 3, 4, 4] {
            for _ in 0..n {
                w.bit(true);
            }
            if n < 4 {
                w.bit(false);
            }
        }
        let mut r = BitReader::new(w.bytes());
        for n in [0u32, 1, 2, 3, 4, 4] {
            assert_eq!(r.ones(4), Ok(n));
        }
    }

    #[test]
    fn the_end_is_an_error() {
        let mut r = BitReader::new(&[0xff]);
        assert_eq!(r.bits(8), Ok(0xff));
        assert!(r.bit().is_err());
        assert!(BitReader::new(&[0xff]).ones(9).is_err());
        assert!(BitReader::new(&[1, 2, 3]).bits(25).is_err());
    }
}
