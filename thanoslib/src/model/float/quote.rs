//! Quoting of byte strings as Go's `%q` does it.

use std::{fmt, sync::OnceLock};

/// Writes `s` as Go's `%q` does: in double quotes, with escapes for what cannot be printed.
///
/// Printable Unicode stays as it is; a byte that is not UTF-8 becomes `\xHH`.
///
/// # Errors
/// Those of the formatter.
pub(crate) fn write_quoted(f: &mut impl fmt::Write, s: &[u8]) -> fmt::Result {
    f.write_char('"')?;
    for chunk in s.utf8_chunks() {
        let valid = chunk.valid();
        let mut plain = 0;
        for (at, c) in valid.char_indices() {
            if c != '"' && c != '\\' && is_print(c) {
                continue;
            }
            f.write_str(&valid[plain..at])?;
            plain = at + c.len_utf8();
            write_escape(f, c)?;
        }
        f.write_str(&valid[plain..])?;
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    f.write_char('"')
}

fn write_escape(f: &mut impl fmt::Write, c: char) -> fmt::Result {
    match c {
        '"' => f.write_str("\\\""),
        '\\' => f.write_str("\\\\"),
        '\x07' => f.write_str("\\a"),
        '\x08' => f.write_str("\\b"),
        '\x0c' => f.write_str("\\f"),
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        '\x0b' => f.write_str("\\v"),
        c if c < ' ' || c == '\x7f' => write!(f, "\\x{:02x}", u32::from(c)),
        c if c <= '\u{ffff}' => write!(f, "\\u{:04x}", u32::from(c)),
        c => write!(f, "\\U{:08x}", u32::from(c)),
    }
}

/// True for what Go's `strconv.IsPrint` accepts: letters, marks, numbers, punctuation, symbols
/// and the ASCII blank.
pub(crate) fn is_print(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    let ranges = printable();
    let after = ranges.partition_point(|(first, _)| *first <= c);
    after > 0 && c <= ranges[after - 1].1
}

fn printable() -> &'static [(char, char)] {
    static RANGES: OnceLock<Vec<(char, char)>> = OnceLock::new();
    RANGES.get_or_init(|| {
        let hir = regex_syntax::parse(r"[\p{L}\p{M}\p{N}\p{P}\p{S}]").expect("a fixed, valid class");
        match hir.kind() {
            regex_syntax::hir::HirKind::Class(regex_syntax::hir::Class::Unicode(class)) => {
                class.ranges().iter().map(|r| (r.start(), r.end())).collect()
            }
            _ => Vec::new(),
        }
    })
}

/// Displays a byte string as Go's `%q` does: in double quotes, with escapes for what cannot be printed.
///
/// ```
/// use thanoslib::model::float::Quoted;
/// assert_eq!(Quoted(b"a\"\xff\n").to_string(), r#""a\"\xff\n""#);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a [u8]);

impl<'a> Quoted<'a> {
    /// Quotes a text.
    pub fn text(s: &'a str) -> Self {
        Self(s.as_bytes())
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_quoted(f, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(s: &[u8], want: &str) {
        assert_eq!(Quoted(s).to_string(), want);
    }

    #[test]
    fn printable_text_stays_and_the_rest_is_escaped() {
        check(b"", r#""""#);
        check("héllo 日本 😀".as_bytes(), "\"héllo 日本 😀\"");
        check(b"a\"b\\c", r#""a\"b\\c""#);
        check(b"\x07\x08\x0c\n\r\t\x0b\x00\x7f", r#""\a\b\f\n\r\t\v\x00\x7f""#);
        check("\u{a0}\u{200b}\u{e000}\u{10ffff}".as_bytes(), r#""\u00a0\u200b\ue000\U0010ffff""#);
        check(b"a\xff\xe4\xb8z", r#""a\xff\xe4\xb8z""#);
        check("\u{fffd}".as_bytes(), "\"\u{fffd}\"");
    }
}
