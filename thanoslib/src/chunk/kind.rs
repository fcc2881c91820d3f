//! What integer and float histograms do differently when they are written.

use std::fmt::Debug;

use super::{
    Encoding, FloatHistogramDecoder, HistogramDecoder,
    running::{Running, relative},
    varbit::{XorWriter, write_int, write_uint},
};
use crate::{encoding::BitWriter, error::DecodeError, model::HistogramColumn};

/// The type of the buckets of a kind of histograms: `i64` for integer ones, whose buckets are
/// deltas to the bucket before, `f64` for float ones.
///
/// See [`HistogramAppender`](super::HistogramAppender).
pub trait HistogramKind: Kind {}

impl HistogramKind for i64 {}
impl HistogramKind for f64 {}

/// How numbers of a kind are written and compared.
pub trait Kind: Copy + Debug + Default + PartialEq + PartialOrd + Send + Sync + 'static {
    /// Type of counts.
    type Count: Copy + Debug + Default + PartialEq;
    /// A number written last, with what the code of the next one refers to.
    type State: Copy + Debug;
    /// The encoding without start timestamps.
    const PLAIN: Encoding;
    /// The encoding with start timestamps.
    const WITH_START: Encoding;
    /// True where a new chunk can say that there was surely no reset because it came about
    /// for another reason; see the table in [`NewChunk`](super::NewChunk).
    const TELLS_KIND_CHANGE: bool;

    /// Writes the first count of a chunk.
    fn first_count(w: &mut BitWriter, count: Self::Count) -> Self::State;
    /// Writes the first value of a bucket.
    fn first_bucket(w: &mut BitWriter, bucket: Self) -> Self::State;
    /// Writes a later count.
    fn next_count(w: &mut BitWriter, state: &mut Self::State, count: Self::Count);
    /// Writes the count of a stale marker that is not the first sample.
    fn stale_count(w: &mut BitWriter, state: &mut Self::State, count: Self::Count);
    /// Writes the buckets of a later sample.
    fn next_buckets(w: &mut BitWriter, states: &mut [Self::State], buckets: &[Self]);
    /// True when `count` is below the last one.
    fn count_fell(state: &Self::State, count: Self::Count) -> bool;
    /// The bucket as it was written last.
    fn bucket(state: &Self::State) -> Self;
    /// The absolute bucket, from that of the bucket before and what stands in a column.
    fn absolute(before: Self, stored: Self) -> Self;
    /// Turns absolute buckets into what stands in a column.
    fn relative(buckets: &mut [Self]);
    /// Decodes a chunk without bringing its schema to a coarser one.
    fn decode(
        data: &[u8],
        with_start: bool,
        out: &mut HistogramColumn<Self::Count, Self>,
    ) -> Result<(), DecodeError>;
}

impl Kind for i64 {
    type Count = u64;
    type State = Running;
    const PLAIN: Encoding = Encoding::Histogram;
    const WITH_START: Encoding = Encoding::HistogramSt;
    const TELLS_KIND_CHANGE: bool = true;

    fn first_count(w: &mut BitWriter, count: u64) -> Running {
        write_uint(w, count);
        Running { value: count as i64, delta: 0 }
    }

    fn first_bucket(w: &mut BitWriter, bucket: i64) -> Running {
        write_int(w, bucket);
        Running { value: bucket, delta: 0 }
    }

    #[inline(always)]
    fn next_count(w: &mut BitWriter, state: &mut Running, count: u64) {
        write_running(w, state, count as i64);
    }

    fn stale_count(w: &mut BitWriter, _: &mut Running, _: u64) {
        w.bit(false);
    }

    #[inline(always)]
    fn next_buckets(w: &mut BitWriter, states: &mut [Running], buckets: &[i64]) {
        for (state, bucket) in states.iter_mut().zip(buckets) {
            write_running(w, state, *bucket);
        }
    }

    #[inline(always)]
    fn count_fell(state: &Running, count: u64) -> bool {
        count < state.value as u64
    }

    #[inline(always)]
    fn bucket(state: &Running) -> i64 {
        state.value
    }

    #[inline(always)]
    fn absolute(before: i64, stored: i64) -> i64 {
        before.wrapping_add(stored)
    }

    fn relative(buckets: &mut [i64]) {
        relative(buckets);
    }

    fn decode(data: &[u8], with_start: bool, out: &mut HistogramColumn<u64, i64>) -> Result<(), DecodeError> {
        HistogramDecoder::new(data, with_start)?.with_own_schema().fill(out, usize::MAX).map(drop)
    }
}

#[inline(always)]
fn write_running(w: &mut BitWriter, state: &mut Running, value: i64) {
    let delta = value.wrapping_sub(state.value);
    write_int(w, delta.wrapping_sub(state.delta));
    *state = Running { value, delta };
}

impl Kind for f64 {
    type Count = f64;
    type State = XorWriter;
    const PLAIN: Encoding = Encoding::FloatHistogram;
    const WITH_START: Encoding = Encoding::FloatHistogramSt;
    const TELLS_KIND_CHANGE: bool = false;

    fn first_count(w: &mut BitWriter, count: f64) -> XorWriter {
        w.bits(count.to_bits(), 64);
        XorWriter::after(count)
    }

    fn first_bucket(w: &mut BitWriter, bucket: f64) -> XorWriter {
        Self::first_count(w, bucket)
    }

    #[inline(always)]
    fn next_count(w: &mut BitWriter, state: &mut XorWriter, count: f64) {
        state.write(w, count);
    }

    fn stale_count(w: &mut BitWriter, state: &mut XorWriter, count: f64) {
        state.write(w, count);
    }

    #[inline(always)]
    fn next_buckets(w: &mut BitWriter, states: &mut [XorWriter], buckets: &[f64]) {
        for (state, bucket) in states.iter_mut().zip(buckets) {
            state.write(w, *bucket);
        }
    }

    #[inline(always)]
    fn count_fell(state: &XorWriter, count: f64) -> bool {
        count < state.value()
    }

    #[inline(always)]
    fn bucket(state: &XorWriter) -> f64 {
        state.value()
    }

    #[inline(always)]
    fn absolute(_: f64, stored: f64) -> f64 {
        stored
    }

    fn relative(_: &mut [f64]) {}

    fn decode(data: &[u8], with_start: bool, out: &mut HistogramColumn<f64, f64>) -> Result<(), DecodeError> {
        FloatHistogramDecoder::new(data, with_start)?.with_own_schema().fill(out, usize::MAX).map(drop)
    }
}
