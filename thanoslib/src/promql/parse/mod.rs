//! From text to the syntax tree.
//!
//! A lexer cuts the text into tokens, a parser with a stack of its own makes them a tree, a
//! last pass checks types. The first error ends all; its words and place are upstream's.
//!
//! Invariant: any text gives a tree or an error: no panic, linear time, bounded stack.

pub(crate) mod check;
mod clauses;
mod duration;
mod error;
mod expr;
mod lex;
pub(crate) mod literal;
mod matchers;
mod modifiers;
mod selector;
pub(crate) mod series;
mod token;

use std::borrow::Cow;

use self::{
    lex::Lexer,
    token::{Kind, Token},
};
use super::{EngineOptions, ast::Expr};

pub use error::ParseError;
pub use selector::parse_selector;
pub use series::{SequenceValue, parse_series};

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
/// What is wrong with the text, in upstream's words; the first of several.
pub fn parse(text: &str, options: &EngineOptions) -> Result<Expr, ParseError> {
    parse_bytes(text.as_bytes(), options)
}

/// [`parse`] for queries that need not be UTF-8; bytes that are not may stand in comments only.
///
/// ```
/// use thanoslib::promql::{EngineOptions, parse_bytes};
/// let error = parse_bytes(b"up + \xff", &EngineOptions::default()).expect_err("no character");
/// assert_eq!(error.to_string(), "1:6: parse error: unexpected character: '\u{fffd}'");
/// ```
///
/// # Errors
/// Those of [`parse`].
pub fn parse_bytes(text: &[u8], options: &EngineOptions) -> Result<Expr, ParseError> {
    let expr = read(text, options)?;
    check::check(&expr, text)?;
    Ok(expr)
}

/// Reads a query without checking its types.
fn read(text: &[u8], options: &EngineOptions) -> Result<Expr, ParseError> {
    if text.len() > options.query_bytes_max || u32::try_from(text.len()).is_err() {
        let (bytes, most) = (text.len(), options.query_bytes_max.min(u32::MAX as usize));
        return Err(ParseError::new(format!("query has {bytes} bytes, more than {most}")));
    }
    let lexer = Lexer::new(text);
    Parser { text, options, lexer, ahead: None, last_end: 0, aggregations: 0 }.whole()
}

/// Reads tokens one ahead.
struct Parser<'a> {
    text: &'a [u8],
    options: &'a EngineOptions,
    lexer: Lexer<'a>,
    /// The next token, if it was seen.
    ahead: Option<Token>,
    /// Where the token that was taken last ends.
    last_end: u32,
    /// Aggregations that are being read, which errors mention.
    aggregations: usize,
}

impl<'a> Parser<'a> {
    fn peek(&mut self) -> Result<Token, ParseError> {
        match self.ahead {
            Some(token) => Ok(token),
            None => Ok(*self.ahead.insert(self.lexer.token()?)),
        }
    }

    fn next(&mut self) -> Result<Token, ParseError> {
        let token = self.peek()?;
        self.ahead = None;
        self.last_end = token.end;
        Ok(token)
    }

    fn expect(&mut self, kind: Kind) -> Result<Token, ParseError> {
        let token = self.peek()?;
        if token.kind == kind { self.next() } else { Err(self.unexpected(token, "", "")) }
    }

