//! The ends of a window that cuts windows of downsampled data, or spans two resolutions.

use std::ops::Range;

use crate::promql::{Grain, Stretch};

/// How the change of a window is carried on to one of its ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    /// By the mean distance of the samples in the window, as Prometheus does.
    Mean,
    /// By the usual distance of samples on this side, in seconds.
    Interval(f64),
    /// By this part of the step to the next sample outside.
    Part(f64),
    /// By so many seconds from the last scrape, which is by `late` older than the sample.
    Reach { seconds: f64, late: f64 },
}

/// Both ends of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ends {
    pub(super) before: End,
    pub(super) after: End,
}

impl Ends {
    /// The ends of a window of scraped samples.
    pub(super) const PLAIN: Self = Self { before: End::Mean, after: End::Mean };

    /// The ends of the window `(start_ms, end_ms]`, whose samples are `range` of `times`.
    ///
    /// A sample of downsampled data stands for all since the sample before, unless one is
    /// missing in between: of that step the window gets its part. A window of two resolutions
    /// has at each end the distance of the samples there, not a mean of both.
    pub(super) fn of(
        grain: Option<&Grain>,
        times: &[i64],
        range: &Range<usize>,
        start_ms: i64,
        end_ms: i64,
    ) -> Self {
        let Some(grain) = grain else { return Self::PLAIN };
        let inside = times.get(range.clone()).unwrap_or_default();
        let (Some(&first), Some(&last)) = (inside.first(), inside.last()) else { return Self::PLAIN };
        let (Some(left), Some(right)) = (grain.at(first), grain.at(last)) else { return Self::PLAIN };
        let seam = left != right;
        let outside = |i: Option<usize>| {
            let t = *times.get(i?)?;
            Some((t, grain.at(t)?))
        };
        let before = match outside(range.start.checked_sub(1)) {
            // The first sample of a chunk of windows is the one of its first scrape.
            Some((_, before)) if is_scrape(left, first) && before.window_ms == 0 => {
                End::Interval(seconds(0, before.interval_ms))
            }
            Some((t, before)) if one_step(t, first, left.window_ms) => {
                End::Part(part(left.scrape_ms(first), start_ms, before.scrape_ms(t)))
            }
            None if is_scrape(left, first) => End::Interval(seconds(0, left.lag_ms)),
            _ if seam => End::Interval(seconds(0, left.interval_ms)),
            _ => End::Mean,
        };
        // A window that nothing follows may have been scraped in part only.
        let cut = |t: i64| {
            outside(Some(range.end + 1))
                .is_some_and(|(u, s)| !one_step(t, u, s.window_ms.max(right.window_ms)))
        };
        let after = match outside(Some(range.end)) {
            Some((t, after)) if one_step(last, t, after.window_ms) && after.ends_window(t) && cut(t) => {
                End::Interval(seconds(0, right.interval_ms))
            }
            Some((t, after)) if one_step(last, t, after.window_ms) => {
                End::Part(part(right.scrape_ms(last), end_ms, after.scrape_ms(t)))
            }
            // Windows are missing behind: there was no scrape.
            Some(_) if right.window_ms > 0 => reach(right, last, end_ms),
            None if is_scrape(right, last) => reach(right, last, end_ms),
            _ if seam => End::Interval(seconds(0, right.interval_ms)),
            _ => End::Mean,
        };
        Self { before, after }
    }
}

/// True for a sample of downsampled data that carries the time of a scrape.
fn is_scrape(stretch: Stretch, t_ms: i64) -> bool {
    stretch.window_ms > 0 && !stretch.ends_window(t_ms)
}

/// A window whose last scrape was not followed by another for long.
fn reach(stretch: Stretch, last: i64, end_ms: i64) -> End {
    let scrape = stretch.scrape_ms(last);
    End::Reach { seconds: seconds(scrape, end_ms.min(scrape + stretch.lag_ms)), late: seconds(scrape, last) }
}

fn seconds(from_ms: i64, to_ms: i64) -> f64 {
    to_ms.wrapping_sub(from_ms) as f64 / 1000.0
}

/// True when no window is missing between two samples, the later of which stands for one.
fn one_step(from_ms: i64, to_ms: i64, window_ms: i64) -> bool {
    let step = to_ms.saturating_sub(from_ms);
    step > 0 && step <= window_ms.saturating_add(window_ms / 2)
}

/// The part of the way from `from` to `to` that lies before `cut`.
fn part(from: i64, cut: i64, to: i64) -> f64 {
    cut.wrapping_sub(from) as f64 / to.wrapping_sub(from) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::Stretch;

    fn check(window: (i64, i64), range: Range<usize>, before: End, after: End) {
        let stretches = vec![
            Stretch { until_ms: 299, interval_ms: 100, window_ms: 100, lag_ms: 20 },
            Stretch { until_ms: 339, interval_ms: 10, window_ms: 0, lag_ms: 0 },
        ];
        let grain = Grain { stretches, ..Grain::default() };
        let times = [99, 199, 299, 309, 319, 329, 339];
        let got = Ends::of(Some(&grain), &times, &range, window.0, window.1);
        assert_eq!(got, Ends { before, after });
        assert_eq!(Ends::of(None, &times, &range, window.0, window.1), Ends::PLAIN);
    }

    #[test]
    fn downsampled_windows_are_cut_and_scraped_samples_extrapolated() {
        check((149, 249), 1..2, End::Part(0.3), End::Part(0.7));
        check((129, 314), 1..4, End::Part(0.5), End::Interval(0.01));
        // Nothing is known before the first sample.
        check((49, 299), 0..3, End::Mean, End::Reach { seconds: 0.02, late: 0.02 });
        check((49, 309), 0..4, End::Interval(0.1), End::Interval(0.01));
        check((304, 339), 3..7, End::Mean, End::Mean);
    }
}
