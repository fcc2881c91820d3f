//! RFC 3339 times, as Go's `time` package reads and prints them.

use super::api::UnixTime;

/// Reads `2006-01-02T15:04:05.999Z` or with an offset such as `+01:00`.
///
/// Like Go's reader it takes an hour of one digit and a comma before the fraction, whose digits
/// after the ninth do not count. `None` when the text is no time.
pub(crate) fn parse_rfc3339(s: &str) -> Option<UnixTime> {
    let mut s = s.as_bytes();
    let year = digits(&mut s, 4, 4)?;
    let month = field(&mut s, b'-', 2)?;
    let day = field(&mut s, b'-', 2)?;
    token(&mut s, b'T')?;
    let hour = digits(&mut s, 1, 2)?;
    let minute = field(&mut s, b':', 2)?;
    let second = field(&mut s, b':', 2)?;
    let nanos = match s {
        [b'.' | b',', b'0'..=b'9', ..] => {
            s = &s[1..];
            fraction(&mut s)
        }
        _ => 0,
    };
    let offset = match s {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), rest @ ..] => {
            let mut rest = rest;
            let hours = digits(&mut rest, 2, 2)?;
            let minutes = field(&mut rest, b':', 2)?;
            if hours > 24 || minutes > 60 || !rest.is_empty() {
                return None;
            }
            let seconds = hours * 3600 + minutes * 60;
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    let valid = (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let days = days_from_civil(year, month, day);
    let secs = days * 86_400 + hour * 3600 + minute * 60 + second - offset;
    valid.then_some(UnixTime { secs, nanos })
}

/// Prints a time in UTC, with as many decimals as needed: `2006-01-02T15:04:05.5Z`.
pub fn format_rfc3339(time: UnixTime) -> String {
    let (days, second) = (time.secs.div_euclid(86_400), time.secs.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(days);
    let sign = if year < 0 { "-" } else { "" };
    let mut out = format!(
        "{sign}{:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
        year.unsigned_abs(),
        second / 3600,
        second / 60 % 60,
        second % 60
    );
    if time.nanos > 0 {
        let decimals = format!("{:09}", time.nanos);
        out.push('.');
        out.push_str(decimals.trim_end_matches('0'));
    }
    out.push('Z');
    out
}

fn token(s: &mut &[u8], want: u8) -> Option<()> {
    let (first, rest) = s.split_first()?;
    *s = rest;
    (*first == want).then_some(())
}

/// Reads at least `min` and at most `max` digits.
fn digits(s: &mut &[u8], min: usize, max: usize) -> Option<i64> {
    let n = s.iter().take(max).take_while(|b| b.is_ascii_digit()).count();
    let (number, rest) = s.split_at(n);
    *s = rest;
    (n >= min).then(|| number.iter().fold(0, |v, b| v * 10 + i64::from(b - b'0')))
}

fn field(s: &mut &[u8], separator: u8, len: usize) -> Option<i64> {
    token(s, separator)?;
    digits(s, len, len)
}

fn fraction(s: &mut &[u8]) -> u32 {
    let n = s.iter().take_while(|b| b.is_ascii_digit()).count();
    let (number, rest) = s.split_at(n);
    *s = rest;
    number.iter().chain(&[b'0'; 9]).take(9).fold(0, |v, b| v * 10 + u32::from(b - b'0'))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of 400 years.
const ERA: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: i64 = 719_468;

/// Days since 1970. Years start in March here, so that the leap day is the last of its year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year.div_euclid(400) * ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH;
    let of_era = days.rem_euclid(ERA);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + days.div_euclid(ERA) * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_go_there_and_back() {
        for days in (-800_000..3_000_000).step_by(97) {
            let (y, m, d) = civil_from_days(days);
            assert_eq!(days_from_civil(y, m, d), days);
            assert!((1..=days_in(y, m)).contains(&d), "{y}-{m}-{d}");
        }
        assert_eq!(civil_from_days(0), (1970, 1, 1));
    }

    #[test]
    fn times() {
        let check = |s: &str, want: Option<(i64, u32)>| {
            assert_eq!(parse_rfc3339(s).map(|t| (t.secs, t.nanos)), want, "{s}");
        };
        check("1970-01-01T00:00:01.5Z", Some((1, 500_000_000)));
        check("1970-01-01T01:00:00+01:00", Some((0, 0)));
        check("1970-01-01T1:00:00,25Z", Some((3600, 250_000_000)));
        check("2015-02-29T00:00:00Z", None);
        check("1970-01-01T00:00:00", None);
        check("1970-01-01T00:00:00Zx", None);
        check("", None);
        let text = format_rfc3339(UnixTime { secs: -1, nanos: 999_500_000 });
        assert_eq!(text, "1969-12-31T23:59:59.9995Z");
    }
}
