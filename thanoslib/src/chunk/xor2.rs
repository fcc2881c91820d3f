//! XOR2 chunks: float samples with one control code for time and value, and start timestamps.
//!
//! | bits | field |
//! |---|---|
//! | 16 | number of samples, big-endian |
//! | 8 | start timestamp header |
//! | … | first sample: time as varint, value as 64 bits |
//! | … | second sample: time delta as uvarint, value code |
//! | … | further samples: joint control code, then what it announces |
//!
//! Each sample is followed by its start timestamp where the header asks for one.
//!
//! Source: Prometheus `tsdb/chunkenc/xor2.go`.

use super::{header, st::StartReader, varbit::XorState};
use crate::{
    encoding::BitReader,
    error::DecodeError,
    model::{FloatColumn, STALE_NAN},
};

/// Decodes an XOR2 chunk in as many pieces as wanted.
#[derive(Clone, Debug)]
pub struct Xor2Decoder<'a> {
    r: BitReader<'a>,
    index: usize,
    left: usize,
    state: State,
    start: StartReader,
}

/// Time and value of the sample read last.
#[derive(Clone, Copy, Debug)]
struct State {
    t: i64,
    delta: i64,
    /// The last value that was no stale marker, 0.0 before the first.
    base: XorState,
    /// Bits of the value.
    v: u64,
}

impl<'a> Xor2Decoder<'a> {
    /// A decoder before the first sample.
    ///
    /// # Errors
    /// The header is cut, or claims more samples than the data has bits for.
    pub fn new(data: &'a [u8]) -> Result<Self, DecodeError> {
        let left = header::count(data)?;
        let r = header::body(data, 3)?;
        header::fits(left, r.remaining())?;
        let state = State { t: 0, delta: 0, base: XorState::default(), v: 0 };
        Ok(Self { r, index: 0, left, state, start: StartReader::new(data[2]) })
    }

    /// Number of samples not decoded yet.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Appends up to `max` samples to `out`; returns how many are left.
    ///
    /// # Errors
    /// The data is cut or malformed; `out` then ends with the last sound sample.
    pub fn fill(&mut self, out: &mut FloatColumn, max: usize) -> Result<usize, DecodeError> {
        let want = max.min(self.left);
        out.ts.reserve(want);
        out.vs.reserve(want);
        let mut r = self.r.clone();
        let (mut state, mut start) = (self.state, self.start);
        let mut read = |i: usize| {
            let before = state.t;
            match i {
                0 => state.first(&mut r)?,
                1 => state.second(&mut r)?,
                _ => state.step(&mut r)?,
            }
            start.read(&mut r, i, state.t, before)?;
            out.push_st(start.st_ms, state.t, f64::from_bits(state.v));
            Ok(())
        };
        for i in self.index..self.index + want {
            if let Err(e) = read(i) {
                self.left = 0;
                return Err(e);
            }
        }
        (self.r, self.state, self.start) = (r, state, start);
        self.index += want;
        self.left -= want;
        Ok(self.left)
    }
}

impl State {
    fn first(&mut self, r: &mut BitReader<'_>) -> Result<(), DecodeError> {
        self.t = r.varint()?;
        self.v = r.bits(64)?;
        if self.v != STALE_NAN {
            self.base.bits = self.v;
        }
        Ok(())
    }

    fn second(&mut self, r: &mut BitReader<'_>) -> Result<(), DecodeError> {
        self.delta = r.uvarint()? as i64;
        self.t = self.t.wrapping_add(self.delta);
        self.value(r)
    }

    #[inline]
    fn step(&mut self, r: &mut BitReader<'_>) -> Result<(), DecodeError> {
        let control = r.ones(5)?;
        let dod = match control {
            2 => signed(r.bits(13)?, 13),
            3 => signed(r.bits(20)?, 20),
            4 => r.bits(64)? as i64,
            _ => 0,
        };
        self.delta = self.delta.wrapping_add(dod);
        self.t = self.t.wrapping_add(self.delta);
        match control {
            0 => self.v = self.base.bits,
            1 => self.changed_value(r)?,
            5 => self.v = STALE_NAN,
            _ => self.value(r)?,
        }
        Ok(())
    }

    /// Reads a value that may be the base, another one, or the stale marker.
    fn value(&mut self, r: &mut BitReader<'_>) -> Result<(), DecodeError> {
        match r.ones(3)? {
            0 => {}
            1 => self.base.read_window(r)?,
            2 => {
                self.base.read_new_window(r)?;
                self.base.read_window(r)?;
            }
            _ => {
                self.v = STALE_NAN;
                return Ok(());
            }
        }
        self.v = self.base.bits;
        Ok(())
    }

    /// Reads a value that is known to differ from the base and not to be stale.
    fn changed_value(&mut self, r: &mut BitReader<'_>) -> Result<(), DecodeError> {
        if r.bit()? {
            self.base.read_new_window(r)?;
        }
        self.base.read_window(r)?;
        self.v = self.base.bits;
        Ok(())
    }
}

/// The two's complement number in the low `n` bits.
fn signed(raw: u64, n: u32) -> i64 {
    (raw << (64 - n)) as i64 >> (64 - n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(hex: &str, expected: &[(i64, i64, f64)]) {
        let data: Vec<u8> =
            (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hex")).collect();
        for piece in [1, 2, usize::MAX] {
            let mut out = FloatColumn::default();
            let mut decoder = Xor2Decoder::new(&data).expect("header");
            while decoder.fill(&mut out, piece).expect("sound") > 0 {}
            let back: Vec<_> =
                (0..out.len()).map(|i| (out.start(i), out.ts[i], out.vs[i].to_bits())).collect();
            let want: Vec<_> = expected.iter().map(|(st, t, v)| (*st, *t, v.to_bits())).collect();
            assert_eq!(back, want, "in pieces of {piece}");
        }
        for cut in 0..data.len() {
            let all = Xor2Decoder::new(&data[..cut])
                .and_then(|mut d| d.fill(&mut FloatColumn::default(), usize::MAX));
            assert!(all.is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn chunks_of_prometheus_decode() {
        let t = 1_700_000_000_000;
        let stale = f64::from_bits(STALE_NAN);
        check(
            "00070080a0abfef962402800000000000098755583c003d007bff5f80ea6f011ffc0f7e2b400",
            &[
                (0, t, 12.0),
                (0, t + 15_000, 12.0),
                (0, t + 30_000, 24.0),
                (0, t + 45_003, 24.5),
                (0, t + 60_000, stale),
                (0, t + 90_000, -1.5),
                (0, t + 105_000, -1.5),
            ],
        );
        check(
            "00058380a0abfef9623ff0000000000000a09c019875c12fffd603a133ffd3ffbe0ea600",
            &[
                (t - 10_000, t, 1.0),
                (t - 10_000, t + 15_000, 2.0),
                (t - 10_000, t + 30_000, 3.0),
                (t + 30_000, t + 45_000, 1.0),
                (t + 30_000, t + 60_000, 2.0),
            ],
        );
        check(
            "000700000000000000000000e8077010003bf8005c2adfce1b259c22bfff000000012a02217000",
            &[
                (0, 0, 0.0),
                (0, 1000, 0.0),
                (0, 10_192, 0.0),
                (0, 11_193, 0.0),
                (0, 100_000, 0.0),
                (0, 300_000, 1.0),
                (0, 10_000_000_000, 1.0),
            ],
        );
    }
}
