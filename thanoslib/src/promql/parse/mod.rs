//! From text to the syntax tree.
//!
//! Literals, names and limits are ours ([`scan`]); the grammar is that of the crate
//! `promql-parser`, which this module alone knows. It knows neither `anchored`, `smoothed`,
//! the trim operators nor arithmetic in durations: queries with them are refused.
//!
//! Invariant: any text gives a tree or an error: no panic, bounded time, bounded stack.

pub(crate) mod literal;
mod lower;
mod scan;
mod selector;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
};

use super::{EngineOptions, ast::Expr, check};
use crate::error::Error;

pub use selector::parse_selector;

const NO_EXPRESSION: &str = "no expression found in input";

/// Why a text is no query.
///
/// ```
/// use thanoslib::promql::{EngineOptions, parse};
/// let error = parse("sum(", &EngineOptions::default()).expect_err("an open parenthesis");
/// assert!(!error.message.is_empty());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub message: String,
    /// Line and byte column where, both from 1, if it is known.
    pub position: Option<(u32, u32)>,
    /// True when the text parses, but is not what was asked for.
    bare: bool,
}

impl ParseError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), position: None, bare: false }
    }

    /// An error at a byte of the text.
    pub(crate) fn at(message: impl Into<String>, text: &str, byte: usize) -> Self {
        let before = &text.as_bytes()[..byte.min(text.len())];
        let line = before.iter().filter(|b| **b == b'\n').count() as u32 + 1;
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let column = (before.len() - line_start) as u32 + 1;
        Self { message: message.into(), position: Some((line, column)), bare: false }
    }

    /// An error of a text that parses, but is not what was asked for.
    fn bare(message: String) -> Self {
        Self { message, position: None, bare: true }
    }

    fn too_deep(depth_max: usize) -> Self {
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

/// Stack of the thread that reads long queries: the grammar's tree may be as deep as a
/// query has operators.
const STACK_BYTES: usize = 64 << 20;

/// Reads a query and checks its types.
///
/// ```
/// use thanoslib::promql::{EngineOptions, parse};
/// let expr = parse("sum by(job)(rate(x_total[300s]))", &EngineOptions::default())?;
/// assert_eq!(expr.to_string(), "sum by (job) (rate(x_total[5m]))");
/// # Ok::<(), thanoslib::promql::ParseError>(())
/// ```
///
/// # Errors
/// What is wrong with the text, in upstream's words where the front end tells.
pub fn parse(text: &str, options: &EngineOptions) -> Result<Expr, ParseError> {
    if text.len() > options.query_bytes_max {
        return Err(ParseError::new(format!(
            "query has {} bytes, more than {}",
            text.len(),
            options.query_bytes_max
        )));
    }
    let scan = scan::scan(text, options)?;
    if scan.is_small {
        read(text, &scan, options)
    } else {
        thread::scope(|scope| {
            thread::Builder::new()
                .name("promql-parse".to_owned())
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, || read(text, &scan, options))
                .map_err(|e| ParseError::new(format!("cannot start a thread to read a long query: {e}")))?
                .join()
                .unwrap_or_else(|_| Err(gave_up()))
        })
    }
}

fn read(text: &str, scan: &scan::Scan, options: &EngineOptions) -> Result<Expr, ParseError> {
    // The scan leaves only small whole numbers in the text, which keeps the crate from the
    // conversions on which it is known to panic; this guards against others.
    let tree = catch_unwind(AssertUnwindSafe(|| promql_parser::parser::parse(&scan.text)))
        .map_err(|_| gave_up())?
        .map_err(|message| lower::error(&message, scan))?;
    let expr = lower::lower(&tree, text, scan, options.query_depth_max)?;
    check::check(&expr, text, options)?;
    Ok(expr)
}

