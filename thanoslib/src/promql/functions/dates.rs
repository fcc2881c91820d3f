//! Parts of dates, in UTC, from seconds since the Unix epoch.

use std::fmt;

use crate::promql::ast::FunctionId as Id;

/// A part of a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Minute,
    Hour,
    DayOfWeek,
    DayOfMonth,
    DayOfYear,
    DaysInMonth,
    Month,
    Year,
}

/// The part of a date that a function gives.
pub(super) fn field(id: Id) -> Option<Field> {
    Some(match id {
        Id::Minute => Field::Minute,
        Id::Hour => Field::Hour,
        Id::DayOfWeek => Field::DayOfWeek,
        Id::DayOfMonth => Field::DayOfMonth,
        Id::DayOfYear => Field::DayOfYear,
        Id::DaysInMonth => Field::DaysInMonth,
        Id::Month => Field::Month,
        Id::Year => Field::Year,
        _ => return None,
    })
}

/// The part of the date at `v` seconds, of which the fraction is cut off.
pub(super) fn apply(field: Field, v: f64) -> f64 {
    let date = Date::at(seconds(v));
    let n = match field {
        Field::Minute => date.second_of_day / 60 % 60,
        Field::Hour => date.second_of_day / 3600,
        // The epoch was a Thursday.
        Field::DayOfWeek => (date.day + 4).rem_euclid(7),
        Field::DayOfMonth => date.day_of_month,
        Field::DayOfYear => date.day - first_day(date.year, 1) + 1,
        Field::DaysInMonth => {
            let (year, month) =
                if date.month == 12 { (date.year + 1, 1) } else { (date.year, date.month + 1) };
            first_day(year, month) - first_day(date.year, date.month)
        }
        Field::Month => date.month,
        Field::Year => date.year,
    };
    n as f64
}

/// Seconds as an integer; what no 64-bit integer holds is the least of them, as on amd64.
fn seconds(v: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&v) { v as i64 } else { i64::MIN }
}

/// A day and a second in it.
#[derive(Clone, Copy, Debug)]
struct Date {
    /// Days since the epoch.
    day: i64,
    second_of_day: i64,
    year: i64,
    /// From 1.
    month: i64,
    /// From 1.
    day_of_month: i64,
}

/// The earliest second that Go's `time` can name; earlier ones wrap around to far years.
const GO_FIRST_SECOND: i64 = -9_223_372_028_715_321_600;

impl Date {
    fn at(seconds: i64) -> Self {
        let wrapped = if seconds < GO_FIRST_SECOND { 1i128 << 64 } else { 0 };
        let seconds = i128::from(seconds) + wrapped;
        // 2^64 seconds are less than 2^48 days.
        let day = seconds.div_euclid(86_400) as i64;
        let second_of_day = seconds.rem_euclid(86_400) as i64;
        // Years are counted from March, so that the leap day is the last of its year; 400 of them
        // are an era of 146 097 days. The epoch is day 719 468 of the era of year 0.
        let shifted = day + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * of_year + 2) / 153;
        let day_of_month = of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        Self { day, second_of_day, year, month, day_of_month }
    }
}

/// Days from the epoch to the first of a month.
fn first_day(year: i64, month: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let march_month = (month + 9) % 12;
    let of_year = (153 * march_month + 2) / 5;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
}

/// A time in milliseconds as RFC 3339 text in UTC, with a fraction only if there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rfc3339(pub(crate) i64);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = Date::at(self.0.div_euclid(1000));
        let s = date.second_of_day;
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
            date.year,
            date.month,
            date.day_of_month,
            s / 3600,
            s / 60 % 60,
            s % 60
        )?;
        match self.0.rem_euclid(1000) {
            0 => f.write_str("Z"),
            ms => write!(f, "{}Z", format!(".{ms:03}").trim_end_matches('0')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_dates() {
        let check = |v: f64, want: [f64; 8]| {
            let got = [
                Field::Year,
                Field::Month,
                Field::DayOfMonth,
                Field::Hour,
                Field::Minute,
                Field::DayOfWeek,
                Field::DayOfYear,
                Field::DaysInMonth,
            ]
            .map(|field| apply(field, v));
            assert_eq!(got, want, "{v}");
        };
        check(0.0, [1970.0, 1.0, 1.0, 0.0, 0.0, 4.0, 1.0, 31.0]);
        check(-0.5, [1970.0, 1.0, 1.0, 0.0, 0.0, 4.0, 1.0, 31.0]);
        check(-1.0, [1969.0, 12.0, 31.0, 23.0, 59.0, 3.0, 365.0, 31.0]);
        check(951_782_400.0, [2000.0, 2.0, 29.0, 0.0, 0.0, 2.0, 60.0, 29.0]);
        check(1_700_000_000.0, [2023.0, 11.0, 14.0, 22.0, 13.0, 2.0, 318.0, 30.0]);
        check(f64::NAN, [292_277_026_596.0, 12.0, 4.0, 15.0, 30.0, 0.0, 339.0, 31.0]);
        check(1e300, [292_277_026_596.0, 12.0, 4.0, 15.0, 30.0, 0.0, 339.0, 31.0]);
    }

    #[test]
    fn text_of_times() {
        assert_eq!(Rfc3339(1_700_000_000_000).to_string(), "2023-11-14T22:13:20Z");
        assert_eq!(Rfc3339(1_700_000_000_250).to_string(), "2023-11-14T22:13:20.25Z");
    }
}
