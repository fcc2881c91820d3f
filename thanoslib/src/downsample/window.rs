//! Windows of downsampled data and how many chunks a series of them makes.

use std::ops::Range;

use crate::model::Interval;

/// Most samples that a chunk of aggregates is meant to hold.
const SAMPLES_PER_CHUNK: i64 = 140;

/// Time of the window that `t_ms` lies in, as Thanos has it: its last millisecond.
///
/// Compat: Thanos `pkg/compact/downsample/downsample.go`: the remainder of a negative time is
/// negative, so windows before 1970 are labelled one window late. Downsamplers here label those
/// like all others.
pub fn window_end(t_ms: i64, resolution_ms: i64) -> i64 {
    let rest = t_ms.checked_rem(resolution_ms).unwrap_or(0);
    t_ms.saturating_sub(rest).saturating_add(resolution_ms.saturating_sub(1))
}

/// Last millisecond of the window that `t_ms` lies in; windows have a positive length.
#[inline]
pub(super) fn last_of_window(t_ms: i64, resolution_ms: i64) -> i64 {
    t_ms.saturating_add(resolution_ms - 1 - t_ms.rem_euclid(resolution_ms))
}

/// How many chunks the windows of `samples` samples over `interval` should make, at least one.
///
/// `from_ms` is the usual distance of the samples, `to_ms` the length of the windows; both are
/// positive.
///
/// Source: Thanos `pkg/compact/downsample/downsample.go`.
pub fn target_chunk_count(interval: Interval, from_ms: i64, to_ms: i64, samples: usize) -> i64 {
    let span = interval.maxt.saturating_sub(interval.mint);
    let windows = span.checked_div(to_ms).unwrap_or(0);
    // How much of the time the samples fill, were they `from_ms` apart.
    let possible = span as f64 / from_ms as f64;
    let fullness = (samples as f64 / possible).min(1.0);
    let expected = (windows as f64 * fullness) as i64;
    // The smallest x with (expected + 1) / x <= 140 in integers.
    expected.saturating_add(1) / (SAMPLES_PER_CHUNK + 1) + 1
}

/// How many windows times that never fall make at most.
pub(super) fn most_windows(ts: &[i64], resolution_ms: i64) -> usize {
    let (Some(first), Some(last)) = (ts.first(), ts.last()) else { return 0 };
    // Neither the first nor the last window has to be a whole one.
    let whole = last.saturating_sub(*first) / resolution_ms;
    usize::try_from(whole).unwrap_or(usize::MAX).saturating_add(2).min(ts.len())
}

/// Cuts times that never fall into windows.
///
/// The last window ends with the last sample, so that it can not overlap what follows.
#[derive(Clone, Debug)]
pub(super) struct Windows<'a> {
    ts: &'a [i64],
    resolution_ms: i64,
    at: usize,
    /// Length of the window before, a good guess at that of the next.
    len: usize,
    /// End of the window before on the grid.
    end_ms: Option<i64>,
}

/// How far the length of a window may be from that of the one before, to be found at once.
const NEAR: usize = 2;

impl<'a> Windows<'a> {
    /// The windows of `ts`.
    pub(super) fn new(ts: &'a [i64], resolution_ms: i64) -> Self {
        Self { ts, resolution_ms, at: 0, len: 1, end_ms: None }
    }

    /// Where the window of the first of these times ends on the grid.
    #[inline]
    fn end_ms(&self, first: i64) -> i64 {
        // Mostly it is the next one, and nothing has to be divided.
        let next = self.end_ms.and_then(|end| end.checked_add(self.resolution_ms));
        next.filter(|end| first <= *end).unwrap_or_else(|| last_of_window(first, self.resolution_ms))
    }

    /// Where the window that begins at `start` and lasts until `end_ms` ends.
    #[inline]
    fn end(&self, start: usize, end_ms: i64) -> usize {
        let guess = start + self.len.saturating_sub(NEAR).max(1);
        // Neighbours are counted, so that nothing depends on where between them the end is.
        if let Some([before, near @ .., after]) = self.ts.get(guess - 1..guess + 2 * NEAR + 1)
            && *before <= end_ms
            && *after > end_ms
        {
            return guess + near.iter().map(|t| usize::from(*t <= end_ms)).sum::<usize>();
        }
        start + 1 + self.ts[start + 1..].iter().take_while(|t| **t <= end_ms).count()
    }
}

impl Iterator for Windows<'_> {
    /// The samples of a window and its time.
    type Item = (Range<usize>, i64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (ts, start) = (self.ts, self.at);
        let end_ms = self.end_ms(*ts.get(start)?);
        let end = self.end(start, end_ms);
        (self.at, self.len, self.end_ms) = (end, end - start, Some(end_ms));
        Some((start..end, end_ms.min(*ts.last()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(span_ms: i64, samples: usize, expected: i64) {
        assert_eq!(target_chunk_count(Interval::new(0, span_ms), 60_000, 300_000, samples), expected);
    }

    #[test]
    fn chunks_hold_140_windows_at_most() {
        let windows = |n: i64| n * 300_000;
        check(windows(139), 10_000, 1);
        check(windows(140), 10_000, 2);
        check(windows(281), 10_000, 3);
        check(windows(281), 10, 1);
        check(0, 1, 1);
        assert_eq!(target_chunk_count(Interval::ALL, 1, 1, usize::MAX), i64::MAX / 141 + 1);
        assert_eq!(window_end(0, 300_000), 299_999);
        assert_eq!(window_end(299_999, 300_000), 299_999);
        assert_eq!(window_end(300_000, 300_000), 599_999);
    }

    #[test]
    fn windows_end_on_the_grid_and_the_last_one_with_its_sample() {
        let check = |ts: &[i64], expected: &[(Range<usize>, i64)]| {
            assert_eq!(Windows::new(ts, 10).collect::<Vec<_>>(), expected, "{ts:?}");
        };
        check(&[], &[]);
        check(&[3], &[(0..1, 3)]);
        check(&[0, 5, 9, 10, 15, 19, 20], &[(0..3, 9), (3..6, 19), (6..7, 20)]);
        check(&[1, 1, 35, 36], &[(0..2, 9), (2..4, 36)]);
        check(&[-25, -3, 4], &[(0..1, -21), (1..2, -1), (2..3, 4)]);
        check(&[i64::MIN, i64::MAX - 1, i64::MAX], &[(0..1, i64::MIN + 7), (1..3, i64::MAX)]);
    }
}