    fn bytes_of(&self, token: Token) -> &'a [u8] {
        &self.text[token.start as usize..token.end as usize]
    }

    /// The text of a token other than a string, which is ASCII.
    fn text_of(&self, token: Token) -> &'a str {
        std::str::from_utf8(self.bytes_of(token)).unwrap_or_default()
    }

    /// The bytes that a string stands for.
    fn unquoted(&self, token: Token) -> Result<Cow<'a, [u8]>, ParseError> {
        literal::unquote(self.bytes_of(token)).map_err(|message| self.fail(&message, token.span()))
    }

    /// The value of a number, or the seconds of a duration.
    fn value(&self, token: Token) -> Result<f64, ParseError> {
        let text = self.text_of(token);
        let value = match token.kind {
            Kind::Duration => literal::duration_seconds(text),
            _ => literal::number(text),
        };
        value.map_err(|message| self.fail(&message, token.span()))
    }

    /// An error that blames bytes of the text.
    fn fail(&self, message: &str, span: (u32, u32)) -> ParseError {
        ParseError::at(message, self.text, span)
    }

    /// The error of a token that cannot stand where it does.
    fn unexpected(&self, token: Token, context: &str, expected: &str) -> ParseError {
        let text = String::from_utf8_lossy(self.bytes_of(token));
        let mut message = format!("unexpected {}", token::describe(token, &text));
        let context = if context.is_empty() && self.aggregations > 0 { "aggregation" } else { context };
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected);
        }
        self.fail(&message, token.span())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> EngineOptions {
        EngineOptions {
            experimental_functions: true,
            fill_modifiers: true,
            extended_range_selectors: true,
            ..EngineOptions::default()
        }
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
        check("1h30m + 90", "1h30m + 90");
        check("+ + x", "++x");
        check("a </ 1 >/ 2", "a </ 1 >/ 2");
        check(
            "x[step()*2+(1m)] smoothed @ 1 offset -(5m)",
            "x[step() * 2 + (1m)] smoothed @ 1.000 offset -(5m)",
        );
        check("x offset -2^2", "x offset -2s ^ 2");
        check("x offset (1m) * 2 > y", "x offset (1m) * 2 > y");
        check("x offset --1m*2", "x offset 1m * 2");
        check("x[((1m))]", "x[(1m)]");
        check("x[min_of(step(), 5m):max_of(1, 2)]", "x[min_of(step(), 5m):max_of(1, 2)]");
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
        check("foo offset 1e300", "1:12: parse error: duration out of range");
        check("foo offset NaN", "1:12: parse error: duration out of range");
        check("foo[0]", "1:5: parse error: duration must be greater than 0");
        check("foo[300y]", "1:5: parse error: duration out of range");
        check(
            "rate(x)",
            "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
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
        check("x[5m] anchored", "1:1: parse error: anchored modifier is experimental and not enabled");
        check("foo{__name__=\"x\"}", "1:1: parse error: metric name must not be set twice: \"foo\" or \"x\"");
    }

    #[test]
    fn hostile_queries_are_bounded() {
        for text in [
            "(".repeat(100_000),
            "1+".repeat(100_000),
            "-".repeat(100_000) + "1",
            "1".to_owned() + &"+1".repeat(100_000),
            "1".to_owned() + &"^1".repeat(100_000),
            "x[1m".to_owned() + &"+1m".repeat(100_000) + "]",
            "x[".to_owned() + &"(".repeat(100_000),
            "x[".to_owned() + &"-".repeat(100_000),
            "x offset ".to_owned() + &"-".repeat(100_000) + "1",
            "x[".to_owned() + &"max_of(".repeat(100_000),
            "(".repeat(600) + "1" + &")".repeat(600),
            "a[1m:".repeat(600) + &"]".repeat(600),
            "x,".repeat(70_000),
            "sum(".repeat(400) + "f(" + &"x,".repeat(30_000) + "x)" + &")".repeat(400),
            "sum by ".repeat(100_000),
            "x offset 1 @ 1 ".repeat(50_000),
            "\"".to_owned() + &"\\".repeat(1000),
            " ".repeat(2 << 20),
        ] {
            assert!(parse(&text, &all()).is_err(), "{:.20}", text);
        }
        for text in [
            "abs(".repeat(400) + "x" + &")".repeat(400),
            "x[".to_owned() + &"(".repeat(400) + "1m" + &")".repeat(400) + "]",
            "max_of(".repeat(510) + "1" + &",1)".repeat(510),
            "count(x or ".repeat(250) + "x" + &")".repeat(250),
            "label_join(x, '', ''".to_owned() + &", ''".repeat(200_000) + ")",
            "x{".to_owned() + &"a='b',".repeat(100_000) + "}",
        ] {
            assert!(parse(&text, &all()).is_ok(), "{:.20}", text);
        }
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
