//! Runs of codes, read without waiting for one another's shifts.
//!
//! Only a position in bits is carried from code to code; each code is looked up in the bits that
//! are read afresh at its place. Near the end of the data the readers bit by bit take over.

use super::varbit::{WIDTHS, XorState, read_int, signed_asymmetric};
use crate::{encoding::BitReader, error::DecodeError};

/// Bytes that a code and the words read for it take at most.
const REACH: usize = 24;

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

/// For the first eight bits of a varbit number: the width of its prefix, of its payload, of both.
const INTS: [[u8; 3]; 256] = ints_table();

const fn ints_table() -> [[u8; 3]; 256] {
    let mut table = [[0; 3]; 256];
    let mut top = 0;
    while top < 256 {
        let ones = (top as u8).leading_ones() as usize;
        let prefix = if ones == 8 { 8 } else { ones as u8 + 1 };
        let width = WIDTHS[ones] as u8;
        table[top] = [prefix, width, prefix + width];
        top += 1;
    }
    table
}

/// Reads `n` signed varbit numbers.
///
/// # Errors
/// The data ends before.
#[inline]
pub(super) fn read_ints(
    r: &mut BitReader<'_>,
    n: usize,
    mut each: impl FnMut(usize, i64),
) -> Result<(), DecodeError> {
    let bytes = r.bytes();
    let safe = bytes.len().saturating_sub(REACH) * 8;
    let mut bit = r.position();
    let mut i = 0;
    while i < n && bit < safe {
        let w = word57(bytes, bit);
        let [prefix, width, total] = INTS[(w >> 56) as usize];
        let (prefix, width) = (u32::from(prefix), u32::from(width));
        if width > 25 {
            let raw = word(bytes, bit + prefix as usize) >> (64 - width);
            each(i, signed_asymmetric(raw, width));
        } else {
            // In two shifts, since a payload may be empty.
            let raw = (w << prefix) >> 1 >> (63 - width);
            let half = 1u64 << width >> 1;
            let above = if raw > half { half << 1 } else { 0 };
            each(i, raw.wrapping_sub(above) as i64);
        }
        bit += usize::from(total);
        i += 1;
    }
    *r = BitReader::at(bytes, bit);
    while i < n {
        each(i, read_int(r)?);
        i += 1;
    }
    Ok(())
}

/// Reads the XOR code of each value and moves to it.
///
/// # Errors
/// The data ends before, or a window exceeds 64 bits.
#[inline]
pub(super) fn read_values(r: &mut BitReader<'_>, values: &mut [XorState]) -> Result<(), DecodeError> {
    let bytes = r.bytes();
    let safe = bytes.len().saturating_sub(REACH) * 8;
    let mut bit = r.position();
    let mut values = values.iter_mut();
    while bit < safe {
        let Some(v) = values.next() else { break };
        let w = word57(bytes, bit);
        // Neighbouring values change in different ways, so that nothing is left to a guess.
        let (changed, new) = (w >> 63 == 1, w >> 62 == 3);
        let known = 64 - v.leading - v.trailing;
        // 0 stands for 64.
        let window = (((w << 7 >> 58) as u32).wrapping_sub(1) & 63) + 1;
        let leading = (w << 2 >> 59) as u32;
        if new & (leading + window > 64) {
            return Err(DecodeError::new("window of a value exceeds 64 bits", bit / 8));
        }
        let (head, width) = if new { (13, window) } else { (2, known) };
        v.leading = if new { leading } else { v.leading };
        v.trailing = 64 - v.leading - width;
        let xor = word(bytes, bit + head) >> (64 - width) << v.trailing;
        v.bits ^= if changed { xor } else { 0 };
        bit += if changed { head + width as usize } else { 1 };
    }
    *r = BitReader::at(bytes, bit);
    values.try_for_each(|v| v.read(r))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{chunk::varbit::XorWriter, encoding::BitWriter};

    #[test]
    fn values_are_read_by_position_as_bit_by_bit() {
        // All 64 bits change, none, some in the window and some out of it.
        let steps = [1.0, f64::from_bits(!1f64.to_bits()), f64::from_bits(1), 0.1, 0.1, 0.3, -2.5];
        let mut w = BitWriter::default();
        for v in steps {
            XorWriter::after(1.0).write(&mut w, v);
        }
        w.bits(0, 64);
        w.bits(0, 64);
        let mut states = [XorState::at(1f64.to_bits()); 7];
        assert_eq!(read_values(&mut BitReader::new(w.bytes()), &mut states), Ok(()));
        assert_eq!(states.map(|s| s.bits), steps.map(f64::to_bits));
    }
}
