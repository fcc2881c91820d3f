//! The first two samples of an XOR chunk, read by words.
//!
//! Where the data is long enough and the numbers are of usual length; else the reader bit by bit
//! takes over, which finds the same, and the errors.

use super::xor_run::{NEAR, Pair, Place, Window};

/// Bytes that are looked at: time, value, delta of eight bytes at most, and two words.
const HEAD: usize = 24 + NEAR;

/// The first sample, and where a decoder stands behind the second.
#[inline]
pub(super) fn begin(bytes: &[u8]) -> Option<((i64, f64), Place)> {
    let head = bytes.first_chunk::<HEAD>()?;
    let word = |at: usize| head.get(at..)?.first_chunk::<8>();
    let (t, t_len) = uvarint(word(0)?)?;
    let t = (t >> 1) as i64 ^ -((t & 1) as i64);
    let first = u64::from_be_bytes(*word(t_len)?);
    let (delta, delta_len) = uvarint(word(t_len + 8)?)?;
    let bit = (t_len + 8 + delta_len) * 8;
    let mut window = Window::WHOLE;
    let (v, width) = Pair::new(head, 0, bit).value(first, &mut window)?;
    let place = Place {
        bit: bit + width as usize,
        t_ms: t.wrapping_add(delta as i64),
        delta: delta as i64,
        deltas: delta,
        v: window.state(v),
    };
    Some(((t, f64::from_bits(first)), place))
}

/// An unsigned LEB128 number of at most eight bytes, and how many they are.
#[inline(always)]
fn uvarint(bytes: &[u8; 8]) -> Option<(u64, usize)> {
    let word = u64::from_le_bytes(*bytes);
    let ends = !word & 0x8080_8080_8080_8080;
    if ends == 0 {
        return None;
    }
    // Seven bits of each byte up to the first that ends it, then pairs, fours, eights joined.
    let x = word & (ends ^ (ends - 1)) & 0x7f7f_7f7f_7f7f_7f7f;
    let x = x & 0x007f_007f_007f_007f | (x & 0x7f00_7f00_7f00_7f00) >> 1;
    let x = x & 0x0000_3fff_0000_3fff | (x & 0x3fff_0000_3fff_0000) >> 2;
    let x = x & 0x0fff_ffff | x >> 32 << 28;
    Some((x, ends.trailing_zeros() as usize / 8 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::{BitReader, BitWriter};

    #[test]
    fn numbers_are_read_as_bit_by_bit() {
        for n in 0..64 {
            for near in [-1i64, 0, 1] {
                let x = (1u64 << n).wrapping_add(near as u64);
                let mut w = BitWriter::default();
                w.uvarint(x);
                let len = w.len();
                w.bits(0xa5a5_5a5a_ff80_7f00, 64);
                let bytes = w.bytes().first_chunk().expect("eight bytes");
                let want = (len <= 8).then_some((x, len));
                assert_eq!(uvarint(bytes), want);
                assert_eq!(BitReader::new(w.bytes()).uvarint(), Ok(x));
            }
        }
        // A number may be longer than it has to be.
        assert_eq!(uvarint(&[0x80, 0x80, 0, 1, 1, 1, 1, 1]), Some((0, 3)));
    }
}
