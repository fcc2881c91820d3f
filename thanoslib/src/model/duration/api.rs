//! Times and durations as parameters of the HTTP API.

use super::{format_rfc3339, parse, parse_rfc3339};
use crate::{
    error::{Error, Result},
    model::float::{Quoted, parse_float},
};

/// A time in seconds and nanoseconds since 1970, UTC.
///
/// ```
/// use thanoslib::model::duration::{UnixTime, parse_api_time};
/// assert_eq!(parse_api_time("1.5")?, UnixTime::from_ms(1_500));
/// assert_eq!(parse_api_time("2026-01-02T03:04:05Z")?.ms(), 1_767_323_045_000);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime {
    /// Whole seconds, rounded down.
    pub secs: i64,
    /// Nanoseconds after them, below 10⁹.
    pub nanos: u32,
}

impl UnixTime {
    /// The time of so many milliseconds since 1970.
    pub fn from_ms(ms: i64) -> Self {
        Self { secs: ms.div_euclid(1000), nanos: ms.rem_euclid(1000) as u32 * 1_000_000 }
    }

    /// Milliseconds; wraps around beyond 64 bits, as upstream does.
    pub fn ms(self) -> i64 {
        self.secs.wrapping_mul(1000).wrapping_add(i64::from(self.nanos / 1_000_000))
    }
}

/// Least time of the HTTP API, in milliseconds.
pub const MIN_TIME_MS: i64 = -9_223_309_901_257_974_000;
/// Greatest time of the HTTP API, in milliseconds.
pub const MAX_TIME_MS: i64 = 9_223_309_901_257_974_999;

/// The bounds as times; their texts have years that RFC 3339 cannot spell.
const BOUNDS: [UnixTime; 2] = [
    UnixTime { secs: -9_223_309_901_257_974, nanos: 0 },
    UnixTime { secs: 9_223_309_901_257_974, nanos: 999_999_999 },
];

/// Reads a time: seconds since 1970 as a float, rounded to milliseconds, or RFC 3339.
///
/// Compat: floats that fit no 64-bit number give what upstream's conversion gives on amd64.
///
/// # Errors
/// `Invalid` with upstream's text.
pub fn parse_api_time(s: &str) -> Result<UnixTime> {
    if let Ok(seconds) = parse_float(s) {
        return Ok(from_seconds(seconds));
    }
    parse_rfc3339(s)
        .or_else(|| BOUNDS.into_iter().find(|t| format_rfc3339(*t) == s))
        .ok_or_else(|| Error::invalid(format!("cannot parse {} to a valid timestamp", Quoted::text(s))))
}

/// Reads a duration: seconds as a float, or Prometheus' spelling; nanoseconds.
///
/// Compat: floats that fit no 64-bit number give what upstream's conversion gives on amd64.
///
/// # Errors
/// `Invalid` with upstream's text.
pub fn parse_api_duration(s: &str) -> Result<i64> {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    let refuse =
        |why: &str| Error::invalid(format!("cannot parse {} to a valid duration{why}", Quoted::text(s)));
    match parse_float(s) {
        Ok(seconds) if (seconds * 1e9).abs() > BOUND => Err(refuse(". It overflows int64")),
        Ok(seconds) => Ok(amd64_int(seconds * 1e9)),
        Err(_) => parse(s).map(|ms| ms * super::NS_PER_MS).map_err(|_| refuse("")),
    }
}

fn from_seconds(t: f64) -> UnixTime {
    // An infinite number has no fraction.
    let fraction = if t.is_infinite() { f64::NAN } else { t.fract() };
    let nanos = amd64_int((fraction * 1000.0).round() / 1000.0 * 1e9);
    let secs = amd64_int(t.trunc()).wrapping_add(nanos.div_euclid(1_000_000_000));
    UnixTime { secs, nanos: nanos.rem_euclid(1_000_000_000) as u32 }
}

/// Conversion as the amd64 instruction does it: what does not fit becomes the least number.
fn amd64_int(v: f64) -> i64 {
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&v) { v as i64 } else { i64::MIN }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_durations() {
        let check = |s: &str, want: Option<i64>| {
            assert_eq!(parse_api_time(s).ok().map(UnixTime::ms), want, "{s}");
        };
        check("1.5", Some(1500));
        check("-1.5", Some(-1500));
        check("1970-01-01T00:00:01Z", Some(1000));
        check("1h", None);
        check("-292273086-05-16T16:47:06Z", Some(MIN_TIME_MS));
        check("292277025-08-18T07:12:54.999999999Z", Some(MAX_TIME_MS));
        assert_eq!(parse_api_duration("1.5").ok(), Some(1_500_000_000));
        assert_eq!(parse_api_duration("1m").ok(), Some(60_000_000_000));
        assert!(parse_api_duration("1e10").is_err());
    }
}
