//! Float histogram chunks, with and without start timestamps.
//!
//! The first sample holds count, zero count, sum and absolute buckets as they are, later ones
//! the XOR code of each of them. A stale marker has no buckets.
//!
//! Source: Prometheus `tsdb/chunkenc/float_histogram.go`.

use std::ops::Add;

use super::{
    int_codes::read_one,
    layout::Frame,
    reduce::sum_into,
    sink::{Head, SampleReader},
    value_codes::Values,
    varbit::read_int,
};
use crate::{
    error::DecodeError,
    model::{FloatHistogramColumn, is_stale},
};

/// Decodes a chunk of float histograms in as many pieces as wanted.
///
/// ```
/// use thanoslib::chunk::{FloatHistogramAppender, FloatHistogramDecoder};
/// use thanoslib::model::{FloatHistogram, FloatHistogramColumn};
/// let mut column = FloatHistogramColumn::default();
/// column.push(1_000, &FloatHistogram { count: 3.0, sum: 1.5, ..FloatHistogram::default() });
/// let mut appender = FloatHistogramAppender::new(false);
/// appender.append(&column, 0)?;
/// let mut read = FloatHistogramColumn::default();
/// let left = FloatHistogramDecoder::new(appender.bytes(), false)?.fill(&mut read, 120)?;
/// assert_eq!((left, read), (0, column));
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FloatHistogramDecoder<'a> {
    frame: Frame<'a>,
    /// Count, zero count, sum, then the buckets.
    values: Values,
}

impl<'a> FloatHistogramDecoder<'a> {
    /// A decoder before the first sample; `with_start` for
    /// [`FloatHistogramSt`](super::Encoding::FloatHistogramSt).
    ///
    /// # Errors
    /// The header is cut, or claims more samples than the data has bits for.
    pub fn new(data: &'a [u8], with_start: bool) -> Result<Self, DecodeError> {
        Ok(Self { frame: Frame::new(data, with_start)?, values: Values::default() })
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
    pub fn fill(&mut self, out: &mut FloatHistogramColumn, max: usize) -> Result<usize, DecodeError> {
        let head = |d: &Self| Head {
            t_ms: d.frame.t,
            st_ms: d.frame.st_ms(),
            count: d.values.value(0),
            zero_count: d.values.value(1),
            sum: d.values.value(2),
        };
        self.fill_with(out, max, head, |d, flat| match &d.frame.reduction {
            None => flat.extend(d.values.bits[3..].iter().map(|b| f64::from_bits(*b))),
            Some(reduction) => {
                let (positive, negative) = d.values.bits[3..].split_at(d.frame.layout.positive_len);
                sum_into(&reduction.positive, positive.iter().map(|b| f64::from_bits(*b)), f64::add, flat);
                sum_into(&reduction.negative, negative.iter().map(|b| f64::from_bits(*b)), f64::add, flat);
            }
        })
    }

    fn read_first(&mut self) -> Result<(), DecodeError> {
        self.frame.read_layout(64)?;
        let t = self.frame.r.bitwise(read_int)?;
        self.frame.step_time(t);
        let n = 3 + self.frame.layout.buckets();
        self.frame.r.bitwise(|r| (0..n).try_for_each(|_| r.bits(64).map(|bits| self.values.push(bits))))
    }
}

impl<'a> SampleReader<'a> for FloatHistogramDecoder<'a> {
    #[inline]
    fn frame(&mut self) -> &mut Frame<'a> {
        &mut self.frame
    }

    #[inline]
    fn sum(&self) -> f64 {
        self.values.value(2)
    }

    #[inline(always)]
    fn read_sample(&mut self) -> Result<(), DecodeError> {
        if self.frame.index == 0 {
            return self.read_first();
        }
        let mut r = self.frame.r;
        let t = read_one(&mut r);
        self.frame.step_time(t);
        self.values.read(&mut r, 0..3)?;
        if !is_stale(self.values.value(2)) {
            self.values.read(&mut r, 3..self.values.bits.len())?;
        }
        self.frame.r = r;
        Ok(())
    }
}
