//! Windows of downsampled data and how many chunks a series of them makes.

use crate::model::Interval;

/// Most samples that a chunk of aggregates is meant to hold.
const SAMPLES_PER_CHUNK: i64 = 140;

/// Last millisecond of the window that `t_ms` lies in, which is the time of the window.
///
/// Compat: Thanos `pkg/compact/downsample/downsample.go`: the remainder of a negative time is
/// negative, so windows before 1970 are labelled one window late.
pub fn window_end(t_ms: i64, resolution_ms: i64) -> i64 {
    let rest = t_ms.checked_rem(resolution_ms).unwrap_or(0);
    t_ms.saturating_sub(rest).saturating_add(resolution_ms).saturating_sub(1)
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
    let possible = span.checked_div(from_ms).unwrap_or(0);
    let fullness = (samples as f64 / possible as f64).min(1.0);
    let expected = (windows as f64 * fullness) as i64 + 1;
    // The smallest x with expected / x <= 140 in integers.
    (expected / (SAMPLES_PER_CHUNK + 1) + 1).max(1)
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
        assert_eq!(window_end(0, 300_000), 299_999);
        assert_eq!(window_end(299_999, 300_000), 299_999);
        assert_eq!(window_end(300_000, 300_000), 599_999);
    }
}
