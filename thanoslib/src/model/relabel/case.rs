//! Upper and lower case, letter by letter.
//!
//! Compat: Go maps each letter to one letter; letters with longer forms stay or take the short one.

/// The text in lower case; bytes that are no text become the replacement character.
pub(super) fn lower(text: &[u8]) -> String {
    let lossy = String::from_utf8_lossy(text);
    lossy.chars().map(|c| c.to_lowercase().next().unwrap_or(c)).collect()
}

/// The text in upper case; bytes that are no text become the replacement character.
pub(super) fn upper(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().map(upper_letter).collect()
}

fn upper_letter(c: char) -> char {
    let mut long = c.to_uppercase();
    match (long.next(), long.next()) {
        (Some(one), None) => one,
        // Greek letters with a small iota below have capital forms that keep it.
        _ => match c {
            '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => shifted(c, 8),
            '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => shifted(c, 9),
            _ => c,
        },
    }
}

fn shifted(c: char, by: u32) -> char {
    char::from_u32(c as u32 + by).unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_stays_one_letter() {
        let check = |text: &str, want_upper: &str, want_lower: &str| {
            assert_eq!(
                (upper(text.as_bytes()), lower(text.as_bytes())),
                (want_upper.into(), want_lower.into())
            );
        };
        check("aBc1", "ABC1", "abc1");
        check("ßΣ", "ßΣ", "ßσ");
        check("İ", "İ", "i");
        check("\u{1f80}", "\u{1f88}", "\u{1f80}");
        check("\u{1fb3}", "\u{1fbc}", "\u{1fb3}");
    }
}
