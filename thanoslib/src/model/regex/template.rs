//! Matching with groups, and templates that use them.

use super::{
    RegexError, hir,
    parse::{Parsed, parse},
    replace_invalid,
};

/// A regular expression whose groups fill a template: that of `label_replace` and of relabelling.
///
/// Like [`super::Regex`] it is anchored and its dot matches newlines; errors show the pattern
/// within `^(?s:…)$`, as upstream's do.
///
/// ```
/// use thanoslib::model::TemplateRegex;
/// let regex = TemplateRegex::new("(.+):([0-9]+)")?;
/// assert_eq!(regex.captures_expand(b"db-1:9090", b"$1"), Some(b"db-1".to_vec()));
/// # Ok::<(), thanoslib::model::RegexError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TemplateRegex {
    automaton: regex_automata::meta::Regex,
    names: Vec<String>,
}

impl TemplateRegex {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// The text that Go's `regexp` gives.
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        let whole = anchored(pattern);
        let Parsed { node, names } = parse(&whole, false, true)?;
        Ok(Self { automaton: hir::build(&node, true, &whole)?, names })
    }

    /// True when the whole value matches.
    pub fn is_match(&self, value: &[u8]) -> bool {
        self.automaton.is_match(replace_invalid(value).as_ref())
    }

    /// The template with its groups filled in; `None` when the value does not match.
    ///
    /// `$1`, `${1}`, `$name` and `${name}` stand for groups, `$$` for a dollar sign. A name is as
    /// long as letters, digits and underscores go: `$1_x` is the group `1_x`. A group that does
    /// not exist or took no part is empty; a dollar sign that starts nothing stays.
    pub fn captures_expand(&self, value: &[u8], template: &[u8]) -> Option<Vec<u8>> {
        let text = replace_invalid(value);
        let mut captures = self.automaton.create_captures();
        self.automaton.captures(text.as_ref(), &mut captures);
        if !captures.is_match() {
            return None;
        }
        let group = |i: usize| {
            let span = captures.get_group(i)?;
            let at = |offset: usize| {
                if text.len() == value.len() { offset } else { original(&text, value, offset) }
            };
            value.get(at(span.start)..at(span.end))
        };
        let mut out = Vec::with_capacity(template.len() + value.len());
        let mut rest = template;
        while let Some(dollar) = rest.iter().position(|b| *b == b'$') {
            out.extend_from_slice(&rest[..dollar]);
            rest = &rest[dollar + 1..];
            if let Some(after) = rest.strip_prefix(b"$") {
                out.push(b'$');
                rest = after;
                continue;
            }
            let Some((name, after)) = reference(rest) else {
                out.push(b'$');
                continue;
            };
            rest = after;
            let found = match number(name) {
                Some(index) => group(index),
                None => self.named(name).find_map(group),
            };
            out.extend_from_slice(found.unwrap_or_default());
        }
        out.extend_from_slice(rest);
        Some(out)
    }

    /// Numbers of the groups with a name.
    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.names.iter().enumerate().filter(move |(_, n)| *n == name).map(|(i, _)| i + 1)
    }
}

/// The pattern as upstream compiles it.
pub(super) fn anchored(pattern: &str) -> String {
    format!("^(?s:{pattern})$")
}

/// Offset in `value` of an offset in its text form, where bytes that are not UTF-8 grew.
fn original(text: &str, value: &[u8], offset: usize) -> usize {
    let (mut in_text, mut in_value) = (0, 0);
    for chunk in value.utf8_chunks() {
        let valid = chunk.valid().len();
        if offset <= in_text + valid {
            return in_value + (offset - in_text);
        }
        in_text += valid;
        in_value += valid;
        for _ in chunk.invalid() {
            in_text += char::REPLACEMENT_CHARACTER.len_utf8();
            in_value += 1;
            if offset <= in_text {
                return in_value;
            }
        }
    }
    debug_assert!(offset <= text.len(), "an offset of the text");
    in_value
}

/// The name after a dollar sign and what follows it; `None` when none starts there.
///
/// Names are letters, digits and underscores of any script.
fn reference(s: &[u8]) -> Option<(&str, &[u8])> {
    let (body, braced) = match s.strip_prefix(b"{") {
        Some(body) => (body, true),
        None => (s, false),
    };
    let text = body.utf8_chunks().next()?.valid();
    let end = text.find(|c: char| !(c == '_' || is_letter_or_digit(c))).unwrap_or(text.len());
    let name = &text[..end];
    let after = &body[end..];
    let after = if braced { after.strip_prefix(b"}")? } else { after };
    (!name.is_empty()).then_some((name, after))
}

/// Letters and decimal digits, as Go's `unicode.IsLetter` and `unicode.IsDigit` have them.
fn is_letter_or_digit(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric();
    }
    static CLASS: std::sync::OnceLock<Vec<(char, char)>> = std::sync::OnceLock::new();
    let ranges = CLASS.get_or_init(|| {
        let class = super::class::parse_class(r"[\p{L}\p{Nd}]", false);
        class.map(|(class, _)| class.iter().map(|r| (r.start(), r.end())).collect()).unwrap_or_default()
    });
    let after = ranges.partition_point(|(first, _)| *first <= c);
    after > 0 && c <= ranges[after - 1].1
}

/// A name of digits only, as the number of a group.
fn number(name: &str) -> Option<usize> {
    if !name.bytes().all(|b| b.is_ascii_digit()) || (name.len() > 1 && name.starts_with('0')) {
        return None;
    }
    // Numbers of 10⁸ and more are names in Go; no pattern has so many groups.
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, value: &[u8], template: &str, want: Option<&[u8]>) {
        let regex = TemplateRegex::new(pattern).expect("valid pattern");
        let got = regex.captures_expand(value, template.as_bytes());
        assert_eq!(got.as_deref(), want, "{pattern} on {value:?} into {template}");
        assert_eq!(regex.is_match(value), want.is_some());
    }

    #[test]
    fn groups_fill_templates() {
        check("(.*)-(.*)", b"a-b", "$2/$1", Some(b"b/a"));
        check("(.*)-(.*)", b"a-b", "$1_x|${1}_x", Some(b"|a_x"));
        check("(.*)-(.*)", b"a-b", "$0 $9 $$1 $ ${ $- ${1", Some(b"a-b  $1 $ ${ $- ${1"));
        check("(?P<n>a)|(?<n>b)", b"b", "<$n>", Some(b"<b>"));
        check("(a)?b", b"b", "[$1]", Some(b"[]"));
        check("a", b"ab", "x", None);
        check("(?i)K(.)", "\u{212a}\n".as_bytes(), "$1", Some(b"\n"));
        check("", b"", "x", Some(b"x"));
    }

    #[test]
    fn invalid_bytes_come_back_as_they_were() {
        check("a(.)(.*)", b"a\xff\xfeb\xc3\xa9", "$2|$1", Some(b"\xfeb\xc3\xa9|\xff"));
        check("(..)", b"\xe4\xb8", "$1", Some(b"\xe4\xb8"));
        check("\u{fffd}", b"\xff", "x", Some(b"x"));
    }

    #[test]
    fn errors_show_the_wrapped_pattern() {
        let got = TemplateRegex::new("(").map(|_| ()).map_err(|e| e.to_string());
        assert_eq!(got, Err("error parsing regexp: missing closing ): `^(?s:()$`".to_owned()));
    }
}
