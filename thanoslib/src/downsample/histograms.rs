//! Windows of native histograms: how many there were, their sum, and their counter.

use std::sync::Arc;

use super::{chunks::AggrChunks, window::Windows};
use crate::{
    chunk::{Chunk, Encoding, Fit, FloatHistogramAppender, XorAppender},
    error::{Error, Result},
    model::{
        CounterReset, FloatColumn, FloatHistogram, FloatHistogramColumn, HistogramLayout, Interval,
        histogram::IncompatibleSchema,
    },
};

/// What histograms must have in common to be aggregated together.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    gauge: bool,
    /// The layout that holds the custom bounds, if there are some.
    custom: Option<Arc<HistogramLayout>>,
}

impl Kind {
    /// The kind of sample `i`.
    pub(super) fn of(column: &FloatHistogramColumn, i: usize) -> Self {
        let layout = &column.layouts[column.layout_ids[i] as usize];
        Self {
            gauge: column.hints[i] == CounterReset::Gauge,
            custom: layout.is_custom().then(|| Arc::clone(layout)),
        }
    }

    /// True for gauges.
    pub(super) fn is_gauge(&self) -> bool {
        self.gauge
    }

    /// True when a histogram of one kind can be added to one of the other without loss.
    pub(super) fn fits(&self, other: &Self) -> bool {
        self.gauge == other.gauge
            && match (&self.custom, &other.custom) {
                (None, None) => true,
                (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a.custom_values == b.custom_values,
                _ => false,
            }
    }
}

/// The three aggregates of histograms of one kind, a column each.
#[derive(Clone, Debug, Default)]
pub(super) struct HistogramWindows {
    pub(super) counts: FloatColumn,
    pub(super) sums: FloatHistogramColumn,
    pub(super) counters: FloatHistogramColumn,
    /// The sample at hand.
    current: FloatHistogram,
    /// What a window or a counter holds so far.
    total: FloatHistogram,
    previous: FloatHistogram,
    delta: FloatHistogram,
}

/// Some samples of a column, their times and the coarsest of their schemas.
#[derive(Clone, Copy, Debug)]
pub(super) struct Picked<'a> {
    column: &'a FloatHistogramColumn,
    at: &'a [usize],
    ts: &'a [i64],
    schema: i32,
}

impl<'a> Picked<'a> {
    /// The samples `at` of a column; their times `ts` never fall.
    pub(super) fn new(column: &'a FloatHistogramColumn, at: &'a [usize], ts: &'a [i64]) -> Self {
        let schema = at.iter().map(|i| column.layout(*i).schema).min().unwrap_or_default();
        Self { column, at, ts, schema }
    }

    /// Reads a sample and brings it to the common schema; returns true if that changed it.
    fn load(&self, k: usize, out: &mut FloatHistogram) -> bool {
        let (column, i) = (self.column, self.at[k]);
        let layout = column.layout(i);
        let (positive, negative) = column.buckets(i);
        out.hint = column.hints[i];
        out.schema = layout.schema;
        out.zero_threshold = layout.zero_threshold;
        out.zero_count = column.zero_counts[i];
        out.count = column.counts[i];
        out.sum = column.sums[i];
        out.positive_spans.clone_from(&layout.positive_spans);
        out.negative_spans.clone_from(&layout.negative_spans);
        replace(&mut out.positive_buckets, positive);
        replace(&mut out.negative_buckets, negative);
        out.custom_values.clone_from(&layout.custom_values);
        layout.schema > self.schema && !layout.is_custom()
    }
}

impl HistogramWindows {
    /// Replaces counts, sums and counters by those of raw samples of one kind.
    ///
    /// # Errors
    /// As [`fill_sums`](Self::fill_sums).
    pub(super) fn fill(&mut self, samples: Picked<'_>, resolution_ms: i64, gauge: bool) -> Result<()> {
        self.counts.clear();
        for (window, t) in Windows::new(samples.ts, resolution_ms) {
            self.counts.push(t, window.len() as f64);
        }
        self.fill_sums(samples, resolution_ms)?;
        self.fill_counters(samples, resolution_ms, gauge)
    }

