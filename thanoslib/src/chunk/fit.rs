//! Whether a histogram fits behind the one before, and what a new chunk says when it does not.
//!
//! Source: Prometheus `tsdb/chunkenc/histogram.go` and `float_histogram.go`.

use std::sync::Arc;

use super::kind::Kind;
use crate::{
    error::Error,
    model::{CounterReset, HistogramColumn, HistogramLayout, Span},
};

/// What became of a sample that was to be appended.
///
/// See [`HistogramAppender`](super::HistogramAppender).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Fit {
    /// It stands in the chunk.
    Appended,
    /// It stands in the chunk, which was written anew with more buckets.
    Recoded,
    /// It must begin a new chunk; this one is as before.
    NewChunk(NewChunk),
}

/// Why a histogram can not follow the one before in a chunk.
///
/// The header of the new chunk follows from it
/// (see [`header_of`](super::HistogramAppender::header_of)):
///
/// | reason | header |
/// |---|---|
/// | `Gauge` | gauge |
/// | `Counter` | no reset for integer histograms, unknown for float ones |
/// | `Hinted`, `Fell`, `Bounds` | reset |
/// | `Stale`, `Layout`, `Full` | unknown |
///
/// See [`HistogramAppender`](super::HistogramAppender).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NewChunk {
    /// A gauge follows a counter, or its buckets do not fit those of the gauge before.
    Gauge,
    /// A counter follows a gauge.
    Counter,
    /// The sample says that there was a reset.
    Hinted,
    /// A count or a bucket is below the last one.
    Fell,
    /// Custom bounds changed.
    Bounds,
    /// Schema or zero threshold changed.
    Layout,
    /// The sample before is a stale marker.
    Stale,
    /// The chunk holds as many samples as its header can say.
    Full,
}

/// A sample of a column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<'a, K: Kind> {
    pub(super) st_ms: i64,
    pub(super) t_ms: i64,
    pub(super) hint: CounterReset,
    pub(super) count: K::Count,
    pub(super) zero_count: K::Count,
    pub(super) sum: f64,
    pub(super) layout: &'a Arc<HistogramLayout>,
    pub(super) buckets: &'a [K],
}

impl<'a, K: Kind> Given<'a, K> {
    #[inline]
    pub(super) fn new(column: &'a HistogramColumn<K::Count, K>, i: usize) -> Self {
        let from = if i == 0 { 0 } else { column.bucket_ends[i - 1] as usize };
        Self {
            st_ms: column.start(i),
            t_ms: column.ts[i],
            hint: column.hints[i],
            count: column.counts[i],
            zero_count: column.zero_counts[i],
            sum: column.sums[i],
            layout: &column.layouts[column.layout_ids[i] as usize],
            buckets: &column.buckets[from..column.bucket_ends[i] as usize],
        }
    }

    pub(super) fn is_gauge(&self) -> bool {
        self.hint == CounterReset::Gauge
    }
}

/// Bounds are compared by bits, as upstream does.
pub(super) fn same_bounds(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// True when a layout has the buckets of its spans.
pub(super) fn spans_fit(layout: &HistogramLayout) -> bool {
    let sum = |spans: &[Span]| spans.iter().map(|s| u64::from(s.length)).sum::<u64>();
    sum(&layout.positive_spans) == layout.positive_len as u64
        && sum(&layout.negative_spans) == layout.negative_len as u64
}

#[cold]
pub(super) fn wrong_shape<K: Kind>(given: &Given<'_, K>) -> Error {
    let (t, n) = (given.t_ms, given.buckets.len());
    Error::invalid(format!("histogram at {t} has {n} buckets, its spans say otherwise"))
}
