//! The integer and value codes that chunks share.
//!
//! Source: Prometheus `tsdb/chunkenc/varbit.go` and `xor.go`.

use crate::{
    encoding::{BitReader, BitWriter},
    error::DecodeError,
};

/// Payload widths of the prefixes `0`, `10`, `110`, … of a varbit number.
const WIDTHS: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

/// The signed number of `n` low bits, where `2^(n-1)` itself stays positive.
///
/// Compat: `tsdb/chunkenc/varbit.go`: the range is `-(2^(n-1)-1) ..= 2^(n-1)`.
#[inline]
pub(super) fn signed_asymmetric(raw: u64, n: u32) -> i64 {
    if n == 0 || n >= 64 {
        return raw as i64;
    }
    if raw > 1 << (n - 1) { raw.wrapping_sub(1 << n) as i64 } else { raw as i64 }
}

/// Reads a signed varbit number.
#[inline]
pub(super) fn read_int(r: &mut BitReader<'_>) -> Result<i64, DecodeError> {
    let n = WIDTHS[r.ones(8)? as usize];
    if n == 0 {
        return Ok(0);
    }
    Ok(signed_asymmetric(r.bits(n)?, n))
}

/// Reads an unsigned varbit number.
#[inline]
pub(super) fn read_uint(r: &mut BitReader<'_>) -> Result<u64, DecodeError> {
    let prefix = r.ones(8)?;
    r.bits(WIDTHS[prefix as usize])
}

/// Previous value and bit window of a XOR-coded value, as a decoder knows it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct XorState {
    /// Bits of the last value.
    pub(super) bits: u64,
    /// Leading zero bits of the window.
    pub(super) leading: u32,
    /// Trailing zero bits of the window.
    pub(super) trailing: u32,
}

impl XorState {
    /// A state after a value that was written whole.
    pub(super) fn at(bits: u64) -> Self {
        Self { bits, leading: 0, trailing: 0 }
    }

    /// The last value.
    pub(super) fn value(&self) -> f64 {
        f64::from_bits(self.bits)
    }

    /// Reads the code of one value and moves to it.
    #[inline]
    pub(super) fn read(&mut self, r: &mut BitReader<'_>) -> Result<(), DecodeError> {
        match r.ones(2)? {
            0 => Ok(()),
            1 => self.read_window(r),
            _ => {
                self.read_new_window(r)?;
                self.read_window(r)
            }
        }
    }

    /// Reads the changed bits inside the known window.
    #[inline]
    pub(super) fn read_window(&mut self, r: &mut BitReader<'_>) -> Result<(), DecodeError> {
        let n = 64 - self.leading - self.trailing;
        self.bits ^= r.bits(n)? << self.trailing;
        Ok(())
    }

    /// Reads the bounds of a new window.
    #[inline]
    pub(super) fn read_new_window(&mut self, r: &mut BitReader<'_>) -> Result<(), DecodeError> {
        let both = r.bits(11)? as u32;
        let (leading, significant) = (both >> 6, both & 63);
        let significant = if significant == 0 { 64 } else { significant };
        if leading + significant > 64 {
            return Err(DecodeError::new("window of a value exceeds 64 bits", r.offset()));
        }
        self.leading = leading;
        self.trailing = 64 - leading - significant;
        Ok(())
    }
}

/// The writer's side of [`XorState`]; a fresh one has no window yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct XorWriter {
    bits: u64,
    window: Option<(u32, u32)>,
}

impl XorWriter {
    /// A writer whose last value was written whole.
    pub(super) fn after(v: f64) -> Self {
        Self { bits: v.to_bits(), window: None }
    }

    /// A writer that goes on where a decoder stopped.
    ///
    /// Compat: `tsdb/chunkenc/xor.go`: the window of a re-opened chunk is always valid,
    /// even (0, 0) of one that has seen no change yet.
    pub(super) fn resume(state: XorState) -> Self {
        Self { bits: state.bits, window: Some((state.leading, state.trailing)) }
    }

    /// Writes the code of one value.
    pub(super) fn write(&mut self, w: &mut BitWriter, v: f64) {
        let delta = v.to_bits() ^ self.bits;
        self.bits = v.to_bits();
        if delta == 0 {
            w.bit(false);
            return;
        }
        let leading = delta.leading_zeros().min(31);
        let trailing = delta.trailing_zeros();
        match self.window {
            Some((l, t)) if leading >= l && trailing >= t => {
                w.bits(0b10, 2);
                w.bits(delta >> t, 64 - l - t);
            }
            _ => {
                let significant = 64 - leading - trailing;
                w.bits(0b11 << 11 | u64::from(leading) << 6 | u64::from(significant & 63), 13);
                w.bits(delta >> trailing, significant);
                self.window = Some((leading, trailing));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bits: u64, n: u32, int: i64, uint: u64) {
        let mut w = BitWriter::default();
        w.bits(bits, n);
        assert_eq!(read_int(&mut BitReader::new(w.bytes())), Ok(int));
        assert_eq!(read_uint(&mut BitReader::new(w.bytes())), Ok(uint));
    }

    #[test]
    fn the_middle_of_a_range_is_positive_for_signed_numbers() {
        check(0, 1, 0, 0);
        check(0b1_0100, 5, 4, 4);
        check(0b1_0101, 5, -3, 5);
        check(0b1_1010_0000, 9, 32, 32);
        check(0b1_1010_0001, 9, -31, 33);
        check(0b1_1101_0000_0001, 13, -255, 257);
    }

    #[test]
    fn values_round_trip_and_64_significant_bits_are_written_as_0() {
        let values =
            [0.0, f64::from_bits(0x8000_0000_0000_0001), f64::from_bits(1), 1.5, 1.5, -0.0, f64::NAN];
        let mut w = BitWriter::default();
        let mut writer = XorWriter::after(0.0);
        for v in values {
            writer.write(&mut w, v);
        }
        let mut r = BitReader::new(w.bytes());
        let mut state = XorState::at(0);
        for v in values {
            assert_eq!(state.read(&mut r), Ok(()));
            assert_eq!(state.bits, v.to_bits());
        }
    }

    #[test]
    fn a_window_of_more_than_64_bits_is_an_error() {
        let mut w = BitWriter::default();
        w.bits(0b11 << 11 | 31 << 6 | 63, 13);
        w.bits(0, 64);
        let read = XorState::at(0).read(&mut BitReader::new(w.bytes()));
        assert_eq!(read.map_err(|e| e.what), Err("window of a value exceeds 64 bits"));
    }
}
