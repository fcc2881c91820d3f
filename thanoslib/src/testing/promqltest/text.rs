//! Durations and numbers as commands of scripts write them.

use crate::promql::parse::literal;

pub(super) use crate::promql::{SequenceValue as Item, parse::series::Reader};

/// Milliseconds of a duration of a command.
pub(super) fn duration(text: &str) -> Result<i64, String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits == "0" {
        return Ok(0);
    }
    literal::duration_ms(digits).map(|ms| sign * ms)
}

/// A line that is only a number: the expected scalar.
pub(super) fn scalar(line: &str) -> Option<f64> {
    let unsigned = line.strip_prefix(['+', '-']).unwrap_or(line);
    let v = match unsigned.to_ascii_lowercase().as_str() {
        "inf" | "infinity" => f64::INFINITY,
        "nan" => f64::NAN,
        other => literal::number(other).ok()?,
    };
    Some(if line.starts_with('-') { -v } else { v })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_signs() {
        let check = |text: &str, want: Option<i64>| assert_eq!(duration(text).ok(), want, "{text}");
        check("5m", Some(300_000));
        check("-1s", Some(-1000));
        check("+1s", Some(1000));
        check("0", Some(0));
        check("5", None);
    }

    #[test]
    fn scalars_are_numbers_alone() {
        let check = |line: &str, want: Option<f64>| assert_eq!(scalar(line), want, "{line}");
        check("-0x10", Some(-16.0));
        check("+Inf", Some(f64::INFINITY));
        check("1 2", None);
    }
}
