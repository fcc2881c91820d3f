//! Float histogram chunks, with and without start timestamps.
//!
//! The first sample holds count, zero count, sum and absolute buckets as they are, later ones
//! the XOR code of each of them. A stale marker has no buckets.
//!
//! Source: Prometheus `tsdb/chunkenc/float_histogram.go`.

use std::ops::Add;

use super::{
    codes::read_values,
    layout::Frame,
    reduce::sum_into,
    sink::{Head, SampleReader},
    varbit::XorState,
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
    count: XorState,
    zero_count: XorState,
    sum: XorState,
    buckets: Vec<XorState>,
}

impl<'a> FloatHistogramDecoder<'a> {
    /// A decoder before the first sample; `with_start` for
    /// [`FloatHistogramSt`](super::Encoding::FloatHistogramSt).
    ///
    /// # Errors
    /// The header is cut, or claims more samples than the data has bits for.
    pub fn new(data: &'a [u8], with_start: bool) -> Result<Self, DecodeError> {
        Ok(Self {
            frame: Frame::new(data, with_start)?,
            count: XorState::default(),
            zero_count: XorState::default(),
            sum: XorState::default(),
            buckets: Vec::new(),
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
    pub fn fill(&mut self, out: &mut FloatHistogramColumn, max: usize) -> Result<usize, DecodeError> {
        let head = |d: &Self, index| Head {
            t_ms: d.frame.t,
            st_ms: d.frame.st_ms(),
            hint: d.frame.hint(index),
            count: d.count.value(),
            zero_count: d.zero_count.value(),
            sum: d.sum.value(),
        };
        self.fill_with(out, max, head, |d, flat| match &d.frame.reduction {
            None => flat.extend(d.buckets.iter().map(XorState::value)),
            Some(reduction) => {
                let (positive, negative) = d.buckets.split_at(d.frame.layout.positive_len);
                sum_into(&reduction.positive, positive.iter().map(XorState::value), f64::add, flat);
                sum_into(&reduction.negative, negative.iter().map(XorState::value), f64::add, flat);
            }
        })
    }
}

impl<'a> SampleReader<'a> for FloatHistogramDecoder<'a> {
    #[inline]
    fn frame(&mut self) -> &mut Frame<'a> {
        &mut self.frame
    }

    #[inline]
    fn sum(&self) -> f64 {
        self.sum.value()
    }

    fn read_sample(&mut self) -> Result<(), DecodeError> {
        let first = self.frame.index == 0;
        if first {
            self.frame.read_layout(64)?;
        }
        self.frame.read_time()?;
        let r = &mut self.frame.r;
        if first {
            self.count = XorState::at(r.bits(64)?);
            self.zero_count = XorState::at(r.bits(64)?);
            self.sum = XorState::at(r.bits(64)?);
            for _ in 0..self.frame.layout.buckets() {
                self.buckets.push(XorState::at(r.bits(64)?));
            }
            return Ok(());
        }
        self.count.read(r)?;
        self.zero_count.read(r)?;
        self.sum.read(r)?;
        if is_stale(self.sum.value()) {
            return Ok(());
        }
        read_values(r, &mut self.buckets)
    }
}
