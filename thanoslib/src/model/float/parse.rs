//! Text to floats, with the syntax of Go's `strconv.ParseFloat`.

use std::fmt;

use super::quote::Quoted;

/// Why a text is no float.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ParseFloatErrorKind {
    /// It is not spelled like a float.
    Syntax,
    /// Its magnitude is too large.
    Range,
}

/// A text that is no float; displays as Go's error does.
///
/// ```
/// use thanoslib::model::float::parse_float;
/// assert_eq!(parse_float("0x1.8p3").ok(), Some(12.0));
/// assert!(parse_float("12 ").is_err_and(|e| e.to_string().contains("invalid syntax")));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseFloatError {
    input: String,
    kind: ParseFloatErrorKind,
}

impl fmt::Display for ParseFloatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ParseFloatErrorKind::Syntax => "invalid syntax",
            ParseFloatErrorKind::Range => "value out of range",
        };
        write!(f, "strconv.ParseFloat: parsing {}: {what}", Quoted::text(&self.input))
    }
}

impl std::error::Error for ParseFloatError {}

/// Bits of the NaN that Go's `ParseFloat` and `math.NaN` give.
const NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// Reads a float: decimal or hexadecimal (`0x1.8p3`, the exponent is required), infinities and
/// `NaN` in any case, `_` between digits.
///
/// # Errors
/// [`ParseFloatError`] when the text is not a float or too large for one.
pub fn parse_float(s: &str) -> Result<f64, ParseFloatError> {
    parse(s).map_err(|kind| ParseFloatError { input: s.to_owned(), kind })
}

fn parse(s: &str) -> Result<f64, ParseFloatErrorKind> {
    if let Some(v) = special(s) {
        return Ok(v);
    }
    if !underscores_ok(s) {
        return Err(ParseFloatErrorKind::Syntax);
    }
    let without;
    let digits = if s.contains('_') {
        without = s.replace('_', "");
        without.as_str()
    } else {
        s
    };
    let (negative, magnitude) = split_sign(digits);
    let v = match magnitude.strip_prefix("0x").or_else(|| magnitude.strip_prefix("0X")) {
        Some(hex) => hexadecimal(hex).ok_or(ParseFloatErrorKind::Syntax)?,
        None => decimal(magnitude).ok_or(ParseFloatErrorKind::Syntax)?,
    };
    if v.is_infinite() {
        return Err(ParseFloatErrorKind::Range);
    }
    Ok(if negative { -v } else { v })
}

fn split_sign(s: &str) -> (bool, &str) {
    match s.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, s.strip_prefix('+').unwrap_or(s)),
    }
}

fn special(s: &str) -> Option<f64> {
    if s.eq_ignore_ascii_case("nan") {
        return Some(f64::from_bits(NAN_BITS));
    }
    let (negative, name) = split_sign(s);
    let infinite = name.eq_ignore_ascii_case("inf") || name.eq_ignore_ascii_case("infinity");
    infinite.then_some(if negative { f64::NEG_INFINITY } else { f64::INFINITY })
}

/// True when every `_` stands between two digits; a base prefix counts as a digit before it.
fn underscores_ok(s: &str) -> bool {
    if !s.contains('_') {
        return true;
    }
    let (_, s) = split_sign(s);
    let bytes = s.as_bytes();
    let hex = matches!(bytes, [b'0', b'x' | b'X', ..]);
    let mut before = if hex { b'0' } else { b'!' };
    for &b in &bytes[if hex { 2 } else { 0 }..] {
        let digit = b.is_ascii_digit() || (hex && b.is_ascii_hexdigit());
        if digit {
            before = b'0';
        } else if b == b'_' {
            if before != b'0' {
                return false;
            }
            before = b'_';
        } else {
            if before == b'_' {
                return false;
            }
            before = b'!';
        }
    }
    before != b'_'
}

/// A decimal without sign. Rust reads the same numbers once the words are out of the way.
fn decimal(s: &str) -> Option<f64> {
    if !s.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-')) {
        return None;
    }
    if !s.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    s.parse().ok()
}

