//! Windows of float samples: five aggregates in one pass, or one of them at a time.

use super::window::Windows;
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
    pub(super) ts: Vec<i64>,
    counts: Vec<f64>,
    sums: Vec<f64>,
    mins: Vec<f64>,
    maxs: Vec<f64>,
    counters: Vec<f64>,
}

impl FloatWindows {
    /// Replaces the windows by those of the samples, as many as a chunk can hold; returns how
    /// many samples they took. Times never fall, and no value is NaN.
    ///
    /// Source: Thanos `pkg/compact/downsample/downsample.go`. The order of additions is that of
    /// the samples, so that the results are equal to the bit.
    pub(super) fn fill(&mut self, ts: &[i64], vs: &[f64], resolution_ms: i64) -> usize {
        for column in [&mut self.counts, &mut self.sums, &mut self.mins, &mut self.maxs, &mut self.counters] {
            column.clear();
        }
        self.ts.clear();
        let mut taken = 0;
        let (mut counter, mut last) = (0.0, 0.0);
        for (window, end_ms) in Windows::new(ts, resolution_ms).take(WINDOWS_MAX) {
            let mut vs = &vs[window.clone()];
            // Compat: windows of infinite values only have the greatest finite float as minimum.
            let (mut sum, mut min, mut max) = (0.0, f64::MAX, f64::MIN);
            self.counts.push(vs.len() as f64);
            if let (0, [first, rest @ ..]) = (taken, vs) {
                (counter, last) = (*first, *first);
                (sum, min, max) = (sum + first, lower(min, *first), higher(max, *first));
                vs = rest;
            }
            for &v in vs {
                counter += if v < last { v } else { v - last };
                last = v;
                sum += v;
                min = lower(min, v);
                max = higher(max, v);
            }
            self.ts.push(end_ms);
            self.sums.push(sum);
            self.mins.push(min);
            self.maxs.push(max);
            self.counters.push(counter);
            taken = window.end;
        }
        taken
    }

    /// Count, sum, min, max and counter of all windows as chunks.
    ///
    /// The counter begins with the first raw sample, and ends with the last raw value at the
    /// time of the last window: readers find resets between chunks by them.
    pub(super) fn encode(&self, first: (i64, f64), last_v: f64) -> Result<[XorAppender; 5]> {
        let [count, sum, min, max] = [&self.counts, &self.sums, &self.mins, &self.maxs].map(|vs| {
            let mut chunk = XorAppender::new();
            chunk.extend(&self.ts, vs).map(|()| chunk)
        });
        let counter = counter_chunk(first, (&self.ts, &self.counters), last_v)?;
        Ok([count?, sum?, min?, max?, counter])
    }

    /// First and last window.
    pub(super) fn interval(&self) -> Option<Interval> {
        Some(Interval::new(*self.ts.first()?, *self.ts.last()?))
    }
}

/// The chunk of a counter aggregate.
pub(super) fn counter_chunk(
    first: (i64, f64),
    windows: (&[i64], &[f64]),
    last_v: f64,
) -> Result<XorAppender> {
    let (ts, vs) = windows;
    let mut chunk = XorAppender::new();
    chunk.append(first.0, first.1)?;
    chunk.extend(ts, vs)?;
    if let Some(t) = ts.last() {
        chunk.append(*t, last_v)?;
    }
    Ok(chunk)
}

/// The chunk so far, to be put among the parts of a chunk of aggregates.
pub(super) fn part(chunk: &XorAppender) -> Chunk<'_> {
    Chunk { encoding: Encoding::Xor, data: chunk.bytes() }
}

#[inline(always)]
fn lower(min: f64, v: f64) -> f64 {
    if v < min { v } else { min }
}

#[inline(always)]
fn higher(max: f64, v: f64) -> f64 {
    if v > max { v } else { max }
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
