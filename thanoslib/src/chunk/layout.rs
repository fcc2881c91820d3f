//! The head of a histogram chunk: sample count, counter reset header, bucket layout.
//!
//! | bits | field |
//! |---|---|
//! | 16 | number of samples, big-endian; with start timestamps the upper two bits are the reset header |
//! | 8 | reset header in the upper two bits; with start timestamps their header instead |
//! | 8 or 72 | zero threshold |
//! | … | schema, positive spans, negative spans, custom bounds |
//!
//! Source: Prometheus `tsdb/chunkenc/histogram.go` and `histogram_meta.go`.

use super::{
    codes::CodeReader,
    header,
    int_codes::read_one,
    reduce::Reduction,
    st::StartReader,
    varbit::{read_int, read_uint, write_int, write_uint},
};
use crate::{
    encoding::{BitReader, BitWriter},
    error::DecodeError,
    model::{CounterReset, HistogramLayout, Span, histogram::CUSTOM_BUCKETS_SCHEMA},
};

/// What integer and float histogram chunks have in common while they are decoded.
#[derive(Clone, Debug)]
pub(super) struct Frame<'a> {
    pub(super) r: CodeReader<'a>,
    /// Index of the next sample.
    pub(super) index: usize,
    pub(super) left: usize,
    pub(super) header: CounterReset,
    pub(super) layout: HistogramLayout,
    pub(super) reduction: Option<Reduction>,
    /// No schema is brought to a coarser one.
    pub(super) own_schema: bool,
    pub(super) start: Option<StartReader>,
    pub(super) t: i64,
    delta: i64,
    before: i64,
}

/// Sample count and reset header of a histogram chunk.
pub(super) fn head(data: &[u8], with_start: bool) -> Result<(usize, CounterReset), DecodeError> {
    let Some([high, _, third]) = data.first_chunk::<3>() else {
        return Err(DecodeError::new("chunk is shorter than its header", 0));
    };
    let count = header::count(data)?;
    let (count, bits) = if with_start { (count & 0x3fff, high >> 6) } else { (count, third >> 6) };
    let reset = match bits {
        0b10 => CounterReset::Reset,
        0b01 => CounterReset::NotReset,
        0b11 => CounterReset::Gauge,
        _ => CounterReset::Unknown,
    };
    Ok((count, reset))
}

impl<'a> Frame<'a> {
    /// Reads the header; the layout comes with the first sample.
    pub(super) fn new(data: &'a [u8], with_start: bool) -> Result<Self, DecodeError> {
        let (left, header) = head(data, with_start)?;
        let r = header::body(data, 3)?;
        // A sample takes four bits at least: time, count, zero count, sum.
        header::fits(left, 1 + r.remaining() / 4)?;
        Ok(Self {
            r: CodeReader { bytes: r.bytes(), bit: r.position() },
            index: 0,
            left,
            header,
            layout: HistogramLayout::default(),
            reduction: None,
            own_schema: false,
            start: with_start.then(|| StartReader::new(data[2])),
            t: 0,
            delta: 0,
            before: 0,
        })
    }

    /// Reads the layout, before the first sample.
    ///
    /// `bucket_bits` is what a bucket of the first sample takes at least.
    pub(super) fn read_layout(&mut self, bucket_bits: usize) -> Result<(), DecodeError> {
        self.layout = self.r.bitwise(|r| read_layout(r, bucket_bits))?;
        self.reduction = if self.own_schema { None } else { Reduction::of(&self.layout) };
        Ok(())
    }

    /// Moves to the time of the next sample, given what is stored of it.
    #[inline(always)]
    pub(super) fn step_time(&mut self, x: i64) {
        self.before = self.t;
        if self.index == 0 {
            self.t = x;
        } else {
            self.delta = self.delta.wrapping_add(x);
            self.t = self.t.wrapping_add(self.delta);
        }
    }

    /// Reads the start timestamp after a sample, where the chunk has them, and goes to the next.
    #[inline(always)]
    pub(super) fn read_start(&mut self) -> Result<(), DecodeError> {
        if self.start.is_some() {
            self.read_known_start()?;
        }
        self.index += 1;
        self.left -= 1;
        Ok(())
    }

    fn read_known_start(&mut self) -> Result<(), DecodeError> {
        let Some(start) = &mut self.start else { return Ok(()) };
        if self.index == 0 {
            return self.r.bitwise(|r| start.read(r, 0, self.t, self.before));
        }
        if start.follows(self.index) {
            let x = read_one(&mut self.r);
            self.r.check()?;
            start.step(x, self.before);
        }
        Ok(())
    }

    /// Start timestamp of the sample read last, 0 when unknown.
    pub(super) fn st_ms(&self) -> i64 {
        self.start.map_or(0, |s| s.st_ms)
    }

    /// What a reader is told about a reset before the sample at `index`.
    ///
    /// Compat: `tsdb/chunkenc/histogram.go`: the header says nothing about the first sample to
    /// readers, because they may not have seen the chunk before this one.
    pub(super) fn hint(&self, index: usize) -> CounterReset {
        match self.header {
            CounterReset::Gauge => CounterReset::Gauge,
            _ if index == 0 => CounterReset::Unknown,
            _ => CounterReset::NotReset,
        }
    }

