//! XOR chunks: float samples with deltas of deltas of times.
//!
//! | bits | field |
//! |---|---|
//! | 16 | number of samples, big-endian |
//! | … | first sample: time as varint, value as 64 bits |
//! | … | second sample: time delta as uvarint, XOR code of the value |
//! | … | further samples: change of the time delta, XOR code of the value |
//!
//! Source: Prometheus `tsdb/chunkenc/xor.go`.

use super::{
    grow::grow,
    header,
    varbit::{XorState, XorWriter},
    xor_begin::begin,
    xor_run::{Place, run},
    xor_write::{self, Last},
};
use crate::{
    encoding::{BitReader, BitWriter},
    error::{DecodeError, Error, ErrorKind, Result},
    model::FloatColumn,
};

/// Decodes an XOR chunk in as many pieces as wanted.
///
/// ```
/// use thanoslib::{chunk::{XorAppender, XorDecoder}, model::FloatColumn};
/// let mut chunk = XorAppender::new();
/// chunk.extend(&[1_000, 2_000, 3_000], &[1.0, 2.0, 4.0])?;
/// let (mut decoder, mut column) = (XorDecoder::new(chunk.bytes())?, FloatColumn::default());
/// assert_eq!(decoder.fill(&mut column, 2)?, 1);
/// assert_eq!(column.vs, [1.0, 2.0]);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct XorDecoder<'a> {
    /// The chunk without its header.
    bytes: &'a [u8],
    index: usize,
    left: usize,
    place: Place,
}

impl<'a> XorDecoder<'a> {
    /// A decoder before the first sample.
    ///
    /// # Errors
    /// The header is cut, or claims more samples than the data has bits for.
    pub fn new(data: &'a [u8]) -> Result<Self, DecodeError> {
        let left = header::count(data)?;
        let r = header::body(data, 2)?;
        // The first sample takes nine bytes, the second two, every other two bits.
        header::fits(left, 1 + r.remaining() / 2)?;
        Ok(Self { bytes: r.bytes(), index: 0, left, place: Place::START })
    }

    /// Number of samples not decoded yet.
    pub fn left(&self) -> usize {
        self.left
    }

    /// The bits that are set in some distance of two samples so far: a number that no distance
    /// exceeds, and that has its highest bit when one is negative.
    pub(crate) fn distances(&self) -> u64 {
        self.place.deltas
    }

    /// Appends up to `max` samples to `out`; returns how many are left.
    ///
    /// # Errors
    /// The data is cut or malformed; `out` then ends with the last sound sample.
    pub fn fill(&mut self, out: &mut FloatColumn, max: usize) -> Result<usize, DecodeError> {
        let want = max.min(self.left);
        let start = out.len();
        let (ts, vs) = grow(out, want);
        let done = match self.fill_slices(ts, vs) {
            Ok(()) => want,
            Err((done, e)) => {
                out.ts.truncate(start + done);
                out.vs.truncate(start + done);
                if !out.st.is_empty() {
                    out.st.truncate(start + done);
                }
                self.left = 0;
                return Err(e);
            }
        };
        self.index += done;
        self.left -= done;
        Ok(self.left)
    }

    fn fill_slices(&mut self, ts: &mut [i64], vs: &mut [f64]) -> Result<(), (usize, DecodeError)> {
        let (mut ts, mut vs) = (ts, vs);
        let Self { bytes, index, place, .. } = self;
        let mut done = 0;
        if *index == 0
            && let ([t0, t1, ..], [v0, v1, ..]) = (&mut *ts, &mut *vs)
            && let Some(((t, v), second)) = begin(bytes)
        {
            (*t0, *v0, *t1, *v1) = (t, v, second.t_ms, second.v.value());
            (ts, vs) = (&mut ts[2..], &mut vs[2..]);
            *place = second;
            done = 2;
        }
        while *index + done < 2 && !ts.is_empty() {
            let mut r = BitReader::at(bytes, place.bit);
            if *index + done == 0 { first(&mut r, place) } else { second(&mut r, place) }
                .map_err(|e| (done, e))?;
            place.bit = r.position();
            (ts[0], vs[0]) = (place.t_ms, place.v.value());
            (ts, vs) = (&mut ts[1..], &mut vs[1..]);
            done += 1;
        }
        if ts.is_empty() {
            return Ok(());
        }
        run(bytes, place, ts, vs).map_err(|(n, e)| (done + n, e))
    }
}

