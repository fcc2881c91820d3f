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
    ///
    /// What all samples between two stale markers share is filled in behind them.
    #[inline]
    fn fill_with<C: Copy + Default, B: Copy>(
        &mut self,
        out: &mut HistogramColumn<C, B>,
        max: usize,
        head: impl Fn(&Self) -> Head<C>,
        buckets: impl Fn(&mut Self, &mut Vec<B>),
    ) -> Result<usize, DecodeError> {
        let mut result = Ok(());
        let rows = max.min(self.frame().left);
        out.ts.reserve(rows);
        out.counts.reserve(rows);
        out.zero_counts.reserve(rows);
        out.sums.reserve(rows);
        // The layout of the samples since the last stale marker, and the index of the first.
        let mut run = None;
        for _ in 0..rows {
            let index = match self.next() {
                Ok(index) => index,
                Err(e) => {
                    result = Err(e);
                    break;
                }
            };
            let sum = self.sum();
            if is_stale(sum) {
                end_run(out, self.frame(), run.take());
                let (t, st) = (self.frame().t, self.frame().st_ms());
                push_stale(out, t, st, sum);
                continue;
            }
            run.get_or_insert_with(|| (out.layout_id(self.frame().visible_layout()), index));
            let start = out.buckets.len();
            buckets(self, &mut out.buckets);
            if u32::try_from(out.buckets.len()).is_err() {
                out.buckets.truncate(start);
                result = Err(DecodeError::new("column holds more than 2^32 buckets", 0));
                break;
            }
            let head = head(self);
            out.ts.push(head.t_ms);
            out.counts.push(head.count);
            out.zero_counts.push(head.zero_count);
            out.sums.push(head.sum);
            if head.st_ms != 0 || !out.st.is_empty() {
                out.set_last_start(head.st_ms);
            }
        }
        end_run(out, self.frame(), run);
        result.map(|()| self.frame().left)
    }
}

/// Fills in what a run of samples has in common: its layout, and the index of its first sample.
fn end_run<C: Copy, B: Copy>(out: &mut HistogramColumn<C, B>, frame: &Frame<'_>, run: Option<(u32, usize)>) {
    let Some((id, first)) = run else { return };
    let (before, len) = (out.hints.len(), out.ts.len());
    let buckets = frame.visible_layout().buckets() as u32;
    let mut end = out.buckets.len() as u32 - (len - before) as u32 * buckets;
    out.bucket_ends.extend((before..len).map(|_| {
        end += buckets;
        end
    }));
    out.layout_ids.resize(len, id);
    if before < len {
        out.hints.push(frame.hint(first));
    }
    // Later ones are not the first of the chunk.
    out.hints.resize(len, frame.hint(1));
}

/// Appends a stale marker: the empty layout, no counts, nothing known about resets.
fn push_stale<C: Copy + Default, B: Copy>(out: &mut HistogramColumn<C, B>, t_ms: i64, st_ms: i64, sum: f64) {
    let id = out.layout_id(&HistogramLayout::default());
    out.ts.push(t_ms);
    out.hints.push(CounterReset::Unknown);
    out.counts.push(C::default());
    out.zero_counts.push(C::default());
    out.sums.push(sum);
    out.layout_ids.push(id);
    out.bucket_ends.push(out.buckets.len() as u32);
    out.set_last_start(st_ms);
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;
    use crate::{
        chunk::{FloatHistogramDecoder, HistogramAppender, HistogramDecoder, HistogramKind},
        model::{FloatHistogramColumn, IntHistogramColumn, Span, stale_nan},
    };

    const BUCKETS: i64 = 30;

    /// Samples whose buckets change little first and then much, the last a stale marker.
    fn column<K: HistogramKind>(number: impl Fn(i64) -> (K::Count, K)) -> HistogramColumn<K::Count, K> {
        let layout = HistogramLayout {
            positive_spans: vec![Span { offset: 3, length: 20 }, Span { offset: 1, length: 10 }],
            positive_len: BUCKETS as usize,
            ..HistogramLayout::default()
        };
        let (empty, mut column) = (HistogramLayout::default(), HistogramColumn::default());
        for i in 0..70 {
            let stale = i == 69;
            let (hint, buckets) =
                if stale { (CounterReset::Unknown, 0) } else { (CounterReset::NotReset, BUCKETS) };
            let id = column.layout_id(if stale { &empty } else { &layout });
            let scale = if i < 40 { 1 } else { i * 1000 };
            column.ts.push(i * 1000 + i % 7);
            column.hints.push(if i == 0 { CounterReset::Unknown } else { hint });
            column.counts.push(number(if stale { 0 } else { i * i * i }).0);
            column.zero_counts.push(number(0).0);
            column.sums.push(if stale { stale_nan() } else { (i as f64).sqrt() });
            column.layout_ids.push(id);
            column.buckets.extend((0..buckets).map(|b| number(i * (i * b % 5) * scale).1));
            column.bucket_ends.push(column.buckets.len() as u32);
            column.set_last_start(i / 10);
        }
        column
    }

    /// Decodes what `number` makes at once and in pieces.
    fn check<K: HistogramKind<Count: Debug> + Debug>(
        number: impl Fn(i64) -> (K::Count, K),
        fill: impl Fn(&[u8], bool, usize) -> HistogramColumn<K::Count, K>,
    ) {
        for with_start in [false, true] {
            let mut column = column(&number);
            let mut appender = HistogramAppender::<K>::new(with_start);
            for i in 0..column.len() {
                appender.append_again(CounterReset::Reset, &column, i).expect("it grows");
            }
            if !with_start {
                column.st.clear();
            }
            let data = appender.finish();
            for max in [1, 2, 7, usize::MAX] {
                // As text, since a stale marker differs from itself.
                let (got, want) = (format!("{:?}", fill(&data, with_start, max)), format!("{column:?}"));
                assert!(got == want, "{with_start}, pieces of {max}");
            }
        }
    }

    #[test]
    fn a_chunk_comes_out_alike_at_once_and_in_pieces() {
        check::<i64>(
            |x| (x as u64, x),
            |data, with_start, max| {
                let mut out = IntHistogramColumn::default();
                let mut decoder = HistogramDecoder::new(data, with_start).expect("sound");
                while decoder.fill(&mut out, max).expect("sound") > 0 {}
                out
            },
        );
        check::<f64>(
            |x| (x as f64, x as f64),
            |data, with_start, max| {
                let mut out = FloatHistogramColumn::default();
                let mut decoder = FloatHistogramDecoder::new(data, with_start).expect("sound");
                while decoder.fill(&mut out, max).expect("sound") > 0 {}
                out
            },
        );
    }
}
