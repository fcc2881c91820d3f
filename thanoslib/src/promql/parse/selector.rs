//! Selectors that stand alone, such as `match[]` parameters.

use super::{ParseError, parse};
use crate::{
    model::Matcher,
    promql::{
        EngineOptions,
        ast::{Duration, Node},
    },
};

/// Label of the matcher that keeps the front end from refusing selectors that match all series.
const STAND_IN: &str = "__stand_in__";

/// Reads a selector without modifiers; unlike one in a query it may match every series.
///
/// ```
/// use thanoslib::promql::{EngineOptions, parse_selector};
/// let matchers = parse_selector("up{job=~\"a.*\"}", &EngineOptions::default())?;
/// assert_eq!(matchers.len(), 2);
/// # Ok::<(), thanoslib::promql::ParseError>(())
/// ```
///
/// # Errors
/// What is wrong with the text, or that it is another expression.
pub fn parse_selector(text: &str, options: &EngineOptions) -> Result<Vec<Matcher>, ParseError> {
    let first = parse(text, options);
    let expr = match first {
        Err(e) if e.message.contains("at least one non-empty matcher") => {
            parse(&with_stand_in(text).ok_or(e)?, options)?
        }
        other => other?,
    };
    let kind = match expr.node {
        Node::Vector(selector) if selector.at.is_none() && selector.offset == Duration::ZERO => {
            let mut matchers = selector.matchers;
            matchers.retain(|m| m.name() != STAND_IN);
            return Ok(matchers);
        }
        Node::Vector(_) => "a selector with modifiers",
        Node::Number { .. } => "*parser.NumberLiteral",
        Node::String(_) => "*parser.StringLiteral",
        Node::Paren(_) => "*parser.ParenExpr",
        Node::Unary { .. } => "*parser.UnaryExpr",
        Node::Binary(_) => "*parser.BinaryExpr",
        Node::Aggregate(_) => "*parser.AggregateExpr",
        Node::Call { .. } => "*parser.Call",
        Node::Matrix { .. } => "*parser.MatrixSelector",
        Node::Subquery(_) => "*parser.SubqueryExpr",
    };
    // Compat: upstream's text names its own types (thanos `pkg/extpromql/parser.go`).
    Err(ParseError::bare(format!("expected type *parser.VectorSelector, got {kind}")))
}

/// The selector with one more matcher before its closing brace.
fn with_stand_in(text: &str) -> Option<String> {
    let (head, tail) = text.rsplit_once('}')?;
    let comma = if head.trim_end().ends_with(['{', ',']) { "" } else { "," };
    Some(format!("{head}{comma}{STAND_IN}=\"x\"}}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_selector_may_match_everything() {
        let check = |text: &str, want: &[&str]| {
            let got = parse_selector(text, &EngineOptions::default()).expect(text);
            assert_eq!(got.iter().map(ToString::to_string).collect::<Vec<_>>(), want, "{text}");
        };
        check("{}", &[]);
        check("{a=\"\"}", &["a=\"\""]);
        check("{a=\"\", }", &["a=\"\""]);
        check("up", &["__name__=\"up\""]);
        let e = parse_selector("up[5m]", &EngineOptions::default()).expect_err("a range");
        assert_eq!(e.to_string(), "expected type *parser.VectorSelector, got *parser.MatrixSelector");
        assert!(parse_selector("{", &EngineOptions::default()).is_err());
    }
}
