//! Go's spelling: `1h30m`, `1.5s`, `300ms`; no unit above the hour.

use std::fmt::Write;

use crate::error::{Error, Result};

/// Units from the largest, in nanoseconds; the micro sign has two spellings.
const UNITS: [(&str, u64); 8] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1000),
    ("\u{b5}s", 1000),
    ("\u{3bc}s", 1000),
    ("ns", 1),
];
/// Magnitude of the least duration.
const LIMIT: u128 = 1 << 63;

/// Reads a duration; nanoseconds. Fractions and any order of units are taken.
///
/// # Errors
/// `Invalid` with Go's text.
pub fn parse_go(s: &str) -> Result<i64> {
    let malformed = || Error::invalid(format!("time: invalid duration {}", quoted(s)));
    let (negative, mut rest) = match s.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, s.strip_prefix('+').unwrap_or(s)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(malformed());
    }
    let mut total = 0u128;
    while !rest.is_empty() {
        let (whole, after) = split_digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => split_digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(malformed());
        }
        let unit_len = after.bytes().take_while(|b| !b.is_ascii_digit() && *b != b'.').count();
        let (unit, after) = after.split_at(unit_len);
        rest = after;
        if unit.is_empty() {
            return Err(Error::invalid(format!("time: missing unit in duration {}", quoted(s))));
        }
        let (_, size) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(|| {
            Error::invalid(format!("time: unknown unit {} in duration {}", quoted(unit), quoted(s)))
        })?;
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| malformed())? };
        total += u128::from(whole) * u128::from(*size) + u128::from(fraction_of(fraction, *size));
        if total > LIMIT {
            return Err(malformed());
        }
    }
    match (negative, i64::try_from(total)) {
        (true, Ok(ns)) => Ok(-ns),
        (true, Err(_)) => Ok(i64::MIN),
        (false, Ok(ns)) => Ok(ns),
        (false, Err(_)) => Err(malformed()),
    }
}

fn split_digits(s: &str) -> (&str, &str) {
    s.split_at(s.bytes().take_while(u8::is_ascii_digit).count())
}

/// `0.digits · size`, cut to whole nanoseconds; digits that no longer fit an i64 do not count.
fn fraction_of(digits: &str, size: u64) -> u64 {
    let (mut value, mut scale) = (0u64, 1f64);
    for b in digits.bytes() {
        let digit = u64::from(b - b'0');
        let Some(next) = value.checked_mul(10).and_then(|v| v.checked_add(digit)) else { break };
        if next > i64::MAX as u64 {
            break;
        }
        value = next;
        scale *= 10.0;
    }
    (value as f64 * (size as f64 / scale)) as u64
}

/// Go's `time` package quotes with an escape for each byte that is not printable ASCII.
fn quoted(s: &str) -> String {
    let mut out = String::from('"');
    for b in s.bytes() {
        match b {
            b'"' | b'\\' => out.extend(['\\', char::from(b)]),
            b' '..=b'\x7f' => out.push(char::from(b)),
            _ => {
                let _ = write!(out, "\\x{b:02x}");
            }
        }
    }
    out.push('"');
    out
}

/// Prints nanoseconds: `1h30m0s`, `1.5s`, `300ms`.
pub fn format_go(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let n = ns.unsigned_abs();
    let text = match n {
        0 => "0s".to_owned(),
        1..1000 => format!("{n}ns"),
        1000..1_000_000 => format!("{}µs", decimal(n, 3)),
        1_000_000..1_000_000_000 => format!("{}ms", decimal(n, 6)),
        _ => {
            let (minutes, seconds) = (n / 60_000_000_000, decimal(n % 60_000_000_000, 9));
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, m) => format!("{m}m{seconds}s"),
                (h, m) => format!("{h}h{m}m{seconds}s"),
            }
        }
    };
    format!("{sign}{text}")
}

/// `n / 10^places` without trailing zeros.
fn decimal(n: u64, places: u32) -> String {
    let unit = 10u64.pow(places);
    let (whole, rest) = (n / unit, n % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let digits = format!("{rest:0width$}", width = places as usize);
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_there_and_back() {
        let check = |s: &str, ns: i64, back: &str| {
            assert_eq!(parse_go(s).ok(), Some(ns), "{s}");
            assert_eq!(format_go(ns), back);
            assert_eq!(parse_go(back).ok(), Some(ns), "{back}");
        };
        check("0", 0, "0s");
        check("1h30m", 5_400_000_000_000, "1h30m0s");
        check("1.5s", 1_500_000_000, "1.5s");
        check("-.5s", -500_000_000, "-500ms");
        check("+5.ms", 5_000_000, "5ms");
        check("1500us", 1_500_000, "1.5ms");
        check("1.5\u{3bc}s", 1500, "1.5µs");
        check("30m1h", 5_400_000_000_000, "1h30m0s");
        check("90m0.25s", 5_400_250_000_000, "1h30m0.25s");
        check("-9223372036854775808ns", i64::MIN, "-2562047h47m16.854775808s");
        check("0.3333333333333333333h", 1_200_000_000_000, "20m0s");
    }

    #[test]
    fn errors_are_in_gos_words() {
        let check = |s: &str, want: &str| {
            assert_eq!(parse_go(s).err().map(|e| e.to_string()).as_deref(), Some(want), "{s}");
        };
        check("", "time: invalid duration \"\"");
        check("3", "time: missing unit in duration \"3\"");
        check("1d", "time: unknown unit \"d\" in duration \"1d\"");
        check("1é", "time: unknown unit \"\\xc3\\xa9\" in duration \"1\\xc3\\xa9\"");
        check(".s", "time: invalid duration \".s\"");
        check("9223372036854775808ns", "time: invalid duration \"9223372036854775808ns\"");
    }
}
