//! Prometheus' spelling: `1y2w3d4h5m6s7ms`, units in this order and each at most once.

use crate::{
    error::{Error, Result},
    model::float::Quoted,
};

/// Units from the largest, in milliseconds.
const UNITS: [(&str, u64); 7] =
    [("y", 365 * DAY), ("w", 7 * DAY), ("d", DAY), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
const DAY: u64 = 86_400_000;
/// Durations are nanoseconds in 64 bits upstream, which ends after about 292 years.
const MAX_NS: u128 = i64::MAX as u128;
const NS_PER_MS: u128 = 1_000_000;

/// Reads a duration; milliseconds, at most about 292 years. `0` needs no unit.
///
/// # Errors
/// `Invalid` with upstream's text.
pub fn parse(s: &str) -> Result<i64> {
    let malformed = || Error::invalid(format!("not a valid duration string: {}", Quoted::text(s)));
    let too_long = || Error::invalid("duration out of range");
    match s {
        "0" => return Ok(0),
        "" => return Err(Error::invalid("empty duration string")),
        _ => {}
    }
    let mut total = 0u128;
    let mut next_unit = 0;
    let mut rest = s;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| malformed())?;
        rest = &rest[digits..];
        let unit_len = rest.bytes().take_while(|b| !b.is_ascii_digit()).count();
        let (unit, after) = rest.split_at(unit_len);
        if unit.is_empty() {
            return Err(malformed());
        }
        rest = after;
        let place = UNITS.iter().position(|(name, _)| *name == unit).ok_or_else(|| {
            Error::invalid(format!("unknown unit {} in duration {}", Quoted::text(unit), Quoted::text(s)))
        })?;
        if place < next_unit {
            return Err(malformed());
        }
        next_unit = place + 1;
        total += u128::from(number) * u128::from(UNITS[place].1);
        if total * NS_PER_MS > MAX_NS {
            return Err(too_long());
        }
    }
    i64::try_from(total).map_err(|_| too_long())
}

/// Reads a duration that may have a minus sign in front; milliseconds.
///
/// # Errors
/// Those of [`parse`].
pub fn parse_allow_negative(s: &str) -> Result<i64> {
    match s.strip_prefix('-') {
        Some(positive) => parse(positive).map(|ms| -ms),
        None => parse(s),
    }
}

/// Prints milliseconds: `1h30m`. Years, weeks and days are used only where they fit exactly.
pub fn format(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    if ms < 0 {
        out.push('-');
    }
    let mut left = ms.unsigned_abs();
    for (name, size) in UNITS {
        let only_exact = matches!(name, "y" | "w");
        if left >= size && (!only_exact || left.is_multiple_of(size)) {
            out.push_str(&(left / size).to_string());
            out.push_str(name);
            left %= size;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_there_and_back() {
        let check = |s: &str, ms: i64, back: &str| {
            assert_eq!(parse_allow_negative(s).ok(), Some(ms), "{s}");
            assert_eq!(format(ms), back);
        };
        check("0", 0, "0s");
        check("1h30m", 5_400_000, "1h30m");
        check("90s", 90_000, "1m30s");
        check("2w", 14 * 86_400_000, "2w");
        check("10d", 10 * 86_400_000, "10d");
        check("366d", 366 * 86_400_000, "366d");
        check("-1h", -3_600_000, "-1h");
        check("1y", 365 * 86_400_000, "1y");
    }

    #[test]
    fn malformed_texts_are_refused() {
        for s in ["", "1", "-", "1h1h", "1m1h", "1.5h", "h", "300y", "99999999999999999999s", "1é"] {
            assert!(parse(s).is_err(), "{s}");
        }
    }
}
