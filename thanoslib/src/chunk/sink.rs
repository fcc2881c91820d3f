//! Appending decoded histograms to columns.

use super::layout::Frame;
use crate::{
    error::DecodeError,
    model::{CounterReset, HistogramColumn, HistogramLayout, is_stale},
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

/// A decoder of histograms of either kind.
pub(super) trait SampleReader<'a> {
    /// What both kinds have in common.
    fn frame(&mut self) -> &mut Frame<'a>;

    /// Sum of the sample read last.
    fn sum(&self) -> f64;

    /// Reads a sample up to its start timestamp.
    fn read_sample(&mut self) -> Result<(), DecodeError>;

    /// Reads the next sample and returns its index; an error ends the chunk.
    #[inline]
    fn next(&mut self) -> Result<usize, DecodeError> {
        let index = self.frame().index;
        let read = self.read_sample().and_then(|()| self.frame().read_start());
        if read.is_err() {
            self.frame().left = 0;
        }
        read.map(|()| index)
    }

    /// Appends up to `max` samples to `out`; returns how many are left. `head` gives all of a
    /// sample but its buckets, `buckets` extends the flat list by those.
    #[inline]
    fn fill_with<C: Copy + Default, B: Copy>(
        &mut self,
        out: &mut HistogramColumn<C, B>,
        max: usize,
        head: impl Fn(&Self, usize) -> Head<C>,
        buckets: impl Fn(&Self, &mut Vec<B>),
    ) -> Result<usize, DecodeError> {
        let mut layout = None;
        for _ in 0..max.min(self.frame().left) {
            let index = self.next()?;
            let sum = self.sum();
            if is_stale(sum) {
                let (t, st) = (self.frame().t, self.frame().st_ms());
                push_stale(out, t, st, sum)?;
                layout = None;
                continue;
            }
            let id = *layout.get_or_insert_with(|| out.layout_id(self.frame().visible_layout()));
            push(out, head(self, index), id, |flat| buckets(self, flat))?;
        }
        Ok(self.frame().left)
    }
}

/// Appends a sample; `buckets` extends the flat list by what the layout holds.
fn push<C: Copy, B: Copy>(
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
fn push_stale<C: Copy + Default, B: Copy>(
    out: &mut HistogramColumn<C, B>,
    t_ms: i64,
    st_ms: i64,
    sum: f64,
) -> Result<(), DecodeError> {
    let id = out.layout_id(&HistogramLayout::default());
    let hint = CounterReset::Unknown;
    push(out, Head { t_ms, st_ms, hint, count: C::default(), zero_count: C::default(), sum }, id, |_| {})
}
