//! Floats to text: Go's verbs `'f'`, `'e'`, `'g'` and the forms built on them.

use std::fmt::{self, Write};

use super::quick;

/// Digits of a finite float: its sign, the digits without a dot, and the decimal exponent of the
/// first digit (`1.5e3` has digits `15` and exponent 3).
struct Digits {
    negative: bool,
    digits: Buffer,
    exponent: i32,
}

/// Text of one float in exponent form; the longest needs 17 digits, a sign, a dot and `e-324`.
#[derive(Clone, Copy)]
struct Buffer {
    bytes: [u8; 40],
    len: usize,
}

impl Buffer {
    const EMPTY: Buffer = Buffer { bytes: [0; 40], len: 0 };

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

/// Floats below this may lie in the middle between two shortest texts, such as 1e15 + 0.25. Go takes
/// the even last digit.
const TIES_END: f64 = 1e18;

impl Write for Buffer {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let end = self.len + s.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(s.as_bytes());
        self.len = end;
        Ok(())
    }
}

impl Digits {
    /// Digits of a finite `v`: the shortest that read back as `v`, or `precision` of them with
    /// trailing zeros cut.
    fn new(v: f64, precision: Option<usize>) -> Result<Self, fmt::Error> {
        let mut text = Buffer::EMPTY;
        match precision {
            None => {
                write!(text, "{:e}", v.abs())?;
                if v.abs() < TIES_END {
                    let mantissa = text.as_str().split_once('e').map_or(0, |(mantissa, _)| mantissa.len());
                    let decimals = mantissa.saturating_sub("1.".len());
                    let mut even = Buffer::EMPTY;
                    write!(even, "{:.decimals$e}", v.abs())?;
                    if even.len == text.len && even.as_str().parse() == Ok(v.abs()) {
                        text = even;
                    }
                }
            }
            Some(p) => write!(text, "{:.*e}", p.clamp(1, 18) - 1, v.abs())?,
        }
        let (mantissa, exponent) = text.as_str().split_once('e').ok_or(fmt::Error)?;
        let mut digits = Buffer::EMPTY;
        for part in mantissa.split('.') {
            digits.write_str(part)?;
        }
        if precision.is_some() {
            while digits.len > 1 && digits.bytes[digits.len - 1] == b'0' {
                digits.len -= 1;
            }
        }
        let exponent = exponent.parse().map_err(|_| fmt::Error)?;
        Ok(Self { negative: v.is_sign_negative(), digits, exponent })
    }

    fn write_exponent(&self, out: &mut impl Write) -> fmt::Result {
        if self.negative {
            out.write_char('-')?;
        }
        let (first, rest) = self.digits.as_str().split_at(1);
        out.write_str(first)?;
        if !rest.is_empty() {
            out.write_char('.')?;
            out.write_str(rest)?;
        }
        let sign = if self.exponent < 0 { '-' } else { '+' };
        write!(out, "e{sign}{:02}", self.exponent.unsigned_abs())
    }
}

/// Writes the spelling of a NaN or an infinity; `None` for finite values.
fn write_special(out: &mut impl Write, v: f64) -> Option<fmt::Result> {
    if v.is_nan() {
        Some(out.write_str("NaN"))
    } else if v.is_infinite() {
        Some(out.write_str(if v > 0.0 { "+Inf" } else { "-Inf" }))
    } else {
        None
    }
}

/// Writes `v` with the fewest digits that identify it and no exponent: Go's `'f', -1`.
///
/// # Errors
/// Those of the writer.
pub fn write_plain(out: &mut impl Write, v: f64) -> fmt::Result {
    if let Some(done) = quick::write(out, v) {
        return done;
    }
    write_special(out, v).unwrap_or_else(|| {
        if v.abs() >= TIES_END {
            return write!(out, "{v}");
        }
        if v.abs() < 1.0 {
            let digits = Digits::new(v, None)?;
            out.write_str(if digits.negative { "-0." } else { "0." })?;
            (digits.exponent..-1).try_for_each(|_| out.write_char('0'))?;
            return out.write_str(digits.digits.as_str());
        }
        let (mut text, mut even) = (Buffer::EMPTY, Buffer::EMPTY);
        write!(text, "{v}")?;
        let decimals = text.as_str().split_once('.').map_or(0, |(_, d)| d.len());
        write!(even, "{v:.decimals$}")?;
        let is_tie = decimals > 0 && even.as_str().parse() == Ok(v);
        out.write_str(if is_tie { even.as_str() } else { text.as_str() })
    })
}

/// Writes `v` with the fewest digits and always an exponent: Go's `'e', -1`.
///
/// # Errors
/// Those of the writer.
pub fn write_exponent(out: &mut impl Write, v: f64) -> fmt::Result {
    match write_special(out, v) {
        Some(done) => done,
        None => Digits::new(v, None)?.write_exponent(out),
    }
}

/// Writes `v` with the fewest digits, in exponent form below 1e-4 and from 1e6 on: Go's `%v`
/// and `'g', -1`.
///
/// # Errors
/// Those of the writer.
pub fn write_general(out: &mut impl Write, v: f64) -> fmt::Result {
    if let Some(done) = write_special(out, v) {
        return done;
    }
    let digits = Digits::new(v, None)?;
    if digits.exponent < -4 || digits.exponent >= SHORTEST_EXPONENT_MAX {
        digits.write_exponent(out)
    } else {
        write_plain(out, v)
    }
}

/// From this exponent on, `'g', -1` writes the exponent form.
const SHORTEST_EXPONENT_MAX: i32 = 6;

