//! Why a text is no query, and where.

use std::fmt;

use crate::error::Error;

pub(super) const NO_EXPRESSION: &str = "no expression found in input";

/// Why a text is no query.
///
/// ```
/// use thanoslib::promql::{EngineOptions, parse};
/// let error = parse("sum(\n1,,)", &EngineOptions::default()).expect_err("a trailing comma");
/// assert_eq!((error.position, error.span), (Some((2, 2)), Some((6, 7))));
/// assert_eq!(error.to_string(), "2:2: parse error: trailing commas not allowed in function call args");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub message: String,
    /// Line and byte column where, both from 1, if it is known.
    pub position: Option<(u32, u32)>,
    /// Byte range of the text that is to blame, if it is known.
    pub span: Option<(u32, u32)>,
    /// True when the text parses, but is not what was asked for.
    bare: bool,
}

impl ParseError {
    /// An error that blames no place.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), position: None, span: None, bare: false }
    }

    /// An error that blames bytes of the text.
    pub(crate) fn at(message: impl Into<String>, text: &[u8], span: (u32, u32)) -> Self {
        let before = &text[..text.len().min(span.0 as usize)];
        let line = before.iter().filter(|b| **b == b'\n').count() as u32 + 1;
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let column = (before.len() - line_start) as u32 + 1;
        // Compat: an empty text has no lines (promql/parser/posrange).
        let position = if text.is_empty() { None } else { Some((line, column)) };
        Self { message: message.into(), position, span: Some(span), bare: false }
    }

    /// An error of a text that parses, but is not what was asked for.
    pub(super) fn bare(message: String) -> Self {
        Self { message, position: None, span: None, bare: true }
    }

    pub(super) fn too_deep(depth_max: usize) -> Self {
        Self::new(format!("query nests deeper than {depth_max} levels"))
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bare {
            return f.write_str(&self.message);
        }
        match self.position {
            Some((line, column)) => write!(f, "{line}:{column}: ")?,
            // Compat: upstream says so of an empty text (promql/parser/parse.go).
            None if self.message == NO_EXPRESSION => f.write_str("unknown position: ")?,
            None => {}
        }
        write!(f, "parse error: {}", self.message)
    }
}

impl std::error::Error for ParseError {}

impl From<ParseError> for Error {
    /// An error of kind `Invalid`.
    fn from(e: ParseError) -> Self {
        Error::invalid(e.to_string())
    }
}