    /// Replaces the sums.
    ///
    /// # Errors
    /// `Internal` when the samples are of several kinds.
    pub(super) fn fill_sums(&mut self, samples: Picked<'_>, resolution_ms: i64) -> Result<()> {
        self.sums.clear();
        for (window, t) in Windows::new(samples.ts, resolution_ms) {
            for k in window.clone() {
                if samples.load(k, &mut self.current) {
                    self.current.reduce_schema(samples.schema);
                }
                if k == window.start {
                    copy(&self.current, &mut self.total);
                } else {
                    self.total.add(&self.current).map_err(mixed)?;
                }
            }
            // A sum falls when a window holds less than the one before: only gauges may.
            push(&mut self.sums, t, CounterReset::Gauge, &self.total);
        }
        Ok(())
    }

    /// Replaces the counters: what the samples increased by in sum, from the first one on.
    ///
    /// Compat: Thanos `pkg/compact/downsample/downsample.go`: a sample of a finer schema than the
    /// one before counts as a reset, because it is compared before it is made coarser.
    ///
    /// # Errors
    /// As [`fill_sums`](Self::fill_sums).
    pub(super) fn fill_counters(
        &mut self,
        samples: Picked<'_>,
        resolution_ms: i64,
        gauge: bool,
    ) -> Result<()> {
        self.counters.clear();
        let hint = if gauge { CounterReset::Gauge } else { CounterReset::Unknown };
        for (window, t) in Windows::new(samples.ts, resolution_ms) {
            for k in window {
                let finer = samples.load(k, &mut self.current);
                let reset = k > 0
                    && self.current.hint != CounterReset::Gauge
                    && self.current.detect_reset(&self.previous);
                if finer {
                    self.current.reduce_schema(samples.schema);
                }
                if k == 0 {
                    copy(&self.current, &mut self.total);
                } else if reset {
                    self.total.add(&self.current).map_err(mixed)?;
                } else {
                    copy(&self.current, &mut self.delta);
                    self.delta.sub(&self.previous).map_err(mixed)?;
                    self.total.add(&self.delta).map_err(mixed)?;
                }
                std::mem::swap(&mut self.current, &mut self.previous);
            }
            push(&mut self.counters, t, hint, &self.total);
        }
        Ok(())
    }
}

fn mixed(e: IncompatibleSchema) -> Error {
    Error::internal(format!("histograms of one kind: {e}"))
}

fn replace(to: &mut Vec<f64>, from: &[f64]) {
    to.clear();
    to.extend_from_slice(from);
}

/// Copies without giving up the memory of `to`.
fn copy(from: &FloatHistogram, to: &mut FloatHistogram) {
    to.hint = from.hint;
    to.schema = from.schema;
    to.zero_threshold = from.zero_threshold;
    to.zero_count = from.zero_count;
    to.count = from.count;
    to.sum = from.sum;
    to.positive_spans.clone_from(&from.positive_spans);
    to.negative_spans.clone_from(&from.negative_spans);
    replace(&mut to.positive_buckets, &from.positive_buckets);
    replace(&mut to.negative_buckets, &from.negative_buckets);
    to.custom_values.clone_from(&from.custom_values);
}

/// Appends a histogram, under the layout of the one before where that is the same.
fn push(column: &mut FloatHistogramColumn, t_ms: i64, hint: CounterReset, h: &FloatHistogram) {
    let same = column.layouts.last().is_some_and(|l| {
        l.schema == h.schema
            && l.zero_threshold == h.zero_threshold
            && l.positive_spans == h.positive_spans
            && l.negative_spans == h.negative_spans
            && l.custom_values == h.custom_values
    });
    if same {
        column.ts.push(t_ms);
        column.hints.push(hint);
        column.counts.push(h.count);
        column.zero_counts.push(h.zero_count);
        column.sums.push(h.sum);
        column.layout_ids.push((column.layouts.len() - 1) as u32);
        column.buckets.extend_from_slice(&h.positive_buckets);
        column.buckets.extend_from_slice(&h.negative_buckets);
        column.bucket_ends.push(column.buckets.len() as u32);
        return;
    }
    column.push(t_ms, h);
    if let Some(last) = column.hints.last_mut() {
        *last = hint;
    }
}

