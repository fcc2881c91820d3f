//! Literals of the language: strings, numbers, durations.

/// The bytes that a quoted string stands for; `quoted` includes its quotes.
///
/// # Errors
/// A text when an escape is wrong.
pub(crate) fn unquote(quoted: &str) -> Result<Vec<u8>, String> {
    let quote = quoted.chars().next().unwrap_or('"');
    let inner = quoted
        .get(1..)
        .and_then(|rest| rest.strip_suffix(quote))
        .ok_or_else(|| "unterminated quoted string".to_owned())?;
    if quote == '`' {
        return Ok(inner.as_bytes().to_vec());
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match chars.next() {
            Some('a') => out.push(7),
            Some('b') => out.push(8),
            Some('f') => out.push(12),
            Some('n') => out.push(b'\n'),
            Some('r') => out.push(b'\r'),
            Some('t') => out.push(b'\t'),
            Some('v') => out.push(11),
            Some('\\') => out.push(b'\\'),
            Some(c) if c == quote => out.push(c as u8),
            Some(c @ '0'..='7') => {
                let value = digits(&mut chars, 2, 8, c.to_digit(8).unwrap_or(0))?;
                out.push(u8::try_from(value).map_err(|_| INVALID_CODE_POINT.to_owned())?);
            }
            Some('x') => out.push(digits(&mut chars, 2, 16, 0)? as u8),
            Some(c @ ('u' | 'U')) => {
                let value = digits(&mut chars, if c == 'u' { 4 } else { 8 }, 16, 0)?;
                let c = char::from_u32(value).ok_or_else(|| INVALID_CODE_POINT.to_owned())?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Some(c) => return Err(format!("unknown escape sequence U+{:04X} '{c}'", c as u32)),
            None => return Err("escape sequence not terminated".to_owned()),
        }
    }
    Ok(out)
}

const INVALID_CODE_POINT: &str = "escape sequence is an invalid Unicode code point";

fn digits(chars: &mut std::str::Chars<'_>, count: usize, radix: u32, first: u32) -> Result<u32, String> {
    let mut value = first;
    for _ in 0..count {
        let c = chars.next().ok_or_else(|| "escape sequence not terminated".to_owned())?;
        let digit = c
            .to_digit(radix)
            .ok_or_else(|| format!("illegal character U+{:04X} '{c}' in escape sequence", c as u32))?;
        value = value.wrapping_mul(radix).wrapping_add(digit);
    }
    Ok(value)
}

/// The value of a number literal without sign; `Ok(None)` when the text has not its form.
///
/// # Errors
/// A text when the value does not fit.
pub(crate) fn number(text: &str) -> Result<Option<f64>, String> {
    let bytes = text.as_bytes();
    if !separators_are_between_digits(bytes) {
        return Ok(None);
    }
    let plain = text.replace('_', "").to_ascii_lowercase();
    let range = || format!("error parsing number: strconv.ParseFloat: parsing {text:?}: value out of range");
    if let Some(hex) = plain.strip_prefix("0x") {
        if hex.is_empty() || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(None);
        }
        return match i64::from_str_radix(hex, 16) {
            Ok(v) => Ok(Some(v as f64)),
            Err(_) => {
                Err(format!("error parsing number: strconv.ParseFloat: parsing {text:?}: invalid syntax"))
            }
        };
    }
    if plain.len() > 1 && plain.starts_with('0') && plain.bytes().all(|b| (b'0'..=b'7').contains(&b)) {
        if let Ok(v) = i64::from_str_radix(&plain, 8) {
            return Ok(Some(v as f64));
        }
    }
    if !is_decimal(plain.as_bytes()) {
        return Ok(None);
    }
    match plain.parse::<f64>() {
        Ok(v) if v.is_finite() => Ok(Some(v)),
        Ok(_) => Err(range()),
        Err(_) => Ok(None),
    }
}

/// `digits[.digits][e[sign]digits]` with a digit before the exponent.
fn is_decimal(text: &[u8]) -> bool {
    let run = |from: usize| text[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let whole = run(0);
    let mut at = whole;
    let mut fraction = 0;
    if text.get(at) == Some(&b'.') {
        fraction = run(at + 1);
        at += 1 + fraction;
    }
    if whole + fraction == 0 {
        return false;
    }
    if text.get(at) == Some(&b'e') {
        at += 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let exponent = run(at);
        if exponent == 0 {
            return false;
        }
        at += exponent;
    }
    at == text.len()
}

fn separators_are_between_digits(text: &[u8]) -> bool {
    text.iter().enumerate().all(|(i, b)| {
        *b != b'_'
            || i > 0
                && text[i - 1].is_ascii_alphanumeric()
                && text.get(i + 1).is_some_and(u8::is_ascii_hexdigit)
    })
}

/// Longest duration in milliseconds: what 64 bits of nanoseconds hold.
pub(crate) const DURATION_MAX_MS: i64 = i64::MAX / 1_000_000;

/// Milliseconds of a duration such as `1h30m`; `Ok(None)` when the text has not its form.
///
/// # Errors
/// A text when the value does not fit.
pub(crate) fn duration_ms(text: &str) -> Result<Option<i64>, String> {
    const UNITS: [(&str, i64); 7] = [
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    let mut rest = text;
    let mut sum = 0i64;
    let mut units = UNITS.iter();
    if rest.is_empty() {
        return Ok(None);
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let Some((_, ms)) = units.find(|(u, _)| *u == unit) else { return Ok(None) };
        if digits == 0 {
            return Ok(None);
        }
        let part = number.parse::<i64>().ok().and_then(|n| n.checked_mul(*ms));
        sum = part
            .and_then(|p| sum.checked_add(p))
            .filter(|s| *s <= DURATION_MAX_MS)
            .ok_or_else(|| "duration out of range".to_owned())?;
        rest = tail;
    }
    Ok(Some(sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_go_forms() {
        let check = |text: &str, want: Option<f64>| assert_eq!(number(text), Ok(want), "{text}");
        check("1_000", Some(1000.0));
        check("0x1F_FF", Some(8191.0));
        check("0755", Some(493.0));
        check("08", Some(8.0));
        check(".5", Some(0.5));
        check("5.", Some(5.0));
        check("1e3", Some(1000.0));
        check("1__0", None);
        check("1_", None);
        check("1..2", None);
        check("1e", None);
        check("5m", None);
        assert!(number("1e400").is_err());
    }

    #[test]
    fn durations_descend_and_fit() {
        let check = |text: &str, want: Option<i64>| assert_eq!(duration_ms(text), Ok(want), "{text}");
        check("1h30m", Some(5_400_000));
        check("15s1ms", Some(15_001));
        check("0s", Some(0));
        check("5s5m", None);
        check("1h1h", None);
        check("5", None);
        assert!(duration_ms("300y").is_err());
        assert!(duration_ms("99999999999999999999s").is_err());
    }

    #[test]
    fn strings_are_bytes() {
        let check = |text: &str, want: &[u8]| assert_eq!(unquote(text).as_deref(), Ok(want), "{text}");
        check(r#""a\n\x41\101\u00e9""#, "a\nAA\u{e9}".as_bytes());
        check(r#""\xff""#, b"\xff");
        check(r"`a\n`", br"a\n");
        check(r"'\''", b"'");
        for bad in [r#""\q""#, r#""\777""#, r#""\'""#, r#""\ud800""#] {
            assert!(unquote(bad).is_err(), "{bad}");
        }
    }
}