    /// The layout that samples have after decoding.
    pub(super) fn visible_layout(&self) -> &HistogramLayout {
        self.reduction.as_ref().map_or(&self.layout, |r| &r.layout)
    }
}

fn read_layout(r: &mut BitReader<'_>, bucket_bits: usize) -> Result<HistogramLayout, DecodeError> {
    let zero_threshold = match r.bits(8)? {
        0 => 0.0,
        255 => f64::from_bits(r.bits(64)?),
        b => f64::from_bits((b + 1023 - 244) << 52),
    };
    let schema = match read_int(r)? {
        s @ (-9..=52) => s as i32,
        s if s == i64::from(CUSTOM_BUCKETS_SCHEMA) => CUSTOM_BUCKETS_SCHEMA,
        _ => return Err(DecodeError::new("unknown schema of a histogram", r.offset())),
    };
    let (positive_spans, positive_len) = read_spans(r, bucket_bits)?;
    let (negative_spans, negative_len) = read_spans(r, bucket_bits)?;
    let custom_values = if schema == CUSTOM_BUCKETS_SCHEMA { read_bounds(r)? } else { Vec::new() };
    if (positive_len + negative_len).saturating_mul(bucket_bits) > r.remaining() {
        return Err(DecodeError::new("histogram claims more buckets than the chunk has bits", r.offset()));
    }
    Ok(HistogramLayout {
        schema,
        zero_threshold,
        positive_spans,
        negative_spans,
        custom_values,
        positive_len,
        negative_len,
    })
}

fn read_spans(r: &mut BitReader<'_>, bucket_bits: usize) -> Result<(Vec<Span>, usize), DecodeError> {
    // Length and offset take a bit each at least.
    let count = read_count(r, 2, "histogram claims more spans than the chunk has bits")?;
    let mut spans = Vec::with_capacity(count);
    let mut buckets = 0usize;
    for _ in 0..count {
        let length = read_uint(r)?;
        let offset = read_int(r)?;
        let (Ok(length), Ok(offset)) = (u32::try_from(length), i32::try_from(offset)) else {
            return Err(DecodeError::new("span of a histogram exceeds 32 bits", r.offset()));
        };
        buckets = buckets.saturating_add(length as usize);
        if buckets.saturating_mul(bucket_bits) > r.remaining() {
            return Err(DecodeError::new(
                "histogram claims more buckets than the chunk has bits",
                r.offset(),
            ));
        }
        spans.push(Span { offset, length });
    }
    Ok((spans, buckets))
}

fn read_bounds(r: &mut BitReader<'_>) -> Result<Vec<f64>, DecodeError> {
    // The shortest form of a bound is a prefix of two bits and three bits.
    let count = read_count(r, 5, "histogram claims more bounds than the chunk has bits")?;
    let mut bounds = Vec::with_capacity(count);
    for _ in 0..count {
        bounds.push(match read_uint(r)? {
            0 => f64::from_bits(r.bits(64)?),
            thousandths => (thousandths - 1) as f64 / 1000.0,
        });
    }
    Ok(bounds)
}

fn read_count(r: &mut BitReader<'_>, bits_each: u64, what: &'static str) -> Result<usize, DecodeError> {
    let count = read_uint(r)?;
    if count > r.remaining() as u64 / bits_each {
        return Err(DecodeError::new(what, r.offset()));
    }
    Ok(count as usize)
}

/// Bits of a reset header, in the upper two bits of their byte.
pub(super) fn reset_bits(reset: CounterReset) -> u8 {
    match reset {
        CounterReset::Unknown => 0,
        CounterReset::NotReset => 0b01 << 6,
        CounterReset::Reset => 0b10 << 6,
        CounterReset::Gauge => 0b11 << 6,
    }
}

/// Writes the layout, before the first sample.
pub(super) fn write_layout(w: &mut BitWriter, layout: &HistogramLayout) {
    write_zero_threshold(w, layout.zero_threshold);
    write_int(w, i64::from(layout.schema));
    for spans in [&layout.positive_spans, &layout.negative_spans] {
        write_uint(w, spans.len() as u64);
        for span in spans {
            write_uint(w, u64::from(span.length));
            write_int(w, i64::from(span.offset));
        }
    }
    if layout.is_custom() {
        write_uint(w, layout.custom_values.len() as u64);
        for bound in &layout.custom_values {
            write_bound(w, *bound);
        }
    }
}

/// Powers of two from 2^-243 to 2^10 and 0 take one byte.
fn write_zero_threshold(w: &mut BitWriter, threshold: f64) {
    let bits = threshold.to_bits();
    let exponent = (bits >> 52).wrapping_sub(1023 - 244);
    if threshold == 0.0 {
        w.bits(0, 8);
    } else if bits << 12 == 0 && (1..255).contains(&exponent) {
        w.bits(exponent, 8);
    } else {
        w.bits(255, 8);
        w.bits(bits, 64);
    }
}

/// The largest bound that is written as a number of thousandths, in thousandths.
const THOUSANDTHS_MAX: f64 = 33_554_430.0;

fn write_bound(w: &mut BitWriter, bound: f64) {
    let thousandths = bound * 1000.0;
    let whole = thousandths.round();
    if (0.0..=THOUSANDTHS_MAX).contains(&thousandths) && whole / 1000.0 == bound {
        write_uint(w, whole as u64 + 1);
    } else {
        w.bit(false);
        w.bits(bound.to_bits(), 64);
    }
}
