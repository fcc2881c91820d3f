//! Escapes that stand for one character.

use super::error::{RegexError, RegexErrorKind};

/// Reads an escape that starts with a backslash; returns the code point and the text after it.
pub(super) fn parse_escape(s: &str) -> Result<(u32, &str), RegexError> {
    let mut rest = s[1..].chars();
    let Some(c) = rest.next() else {
        return Err(RegexError::new(RegexErrorKind::TrailingBackslash, ""));
    };
    let value = match c {
        // A digit alone would be a back reference.
        '1'..='7' if !rest.as_str().starts_with(|c| ('0'..='7').contains(&c)) => None,
        '0'..='7' => {
            let mut value = u32::from(c) - u32::from('0');
            for _ in 0..2 {
                let Some(digit) = rest.as_str().chars().next().and_then(|c| c.to_digit(8)) else { break };
                value = value * 8 + digit;
                rest.next();
            }
            Some(value)
        }
        'x' => hexadecimal(&mut rest),
        'a' => Some(0x07),
        'f' => Some(0x0c),
        'n' => Some(0x0a),
        'r' => Some(0x0d),
        't' => Some(0x09),
        'v' => Some(0x0b),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(u32::from(c)),
        _ => None,
    };
    let rest = rest.as_str();
    match value {
        Some(value) => Ok((value, rest)),
        None => Err(RegexError::new(RegexErrorKind::Escape, &s[..s.len() - rest.len()])),
    }
}

/// The digits after `\x`: two, or any number in braces.
fn hexadecimal(rest: &mut std::str::Chars<'_>) -> Option<u32> {
    let first = rest.next()?;
    if first != '{' {
        let second = rest.next()?;
        return Some(first.to_digit(16)? * 16 + second.to_digit(16)?);
    }
    let mut value = 0;
    let mut digits = 0;
    loop {
        match rest.next()? {
            '}' => return (digits > 0).then_some(value),
            c => {
                value = value * 16 + c.to_digit(16)?;
                digits += 1;
                if value > u32::from(char::MAX) {
                    return None;
                }
            }
        }
    }
}