fn first(r: &mut BitReader<'_>, place: &mut Place) -> Result<(), DecodeError> {
    place.t_ms = r.varint()?;
    place.v = XorState::at(r.bits(64)?);
    Ok(())
}

fn second(r: &mut BitReader<'_>, place: &mut Place) -> Result<(), DecodeError> {
    place.delta = r.uvarint()? as i64;
    place.deltas = place.delta as u64;
    place.t_ms = place.t_ms.wrapping_add(place.delta);
    place.v.read(r)
}

/// Writes an XOR chunk sample by sample.
///
/// When to begin a new chunk (120 samples, time ranges) is for the caller to decide.
///
/// ```
/// use thanoslib::chunk::XorAppender;
/// let mut chunk = XorAppender::new();
/// chunk.append(1_000, 0.5)?;
/// chunk.append(16_000, 0.5)?;
/// assert_eq!(chunk.len(), 2);
/// assert!(chunk.into_bytes().len() < 32);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct XorAppender {
    w: BitWriter,
    count: u16,
    last: Last,
}

impl Default for XorAppender {
    fn default() -> Self {
        Self::new()
    }
}

impl XorAppender {
    /// An appender to a new chunk.
    pub fn new() -> Self {
        Self { w: BitWriter::after(vec![0, 0]), count: 0, last: Last::default() }
    }

    /// Begins a new chunk in the same memory; drops what was in it.
    pub fn restart(&mut self) {
        self.w.restart(2);
        (self.count, self.last) = (0, Last::default());
    }

    /// An appender that goes on at the exact bit where the chunk `data` ends.
    ///
    /// # Errors
    /// The chunk does not decode.
    pub fn reopen(data: Vec<u8>) -> Result<Self, DecodeError> {
        let mut decoder = XorDecoder::new(&data)?;
        let count = decoder.left();
        if count == 0 {
            return Ok(Self::new());
        }
        decoder.fill(&mut FloatColumn::default(), usize::MAX)?;
        let Place { bit, t_ms, delta, v, .. } = decoder.place;
        let last = Last { t_ms, delta, v: XorWriter::resume(v) };
        Ok(Self { w: BitWriter::resume(data, 16 + bit), count: count as u16, last })
    }

    /// Appends one sample; the caller gives ascending times.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] when the chunk holds 65 535 samples, the most that its header can say.
    pub fn append(&mut self, t_ms: i64, v: f64) -> Result<()> {
        let count = self.count.checked_add(1).ok_or_else(full)?;
        write_sample(&mut self.w, &mut self.last, usize::from(self.count), t_ms, v);
        self.w.bytes_mut()[..2].copy_from_slice(&count.to_be_bytes());
        self.count = count;
        Ok(())
    }

