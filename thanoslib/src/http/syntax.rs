//! `/api/v1/format_query` and `/api/v1/parse_query`: queries as text and as trees.

use std::fmt::Write;

use axum::response::Response;

use super::{Api, error::ApiError, json, json::success, params::Params};
use crate::{
    model::{Matcher, float},
    promql::{
        self,
        ast::{
            At, Binary, Cardinality, Duration, DurationExpr, DurationNode, Expr, Extension, Node, Subquery,
            ValueType, VectorSelector,
        },
    },
};

/// Answers with the indented text of a query.
///
/// Thanos itself has this path not; the answer is that of Prometheus.
pub(super) fn format(api: &Api, params: &Params) -> Result<Response, ApiError> {
    let expr = parse(api, params)?;
    let mut out = String::from(r#"{"status":"success","data":"#);
    json::html_safe_text(&mut out, &expr.prettify());
    out.push('}');
    Ok(success(out, false))
}

/// Answers with the syntax tree of a query.
///
/// Thanos itself has this path not; the answer is that of Prometheus.
pub(super) fn tree(api: &Api, params: &Params) -> Result<Response, ApiError> {
    let expr = parse(api, params)?;
    let mut out = String::from(r#"{"status":"success","data":"#);
    node(&mut out, &expr);
    out.push('}');
    Ok(success(out, false))
}

fn parse(api: &Api, params: &Params) -> Result<Expr, ApiError> {
    promql::parse(params.get("query"), api.served.engine.options())
        .map_err(|e| ApiError::bad_data(format!("invalid parameter \"query\": {e}")))
}

/// The syntax tree of a query as JSON, in the form of Prometheus' `/api/v1/parse_query`.
///
/// ```
/// use thanoslib::{http::syntax_tree, promql::{EngineOptions, parse}};
/// let expr = parse("-(1)", &EngineOptions::default())?;
/// let paren = r#"{"expr":{"type":"numberLiteral","val":"1"},"type":"parenExpr"}"#;
/// assert_eq!(syntax_tree(&expr), format!(r#"{{"expr":{paren},"op":"-","type":"unaryExpr"}}"#));
/// # Ok::<(), thanoslib::promql::ParseError>(())
/// ```
///
/// Source: Prometheus `web/api/v1/translate_ast.go`; keys stand in alphabetic order.
pub fn syntax_tree(expr: &Expr) -> String {
    let mut out = String::new();
    node(&mut out, expr);
    out
}

fn node(out: &mut String, e: &Expr) {
    match &e.node {
        Node::Number { value, .. } => {
            out.push_str(r#"{"type":"numberLiteral","val":""#);
            // Writing to a string cannot fail, here and below.
            let _ = float::write_plain(out, *value);
            out.push_str("\"}");
        }
        Node::String(s) => {
            out.push_str(r#"{"type":"stringLiteral","val":"#);
            json::html_safe_text(out, &String::from_utf8_lossy(s));
            out.push('}');
        }
        Node::Paren(inner) => {
            out.push_str(r#"{"expr":"#);
            node(out, inner);
            out.push_str(r#","type":"parenExpr"}"#);
        }
        Node::Unary { negative, expr } => {
            out.push_str(r#"{"expr":"#);
            node(out, expr);
            let op = if *negative { "-" } else { "+" };
            let _ = write!(out, r#","op":"{op}","type":"unaryExpr"}}"#);
        }
        Node::Binary(b) => binary(out, b),
        Node::Aggregate(a) => {
            out.push_str(r#"{"expr":"#);
            node(out, &a.expr);
            out.push_str(r#","grouping":"#);
            names(out, a.grouping.as_ref().map_or(&[], |g| &g.labels));
            let _ = write!(out, r#","op":"{}","param":"#, a.op.as_str());
            match &a.param {
                Some(param) => node(out, param),
                None => out.push_str("null"),
            }
            let without = a.grouping.as_ref().is_some_and(|g| !g.by);
            let _ = write!(out, r#","type":"aggregation","without":{without}}}"#);
        }
        Node::Call { function, args } => {
            out.push_str(r#"{"args":"#);
            json::items(out, args.iter(), node);
            out.push_str(r#","func":{"argTypes":"#);
            json::items(out, function.args.iter(), |out, kind| {
                let _ = write!(out, "\"{}\"", kind.as_str());
            });
            let (name, variadic, returns) = (function.name, function.variadic, function.returns.as_str());
            let _ = write!(
                out,
                r#","name":"{name}","returnType":"{returns}","variadic":{variadic}}},"type":"call"}}"#
            );
        }
        Node::Vector(selector) => {
            vector(out, selector, None);
            out.push_str(r#","type":"vectorSelector"}"#);
        }
        Node::Matrix { selector, range } => {
            vector(out, selector, Some(range));
            out.push_str(r#","type":"matrixSelector"}"#);
        }
        Node::Subquery(s) => subquery(out, s),
    }
}

fn binary(out: &mut String, b: &Binary) {
    let m = &b.matching;
    let _ = write!(out, r#"{{"bool":{},"lhs":"#, b.return_bool);
    node(out, &b.lhs);
    out.push_str(r#","matching":"#);
    if b.lhs.value_type() == ValueType::Vector && b.rhs.value_type() == ValueType::Vector {
        let card = match m.cardinality {
            Cardinality::OneToOne => "one-to-one",
            Cardinality::ManyToOne => "many-to-one",
            Cardinality::OneToMany => "one-to-many",
            Cardinality::ManyToMany => "many-to-many",
        };
        let _ = write!(out, r#"{{"card":"{card}","fillValues":{{"lhs":"#);
        optional(out, m.fill_left);
        out.push_str(r#","rhs":"#);
        optional(out, m.fill_right);
        out.push_str(r#"},"include":"#);
        names(out, &m.include);
        out.push_str(r#","labels":"#);
        names(out, &m.labels);
        let _ = write!(out, r#","on":{}}}"#, m.on);
    } else {
        out.push_str("null");
    }
    out.push_str(r#","op":"#);
    json::html_safe_text(out, b.op.as_str());
    out.push_str(r#","rhs":"#);
    node(out, &b.rhs);
    out.push_str(r#","type":"binaryExpr"}"#);
}

/// A selector up to its type; the range is that of a range selector.
fn vector(out: &mut String, v: &VectorSelector, range: Option<&Duration>) {
    let is = |extension| v.extension == Some(extension);
    let _ = write!(out, r#"{{"anchored":{},"matchers":"#, is(Extension::Anchored));
    json::items(out, v.matchers.iter(), matcher);
    out.push_str(r#","name":"#);
    json::html_safe_text(out, v.name.as_deref().unwrap_or_default());
    duration(out, "offset", Some(&v.offset));
    if let Some(range) = range {
        duration(out, "range", Some(range));
    }
    let _ = write!(out, r#","smoothed":{}"#, is(Extension::Smoothed));
    at(out, v.at);
}

fn subquery(out: &mut String, s: &Subquery) {
    out.push_str(r#"{"expr":"#);
    node(out, &s.expr);
    duration(out, "offset", Some(&s.offset));
    duration(out, "range", Some(&s.range));
    // `startOrEnd` stands before `step`, `timestamp` behind.
    start_or_end(out, s.at);
    duration(out, "step", s.step.as_ref());
    timestamp(out, s.at);
    out.push_str(r#","type":"subquery"}"#);
}

fn at(out: &mut String, at: Option<At>) {
    start_or_end(out, at);
    timestamp(out, at);
}

fn start_or_end(out: &mut String, at: Option<At>) {
    out.push_str(match at {
        Some(At::Start) => r#","startOrEnd":"start""#,
        Some(At::End) => r#","startOrEnd":"end""#,
        Some(At::Time(_)) | None => r#","startOrEnd":null"#,
    });
}

fn timestamp(out: &mut String, at: Option<At>) {
    let _ = match at {
        Some(At::Time(ms)) => write!(out, r#","timestamp":{ms}"#),
        Some(At::Start | At::End) | None => write!(out, r#","timestamp":null"#),
    };
}

/// A length in ms under its name, and arithmetic under the name with `Expr` behind.
fn duration(out: &mut String, name: &str, duration: Option<&Duration>) {
    let ms = duration.and_then(Duration::ms).unwrap_or(0);
    let _ = write!(out, r#","{name}":{ms},"{name}Expr":"#);
    match duration {
        Some(Duration::Expr(e)) => duration_expr(out, e, false),
        Some(Duration::Ms(_)) | None => out.push_str("null"),
    }
}

fn duration_expr(out: &mut String, e: &DurationExpr, wrapped: bool) {
    let mut operation = |op: &str, lhs: Option<&DurationExpr>, rhs: Option<&DurationExpr>| {
        out.push_str(r#"{"lhs":"#);
        operand(out, lhs);
        let _ = write!(out, r#","op":"{op}","rhs":"#);
        operand(out, rhs);
        let _ = write!(out, r#","type":"durationExpr","wrapped":{wrapped}}}"#);
    };
    match &e.node {
        DurationNode::Literal { seconds, is_duration } => {
            let _ = write!(out, r#"{{"duration":{is_duration},"type":"numberLiteral","val":""#);
            let _ = float::write_plain(out, *seconds);
            out.push_str("\"}");
        }
        // Compat: a literal in parentheses is the operand of a plus sign.
        DurationNode::Paren(inner) if matches!(inner.node, DurationNode::Literal { .. }) => {
            out.push_str(r#"{"lhs":null,"op":"+","rhs":"#);
            duration_expr(out, inner, false);
            out.push_str(r#","type":"durationExpr","wrapped":true}"#);
        }
        DurationNode::Paren(inner) => duration_expr(out, inner, true),
        DurationNode::Step => operation("step", None, None),
        DurationNode::Range => operation("range", None, None),
        DurationNode::MinOf(a, b) => operation("min_of", Some(a), Some(b)),
        DurationNode::MaxOf(a, b) => operation("max_of", Some(a), Some(b)),
        DurationNode::Negate(inner) => operation("-", None, Some(inner)),
        DurationNode::Binary { op, lhs, rhs } => operation(op.as_str(), Some(lhs), Some(rhs)),
    }
}

fn operand(out: &mut String, e: Option<&DurationExpr>) {
    match e {
        Some(e) => duration_expr(out, e, false),
        None => out.push_str("null"),
    }
}

fn matcher(out: &mut String, m: &Matcher) {
    out.push_str(r#"{"name":"#);
    json::html_safe_text(out, m.name());
    let _ = write!(out, r#","type":"{}","value":"#, m.op().as_str());
    json::html_safe_text(out, &String::from_utf8_lossy(m.value()));
    out.push('}');
}

fn names(out: &mut String, names: &[String]) {
    json::items(out, names.iter(), |out, name| json::html_safe_text(out, name));
}

/// A number, or `null` for none and for what JSON has no number for.
fn optional(out: &mut String, v: Option<f64>) {
    match v.filter(|v| v.is_finite()) {
        Some(v) => {
            let _ = float::write_api_value(out, v);
        }
        None => out.push_str("null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::EngineOptions;

    fn check(query: &str, want: &str) {
        let options = EngineOptions {
            extended_range_selectors: true,
            fill_modifiers: true,
            ..EngineOptions::default()
        };
        let expr = promql::parse(query, &options).expect(query);
        assert_eq!(syntax_tree(&expr), want, "{query}");
    }

    const A: &str = r#"{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"a"}],"name":"a","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"}"#;

    #[test]
    fn trees_have_the_form_of_prometheus() {
        check("a", A);
        check(
            "1 < bool 2",
            r#"{"bool":true,"lhs":{"type":"numberLiteral","val":"1"},"matching":null,"op":"\u003c","rhs":{"type":"numberLiteral","val":"2"},"type":"binaryExpr"}"#,
        );
        check(
            "a + on (b) group_left (c) fill_left (1.5) a",
            &format!(
                r#"{{"bool":false,"lhs":{A},"matching":{{"card":"many-to-one","fillValues":{{"lhs":1.5,"rhs":null}},"include":["c"],"labels":["b"],"on":true}},"op":"+","rhs":{A},"type":"binaryExpr"}}"#
            ),
        );
        check(
            "topk without (b) (2, a)",
            &format!(
                r#"{{"expr":{A},"grouping":["b"],"op":"topk","param":{{"type":"numberLiteral","val":"2"}},"type":"aggregation","without":true}}"#
            ),
        );
        check(
            "time()",
            r#"{"args":[],"func":{"argTypes":[],"name":"time","returnType":"scalar","variadic":0},"type":"call"}"#,
        );
        check(
            "{a=~\"<\"}[5m] anchored @ 1.5 offset -1m",
            r#"{"anchored":true,"matchers":[{"name":"a","type":"=~","value":"\u003c"}],"name":"","offset":-60000,"offsetExpr":null,"range":300000,"rangeExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":1500,"type":"matrixSelector"}"#,
        );
        check(
            "a[(1m):-step()] @ end()",
            &format!(
                r#"{{"expr":{A},"offset":0,"offsetExpr":null,"range":0,"rangeExpr":{{"lhs":null,"op":"+","rhs":{{"duration":true,"type":"numberLiteral","val":"60"}},"type":"durationExpr","wrapped":true}},"startOrEnd":"end","step":0,"stepExpr":{{"lhs":null,"op":"-","rhs":{{"lhs":null,"op":"step","rhs":null,"type":"durationExpr","wrapped":false}},"type":"durationExpr","wrapped":false}},"timestamp":null,"type":"subquery"}}"#
            ),
        );
    }
}
