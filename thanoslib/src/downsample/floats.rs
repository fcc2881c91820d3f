//! Windows of float samples: five aggregates in one pass, or one of them at a time.

use super::{chunks::AggrChunks, window::Windows};
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
    counts: Vec<f64>,
    sums: Vec<f64>,
    mins: Vec<f64>,
    maxs: Vec<f64>,
    counters: Vec<f64>,
    /// In the order of the columns.
    chunks: [XorAppender; 5],
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
        let (mut taken, mut counter) = (0, 0.0);
        for (window, end_ms) in Windows::new(ts, resolution_ms).take(WINDOWS_MAX) {
            let (mut sum, mut new) = (0.0, &vs[window.clone()]);
            let (min, max) = bounds(new);
            if let (0, [first, rest @ ..]) = (window.start, new) {
                // The first value of all is where the counter stands.
                (counter, sum, new) = (*first, sum + first, rest);
            }
            // Each value beside the one before it.
            let old = &vs[window.end - 1 - new.len()..window.end - 1];
            for (&v, &last) in new.iter().zip(old) {
                sum += v;
                // After a reset the whole value is growth.
                counter += v - if v < last { 0.0 } else { last };
            }
            self.ts.push(end_ms);
            self.counts.push(window.len() as f64);
            self.sums.push(sum);
            self.mins.push(min);
            self.maxs.push(max);
            self.counters.push(counter);
            taken = window.end;
        }
        taken
    }

    /// Appends the chunk of all windows to `out`.
    ///
    /// The counter begins with the first raw sample, and ends with the last raw value at the
    /// time of the last window: readers find resets between chunks by them.
    pub(super) fn encode(&mut self, first: (i64, f64), last_v: f64, out: &mut AggrChunks) -> Result<()> {
        let Self { ts, counts, sums, mins, maxs, counters, chunks } = self;
        let (Some(mint), Some(maxt)) = (ts.first(), ts.last()) else { return Ok(()) };
        let [count, sum, min, max, counter] = chunks;
        for (chunk, vs) in [(count, counts), (sum, sums), (min, mins), (max, maxs)] {
            chunk.restart();
            chunk.extend(ts, vs)?;
        }
        encode_counter(first, (ts, counters), last_v, counter)?;
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

/// Values that are compared side by side.
const LANES: usize = 4;

/// Smallest and largest value; none is NaN.
///
/// Compat: without values below the greatest finite float, that is the smallest, and the other
/// way round. Of zeros, which are equal, the first one is given.
fn bounds(vs: &[f64]) -> (f64, f64) {
    let (mut mins, mut maxs) = ([f64::MAX; LANES], [f64::MIN; LANES]);
    let (blocks, rest) = vs.as_chunks::<LANES>();
    for block in blocks {
        for i in 0..LANES {
            mins[i] = lower(mins[i], block[i]);
            maxs[i] = higher(maxs[i], block[i]);
        }
    }
    let min = rest.iter().copied().chain(mins).fold(f64::MAX, lower);
    let max = rest.iter().copied().chain(maxs).fold(f64::MIN, higher);
    let first = |v: f64| if v == 0.0 { vs.iter().copied().find(|v| *v == 0.0).unwrap_or(v) } else { v };
    (first(min), first(max))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(vs: &[f64], expected: (f64, f64)) {
        let (min, max) = bounds(vs);
        assert_eq!((min.to_bits(), max.to_bits()), (expected.0.to_bits(), expected.1.to_bits()), "{vs:?}");
    }

    #[test]
    fn bounds_do_not_depend_on_lanes() {
        check(&[3.0, 1.0, 2.0], (1.0, 3.0));
        check(&[3.0, 1.0, 2.0, 9.0, -4.0, 5.0, 6.0, 7.0, 8.0], (-4.0, 9.0));
        check(&[0.0, -0.0, 1.0, 2.0, -0.0], (0.0, 2.0));
        check(&[-1.0, 5.0, -0.0, 0.0, -0.0], (-1.0, 5.0));
        check(&[-1.0, -0.0, 0.0], (-1.0, -0.0));
        check(&[f64::INFINITY; 9], (f64::MAX, f64::INFINITY));
        check(&[f64::NEG_INFINITY; 4], (f64::NEG_INFINITY, f64::MIN));
    }
}
