//! Errors of patterns.

use std::fmt;

/// What is wrong with a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RegexErrorKind {
    CharRange,
    Escape,
    Large,
    MissingBracket,
    MissingParen,
    MissingRepeatArgument,
    NamedCapture,
    NestingDepth,
    PerlOp,
    RepeatOp,
    RepeatSize,
    TrailingBackslash,
    UnexpectedParen,
}

/// Why a pattern is no regular expression; displays in Go's words.
///
/// ```
/// use thanoslib::model::Regex;
/// let error = Regex::new("a(b").expect_err("an open group");
/// assert!(error.to_string().contains("missing closing )"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegexError {
    kind: RegexErrorKind,
    part: String,
}

impl RegexError {
    pub(super) fn new(kind: RegexErrorKind, part: &str) -> Self {
        Self { kind, part: part.to_owned() }
    }
}

impl fmt::Display for RegexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            RegexErrorKind::CharRange => "invalid character class range",
            RegexErrorKind::Escape => "invalid escape sequence",
            RegexErrorKind::Large => "expression too large",
            RegexErrorKind::MissingBracket => "missing closing ]",
            RegexErrorKind::MissingParen => "missing closing )",
            RegexErrorKind::MissingRepeatArgument => "missing argument to repetition operator",
            RegexErrorKind::NamedCapture => "invalid named capture",
            RegexErrorKind::NestingDepth => "expression nests too deeply",
            RegexErrorKind::PerlOp => "invalid or unsupported Perl syntax",
            RegexErrorKind::RepeatOp => "invalid nested repetition operator",
            RegexErrorKind::RepeatSize => "invalid repeat count",
            RegexErrorKind::TrailingBackslash => "trailing backslash at end of expression",
            RegexErrorKind::UnexpectedParen => "unexpected )",
        };
        write!(f, "error parsing regexp: {what}: `{}`", self.part)
    }
}

impl std::error::Error for RegexError {}
