//! Literals of the language: strings, numbers, durations.

use std::borrow::Cow;

use crate::model::float::{Quoted, parse_float};

/// The end of the string that begins at `start`, its quotes included.
///
/// # Errors
/// A text when it has no end or a wrong escape.
pub(crate) fn string_end(text: &[u8], start: usize) -> Result<usize, String> {
    let quote = text.get(start).copied().unwrap_or(b'"');
    let mut at = start + 1;
    loop {
        match text.get(at) {
            Some(b) if *b == quote => return Ok(at + 1),
            Some(b'\\') if quote != b'`' => at = escape(text, at + 1, quote)?.1,
            None | Some(b'\n') if quote != b'`' => return Err("unterminated quoted string".to_owned()),
            None => return Err("unterminated raw string".to_owned()),
            Some(b) if b.is_ascii() => at += 1,
            Some(_) => match char_at(text, at) {
                // Compat: a written U+FFFD is taken for a bad byte (promql/parser/lex.go).
                Some((c, length)) if c != char::REPLACEMENT_CHARACTER => at += length,
                _ => return Err("invalid UTF-8 rune".to_owned()),
            },
        }
    }
}

/// The bytes that a quoted string stands for; `quoted` includes its quotes.
///
/// # Errors
/// A text when the string has no end or a wrong escape.
pub(crate) fn unquote(quoted: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    if string_end(quoted, 0)? != quoted.len() {
        return Err("unterminated quoted string".to_owned());
    }
    let (quote, inner) = (quoted[0], &quoted[1..quoted.len() - 1]);
    if quote == b'`' || !inner.contains(&b'\\') {
        return Ok(Cow::Borrowed(inner));
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut at = 1;
    while at < quoted.len() - 1 {
        if quoted[at] != b'\\' {
            out.push(quoted[at]);
            at += 1;
            continue;
        }
        let (unit, end) = escape(quoted, at + 1, quote)?;
        match unit {
            Unit::Byte(b) => out.push(b),
            Unit::Char(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        at = end;
    }
    Ok(Cow::Owned(out))
}

/// What an escape stands for.
enum Unit {
    Byte(u8),
    Char(char),
}

/// Reads an escape whose backslash ends before `at`; gives the place behind it, too.
fn escape(text: &[u8], at: usize, quote: u8) -> Result<(Unit, usize), String> {
    let unfinished = || "escape sequence not terminated".to_owned();
    let b = *text.get(at).ok_or_else(unfinished)?;
    let byte = |b: u8| Ok((Unit::Byte(b), at + 1));
    let (first, count, radix) = match b {
        b'a' => return byte(7),
        b'b' => return byte(8),
        b'f' => return byte(12),
        b'n' => return byte(b'\n'),
        b'r' => return byte(b'\r'),
        b't' => return byte(b'\t'),
        b'v' => return byte(11),
        b'\\' => return byte(b'\\'),
        _ if b == quote => return byte(b),
        b'0'..=b'7' => (at, 3, 8),
        b'x' => (at + 1, 2, 16),
        b'u' => (at + 1, 4, 16),
        b'U' => (at + 1, 8, 16),
        _ => {
            let c = char_at(text, at).map_or(char::REPLACEMENT_CHARACTER, |(c, _)| c);
            return Err(format!("unknown escape sequence {}", code_point(c)));
        }
    };
    let mut value = 0u32;
    for i in first..first + count {
        let (c, _) = char_at(text, i).ok_or_else(unfinished)?;
        let digit = c.to_digit(radix);
        let digit = digit.ok_or_else(|| format!("illegal character {} in escape sequence", code_point(c)))?;
        value = value.wrapping_mul(radix).wrapping_add(digit);
    }
    let unit = match b {
        b'u' | b'U' => char::from_u32(value).map(Unit::Char),
        _ => u8::try_from(value).ok().map(Unit::Byte),
    };
    match unit {
        Some(unit) => Ok((unit, first + count)),
        None => Err("escape sequence is an invalid Unicode code point".to_owned()),
    }
}

/// The character at a byte with its length; a byte that begins none counts as U+FFFD.
pub(super) fn char_at(text: &[u8], at: usize) -> Option<(char, usize)> {
    let rest = text.get(at..).filter(|rest| !rest.is_empty())?;
    let head = &rest[..rest.len().min(4)];
    let valid = match std::str::from_utf8(head) {
        Ok(valid) => valid,
        Err(e) => std::str::from_utf8(&head[..e.valid_up_to()]).unwrap_or_default(),
    };
    match valid.chars().next() {
        Some(c) => Some((c, c.len_utf8())),
        None => Some((char::REPLACEMENT_CHARACTER, 1)),
    }
}

/// The character in single quotes, escaped as Go does.
pub(super) fn quoted_char(c: char) -> String {
    match c {
        '"' => "'\"'".to_owned(),
        '\'' => r"'\''".to_owned(),
        _ => {
            let quoted = Quoted::text(c.encode_utf8(&mut [0; 4])).to_string();
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}

/// `U+0071 'q'`; the character itself only if it can be printed.
fn code_point(c: char) -> String {
    let quoted = quoted_char(c);
    let is_printable = !quoted.starts_with("'\\") || matches!(c, '\'' | '\\');
    if is_printable { format!("U+{:04X} '{c}'", c as u32) } else { format!("U+{:04X}", c as u32) }
}

/// The value of a number literal without sign.
///
/// # Errors
/// A text when it is none or does not fit.
pub(crate) fn number(text: &str) -> Result<f64, String> {
    let fits = integer(text).map(|v| v as f64);
    fits.map_or_else(|| parse_float(text).map_err(|e| format!("error parsing number: {e}")), Ok)
}

/// A whole number below 2^63 with the prefixes and separators of Go's literals.
fn integer(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if !separators_are_between_digits(bytes) {
        return None;
    }
    let plain: Cow<'_, str> = if text.contains('_') { text.replace('_', "").into() } else { text.into() };
    let (digits, radix) = match plain.strip_prefix("0x").or_else(|| plain.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None => match plain.strip_prefix('0') {
            Some(octal) if !octal.is_empty() => (octal, 8),
            _ => (&*plain, 10),
        },
    };
    let all_digits = digits.bytes().all(|b| (b as char).is_digit(radix));
    if all_digits { i64::from_str_radix(digits, radix).ok() } else { None }
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
const DURATION_MAX_MS: i64 = i64::MAX / 1_000_000;

/// Milliseconds of a duration such as `1h30m`.
///
/// # Errors
/// A text when it has not that form or does not fit.
pub(crate) fn duration_ms(text: &str) -> Result<i64, String> {
    const UNITS: [(&str, i64); 7] = [
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    let invalid = || format!("not a valid duration string: {}", Quoted::text(text));
    let mut rest = text;
    let mut sum = 0i64;
    let mut units = UNITS.as_slice();
    if rest.is_empty() {
        return Err("empty duration string".to_owned());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let number = number.parse::<u64>().map_err(|_| invalid())?;
        if unit.is_empty() {
            return Err(invalid());
        }
        if !UNITS.iter().any(|(u, _)| *u == unit) {
            let (unit, text) = (Quoted::text(unit), Quoted::text(text));
            return Err(format!("unknown unit {unit} in duration {text}"));
        }
        // Units descend, each once.
        let i = units.iter().position(|(u, _)| *u == unit).ok_or_else(invalid)?;
        let ms = units[i].1;
        units = &units[i + 1..];
        let part = i64::try_from(number).ok().and_then(|n| n.checked_mul(ms));
        sum = part
            .and_then(|p| sum.checked_add(p))
            .filter(|s| *s <= DURATION_MAX_MS)
            .ok_or_else(|| "duration out of range".to_owned())?;
        rest = tail;
    }
    Ok(sum)
}

/// Seconds of a duration such as `1h30m`, as exact as upstream has them.
///
/// # Errors
/// Those of [`duration_ms`].
pub(super) fn duration_seconds(text: &str) -> Result<f64, String> {
    let ms = duration_ms(text)?;
    Ok((ms / 1000) as f64 + (ms % 1000 * 1_000_000) as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_go_forms() {
        let check = |text: &str, want: Option<f64>| assert_eq!(number(text).ok(), want, "{text}");
        check("1_000", Some(1000.0));
        check("0x1F_FF", Some(8191.0));
        check("0x_1f", Some(31.0));
        check("0755", Some(493.0));
        check("0_7", Some(7.0));
        check("08", Some(8.0));
        check("0", Some(0.0));
        check(".5", Some(0.5));
        check("5.", Some(5.0));
        check("1e3", Some(1000.0));
        check("10000000000000000000", Some(1e19));
        check("Inf", Some(f64::INFINITY));
        check("0x8000000000000000", None);
        check("1__0", None);
        check("0x", None);
        check("1e+", None);
        check("1e400", None);
        let e = number("1e400").expect_err("too large");
        assert_eq!(e, "error parsing number: strconv.ParseFloat: parsing \"1e400\": value out of range");
    }

    #[test]
    fn durations_descend_and_fit() {
        let check = |text: &str, want: Result<i64, &str>| {
            assert_eq!(duration_ms(text), want.map_err(str::to_owned), "{text}");
        };
        check("1h30m", Ok(5_400_000));
        check("15s1ms", Ok(15_001));
        check("0s", Ok(0));
        check("5s5m", Err("not a valid duration string: \"5s5m\""));
        check("1h1h", Err("not a valid duration string: \"1h1h\""));
        check("5", Err("not a valid duration string: \"5\""));
        check("1.5m", Err("unknown unit \".\" in duration \"1.5m\""));
        check("300y", Err("duration out of range"));
        check("99999999999999999999s", Err("not a valid duration string: \"99999999999999999999s\""));
    }

    #[test]
    fn strings_are_bytes() {
        let check = |text: &str, want: &[u8]| {
            assert_eq!(unquote(text.as_bytes()).as_deref(), Ok(want), "{text}");
        };
        check(r#""a\n\x41\101\u00e9""#, "a\nAA\u{e9}".as_bytes());
        check(r#""\xff""#, b"\xff");
        check(r"`a\n`", br"a\n");
        check(r"'\''", b"'");
        check("''", b"");
        let fails = |text: &[u8], want: &str| assert_eq!(unquote(text), Err(want.to_owned()), "{text:?}");
        fails(br#""\q""#, "unknown escape sequence U+0071 'q'");
        fails(br#""\'""#, "unknown escape sequence U+0027 '''");
        fails(b"\"\\\n\"", "unknown escape sequence U+000A");
        fails(br#""\x4""#, "illegal character U+0022 '\"' in escape sequence");
        fails(br#""\777""#, "escape sequence is an invalid Unicode code point");
        fails(br#""\ud800""#, "escape sequence is an invalid Unicode code point");
        fails(br#""\x"#, "escape sequence not terminated");
        fails(b"\"\xff\"", "invalid UTF-8 rune");
        fails(b"\"a\nb\"", "unterminated quoted string");
        fails(b"`a", "unterminated raw string");
    }
}
