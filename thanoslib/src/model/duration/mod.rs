//! Durations, times and byte sizes as text: in Prometheus' and in Go's spelling, and as the HTTP
//! API takes them.
//!
//! Invariant: pure functions from text to numbers and back; knows no flags, no requests, no clock.

mod api;
mod go;
mod prometheus;
mod rfc3339;
mod size;

pub use api::{MAX_TIME_MS, MIN_TIME_MS, UnixTime, parse_api_duration, parse_api_time};
pub use go::{format_go, parse_go};
pub use prometheus::{format, parse, parse_allow_negative};
pub use rfc3339::format_rfc3339;
pub(crate) use rfc3339::parse_rfc3339;
pub use size::parse_size;

use crate::error::{Error, Result};

const NS_PER_MS: i64 = 1_000_000;

/// Reads the duration of a flag or a configuration field, in either spelling; nanoseconds.
///
/// Prometheus' spelling is tried first, then Go's. The two agree where both can be read.
///
/// # Errors
/// `Invalid` when neither fits.
pub fn parse_flag(s: &str) -> Result<i64> {
    match parse_allow_negative(s) {
        Ok(ms) => Ok(ms * NS_PER_MS),
        Err(prometheus) => parse_go(s).map_err(|go| Error::invalid(format!("{prometheus}; {go}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_take_both_spellings() {
        let check = |s: &str, want: Option<i64>| assert_eq!(parse_flag(s).ok(), want, "{s}");
        check("15d", Some(15 * 86_400_000_000_000));
        check("1.5s", Some(1_500_000_000));
        check("300us", Some(300_000));
        check("1h30m", Some(5_400_000_000_000));
        check("-1m", Some(-60_000_000_000));
        check("0", Some(0));
        check("1d1.5s", None);
        check("", None);
    }
}
