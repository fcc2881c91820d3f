//! The integer and value codes that chunks share.
//!
//! Source: Prometheus `tsdb/chunkenc/varbit.go` and `xor.go`.

use crate::{
    encoding::{BitReader, BitWriter, PutBits},
    error::DecodeError,
};

/// Payload widths of the prefixes `0`, `10`, `110`, … of a varbit number.
pub(super) const WIDTHS: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

/// The signed number of `n` low bits, where `2^(n-1)` itself stays positive.
///
/// Compat: `tsdb/chunkenc/varbit.go`: the range is `-(2^(n-1)-1) ..= 2^(n-1)`.
#[inline]
pub(super) const fn signed_asymmetric(raw: u64, n: u32) -> i64 {
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

/// Prefix (with its closing zero), its width, and the payload width for each need of bits.
const CODES: [(u64, u32, u32); 65] = codes();

const fn codes() -> [(u64, u32, u32); 65] {
    let mut table = [(0, 1, 0); 65];
    let mut need = 1;
    while need <= 64 {
        let mut class = 1;
        while WIDTHS[class] < need {
            class += 1;
        }
        // `class` ones and a zero; eight ones are a prefix without one.
        table[need as usize] = if class == 8 {
            (0xff, 8, 64)
        } else {
            ((1 << (class + 1)) - 2, class as u32 + 1, WIDTHS[class])
        };
        need += 1;
    }
    table
}

/// Writes the code of `raw`, which needs `need` bits.
#[inline(always)]
fn write_code(w: &mut BitWriter, raw: u64, need: u32) {
    let (prefix, prefix_len, n) = CODES[need as usize];
    if n <= 25 {
        w.short(prefix << n | raw & ((1 << n) - 1), prefix_len + n);
    } else {
        w.short(prefix, prefix_len);
        w.bits(raw, n);
    }
}

/// Writes a signed varbit number.
#[inline]
pub(super) fn write_int(w: &mut BitWriter, x: i64) {
    // `2^(n-1)` is the largest number of n bits, `-2^(n-1)` needs one more.
    let magnitude = x.unsigned_abs() - u64::from(x > 0);
    let need = (65 - magnitude.leading_zeros()).min(64);
    write_code(w, x as u64, if x == 0 { 0 } else { need });
}

/// Writes an unsigned varbit number.
#[inline]
pub(super) fn write_uint(w: &mut BitWriter, x: u64) {
    write_code(w, x, 64 - x.leading_zeros());
}

/// The writer's side of [`XorState`]; a fresh one has no window yet.
#[derive(Clone, Copy, Debug)]
pub struct XorWriter {
    bits: u64,
    /// Ones where the window is not; everywhere before the first.
    outside: u64,
    /// Leading zero bits of the window.
    leading: u8,
    /// Bits of the window.
    significant: u8,
}

impl XorWriter {
    /// A writer whose last value was written whole.
    pub(super) fn after(v: f64) -> Self {
        Self { bits: v.to_bits(), outside: !0, leading: 0, significant: 0 }
    }

    /// A writer that goes on where a decoder stopped.
    ///
    /// Compat: `tsdb/chunkenc/xor.go`: the window of a re-opened chunk is always valid,
    /// even (0, 0) of one that has seen no change yet.
    pub(super) fn resume(state: XorState) -> Self {
        let mut writer = Self::after(state.value());
        writer.open(state.leading, state.trailing);
        writer
    }

    /// Makes a value the last one.
    pub(super) fn at(&mut self, v: f64) {
        self.bits = v.to_bits();
    }

    /// Sets the window, which has at least one bit.
    #[inline(always)]
    fn open(&mut self, leading: u32, trailing: u32) {
        self.outside = !(!0 >> leading & !0 << trailing);
        (self.leading, self.significant) = (leading as u8, (64 - leading - trailing) as u8);
    }

    /// The last value.
    pub(super) fn value(&self) -> f64 {
        f64::from_bits(self.bits)
    }

    /// Bits in which `v` differs from the last value.
    #[inline(always)]
    pub(super) fn delta(&self, v: u64) -> u64 {
        v ^ self.bits
    }

    /// Writes the code of one value.
    #[inline(always)]
    pub(super) fn write(&mut self, w: &mut impl PutBits, v: f64) {
        self.write_after(w, v.to_bits(), (0, 1), (0b10, 2), (0b11, 2));
    }

    /// Writes the code of one value behind a control code (bits and their number, 29 at most)
    /// that depends on whether the value is the same, in the window, or out of it.
    #[inline(always)]
    pub(super) fn write_after(
        &mut self,
        w: &mut impl PutBits,
        v: u64,
        same: (u64, u32),
        inside: (u64, u32),
        outside: (u64, u32),
    ) {
        let delta = self.delta(v);
        self.bits = v;
        self.write_delta(w, delta, same, inside, outside);
    }

    /// As [`write_after`](Self::write_after), for a value that differs from the last one in the
    /// bits `delta`, and that the caller makes the last one (see [`at`](Self::at)).
    #[inline(always)]
    pub(super) fn write_delta(
        &mut self,
        w: &mut impl PutBits,
        delta: u64,
        same: (u64, u32),
        inside: (u64, u32),
        outside: (u64, u32),
    ) {
        if delta & self.outside == 0 {
            if delta == 0 {
                w.put(same.0 << (64 - same.1), same.1);
            } else {
                self.write_window(w, delta, inside);
            }
            return;
        }
        let leading = delta.leading_zeros().min(31);
        self.open(leading, delta.trailing_zeros());
        let window = u64::from(leading) << 6 | u64::from(self.significant & 63);
        self.write_window(w, delta, (outside.0 << 11 | window, outside.1 + 11));
    }

    /// Writes the bits of the window behind `head`.
    #[inline(always)]
    fn write_window<W: PutBits>(&self, w: &mut W, delta: u64, (head, head_len): (u64, u32)) {
        let n = u32::from(self.significant);
        // Everything stands at the top of its word, so that few shifts depend on the window.
        let payload = delta << self.leading;
        let code = head << (64 - head_len) | payload >> head_len;
        if head_len + n <= W::MOST {
            w.put(code, head_len + n);
        } else {
            let first = W::MOST - head_len;
            w.put(code & !0 << (64 - W::MOST), W::MOST);
            w.put(payload << first, n - first);
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
    fn written_numbers_are_read_and_take_the_smallest_code() {
        for n in 0..64 {
            for near in -2..=2i64 {
                let x = (1i64 << n).wrapping_add(near);
                for x in [x, x.wrapping_neg()] {
                    let (mut int, mut uint) = (BitWriter::default(), BitWriter::default());
                    write_int(&mut int, x);
                    write_uint(&mut uint, x as u64);
                    let mut r = BitReader::new(int.bytes());
                    assert_eq!(read_int(&mut r), Ok(x));
                    let widths = WIDTHS.iter().zip(1u32..).filter(|(w, _)| {
                        let half = 1i64 << ((**w).clamp(1, 63) - 1);
                        **w == 64 || (-half < x && x <= half && (**w > 0 || x == 0))
                    });
                    let least = widths.map(|(w, i)| w + i.min(8)).min();
                    assert_eq!(Some(r.position() as u32), least, "{x}");
                    assert_eq!(read_uint(&mut BitReader::new(uint.bytes())), Ok(x as u64));
                }
            }
        }
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
