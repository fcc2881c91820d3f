//! Regular expressions with the syntax and meaning of Go's RE2.
//!
//! Patterns are read by our own parser, since the grammar differs from that of Rust's engines in
//! many small ways; matching is theirs and takes linear time. A pattern always stands for the
//! whole value, and the dot matches line feeds.
//!
//! Values are bytes. As in Go, a byte that is not UTF-8 counts as one U+FFFD.
//!
//! Invariant: patterns and values only; knows no labels, no postings, no query.

mod class;
mod error;
mod escape;
mod hir;
mod literal;
mod node;
mod parse;
mod template;

use std::{borrow::Cow, fmt, sync::Arc};

pub use error::RegexError;
use literal::{Literals, Shape};
pub use template::TemplateRegex;

/// A compiled regular expression, anchored at both ends; the dot matches newlines.
///
/// ```
/// use thanoslib::model::Regex;
/// let regex = Regex::new("api-(a|b)")?;
/// assert!(regex.is_match(b"api-a") && !regex.is_match(b"api-a2"));
/// assert_eq!(regex.set_matches(), ["api-a", "api-b"]);
/// # Ok::<(), thanoslib::model::RegexError>(())
/// ```
#[derive(Clone)]
pub struct Regex(Arc<Inner>);

struct Inner {
    pattern: String,
    literals: Literals,
    shape: Shape,
    /// The set in order, for look-ups.
    sorted: Vec<String>,
    /// Absent when the shape decides alone.
    automaton: Option<regex_automata::meta::Regex>,
}

impl Regex {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// The text that Go's `regexp` gives.
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        let parsed = parse::parse(pattern, true, false)?;
        if pattern.contains("\\Q") {
            // Upstream compiles the pattern within `^(?s:…)$`, whose end an open quote swallows.
            parse::parse(&template::anchored(pattern), false, false)?;
        }
        let (literals, shape) = literal::analyse(pattern, &parsed.node);
        let automaton = match shape {
            Shape::Other => Some(hir::build(&parsed.node, false, pattern)?),
            _ => None,
        };
        let mut sorted = literals.set.clone();
        sorted.sort_unstable();
        Ok(Self(Arc::new(Inner { pattern: pattern.to_owned(), literals, shape, sorted, automaton })))
    }

    /// True when the whole value matches.
    pub fn is_match(&self, value: &[u8]) -> bool {
        match std::str::from_utf8(value) {
            Ok(value) => self.is_match_text(value),
            Err(_) => self.is_match_text(&replace_invalid(value)),
        }
    }

    fn is_match_text(&self, value: &str) -> bool {
        let Inner { literals, shape, sorted, automaton, .. } = &*self.0;
        match shape {
            Shape::Set => sorted.binary_search_by(|s| s.as_str().cmp(value)).is_ok(),
            Shape::All => true,
            Shape::NonEmpty => !value.is_empty(),
            Shape::Affixes(prefix, suffix) => {
                value.len() >= prefix.len() + suffix.len()
                    && value.starts_with(prefix.as_str())
                    && value.ends_with(suffix.as_str())
            }
            Shape::Contains(part) => value.contains(part.as_str()),
            Shape::Other => {
                value.starts_with(literals.prefix.as_str())
                    && value.ends_with(literals.suffix.as_str())
                    && literals.contains.iter().all(|part| value.contains(part.as_str()))
                    && automaton.as_ref().is_some_and(|a| a.is_match(value))
            }
        }
    }

    /// All strings that match, when they are few and the pattern spells them out; else nothing.
    ///
    /// Upstream gives up above 256 strings, but not for plain alternatives; strings may repeat.
    pub fn set_matches(&self) -> &[String] {
        &self.0.literals.set
    }

    /// What every matching value starts with; empty when unknown.
    pub fn prefix(&self) -> &str {
        &self.0.literals.prefix
    }

    /// What every matching value ends with; empty when unknown.
    pub fn suffix(&self) -> &str {
        &self.0.literals.suffix
    }

    /// True for `.*`: every value matches.
    pub fn matches_all(&self) -> bool {
        self.0.shape == Shape::All
    }

    /// True for `.+`: every value but the empty one matches.
    pub fn matches_non_empty(&self) -> bool {
        self.0.shape == Shape::NonEmpty
    }

    /// The pattern as written.
    pub fn pattern(&self) -> &str {
        &self.0.pattern
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Regex").field(&self.0.pattern).finish()
    }
}

/// The value with each byte that is not UTF-8 replaced by U+FFFD.
fn replace_invalid(value: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(value) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(value.len() + 16);
    for chunk in value.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests;
