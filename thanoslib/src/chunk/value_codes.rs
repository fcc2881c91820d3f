//! Runs of XOR-coded values, each with a window of its own: what float histogram chunks are made of.
//!
//! Neighbouring buckets change in different ways (not at all, in the window, out of it), so that a
//! branch between them is guessed wrong often. All three are computed and one is selected, with as
//! little as possible between the word and the length of its code, since the next code waits for
//! that alone: the length in the known window is kept beside the value, the length in a new one is
//! two steps from its bits, and all else about a new window comes from a table by its eleven bits.
//! Several codes are taken from one word; the bits of a value that lie beyond it are read apart.

use std::{hint::select_unpredictable, ops::Range};

use super::{
    codes::{CodeReader, word, word57},
    varbit::XorState,
};
use crate::error::DecodeError;

/// Codes that are taken from one word at most.
const STEPS: usize = 4;
/// Bits of a word that are there at any position.
const WORD_BITS: u32 = 57;
/// The control bits and the window.
const HEAD: u32 = 13;

/// Reads the code of a value and moves to it.
///
/// # Errors
/// The data ends before, or a window exceeds 64 bits.
#[inline(always)]
pub(super) fn read_value(r: &mut CodeReader<'_>, v: &mut XorState) -> Result<(), DecodeError> {
    let w = word57(r.bytes, r.bit);
    if w >> 63 == 0 {
        r.bit += 1;
        return r.check();
    }
    let (mut head, mut width) = (2, 64 - v.leading - v.trailing);
    if w >> 62 == 3 {
        (head, width) = (HEAD as usize, ((w >> 51) as u32).wrapping_sub(1) % 64 + 1);
        v.leading = (w << 2 >> 59) as u32;
        if v.leading + width > 64 {
            return Err(window_error(r.bit));
        }
        v.trailing = 64 - v.leading - width;
    }
    v.bits ^= word(r.bytes, r.bit + head) >> (64 - width) << v.trailing;
    r.bit += head + width as usize;
    r.check()
}

#[cold]
fn window_error(bit: usize) -> DecodeError {
    DecodeError::new("window of a value exceeds 64 bits", (bit + HEAD as usize) / 8)
}

/// Values and their windows.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    pub(super) bits: Vec<u64>,
    windows: Vec<Window>,
}

/// The window of a value.
///
/// | bits | field |
/// |---|---|
/// | 0–7 | width of a code in the window, without its first bit |
/// | 8–15 | 64 - width of the window |
/// | 16–23 | trailing zero bits |
/// | 31 | the window exceeds 64 bits |
#[derive(Clone, Copy, Debug)]
struct Window(u32);

impl Window {
    const fn new(leading: u32, width: u32) -> Self {
        if leading + width > 64 {
            return Self(1 << 31);
        }
        Self((1 + width) | (64 - width) << 8 | (64 - leading - width) << 16)
    }

    /// Width of a code in the window, without its first bit.
    #[inline(always)]
    fn rest(self) -> u64 {
        u64::from(self.0 & 0xff)
    }

    #[inline(always)]
    fn is_wrong(self) -> bool {
        self.0 >> 31 == 1
    }

    /// The changed bits of a value, from a word that begins with them.
    #[inline(always)]
    fn place(self, payload: u64) -> u64 {
        payload.wrapping_shr(self.0 >> 8).wrapping_shl(self.0 >> 16)
    }
}

/// The windows by their eleven bits in a code.
static WINDOWS: [Window; 1 << 11] = {
    let mut table = [Window(0); 1 << 11];
    let mut raw = 0;
    while raw < table.len() {
        let width = raw as u32 % 64;
        table[raw] = Window::new(raw as u32 / 64, if width == 0 { 64 } else { width });
        raw += 1;
    }
    table
};

impl Values {
    /// Adds a value that was read whole.
    pub(super) fn push(&mut self, bits: u64) {
        self.bits.push(bits);
        self.windows.push(Window::new(0, 64));
    }

    /// The value read last.
    pub(super) fn value(&self, i: usize) -> f64 {
        self.bits.get(i).map_or(0.0, |b| f64::from_bits(*b))
    }

