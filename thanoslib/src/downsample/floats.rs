//! Windows of float samples: five aggregates at once, or one of them at a time.

use super::{
    chunks::AggrChunks,
    fold::{GROUP, fold, higher, lower},
    window::{Windows, most_windows},
};
use crate::{
    chunk::{Chunk, Encoding, XorAppender},
    error::Result,
    model::{FloatColumn, Interval},
};

/// Most windows of a chunk of floats; its counter holds two values more.
const WINDOWS_MAX: usize = u16::MAX as usize - 2;

/// The aggregates of raw float samples, a column each, one value a window.
#[derive(Clone, Debug, Default)]
pub(super) struct FloatWindows {
    ts: Vec<i64>,
    /// Where the samples of each window end; made up to whole groups.
    ends: Vec<usize>,
    /// Count, sum, min, max, counter; made up to whole groups.
    columns: [Vec<f64>; 5],
    /// In the order of the columns.
    chunks: [XorAppender; 5],
}

impl FloatWindows {
    /// Replaces the windows by those of the samples, as many as a chunk can hold; returns how
    /// many samples they took. Times never fall, and no value is NaN; with `rising` none is below
    /// the one before it.
    ///
    /// Source: Thanos `pkg/compact/downsample/downsample.go`. The order of additions is that of
    /// the samples, so that the results are equal to the bit.
    pub(super) fn fill(&mut self, ts: &[i64], vs: &[f64], resolution_ms: i64, rising: bool) -> usize {
        let most = most_windows(ts, resolution_ms).min(WINDOWS_MAX);
        self.ts.resize(most, 0);
        self.ends.resize(most, 0);
        let (mut windows, mut taken) = (0, 0);
        let slots = self.ts.iter_mut().zip(&mut self.ends);
        for ((t, end), (window, end_ms)) in slots.zip(Windows::new(ts, resolution_ms)) {
            (*t, *end) = (end_ms, window.end);
            windows += 1;
            taken = window.end;
        }
        self.ts.truncate(windows);
        self.ends.truncate(windows);
        let len = self.ts.len().next_multiple_of(GROUP);
        self.ends.resize(len, taken);
        let columns = self.columns.each_mut().map(|column| {
            column.resize(len, 0.0);
            column.as_chunks_mut().0
        });
        fold(&vs[..taken], rising, self.ends.as_chunks().0, columns);
        taken
    }

    /// Appends the chunk of all windows to `out`.
    ///
    /// The counter begins with the first raw sample, and ends with the last raw value at the
    /// time of the last window: readers find resets between chunks by them.
    pub(super) fn encode(&mut self, first: (i64, f64), last_v: f64, out: &mut AggrChunks) -> Result<()> {
        let Self { ts, columns, chunks, .. } = self;
        let (Some(mint), Some(maxt)) = (ts.first(), ts.last()) else { return Ok(()) };
        let ([parts @ .., counter], [columns @ .., counters]) = (&mut *chunks, &*columns);
        for (chunk, vs) in parts.iter_mut().zip(columns) {
            chunk.restart();
            chunk.extend(ts, &vs[..ts.len()])?;
        }
        encode_counter(first, (ts, &counters[..ts.len()]), last_v, counter)?;
        out.push(Interval::new(*mint, *maxt), &chunks.each_ref().map(|c| Some(part(c))));
        Ok(())
    }
}

/// Writes the chunk of a counter aggregate.
pub(super) fn encode_counter(
    first: (i64, f64),
    windows: (&[i64], &[f64]),
    last_v: f64,
    chunk: &mut XorAppender,
) -> Result<()> {
    let (ts, vs) = windows;
    chunk.restart();
    chunk.append(first.0, first.1)?;
    chunk.extend(ts, vs)?;
    ts.last().map_or(Ok(()), |t| chunk.append(*t, last_v))
}

/// The chunk so far, to be put among the parts of a chunk of aggregates.
pub(super) fn part(chunk: &XorAppender) -> Chunk<'_> {
    Chunk { encoding: Encoding::Xor, data: chunk.bytes() }
}

/// How the values of one aggregate become those of longer windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    /// Counts and sums.
    Sum,
    Min,
    Max,
    /// A counter without resets.
    Counter,
}

impl Fold {
    /// Replaces `out` by the windows of `input`, whose times never fall.
    ///
    /// NaN counts in sums and counters and is passed over by minima and maxima.
    pub(super) fn fill(self, input: &FloatColumn, resolution_ms: i64, out: &mut FloatColumn) {
        out.clear();
        let windows = Windows::new(&input.ts, resolution_ms);
        match self {
            Fold::Sum => windows.for_each(|(at, t)| {
                out.push(t, input.vs[at].iter().fold(0.0, |sum, v| sum + v));
            }),
            Fold::Min => windows.for_each(|(at, t)| {
                out.push(t, input.vs[at].iter().fold(f64::MAX, |min, v| lower(min, *v)));
            }),
            Fold::Max => windows.for_each(|(at, t)| {
                out.push(t, input.vs[at].iter().fold(f64::MIN, |max, v| higher(max, *v)));
            }),
            Fold::Counter => {
                let Some(&first) = input.vs.first() else { return };
                let (mut counter, mut last) = (first, first);
                for (at, t) in windows {
                    let skip = usize::from(at.start == 0);
                    for &v in &input.vs[at.start + skip..at.end] {
                        counter += if v < last { v } else { v - last };
                        last = v;
                    }
                    out.push(t, counter);
                }
            }
        }
    }
}