/// Writes `v` with at most `precision` digits: Go's `%.2g` for a precision of 2.
///
/// # Errors
/// Those of the writer.
pub fn write_general_precision(out: &mut impl Write, v: f64, precision: usize) -> fmt::Result {
    if let Some(done) = write_special(out, v) {
        return done;
    }
    let digits = Digits::new(v, Some(precision))?;
    let count = digits.digits.len as i32;
    let mut limit = precision.clamp(1, 18) as i32;
    if limit > count && count > digits.exponent {
        limit = count;
    }
    if digits.exponent < -4 || digits.exponent >= limit {
        digits.write_exponent(out)
    } else {
        write!(out, "{v:.*}", (count - 1 - digits.exponent).max(0) as usize)
    }
}

/// Writes `v` with `decimals` digits after the dot: Go's `%f` for 6.
///
/// # Errors
/// Those of the writer.
pub(crate) fn write_fixed(out: &mut impl Write, v: f64, decimals: usize) -> fmt::Result {
    write_special(out, v).unwrap_or_else(|| write!(out, "{v:.decimals$}"))
}

/// Writes a sample value as the HTTP API does, without its quotes.
///
/// Below 1e-6 and from 1e21 on the exponent form is used, else the plain one.
///
/// Source: Prometheus `util/jsonutil/marshal.go`.
///
/// # Errors
/// Those of the writer.
pub fn write_api_value(out: &mut impl Write, v: f64) -> fmt::Result {
    let magnitude = v.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        write_exponent(out, v)
    } else {
        write_plain(out, v)
    }
}

/// Writes a time in milliseconds as the HTTP API does: seconds, with three decimals unless whole.
///
/// Source: Prometheus `util/jsonutil/marshal.go`.
///
/// # Errors
/// Those of the writer.
pub fn write_api_timestamp(out: &mut impl Write, t_ms: i64) -> fmt::Result {
    if t_ms < 0 {
        out.write_char('-')?;
    }
    let ms = t_ms.unsigned_abs();
    write!(out, "{}", ms / 1000)?;
    match ms % 1000 {
        0 => Ok(()),
        rest => write!(out, ".{rest:03}"),
    }
}

/// Writes `v` as the OpenMetrics text format does in `le` and `quantile` labels: `1.0`, `+Inf`.
///
/// Both zeros are `0.0`.
///
/// Source: Prometheus `model/labels/float.go`.
///
/// # Errors
/// Those of the writer.
pub fn write_openmetrics(out: &mut impl Write, v: f64) -> fmt::Result {
    if let Some(done) = write_special(out, v) {
        return done;
    }
    let mut text = Buffer::EMPTY;
    write_general(&mut text, if v == 0.0 { 0.0 } else { v })?;
    out.write_str(text.as_str())?;
    if text.as_str().bytes().any(|b| b == b'.' || b == b'e') { Ok(()) } else { out.write_str(".0") }
}

/// Displays a float as [`write_plain`] does.
///
/// ```
/// use thanoslib::model::float::Plain;
/// assert_eq!(Plain(1e6).to_string(), "1000000");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Plain(pub f64);

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_plain(f, self.0)
    }
}

/// Displays a float as [`write_general`] does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct General(pub(crate) f64);

impl fmt::Display for General {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_general(f, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(write: impl Fn(&mut String, f64) -> fmt::Result, v: f64, want: &str) {
        let mut out = String::new();
        write(&mut out, v).expect("writing to a string");
        assert_eq!(out, want, "of {v:e}");
    }

    #[test]
    fn ties_take_the_even_digit() {
        check(write_plain, 1e15 + 0.25, "1000000000000000.2");
        check(write_plain, 1e15 + 0.75, "1000000000000000.8");
        check(write_plain, 4332782328896.0 + 0.90625, "4332782328896.9062");
        check(write_exponent, 4332782328896.0 + 0.90625, "4.3327823288969062e+12");
        check(write_general, 8.0 + 1.0 / 65_536.0, "8.000015258789062");
        check(write_general, 1e15 + 0.25, "1.0000000000000002e+15");
    }

    #[test]
    fn general_switches_to_the_exponent_form() {
        for (v, want) in [
            (1.0, "1"),
            (-0.0, "-0"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (123456789.0, "1.23456789e+08"),
            (1e6, "1e+06"),
            (100000.0, "100000"),
            (f64::INFINITY, "+Inf"),
        ] {
            check(write_general, v, want);
        }
    }

    #[test]
    fn a_precision_limits_the_digits() {
        let two = |out: &mut String, v| write_general_precision(out, v, 2);
        for (v, want) in [
            (100.0, "1e+02"),
            (5.0, "5"),
            (0.0, "0"),
            (12.0, "12"),
            (0.123, "0.12"),
            (1.96, "2"),
            (9.96, "10"),
            (99.6, "1e+02"),
            (0.00001234, "1.2e-05"),
        ] {
            check(two, v, want);
        }
        check(|out, v| write_fixed(out, v, 6), 1.5, "1.500000");
    }

    #[test]
    fn api_forms() {
        check(write_api_value, 1e-7, "1e-07");
        check(write_api_value, 1e21, "1e+21");
        check(write_api_value, 1e20, "100000000000000000000");
        check(write_openmetrics, 0.5, "0.5");
        check(write_openmetrics, 10.0, "10.0");
        check(write_openmetrics, -0.0, "0.0");
        let mut out = String::new();
        write_api_timestamp(&mut out, -1500).expect("writing to a string");
        write_api_timestamp(&mut out, i64::MIN).expect("writing to a string");
        assert_eq!(out, "-1.500-9223372036854775.808");
    }
}
