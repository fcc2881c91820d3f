//! Character classes: `[…]`, `\d`, `[:alpha:]`, `\pL`.

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

use super::{
    error::{RegexError, RegexErrorKind},
    escape::parse_escape,
};

/// Reads a class that starts with `[`; returns it and the text after it.
pub(super) fn parse_class(s: &str, fold: bool) -> Result<(ClassUnicode, &str), RegexError> {
    let mut class = ClassUnicode::empty();
    let mut t = &s[1..];
    let negated = t.starts_with('^');
    if negated {
        t = &t[1..];
    }
    let mut first = true;
    while first || !t.starts_with(']') {
        first = false;
        if let Some((posix, rest)) = parse_posix(t)? {
            add_group(&mut class, posix, fold);
            t = rest;
        } else if let Some((group, rest)) = parse_group(t)? {
            add_group(&mut class, group, fold);
            t = rest;
        } else {
            let start = t;
            let (low, rest) = parse_char(t, s)?;
            t = rest;
            let mut high = low;
            if t.starts_with('-') && t.len() >= 2 && !t[1..].starts_with(']') {
                (high, t) = parse_char(&t[1..], s)?;
                if high < low {
                    let range = &start[..start.len() - t.len()];
                    return Err(RegexError::new(RegexErrorKind::CharRange, range));
                }
            }
            let mut range = char_range(low, high);
            if fold {
                range.case_fold_simple();
            }
            class.union(&range);
        }
    }
    if negated {
        class.negate();
    }
    Ok((class, &t[1..]))
}

fn parse_char<'a>(t: &'a str, class: &str) -> Result<(u32, &'a str), RegexError> {
    match t.chars().next() {
        None => Err(RegexError::new(RegexErrorKind::MissingBracket, class)),
        Some('\\') => parse_escape(t),
        Some(c) => Ok((u32::from(c), &t[c.len_utf8()..])),
    }
}

/// The characters of a range of code points; surrogates are none.
pub(super) fn char_range(low: u32, high: u32) -> ClassUnicode {
    let parts = [(low, high.min(0xd7ff)), (low.max(0xe000), high)];
    ClassUnicode::new(parts.into_iter().filter_map(|(low, high)| {
        let (low, high) = (char::from_u32(low)?, char::from_u32(high)?);
        (low <= high).then(|| ClassUnicodeRange::new(low, high))
    }))
}

/// A named group of characters, perhaps all but those.
pub(super) struct Group {
    class: ClassUnicode,
    negated: bool,
}

impl Group {
    fn of(ranges: &[(char, char)], negated: bool) -> Self {
        let ranges = ranges.iter().map(|(low, high)| ClassUnicodeRange::new(*low, *high));
        Self { class: ClassUnicode::new(ranges), negated }
    }

    /// The characters, with those that differ only in case when `fold` is set.
    pub(super) fn into_class(mut self, fold: bool) -> ClassUnicode {
        if fold {
            self.class.case_fold_simple();
        }
        if self.negated {
            self.class.negate();
        }
        self.class
    }
}

fn add_group(class: &mut ClassUnicode, group: Group, fold: bool) {
    class.union(&group.into_class(fold));
}

/// Reads `\d`, `\pL` and their kin, if the text starts with one.
pub(super) fn parse_group(s: &str) -> Result<Option<(Group, &str)>, RegexError> {
    const DIGIT: &[(char, char)] = &[('0', '9')];
    const SPACE: &[(char, char)] = &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')];
    const WORD: &[(char, char)] = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];
    let (ranges, negated) = match s.as_bytes() {
        [b'\\', b'p' | b'P', ..] => return parse_unicode(s).map(Some),
        [b'\\', b'd', ..] => (DIGIT, false),
        [b'\\', b'D', ..] => (DIGIT, true),
        [b'\\', b's', ..] => (SPACE, false),
        [b'\\', b'S', ..] => (SPACE, true),
        [b'\\', b'w', ..] => (WORD, false),
        [b'\\', b'W', ..] => (WORD, true),
        _ => return Ok(None),
    };
    Ok(Some((Group::of(ranges, negated), &s[2..])))
}

/// Reads `[:alpha:]`, if the text starts with such a name.
fn parse_posix(s: &str) -> Result<Option<(Group, &str)>, RegexError> {
    if !s.starts_with("[:") {
        return Ok(None);
    }
    let Some(end) = s[2..].find(":]") else { return Ok(None) };
    let (whole, rest) = s.split_at(end + 4);
    let name = &whole[2..end + 2];
    let (name, negated) = match name.strip_prefix('^') {
        Some(name) => (name, true),
        None => (name, false),
    };
    let ranges: &[(char, char)] = match name {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "ascii" => &[('\0', '\x7f')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\x1f'), ('\x7f', '\x7f')],
        "digit" => &[('0', '9')],
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "word" => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return Err(RegexError::new(RegexErrorKind::CharRange, whole)),
    };
    Ok(Some((Group::of(ranges, negated), rest)))
}

/// Reads `\pL`, `\p{Greek}`, `\p{^Greek}` or `\P…`.
fn parse_unicode(s: &str) -> Result<(Group, &str), RegexError> {
    let bad = |what: &str| RegexError::new(RegexErrorKind::CharRange, what);
    let mut negated = s.as_bytes()[1] == b'P';
    let (whole, name) = match s[2..].chars().next() {
        None => return Err(bad(s)),
        Some('{') => {
            let end = s.find('}').ok_or_else(|| bad(s))?;
            (&s[..=end], &s[3..end])
        }
        Some(c) => (&s[..2 + c.len_utf8()], &s[2..2 + c.len_utf8()]),
    };
    let name = match name.strip_prefix('^') {
        Some(name) => {
            negated = !negated;
            name
        }
        None => name,
    };
    let class = unicode_class(name).ok_or_else(|| bad(whole))?;
    Ok((Group { class, negated }, &s[whole.len()..]))
}

/// Characters of a general category or a script.
fn unicode_class(name: &str) -> Option<ClassUnicode> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ');
    if name.is_empty() || !name.chars().all(plain) {
        return None;
    }
    ["gc", "sc"].iter().find_map(|property| {
        let hir = regex_syntax::parse(&format!("\\p{{{property}={name}}}")).ok()?;
        match hir.into_kind() {
            HirKind::Class(Class::Unicode(class)) => Some(class),
            // A class of one character.
            HirKind::Literal(literal) => {
                let c = std::str::from_utf8(&literal.0).ok()?.chars().next()?;
                Some(ClassUnicode::new([ClassUnicodeRange::new(c, c)]))
            }
            _ => None,
        }
    })
}
