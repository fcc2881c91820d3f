//! Time ranges whose type says which ends belong to them.

use std::fmt;

/// Half-open range `[mint, maxt)` in milliseconds: what a block covers.
///
/// ```
/// use thanoslib::model::{Interval, TimeRange};
/// let block = TimeRange::new(0, 7_200_000);
/// assert!(block.overlaps(Interval::new(7_199_999, 7_200_000)));
/// assert!(!block.overlaps(Interval::new(7_200_000, 7_200_000)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// First millisecond inside.
    pub mint: i64,
    /// First millisecond after.
    pub maxt: i64,
}

/// Range `[mint, maxt]` in milliseconds, both ends inside: what requests and chunks cover.
///
/// ```
/// use thanoslib::model::Interval;
/// let (day, hour) = (Interval::new(0, 86_400_000), Interval::new(-3_600_000, 3_600_000));
/// assert_eq!(day.intersect(hour), Some(Interval::new(0, 3_600_000)));
/// assert!(day.contains(86_400_000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Interval {
    /// First millisecond inside.
    pub mint: i64,
    /// Last millisecond inside.
    pub maxt: i64,
}

impl TimeRange {
    /// The range `[mint, maxt)`.
    pub const fn new(mint: i64, maxt: i64) -> Self {
        Self { mint, maxt }
    }

    /// True when some millisecond lies in both.
    pub fn overlaps(self, interval: Interval) -> bool {
        self.mint <= interval.maxt && interval.mint < self.maxt
    }

    /// True when nothing lies inside.
    pub fn is_empty(self) -> bool {
        self.mint >= self.maxt
    }

    /// The same milliseconds as an inclusive interval; `None` when empty.
    pub fn interval(self) -> Option<Interval> {
        (!self.is_empty()).then(|| Interval::new(self.mint, self.maxt - 1))
    }
}

impl Interval {
    /// Every representable time.
    pub const ALL: Interval = Interval { mint: i64::MIN, maxt: i64::MAX };

    /// The range `[mint, maxt]`.
    pub const fn new(mint: i64, maxt: i64) -> Self {
        Self { mint, maxt }
    }

    /// True when `t` lies inside.
    #[inline]
    pub fn contains(self, t_ms: i64) -> bool {
        self.mint <= t_ms && t_ms <= self.maxt
    }

    /// True when some millisecond lies in both.
    pub fn overlaps(self, other: Interval) -> bool {
        self.mint <= other.maxt && other.mint <= self.maxt
    }

    /// The milliseconds that lie in both; `None` when there are none.
    pub fn intersect(self, other: Interval) -> Option<Interval> {
        let both = Interval::new(self.mint.max(other.mint), self.maxt.min(other.maxt));
        (both.mint <= both.maxt).then_some(both)
    }
}

impl fmt::Display for TimeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.mint, self.maxt)
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {}]", self.mint, self.maxt)
    }
}

/// How coarse the samples of a block are.
///
/// ```
/// use thanoslib::model::Resolution;
/// assert_eq!(Resolution::from_window_ms(300_000).map(Resolution::window_ms), Some(300_000));
/// assert_eq!(Resolution::from_window_ms(60_000), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Resolution {
    /// Samples as scraped.
    #[default]
    Raw,
    /// One aggregate every five minutes.
    FiveMinutes,
    /// One aggregate an hour.
    OneHour,
}

impl Resolution {
    /// Every resolution, finest first.
    pub const ALL: [Resolution; 3] = [Resolution::Raw, Resolution::FiveMinutes, Resolution::OneHour];

    /// Window length: 0, 300 000 or 3 600 000 ms.
    pub const fn window_ms(self) -> i64 {
        match self {
            Resolution::Raw => 0,
            Resolution::FiveMinutes => 300_000,
            Resolution::OneHour => 3_600_000,
        }
    }

    /// The resolution of this window length, if it is one of the three.
    pub const fn from_window_ms(ms: i64) -> Option<Self> {
        match ms {
            0 => Some(Resolution::Raw),
            300_000 => Some(Resolution::FiveMinutes),
            3_600_000 => Some(Resolution::OneHour),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_ranges_exclude_their_end_and_requests_include_it() {
        let block = TimeRange::new(10, 20);
        assert!(block.overlaps(Interval::new(19, 30)));
        assert!(!block.overlaps(Interval::new(20, 30)));
        assert!(block.overlaps(Interval::new(0, 10)));
        assert_eq!(block.interval(), Some(Interval::new(10, 19)));
        assert_eq!(TimeRange::new(5, 5).interval(), None);
        assert!(Interval::ALL.contains(i64::MAX) && Interval::ALL.contains(i64::MIN));
    }
}
