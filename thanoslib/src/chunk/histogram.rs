//! Integer histogram chunks, with and without start timestamps.
//!
//! First sample: time, count, zero count, sum, buckets. Later ones hold the change of the
//! deltas of all of these, and the XOR code of the sum. A stale marker has no buckets.
//!
//! Source: Prometheus `tsdb/chunkenc/histogram.go`.

use std::ops::Add;

use super::{
    int_buckets::IntBuckets,
    int_codes::read_three,
    layout::Frame,
    reduce::sum_into,
    running::{Running, relative},
    sink::{Head, SampleReader},
    value_codes::read_value,
    varbit::{XorState, read_int, read_uint},
};
use crate::{
    error::DecodeError,
    model::{FloatHistogramColumn, IntHistogramColumn, is_stale},
};

/// Decodes a chunk of integer histograms in as many pieces as wanted.
///
/// ```
/// use thanoslib::chunk::{HistogramDecoder, IntHistogramAppender};
/// use thanoslib::model::{FloatHistogramColumn, Histogram, IntHistogramColumn};
/// let mut column = IntHistogramColumn::default();
/// column.push(1_000, &Histogram { count: 3, zero_count: 3, sum: 1.5, ..Histogram::default() });
/// let mut appender = IntHistogramAppender::new(false);
/// appender.append(&column, 0)?;
/// let mut read = FloatHistogramColumn::default();
/// HistogramDecoder::new(appender.bytes(), false)?.fill_floats(&mut read, 120)?;
/// assert_eq!(read.get(0).count, 3.0);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct HistogramDecoder<'a> {
    frame: Frame<'a>,
    count: Running,
    zero_count: Running,
    sum: XorState,
    buckets: IntBuckets,
}

impl<'a> HistogramDecoder<'a> {
    /// A decoder before the first sample; `with_start` for [`HistogramSt`](super::Encoding::HistogramSt).
    ///
    /// # Errors
    /// The header is cut, or claims more samples than the data has bits for.
    pub fn new(data: &'a [u8], with_start: bool) -> Result<Self, DecodeError> {
        Ok(Self {
            frame: Frame::new(data, with_start)?,
            count: Running::default(),
            zero_count: Running::default(),
            sum: XorState::default(),
            buckets: IntBuckets::default(),
        })
    }

    /// The same decoder, which keeps schemas that are finer than those that readers know.
    pub(super) fn with_own_schema(mut self) -> Self {
        self.frame.own_schema = true;
        self
    }

    /// Number of samples not decoded yet.
    pub fn left(&self) -> usize {
        self.frame.left
    }

    /// Appends up to `max` samples to `out`; returns how many are left.
    ///
    /// # Errors
    /// The data is cut or malformed; `out` then ends with the last sound sample.
    pub fn fill(&mut self, out: &mut IntHistogramColumn, max: usize) -> Result<usize, DecodeError> {
        self.fill_with(out, max, Self::head, |d, flat| match &d.frame.reduction {
            None => d.buckets.advance(flat),
            Some(reduction) => {
                let (positive, negative) = d.buckets.advanced().split_at(d.frame.layout.positive_len);
                for (map, deltas) in [(&reduction.positive, positive), (&reduction.negative, negative)] {
                    let start = flat.len();
                    sum_into(map, absolute(deltas), i64::wrapping_add, flat);
                    relative(&mut flat[start..]);
                }
            }
        })
    }

    /// Appends up to `max` samples to `out` as float histograms; returns how many are left.
    ///
    /// # Errors
    /// The data is cut or malformed; `out` then ends with the last sound sample.
    pub fn fill_floats(&mut self, out: &mut FloatHistogramColumn, max: usize) -> Result<usize, DecodeError> {
        let head = |d: &Self| {
            let Head { t_ms, st_ms, count, zero_count, sum } = d.head();
            Head { t_ms, st_ms, count: count as f64, zero_count: zero_count as f64, sum }
        };
        self.fill_with(out, max, head, |d, flat| {
            let (positive, negative) = d.buckets.advanced().split_at(d.frame.layout.positive_len);
            match &d.frame.reduction {
                None => {
                    flat.extend(absolute(positive).map(|b| b as f64));
                    flat.extend(absolute(negative).map(|b| b as f64));
                }
                Some(reduction) => {
                    for (map, deltas) in [(&reduction.positive, positive), (&reduction.negative, negative)] {
                        sum_into(map, absolute(deltas).map(|b| b as f64), f64::add, flat);
                    }
                }
            }
        })
    }

    fn head(&self) -> Head<u64> {
        Head {
            t_ms: self.frame.t,
            st_ms: self.frame.st_ms(),
            count: self.count.value as u64,
            zero_count: self.zero_count.value as u64,
            sum: self.sum.value(),
        }
    }

    fn read_first(&mut self) -> Result<(), DecodeError> {
        self.frame.read_layout(1)?;
        let t = self.frame.r.bitwise(read_int)?;
        self.frame.step_time(t);
        let buckets = self.frame.layout.buckets();
        self.frame.r.bitwise(|r| {
            self.count.value = read_uint(r)? as i64;
            self.zero_count.value = read_uint(r)? as i64;
            r.bits(64).map(|sum| self.sum = XorState::at(sum))
        })?;
        self.buckets.read_first(&mut self.frame.r, buckets)
    }
}

impl<'a> SampleReader<'a> for HistogramDecoder<'a> {
    #[inline]
    fn frame(&mut self) -> &mut Frame<'a> {
        &mut self.frame
    }

    #[inline]
    fn sum(&self) -> f64 {
        self.sum.value()
    }

    #[inline(always)]
    fn read_sample(&mut self) -> Result<(), DecodeError> {
        if self.frame.index == 0 {
            return self.read_first();
        }
        let mut r = self.frame.r;
        let [t, count, zero_count] = read_three(&mut r);
        self.frame.step_time(t);
        self.count.step(count);
        self.zero_count.step(zero_count);
        read_value(&mut r, &mut self.sum)?;
        if !is_stale(self.sum.value()) {
            self.buckets.read(&mut r)?;
        }
        self.frame.r = r;
        Ok(())
    }
}

/// The buckets that deltas to the bucket before describe.
fn absolute(deltas: &[i64]) -> impl Iterator<Item = i64> + '_ {
    deltas.iter().scan(0i64, |sum, delta| {
        *sum = sum.wrapping_add(*delta);
        Some(*sum)
    })
}
