//! Label predicates.

use std::fmt;

use super::{LabelsRef, Regex, labels::is_legacy_label_name};
use crate::error::{Error, Result};

/// Operator of a [`Matcher`].
///
/// See [`Matcher`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// The operator as PromQL writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }
}

/// A predicate on one label; an absent label has the empty value.
///
/// ```
/// use thanoslib::model::{Labels, MatchOp, Matcher};
/// let matcher = Matcher::new(MatchOp::Regex, "job", "api|web")?;
/// let labels = Labels::from_pairs([("job", "api")]);
/// assert!(matcher.matches_labels(labels.view()) && !matcher.matches("db"));
/// assert_eq!(matcher.to_string(), r#"job=~"api|web""#);
/// // Values are bytes, as those of labels.
/// assert!(Matcher::equal("job", [0xff]).matches([0xff]));
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: Vec<u8>,
    regex: Option<Regex>,
}

impl Matcher {
    /// A matcher; regular expressions are compiled, anchored at both ends.
    ///
    /// # Errors
    /// `Invalid` when `value` is not a regular expression but must be one.
    pub fn new(op: MatchOp, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Result<Self> {
        let value = value.into();
        let regex = match op {
            MatchOp::Regex | MatchOp::NotRegex => Some(compile(&value)?),
            MatchOp::Equal | MatchOp::NotEqual => None,
        };
        Ok(Self { name: name.into(), op, value, regex })
    }

    /// The matcher `name = value`.
    pub fn equal(name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), op: MatchOp::Equal, value: value.into(), regex: None }
    }

    /// Name of the label.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Operator.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// Value or pattern as written.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// The compiled pattern of a regex matcher.
    pub fn regex(&self) -> Option<&Regex> {
        self.regex.as_ref()
    }

    /// True when a label of this value satisfies the matcher.
    pub fn matches(&self, value: impl AsRef<[u8]>) -> bool {
        let value = value.as_ref();
        let positive = match &self.regex {
            Some(regex) => regex.is_match(value),
            None => value == self.value,
        };
        positive != self.is_negative()
    }

    /// True when the label set satisfies the matcher.
    pub fn matches_labels(&self, labels: LabelsRef<'_>) -> bool {
        self.matches(labels.get(&self.name).unwrap_or_default())
    }

    /// True when a series without the label satisfies the matcher.
    pub fn matches_empty(&self) -> bool {
        self.matches(b"")
    }

    /// True for `!=` and `!~`.
    pub fn is_negative(&self) -> bool {
        matches!(self.op, MatchOp::NotEqual | MatchOp::NotRegex)
    }

    /// The matcher that accepts exactly what this one refuses.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let op = match self.op {
            MatchOp::Equal => MatchOp::NotEqual,
            MatchOp::NotEqual => MatchOp::Equal,
            MatchOp::Regex => MatchOp::NotRegex,
            MatchOp::NotRegex => MatchOp::Regex,
        };
        Self { op, ..self.clone() }
    }
}

/// Compiles a pattern.
///
/// # Errors
/// `Invalid` in the words of Go's `regexp`, which takes text only.
fn compile(pattern: &[u8]) -> Result<Regex> {
    let text = std::str::from_utf8(pattern).map_err(|_| {
        let shown = String::from_utf8_lossy(pattern);
        Error::invalid(format!("error parsing regexp: invalid UTF-8: `{shown}`"))
    })?;
    Regex::new(text).map_err(|e| Error::invalid(e.to_string()))
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (self.op, &self.name, &self.value) == (other.op, &other.name, &other.value)
    }
}

impl Eq for Matcher {}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_legacy_label_name(self.name.as_bytes()) {
            f.write_str(&self.name)?;
        } else {
            super::float::write_quoted(f, self.name.as_bytes())?;
        }
        f.write_str(self.op.as_str())?;
        super::float::write_quoted(f, &self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_treat_absent_labels_as_empty() {
        let check = |op, value: &str, input: &str, want: bool| {
            let m = Matcher::new(op, "a", value).expect("valid");
            assert_eq!(m.matches(input), want, "{m} on {input:?}");
            assert_eq!(m.inverse().matches(input), !want, "inverse of {m} on {input:?}");
        };
        check(MatchOp::Equal, "", "", true);
        check(MatchOp::NotEqual, "x", "", true);
        check(MatchOp::Regex, "x|", "", true);
        check(MatchOp::Regex, ".+", "", false);
        check(MatchOp::NotRegex, "x.*", "xyz", false);
    }

    #[test]
    fn values_are_bytes_and_patterns_text() {
        let m = Matcher::equal("a", b"b\xff");
        assert!(m.matches(b"b\xff") && !m.matches("b\u{fffd}") && !m.matches(b"b"));
        assert_eq!(m.to_string(), r#"a="b\xff""#);
        let e = Matcher::new(MatchOp::Regex, "a", b"b\xff").expect_err("no text");
        assert_eq!(e.to_string(), "error parsing regexp: invalid UTF-8: `b\u{fffd}`");
    }
}