fn gave_up() -> ParseError {
    ParseError::new("the grammar gave up on this query")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> EngineOptions {
        EngineOptions { experimental_functions: true, fill_modifiers: true, ..EngineOptions::default() }
    }

    #[test]
    fn queries_print_in_canonical_form() {
        let check = |text: &str, want: &str| {
            assert_eq!(parse(text, &all()).map(|e| e.to_string()), Ok(want.to_owned()), "{text}");
        };
        check("up", "up");
        check("  up # trailing", "up");
        check("-1^2", "-1 ^ 2");
        check("a + on(b) group_left() c", "a + on (b) group_left () c");
        check("sum(x)by(\"a b\",c)", "sum by (\"a b\", c) (x)");
        check("x{b=\"\\x41\",a=~'.+'}[1m] offset -5m @ 1.5", "x{a=~\".+\",b=\"A\"}[1m] @ 1.500 offset -5m");
        check("{\"a b\", or =\"1\"}", "{__name__=\"a b\",or=\"1\"}");
        check("1_000 + 0x1F", "1000 + 31");
        check(
            "a == bool ignoring(x) fill_right(2) fill_left(-1.5) b",
            "a == bool ignoring (x) fill_left (-1.5) fill_right (2) b",
        );
        check("rate(x[5m:30s] @ end())", "rate(x[5m:30s] @ end())");
        check("info(x, {})", "info(x, {})");
        check("anchored + smoothed", "anchored + smoothed");
        check("m5 + m:1{l2=\"3\"}", "m5 + m:1{l2=\"3\"}");
    }

    #[test]
    fn bad_queries_are_refused() {
        let check = |text: &str, want: &str| {
            let got = parse(text, &EngineOptions::default()).map(|e| e.to_string());
            assert_eq!(got.map_err(|e| e.to_string()), Err(want.to_owned()), "{text}");
        };
        check("", "unknown position: parse error: no expression found in input");
        check("(1", "1:3: parse error: unclosed left parenthesis");
        check(
            "foo[1e400]",
            "1:5: parse error: error parsing number: strconv.ParseFloat: parsing \"1e400\": value out of range",
        );
        check("foo offset 1e300", "parse error: duration out of range");
        check("foo offset NaN", "parse error: duration out of range");
        check("foo[0]", "parse error: duration must be greater than 0");
        check("foo[300y]", "1:5: parse error: duration out of range");
        check(
            "rate(x)",
            "parse error: expected type range vector in call to function \"rate\", got instant vector",
        );
        check("integral(x[5m])", "1:1: parse error: unknown function with name \"integral\"");
        check(
            "limitk(1, x)",
            "1:1: parse error: limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
        );
        check(
            "foo{a=\"b\" or c=\"d\"}",
            "1:11: parse error: unexpected identifier \"or\" in label matching, expected \",\" or \"}\"",
        );
        check("x[5m] anchored", "parse error: anchored modifier is experimental and not enabled");
        check("foo{__name__=\"x\"}", "parse error: metric name must not be set twice: \"foo\" or \"x\"");
    }

    #[test]
    fn hostile_queries_are_bounded() {
        for text in [
            "(".repeat(100_000),
            "1+".repeat(100_000),
            "-".repeat(100_000) + "1",
            "1".to_owned() + &"+1".repeat(2000),
            "(".repeat(600) + "1" + &")".repeat(600),
            "a[1m:".repeat(600) + &"]".repeat(600),
            "x,".repeat(70_000),
            "sum(".repeat(400) + "f(" + &"x,".repeat(30_000) + "x)" + &")".repeat(400),
            "\"".to_owned() + &"\\".repeat(1000),
            " ".repeat(2 << 20),
        ] {
            assert!(parse(&text, &all()).is_err(), "{:.20}", text);
        }
        let deep = "abs(".repeat(400) + "x" + &")".repeat(400);
        assert!(parse(&deep, &all()).is_ok());
    }

    /// Pieces that queries are put together from at random.
    const PIECES: &[&str] = &[
        "up",
        "rate",
        "sum",
        "by",
        "on",
        "group_left",
        "offset",
        "@",
        "bool",
        "fill",
        "anchored",
        "and",
        "atan2",
        "(",
        ")",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "=",
        "=~",
        "!=",
        "==",
        "+",
        "-",
        "*",
        "^",
        "</",
        "1",
        "5m",
        "0x1F",
        "1e400",
        "NaN",
        "\"a\"",
        "'b'",
        "`c`",
        "\"\\xff\"",
        "\"",
        "#",
        "\n",
        "é",
        "a:b",
        "m3",
        "l2",
        "start()",
        "or",
        "sum by (a) (up)",
        "rate(up[5m])",
        "up[5m:1m]",
        "{a=\"b\"}",
        "time()",
        "(up)",
        "-1",
        "up offset -5m",
    ];

    proptest::proptest! {
        #[test]
        fn any_text_gives_a_tree_or_an_error(pieces in proptest::collection::vec(0..PIECES.len(), 0..12), glue in "[ ]?") {
            let text = pieces.iter().map(|i| PIECES[*i]).collect::<Vec<_>>().join(&glue);
            if let Ok(expr) = parse(&text, &all()) {
                let printed = expr.to_string();
                let again = parse(&printed, &all()).map(|e| e.to_string());
                proptest::prop_assert_eq!(again, Ok(printed), "{}", text);
            }
        }

        #[test]
        fn any_bytes_give_a_tree_or_an_error(text in ".{0,40}") {
            let _ = parse(&text, &all());
        }
    }
}