    /// Reads the code of each value and moves to it.
    ///
    /// # Errors
    /// The data ends before, or a window exceeds 64 bits.
    #[inline]
    pub(super) fn read(&mut self, r: &mut CodeReader<'_>, range: Range<usize>) -> Result<(), DecodeError> {
        let bytes = r.bytes;
        let mut bit = r.bit;
        let bits = &mut self.bits[range.clone()];
        let windows = &mut self.windows[range];
        let n = bits.len().min(windows.len());
        let (bits, windows) = (&mut bits[..n], &mut windows[..n]);
        let mut i = 0;
        while i < n {
            let mut w = word57(bytes, bit);
            // Eight values that stay the same are no accident.
            if w >> 56 == 0 {
                let same = (w.leading_zeros().min(WORD_BITS) as usize).min(n - i);
                i += same;
                bit += same;
                continue;
            }
            let mut used = 0;
            for _ in 0..STEPS {
                let behind = w << 2;
                let raw = behind >> 53;
                let new = w >= 3 << 62;
                let known = windows[i];
                let window = select_unpredictable(new, WINDOWS[raw as usize], known);
                let rest =
                    select_unpredictable(new, (raw.wrapping_sub(1) & 63) + u64::from(HEAD), known.rest());
                if window.is_wrong() {
                    return Err(window_error(bit + used));
                }
                windows[i] = window;
                let changed = (w as i64 >> 63) as u64;
                let rest = rest & changed;
                let mut payload = select_unpredictable(new, w << HEAD, behind);
                let begin = used;
                used += rest as usize + 1;
                if used > WORD_BITS as usize {
                    let at = bit + begin + if new { HEAD as usize } else { 2 };
                    payload = word(bytes, at);
                }
                bits[i] ^= window.place(payload) & changed;
                i += 1;
                w = (w << 1).wrapping_shl(rest as u32);
                if used > (WORD_BITS - HEAD) as usize || i >= n {
                    break;
                }
            }
            bit += used;
        }
        r.bit = bit;
        r.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{chunk::varbit::XorWriter, encoding::BitWriter};

    type Read = Result<(Vec<u64>, usize), DecodeError>;

    /// Reads all values `rounds` times, with one error in place of them where there is one.
    fn by_words(mut r: CodeReader<'_>, n: usize, rounds: usize) -> Read {
        let mut values = Values::default();
        (0..n).for_each(|_| values.push(0));
        (0..rounds).try_for_each(|_| values.read(&mut r, 0..n))?;
        Ok((values.bits, r.bit))
    }

    fn one_by_one(mut r: CodeReader<'_>, n: usize, rounds: usize) -> Read {
        let mut states = vec![XorState::at(0); n];
        (0..rounds).try_for_each(|_| states.iter_mut().try_for_each(|v| read_value(&mut r, v)))?;
        Ok((states.iter().map(|s| s.bits).collect(), r.bit))
    }

    fn bit_by_bit(r: CodeReader<'_>, n: usize, rounds: usize) -> Read {
        let (mut r, mut states) = (r.bits(), vec![XorState::at(0); n]);
        (0..rounds).try_for_each(|_| states.iter_mut().try_for_each(|v| v.read(&mut r)))?;
        Ok((states.iter().map(|s| s.bits).collect(), r.position()))
    }

    fn check_bytes(bytes: &[u8], n: usize, rounds: usize) -> Read {
        let r = CodeReader { bytes, bit: bytes.len().min(1) * 3 };
        // Where data ends too early the error is one, but tells another place.
        let want = bit_by_bit(r, n, rounds);
        for got in [by_words(r, n, rounds), one_by_one(r, n, rounds)] {
            assert_eq!(got.as_ref().ok(), want.as_ref().ok(), "cut at {}", bytes.len());
        }
        want
    }

    /// Writes the rows, each of as many values, and reads them wherever the data is cut.
    fn check(n: usize, rows: &[Vec<f64>]) {
        let mut w = BitWriter::default();
        w.bits(5, 3);
        let mut writers = vec![XorWriter::resume(XorState::at(0)); n];
        for row in rows {
            writers.iter_mut().zip(row).for_each(|(writer, v)| writer.write(&mut w, *v));
        }
        let end = w.len();
        (0..8).for_each(|_| w.bits(0x5a5a_a5a5_ffff_0f01, 64));
        for len in (0..w.len()).filter(|len| *len < 64 || len + 3 > end) {
            let read = check_bytes(&w.bytes()[..len], n, rows.len());
            if let (Ok((values, _)), Some(last)) = (read, rows.last()) {
                assert_eq!(values, last.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn values_are_read_as_bit_by_bit() {
        // All 64 bits change, none, some in the window and some out of it.
        let steps = [1.0, f64::from_bits(!1f64.to_bits()), f64::from_bits(1), 0.1, 0.1, 0.3, -2.5, 7.0];
        check(8, &[steps.to_vec()]);
        let turned: Vec<Vec<f64>> =
            (0..9).map(|turn| (0..8).map(|i| steps[(i * turn / 2 + turn) % 8]).collect()).collect();
        check(8, &turned);
        check(0, &[]);
        // Long runs of equal values around a few that change.
        let few = |row: usize| {
            (0..150).map(|i| if (i * (row + 1)).is_multiple_of(67) { 1.0 } else { 0.0 }).collect()
        };
        check(150, &(0..6).map(few).collect::<Vec<_>>());
        let counts = |row: usize| (0..20).map(|i| ((row * i * i) / 3 % 4000) as f64).collect();
        check(20, &(0..40).map(counts).collect::<Vec<_>>());
    }

    #[test]
    fn any_bits_are_read_alike() {
        let mut seed = 99u64;
        let mut errors = 0;
        for _ in 0..3000 {
            let bytes: Vec<u8> = (0..96)
                .map(|_| {
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    (seed >> 32) as u8
                })
                .collect();
            errors += usize::from(check_bytes(&bytes, 7, 2).is_err());
        }
        assert!((100..2900).contains(&errors), "{errors}");
    }
}
