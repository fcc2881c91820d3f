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
    sink::{Head, push, push_stale},
    varbit::XorState,
};
use crate::{
    error::DecodeError,
    model::{FloatHistogramColumn, is_stale},
};

/// Decodes a chunk of float histograms in as many pieces as wanted.
#[derive(Clone, Debug)]
pub struct FloatHistogramDecoder<'a> {
    pub(super) frame: Frame<'a>,
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
        let mut layout = None;
        for _ in 0..max.min(self.frame.left) {
            let index = self.next()?;
            let (t_ms, st_ms, sum) = (self.frame.t, self.frame.st_ms(), self.sum.value());
            if is_stale(sum) {
                push_stale(out, t_ms, st_ms, sum)?;
                layout = None;
                continue;
            }
            let id = *layout.get_or_insert_with(|| out.layout_id(self.frame.visible_layout()));
            let hint = self.frame.hint(index);
            let (count, zero_count) = (self.count.value(), self.zero_count.value());
            push(out, Head { t_ms, st_ms, hint, count, zero_count, sum }, id, |flat| {
                match &self.frame.reduction {
                    None => flat.extend(self.buckets.iter().map(XorState::value)),
                    Some(reduction) => {
                        let (positive, negative) = self.buckets.split_at(self.frame.layout.positive_len);
                        sum_into(&reduction.positive, positive.iter().map(XorState::value), f64::add, flat);
                        sum_into(&reduction.negative, negative.iter().map(XorState::value), f64::add, flat);
                    }
                }
            })?;
        }
        Ok(self.frame.left)
    }

    /// Reads the next sample and returns its index; an error ends the chunk.
    fn next(&mut self) -> Result<usize, DecodeError> {
        let index = self.frame.index;
        let read = self.read_sample().and_then(|()| self.frame.read_start());
        if read.is_err() {
            self.frame.left = 0;
        }
        read.map(|()| index)
    }

    /// Reads a sample up to its start timestamp.
    pub(super) fn read_sample(&mut self) -> Result<(), DecodeError> {
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
