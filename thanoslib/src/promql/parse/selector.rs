//! Selectors that stand alone, such as `match[]` parameters.

use super::{ParseError, check, read};
use crate::{
    model::Matcher,
    promql::{
        EngineOptions,
        ast::{Duration, Node},
    },
};

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
    let expr = read(text.as_bytes(), options)?;
    let kind = match &expr.node {
        Node::Vector(selector) => {
            check::check_name(&expr, selector, text.as_bytes())?;
            if selector.at.is_none() && selector.offset == Duration::ZERO && selector.extension.is_none() {
                return Ok(selector.matchers.clone());
            }
            "a selector with modifiers"
        }
        node => {
            check::check(&expr, text.as_bytes())?;
            kind(node)
        }
    };
    // Compat: upstream's text names its own types (thanos `pkg/extpromql/parser.go`).
    Err(ParseError::bare(format!("expected type *parser.VectorSelector, got {kind}")))
}

fn kind(node: &Node) -> &'static str {
    match node {
        Node::Number { .. } => "*parser.NumberLiteral",
        Node::String(_) => "*parser.StringLiteral",
        Node::Paren(_) => "*parser.ParenExpr",
        Node::Unary { .. } => "*parser.UnaryExpr",
        Node::Binary(_) => "*parser.BinaryExpr",
        Node::Aggregate(_) => "*parser.AggregateExpr",
        Node::Call { .. } => "*parser.Call",
        Node::Vector(_) => "*parser.VectorSelector",
        Node::Matrix { .. } => "*parser.MatrixSelector",
        Node::Subquery(_) => "*parser.SubqueryExpr",
    }
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
        assert!(parse_selector("up{__name__=\"a\"}", &EngineOptions::default()).is_err());
        assert!(parse_selector("up offset 5m", &EngineOptions::default()).is_err());
        assert!(parse_selector("{", &EngineOptions::default()).is_err());
    }
}
