//! Appending decoded histograms to columns.

use crate::{
    error::DecodeError,
    model::{CounterReset, HistogramColumn, HistogramLayout},
};

/// A sample without its buckets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<C> {
    pub(super) t_ms: i64,
    pub(super) st_ms: i64,
    pub(super) hint: CounterReset,
    pub(super) count: C,
    pub(super) zero_count: C,
    pub(super) sum: f64,
}

/// Appends a sample; `buckets` extends the flat list by what the layout holds.
pub(super) fn push<C: Copy, B: Copy>(
    out: &mut HistogramColumn<C, B>,
    head: Head<C>,
    layout_id: u32,
    buckets: impl FnOnce(&mut Vec<B>),
) -> Result<(), DecodeError> {
    let start = out.buckets.len();
    buckets(&mut out.buckets);
    let Ok(end) = u32::try_from(out.buckets.len()) else {
        out.buckets.truncate(start);
        return Err(DecodeError::new("column holds more than 2^32 buckets", 0));
    };
    out.bucket_ends.push(end);
    out.layout_ids.push(layout_id);
    out.ts.push(head.t_ms);
    out.hints.push(head.hint);
    out.counts.push(head.count);
    out.zero_counts.push(head.zero_count);
    out.sums.push(head.sum);
    out.set_last_start(head.st_ms);
    Ok(())
}

/// Appends a stale marker: the empty layout, no counts, nothing known about resets.
pub(super) fn push_stale<C: Copy + Default, B: Copy>(
    out: &mut HistogramColumn<C, B>,
    t_ms: i64,
    st_ms: i64,
    sum: f64,
) -> Result<(), DecodeError> {
    let id = out.layout_id(&HistogramLayout::default());
    let hint = CounterReset::Unknown;
    push(out, Head { t_ms, st_ms, hint, count: C::default(), zero_count: C::default(), sum }, id, |_| {})
}