    /// Appends samples; both slices have the same length, times ascend.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] when the chunk would hold more than 65 535 samples,
    /// [`ErrorKind::Invalid`] when the slices differ in length; none is appended.
    pub fn extend(&mut self, ts: &[i64], vs: &[f64]) -> Result<()> {
        if ts.len() != vs.len() {
            return Err(Error::invalid(format!("{} times of {} values", ts.len(), vs.len())));
        }
        let count = u16::try_from(ts.len()).ok().and_then(|n| self.count.checked_add(n)).ok_or_else(full)?;
        let (mut w, mut last) = (std::mem::take(&mut self.w), self.last);
        let begin = ts.len().min(2usize.saturating_sub(self.len()));
        for i in 0..begin {
            write_sample(&mut w, &mut last, self.len() + i, ts[i], vs[i]);
        }
        xor_write::run(&mut w, &mut last, (ts, vs), begin);
        w.bytes_mut()[..2].copy_from_slice(&count.to_be_bytes());
        (self.w, self.last, self.count) = (w, last, count);
        Ok(())
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
        self.restart();
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
fn write_sample(w: &mut BitWriter, last: &mut Last, i: usize, t: i64, v: f64) {
    if i >= 2 {
        xor_write::step(w, last, t, v);
        return;
    }
    let delta = t.wrapping_sub(last.t_ms);
    last.t_ms = t;
    if i == 1 {
        w.uvarint(delta as u64);
        last.v.write(w, v);
        last.delta = delta;
    } else {
        w.varint(t);
        w.bits(v.to_bits(), 64);
        last.v = XorWriter::after(v);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stale_nan;

    fn samples() -> Vec<(i64, f64)> {
        let t = 1_700_000_000_000;
        let ts = [0, 15_000, 30_000, 45_003, 60_000, 90_000, 105_000];
        let vs = [12.0, 12.0, 24.0, 24.5, stale_nan(), -1.5, -1.5];
        ts.iter().map(|d| t + d).zip(vs).collect()
    }

    fn check(samples: &[(i64, f64)], hex: &str) {
        let mut app = XorAppender::new();
        for &(t, v) in samples {
            app.append(t, v).expect("room");
        }
        let text: String = app.bytes().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(text, hex);
        for piece in [1, 2, 3, usize::MAX] {
            let mut out = FloatColumn::default();
            let mut decoder = XorDecoder::new(app.bytes()).expect("header");
            while decoder.fill(&mut out, piece).expect("sound") > 0 {}
            let back: Vec<_> = out.ts.iter().zip(&out.vs).map(|(t, v)| (*t, v.to_bits())).collect();
            let want: Vec<_> = samples.iter().map(|(t, v)| (*t, v.to_bits())).collect();
            assert_eq!(back, want, "in pieces of {piece}");
        }
        for cut in 0..app.bytes().len() {
            let mut out = FloatColumn::default();
            let all = XorDecoder::new(&app.bytes()[..cut]).and_then(|mut d| d.fill(&mut out, usize::MAX));
            assert!(all.is_err(), "cut at {cut}");
            assert_eq!(out.ts.len(), out.vs.len());
        }
    }

    #[test]
    fn chunks_equal_those_of_prometheus() {
        check(
            &samples(),
            "000780a0abfef9624028000000000000987535838003e00effeb17bfe4400000000001c3a9bc1fe004000000000001dc5680",
        );
        let ts = [0, 1000, 10_192, 11_193, 100_000, 300_000, 10_000_000_000];
        let vs = [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0];
        let boundary: Vec<_> = ts.into_iter().zip(vs).collect();
        check(&boundary, "0007000000000000000000e807500028005c2adfce1b259c457ffe00000004a80885c0");
    }

    #[test]
    fn a_reopened_chunk_continues_at_the_bit() {
        let all = samples();
        let mut app = XorAppender::new();
        for &(t, v) in &all[..4] {
            app.append(t, v).expect("room");
        }
        let mut again = XorAppender::reopen(app.into_bytes()).expect("sound");
        for &(t, v) in &all[4..] {
            again.append(t, v).expect("room");
        }
        let mut out = FloatColumn::default();
        let left = XorDecoder::new(again.bytes()).and_then(|mut d| d.fill(&mut out, 100));
        assert_eq!(left, Ok(0));
        assert!(
            out.ts
                .iter()
                .zip(&out.vs)
                .map(|(t, v)| (*t, v.to_bits()))
                .eq(all.iter().map(|(t, v)| (*t, v.to_bits())))
        );
    }

    #[test]
    fn a_chunk_can_not_claim_more_samples_than_it_has_bits() {
        assert!(XorDecoder::new(&[0xff, 0xff, 0, 0, 0]).is_err());
        assert!(XorDecoder::new(&[0]).is_err());
        assert_eq!(XorDecoder::new(&[0, 0]).map(|d| d.left()), Ok(0));
    }
}
