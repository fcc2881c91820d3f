//! Windows of time whose ends may move with the clock.

use std::str::FromStr;

use super::{
    Interval,
    duration::{parse_allow_negative, parse_rfc3339},
};
use crate::error::{Error, Result};

/// An end of the time that a store serves.
///
/// ```
/// use thanoslib::model::TimeBound;
/// let day: TimeBound = "-1d".parse()?;
/// assert_eq!(day.at(86_400_000), 0);
/// assert_eq!("1970-01-01T00:00:01Z".parse::<TimeBound>()?.at(0), 1_000);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeBound {
    /// A time in ms.
    At(i64),
    /// So many ms from now; negative for the past.
    FromNow(i64),
}

impl Default for TimeBound {
    /// The year 0, the default of Thanos.
    fn default() -> Self {
        Self::At(-62_167_219_200_000)
    }
}

impl TimeBound {
    /// The time in ms, when it is `now_ms`.
    pub fn at(self, now_ms: i64) -> i64 {
        match self {
            Self::At(t) => t,
            Self::FromNow(ms) => now_ms.saturating_add(ms),
        }
    }
}

impl FromStr for TimeBound {
    type Err = Error;

    /// Reads RFC 3339, or a duration such as `-2h`.
    fn from_str(text: &str) -> Result<Self> {
        if let Some(time) = parse_rfc3339(text) {
            return Ok(Self::At(time.ms()));
        }
        parse_allow_negative(text)
            .map(Self::FromNow)
            .map_err(|_| Error::invalid(format!("{text:?} is neither a time (RFC 3339) nor a duration")))
    }
}

/// The time that a store serves, both ends inside.
///
/// ```
/// use thanoslib::model::{Interval, TimeBound, TimeWindow};
/// let window = TimeWindow { max: TimeBound::FromNow(-60_000), ..Interval::new(0, 9).into() };
/// assert_eq!(window.at(100_000), Interval::new(0, 40_000));
/// assert_eq!(TimeWindow::default().at(0), Interval::ALL);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeWindow {
    /// Its begin.
    pub min: TimeBound,
    /// Its end.
    pub max: TimeBound,
}

impl TimeWindow {
    /// The window when it is `now_ms`; nothing lies inside when its end is before its begin.
    pub fn at(self, now_ms: i64) -> Interval {
        Interval::new(self.min.at(now_ms), self.max.at(now_ms))
    }
}

impl Default for TimeWindow {
    /// All time.
    fn default() -> Self {
        Interval::ALL.into()
    }
}

impl From<Interval> for TimeWindow {
    fn from(interval: Interval) -> Self {
        Self { min: TimeBound::At(interval.mint), max: TimeBound::At(interval.maxt) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn least_times_are_absolute_or_relative() {
        let check = |text: &str, want: Option<TimeBound>| assert_eq!(text.parse().ok(), want, "{text}");
        check("0000-01-01T00:00:00Z", Some(TimeBound::default()));
        check("-2h", Some(TimeBound::FromNow(-7_200_000)));
        check("1d", Some(TimeBound::FromNow(86_400_000)));
        check("soon", None);
        check("", None);
    }
}
