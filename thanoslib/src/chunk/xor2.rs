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

use super::{
    header,
    st::{StartReader, StartWriter},
    varbit::{XorState, XorWriter},
};
use crate::{
    encoding::{BitReader, BitWriter},
    error::{DecodeError, Error, ErrorKind, Result},
    model::{FloatColumn, STALE_NAN},
};

/// Decodes an XOR2 chunk in as many pieces as wanted.
///
/// See [`Xor2Appender`].
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

/// Writes an XOR2 chunk sample by sample.
///
/// When to begin a new chunk (120 samples, time ranges) is for the caller to decide.
///
/// ```
/// use thanoslib::{chunk::{Xor2Appender, Xor2Decoder}, model::FloatColumn};
/// let mut chunk = Xor2Appender::new();
/// chunk.append(500, 1_000, 0.5)?;
/// let mut column = FloatColumn::default();
/// Xor2Decoder::new(chunk.bytes())?.fill(&mut column, 1)?;
/// assert_eq!((column.start(0), column.ts[0]), (500, 1_000));
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Xor2Appender {
    w: BitWriter,
    count: u16,
    last: Last,
}

/// What the code of the next sample refers to.
#[derive(Clone, Copy, Debug)]
struct Last {
    t_ms: i64,
    delta: i64,
    /// Window, and the last value that was no stale marker, 0.0 before the first.
    base: XorWriter,
    start: StartWriter,
}

impl Default for Last {
    fn default() -> Self {
        Self { t_ms: 0, delta: 0, base: XorWriter::after(0.0), start: StartWriter::default() }
    }
}

impl Default for Xor2Appender {
    fn default() -> Self {
        Self::new()
    }
}

impl Xor2Appender {
    /// An appender to a new chunk.
    pub fn new() -> Self {
        Self { w: BitWriter::after(vec![0; 3]), count: 0, last: Last::default() }
    }

    /// An appender that goes on at the exact bit where the chunk `data` ends.
    ///
    /// # Errors
    /// The chunk does not decode.
    pub fn reopen(data: Vec<u8>) -> Result<Self, DecodeError> {
        let mut decoder = Xor2Decoder::new(&data)?;
        let count = decoder.left();
        if count == 0 {
            return Ok(Self::new());
        }
        decoder.fill(&mut FloatColumn::default(), usize::MAX)?;
        let bits = 24 + decoder.r.position();
        let State { t, delta, base, .. } = decoder.state;
        let (base, start) = (XorWriter::resume(base), StartWriter::resume(decoder.start));
        let last = Last { t_ms: t, delta, base, start };
        Ok(Self { w: BitWriter::resume(data, bits), count: count as u16, last })
    }

    /// Appends one sample with its start timestamp (0 = unknown); the caller gives ascending times.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] when the chunk holds 65 535 samples, the most that its header can say.
    pub fn append(&mut self, st_ms: i64, t_ms: i64, v: f64) -> Result<()> {
        let count = self.count.checked_add(1).ok_or_else(full)?;
        write_sample(&mut self.w, &mut self.last, usize::from(self.count), (st_ms, t_ms, v));
        self.count = count;
        self.write_header();
        Ok(())
    }

    /// Appends samples. Times ascend and are as many as values; start timestamps (0 = unknown)
    /// are as many, or there are none.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] when the chunk would hold more than 65 535 samples; none is appended.
    pub fn extend(&mut self, sts: &[i64], ts: &[i64], vs: &[f64]) -> Result<()> {
        let count = u16::try_from(ts.len()).ok().and_then(|n| self.count.checked_add(n)).ok_or_else(full)?;
        let (mut w, mut last) = (std::mem::take(&mut self.w), self.last);
        for (i, (&t, &v)) in ts.iter().zip(vs).enumerate() {
            let st = sts.get(i).copied().unwrap_or(0);
            write_sample(&mut w, &mut last, usize::from(self.count) + i, (st, t, v));
        }
        (self.w, self.last, self.count) = (w, last, count);
        self.write_header();
        Ok(())
    }

    fn write_header(&mut self) {
        let head = self.w.bytes_mut();
        head[..2].copy_from_slice(&self.count.to_be_bytes());
        head[2] = self.last.start.header();
    }

    /// Number of samples so far.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// True before the first sample.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The chunk so far.
    pub fn bytes(&self) -> &[u8] {
        self.w.bytes()
    }

    /// Ends the chunk and makes the appender ready for another; its memory is kept.
    pub fn finish(&mut self) -> Vec<u8> {
        let data = self.bytes().to_vec();
        self.w.restart(3);
        (self.count, self.last) = (0, Last::default());
        data
    }

    /// Ends the chunk.
    pub fn into_bytes(self) -> Vec<u8> {
        self.w.into_bytes()
    }
}

#[cold]
fn full() -> Error {
    Error::new(ErrorKind::Limit, "a chunk holds at most 65535 samples")
}

/// Writes the sample number `i`.
#[inline(always)]
fn write_sample(w: &mut BitWriter, last: &mut Last, i: usize, (st, t, v): (i64, i64, f64)) {
    let (before, v) = (last.t_ms, v.to_bits());
    let delta = t.wrapping_sub(before);
    last.t_ms = t;
    if i >= 2 {
        let dod = delta.wrapping_sub(last.delta);
        last.delta = delta;
        write_step(w, &mut last.base, dod, v);
    } else if i == 1 {
        w.uvarint(delta as u64);
        write_value(w, &mut last.base, v);
        last.delta = delta;
    } else {
        w.varint(t);
        w.bits(v, 64);
        if v != STALE_NAN {
            last.base = XorWriter::after(f64::from_bits(v));
        }
    }
    last.start.write(w, i, (st, t, before));
}

/// Writes time and value of a sample after the second.
#[inline(always)]
fn write_step(w: &mut BitWriter, base: &mut XorWriter, dod: i64, v: u64) {
    if dod == 0 {
        if v == STALE_NAN {
            w.short(0b11111, 5);
        } else {
            base.write_after(w, v, (0, 1), (0b100, 3), (0b101, 3));
        }
        return;
    }
    let fits = |n: u32| (-(1i64 << (n - 1))..1 << (n - 1)).contains(&dod);
    let low = |n: u32| dod as u64 & ((1 << n) - 1);
    if fits(13) {
        w.short(0b110 << 13 | low(13), 16);
    } else if fits(20) {
        w.short(0b1110 << 20 | low(20), 24);
    } else {
        w.short(0b11110, 5);
        w.bits(dod as u64, 64);
    }
    write_value(w, base, v);
}

/// Writes a value that may be the base, another one, or the stale marker.
#[inline(always)]
fn write_value(w: &mut BitWriter, base: &mut XorWriter, v: u64) {
    if v == STALE_NAN {
        w.short(0b111, 3);
    } else {
        base.write_after(w, v, (0, 1), (0b10, 2), (0b110, 3));
    }
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
