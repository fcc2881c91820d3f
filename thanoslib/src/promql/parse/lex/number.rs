//! Where a number or duration ends.

use crate::promql::parse::token::Kind;

/// How much of a text was read as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scanned {
    /// Number or duration; `None` when it is neither.
    pub(super) kind: Option<Kind>,
    /// Bytes read, for an error all that it shows; may count one beyond the end of the text.
    pub(super) length: usize,
}

/// Reads a number or duration from the front of a text that begins with a digit or a point.
///
/// Whether the value has a meaning is judged later.
///
/// Compat: what is taken, and how far a bad one is read, is upstream's (promql/parser/lex.go
/// `scanNumber`).
pub(super) fn scan(text: &[u8]) -> Scanned {
    let mut scan = Scan { text, at: 0 };
    if scan.number() {
        return Scanned { kind: Some(Kind::Number), length: scan.at };
    }
    if scan.units() {
        return Scanned { kind: Some(Kind::Duration), length: scan.at };
    }
    Scanned { kind: None, length: scan.at.min(text.len()) }
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn accept(&mut self, wanted: impl Fn(u8) -> bool) -> bool {
        let found = self.peek().is_some_and(wanted);
        self.at += usize::from(found);
        found
    }

    fn ends_word(&self) -> bool {
        !self.peek().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
    }

    /// Reads digits with points, exponents and separators; false when this is no number.
    fn number(&mut self) -> bool {
        let hex = self.accept(|b| b == b'0') && self.accept(|b| matches!(b, b'x' | b'X'));
        if hex {
            self.accept(|b| b == b'_');
        }
        let digit = |b: u8| if hex { b.is_ascii_hexdigit() } else { b.is_ascii_digit() };
        // A point at the very front counts towards nothing.
        self.accept(|b| b == b'.');
        self.accept(digit);
        let (mut point, mut exponent) = (false, false);
        while let Some(b) = self.peek() {
            match b {
                b'.' => {
                    self.at += 1;
                    if point || self.accept(|b| matches!(b, b'_' | b'.')) || hex {
                        return false;
                    }
                    point = true;
                }
                // In hexadecimal numbers, too: such a number is refused later or here.
                b'e' | b'E' => {
                    self.at += 1;
                    if exponent {
                        return false;
                    }
                    exponent = true;
                    self.accept(|b| matches!(b, b'+' | b'-'));
                    if self.accept(|b| matches!(b, b'.' | b'_' | b'e' | b'E')) || self.peek().is_none() {
                        return false;
                    }
                }
                b'_' => {
                    self.at += 1;
                    if self.accept(|b| matches!(b, b'.' | b'_' | b'e' | b'E')) || self.peek().is_none() {
                        return false;
                    }
                }
                _ if digit(b) => while self.accept(digit) {},
                _ => break,
            }
        }
        self.ends_word()
    }

    /// Reads units, and numbers between them, behind a number; false when there are none.
    fn units(&mut self) -> bool {
        if !self.accept(|b| b"smhdwy".contains(&b)) {
            return false;
        }
        self.accept(|b| b == b's');
        while self.accept(|b| b.is_ascii_digit()) {
            while self.accept(|b| b.is_ascii_digit()) {}
            // Years can only stand first.
            if !self.accept(|b| b"smhdw".contains(&b)) {
                return false;
            }
            self.accept(|b| b == b's');
        }
        if self.ends_word() {
            return true;
        }
        // The letter behind is shown with the bad duration.
        self.at += 1;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_where_upstream_ends_them() {
        let check = |text: &str, kind: Option<Kind>, length: usize| {
            assert_eq!(scan(text.as_bytes()), Scanned { kind, length }, "{text}");
        };
        let (number, duration) = (Some(Kind::Number), Some(Kind::Duration));
        check("1+", number, 1);
        check(".5)", number, 2);
        check("5. ", number, 2);
        check("1e-3", number, 4);
        check("0x1F_FF,", number, 7);
        check("0x", number, 2);
        check("1h30m]", duration, 5);
        check("15s1ms", duration, 6);
        check("1.5m", duration, 4);
        check("1a", None, 1);
        check("0xg", None, 2);
        check("1e", None, 2);
        check("1e+", None, 3);
        check("1..2", None, 3);
        check("1.2.3", None, 4);
        check("0b2", None, 1);
        check("1__0", None, 3);
        check("1_", None, 2);
        check("5mm", None, 3);
        check("5m5", None, 3);
        check("4m30s_)", None, 6);
        check("0x1e", None, 4);
        check("0x12ee", number, 6);
    }
}