/// Writes windows of histograms as chunks.
#[derive(Clone, Debug)]
pub(super) struct HistogramEncoder {
    count: XorAppender,
    sum: FloatHistogramAppender,
    counter: FloatHistogramAppender,
}

impl Default for HistogramEncoder {
    fn default() -> Self {
        Self {
            count: XorAppender::new(),
            sum: FloatHistogramAppender::new(false),
            counter: FloatHistogramAppender::new(false),
        }
    }
}

/// A place in counts, sums and counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    count: usize,
    sum: usize,
    counter: usize,
}

impl HistogramEncoder {
    /// Appends chunks of the windows to `out`.
    ///
    /// Where a sum or a counter can not go on in its chunk (another zero threshold, say), all
    /// three begin another one.
    ///
    /// Compat: Thanos `pkg/compact/downsample/downsample.go`: counters of which nothing is known
    /// say in their header that there was no reset. There the new chunk replaces the one before,
    /// whose windows are lost.
    ///
    /// # Errors
    /// `Internal` for a histogram whose buckets differ in number from its spans.
    pub(super) fn encode(&mut self, windows: &HistogramWindows, out: &mut AggrChunks) -> Result<()> {
        let HistogramWindows { counts, sums, counters, .. } = windows;
        let (mut start, mut at) = (Place::default(), Place::default());
        loop {
            let next = [counts.ts.get(at.count), sums.ts.get(at.sum), counters.ts.get(at.counter)];
            let Some(&t) = next.iter().flatten().min() else { break };
            let [count, sum, counter] = next.map(|next| next == Some(t));
            let fits = at.count - start.count < usize::from(u16::MAX)
                && (!sum || append(&mut self.sum, sums, at.sum, at.sum == start.sum)?);
            if !fits {
                self.cut(windows, start, at, out)?;
                start = at;
                continue;
            }
            if counter && !append(&mut self.counter, counters, at.counter, at.counter == start.counter)? {
                if sum {
                    for i in start.sum..at.sum {
                        append(&mut self.sum, sums, i, i == start.sum)?;
                    }
                }
                self.cut(windows, start, at, out)?;
                start = at;
                continue;
            }
            at.count += usize::from(count);
            at.sum += usize::from(sum);
            at.counter += usize::from(counter);
        }
        self.cut(windows, start, at, out)
    }

    /// Makes a chunk of what lies between two places; the appenders hold their parts.
    fn cut(
        &mut self,
        windows: &HistogramWindows,
        from: Place,
        to: Place,
        out: &mut AggrChunks,
    ) -> Result<()> {
        let HistogramWindows { counts, sums, counters, .. } = windows;
        let ts = [
            &counts.ts[from.count..to.count],
            &sums.ts[from.sum..to.sum],
            &counters.ts[from.counter..to.counter],
        ];
        let (first, last) =
            (ts.iter().flat_map(|ts| ts.first()).min(), ts.iter().flat_map(|ts| ts.last()).max());
        let (Some(mint), Some(maxt)) = (first, last) else { return Ok(()) };
        self.count.restart();
        self.count.extend(ts[0], &counts.vs[from.count..to.count])?;
        let part = |ts: &[i64], encoding, data| (!ts.is_empty()).then_some(Chunk { encoding, data });
        let parts = [
            part(ts[0], Encoding::Xor, self.count.bytes()),
            part(ts[1], Encoding::FloatHistogram, self.sum.bytes()),
            None,
            None,
            part(ts[2], Encoding::FloatHistogram, self.counter.bytes()),
        ];
        out.push(Interval::new(*mint, *maxt), &parts);
        Ok(())
    }
}

/// Appends sample `i`, or begins the chunk with it; false when it needs a new chunk.
fn append(
    appender: &mut FloatHistogramAppender,
    column: &FloatHistogramColumn,
    i: usize,
    begin: bool,
) -> Result<bool> {
    if begin {
        let gauge = column.hints[i] == CounterReset::Gauge;
        appender.begin(if gauge { CounterReset::Gauge } else { CounterReset::NotReset }, column, i)?;
        return Ok(true);
    }
    Ok(!matches!(appender.append(column, i)?, Fit::NewChunk(_)))
}
