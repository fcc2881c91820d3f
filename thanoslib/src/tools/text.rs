//! Times and numbers as people and tables want them.
//!
//! Invariant: pure; the zone is handed in.

use std::{fmt, sync::Arc};

use crate::{
    error::{Error, Result},
    model::duration::{UnixTime, format_rfc3339, parse_allow_negative, parse_rfc3339},
};

/// Offset from UTC, in seconds, at a time of Unix seconds; UTC by default.
///
/// ```
/// use thanoslib::tools::{LsSettings, Zone};
/// let settings = LsSettings { zone: Zone::new(|_unix_s| 3_600), ..LsSettings::default() };
/// # assert!(format!("{settings:?}").contains("Zone"));
/// ```
#[derive(Clone)]
pub struct Zone(Arc<dyn Fn(i64) -> i32 + Send + Sync>);

impl Zone {
    /// A zone that asks for the offset of each time.
    pub fn new(offset_s: impl Fn(i64) -> i32 + Send + Sync + 'static) -> Self {
        Self(Arc::new(offset_s))
    }

    /// RFC 3339 in whole seconds.
    pub(super) fn rfc3339(&self, unix_ms: i64) -> String {
        // Compat: Go divides towards zero.
        let secs = unix_ms / 1000;
        let offset = i64::from((self.0)(secs)) / 60 * 60;
        let text = format_rfc3339(UnixTime { secs: secs.saturating_add(offset), nanos: 0 });
        if offset == 0 {
            return text;
        }
        let sign = if offset < 0 { '-' } else { '+' };
        let minutes = offset.abs() / 60;
        format!("{}{sign}{:02}:{:02}", text.trim_end_matches('Z'), minutes / 60, minutes % 60)
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::new(|_| 0)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Zone")
    }
}

/// Reads a time of a flag: RFC 3339, or a duration from now such as `-2w`; milliseconds.
///
/// # Errors
/// `Invalid` when it is neither.
pub fn parse_time(text: &str, now_ms: i64) -> Result<i64> {
    if let Some(time) = parse_rfc3339(text) {
        return Ok(time.ms());
    }
    let duration = parse_allow_negative(text.strip_prefix('+').unwrap_or(text)).map_err(|e| {
        Error::invalid(format!("{text:?} is neither an RFC 3339 time nor a duration")).with_source(e)
    })?;
    Ok(now_ms.saturating_add(duration))
}

/// A number with a comma at every thousand.
pub(super) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_absolute_or_from_now() {
        let check = |text: &str, want: Option<i64>| assert_eq!(parse_time(text, 1000).ok(), want, "{text}");
        check("1970-01-01T00:00:02Z", Some(2000));
        check("1970-01-01T01:00:00+01:00", Some(0));
        check("0000-01-01T00:00:00Z", Some(-62_167_219_200_000));
        check("9999-12-31T23:59:59Z", Some(253_402_300_799_000));
        check("-1s", Some(0));
        check("1m", Some(61_000));
        check("yesterday", None);
        check("", None);
    }

    #[test]
    fn times_show_their_zone() {
        let check = |offset: i32, want: &str| {
            assert_eq!(Zone::new(move |_| offset).rfc3339(1_700_006_400_999), want);
        };
        check(0, "2023-11-15T00:00:00Z");
        check(19_800, "2023-11-15T05:30:00+05:30");
        check(-18_000, "2023-11-14T19:00:00-05:00");
    }

    #[test]
    fn thousands_are_set_apart() {
        let check = |n: u64, want: &str| assert_eq!(thousands(n), want);
        check(0, "0");
        check(999, "999");
        check(1000, "1,000");
        check(1_234_567, "1,234,567");
    }
}