/// A hexadecimal float without sign and prefix; rounds to nearest, ties to even.
fn hexadecimal(s: &str) -> Option<f64> {
    let (digits, exponent) = s.split_once(['p', 'P'])?;
    let mut mantissa = 0u64;
    let mut lost = false;
    let mut scale = 0i64;
    let (mut seen_digit, mut seen_dot) = (false, false);
    for b in digits.bytes() {
        if b == b'.' && !seen_dot {
            seen_dot = true;
            continue;
        }
        let digit = u64::from(char::from(b).to_digit(16)?);
        seen_digit = true;
        if mantissa >> 60 == 0 {
            mantissa = mantissa << 4 | digit;
            scale -= if seen_dot { 4 } else { 0 };
        } else {
            lost |= digit != 0;
            scale += if seen_dot { 0 } else { 4 };
        }
    }
    if !seen_digit {
        return None;
    }
    let (negative, power) = split_sign(exponent);
    if power.is_empty() || !power.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Beyond 10000 only zero or infinity come out, unless the digits are as many.
    let power: i64 = power.bytes().fold(0, |n, b| (n * 10 + i64::from(b - b'0')).min(1 << 40));
    let exponent = scale + if negative { -power } else { power };
    Some(scaled(mantissa, lost, exponent))
}

/// `mantissa · 2^exponent`, rounded once; `lost` tells that nonzero digits follow the mantissa.
fn scaled(mantissa: u64, lost: bool, exponent: i64) -> f64 {
    if mantissa == 0 {
        return 0.0;
    }
    let shift = mantissa.leading_zeros();
    let mantissa = mantissa << shift;
    let exponent = exponent - i64::from(shift);
    // The value is mantissa·2^exponent with the top bit set: 2^(exponent+63) ≤ value.
    let top = exponent + 63;
    if top > 1023 {
        return f64::INFINITY;
    }
    // Bits to drop: 11 for a normal float, more for a subnormal one.
    let drop = if top >= -1022 { 11 } else { 11 + (-1022 - top) };
    if drop > 64 {
        return 0.0;
    }
    let wide = u128::from(mantissa);
    let mut kept = wide >> drop;
    let rest = wide & ((1 << drop) - 1);
    let half = 1u128 << (drop - 1);
    if rest > half || (rest == half && (lost || kept & 1 == 1)) {
        kept += 1;
    }
    // A carry out of the 53 bits moves into the exponent field, as it must.
    let biased = if top >= -1022 { (top + 1022) as u64 } else { 0 };
    f64::from_bits((biased << 52) + kept as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(s: &str, want: Option<f64>) {
        assert_eq!(parse_float(s).ok().map(f64::to_bits), want.map(f64::to_bits), "{s}");
    }

    #[test]
    fn spellings() {
        check("1_000", Some(1000.0));
        check("1__0", None);
        check("_1", None);
        check("1_", None);
        check("1_.5", None);
        check("0x_1p0", Some(1.0));
        check("+NaN", None);
        check("nAn", Some(f64::from_bits(NAN_BITS)));
        check("-Infinity", Some(f64::NEG_INFINITY));
        check("+-1", None);
        check(".", None);
        check("1e400", None);
    }

    #[test]
    fn hexadecimal_rounds_once() {
        check("0x1p-2", Some(0.25));
        check("-0x1.8p1", Some(-3.0));
        check("0x.8p1", Some(1.0));
        check("0x1.fffffffffffff8p0", Some(2.0));
        check("0x1.00000000000008p0", Some(1.0));
        check("0x1.000000000000080000000001p0", Some(1.0 + f64::EPSILON));
        check("0x1p-1074", Some(5e-324));
        check("0x1p-1075", Some(0.0));
        check("0x1.8p-1075", Some(5e-324));
        check("0x0.fffffffffffff8p-1022", Some(f64::MIN_POSITIVE));
        check("0x1.fffffffffffffp1023", Some(f64::MAX));
        check("0x1p1024", None);
        check("0x1p99999999999999999999", None);
        check("0x0p99999999999999999999", Some(0.0));
        check("0x1", None);
        check("0xp1", None);
    }
}
