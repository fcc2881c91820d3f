//! The JSON of a logical plan.
//!
//! Nodes stand in one list, operands before their node, which names them by number. So the depth of the
//! JSON does not depend on that of the query, and each node is read once.

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    model::{MatchOp, Matcher},
    promql::{
        EngineOptions,
        ast::{
            Aggregate, AggregateOp, At, Binary, BinaryOp, Cardinality, Duration, Expr, Extension, Matching,
            Node, Subquery, VectorSelector,
        },
        exec, find_function,
        parse::check,
    },
    store::Grouping,
};

use super::{LogicalPlan, QueryTimes, common::operands, leaf::folded};

/// Version of the form; others are refused.
const VERSION: u32 = 1;
/// Longest duration in ms: what nanoseconds of 64 bits hold.
const DURATION_MAX_MS: i64 = i64::MAX / 1_000_000;
/// Bytes of JSON for each byte that a query may have.
const BYTES_PER_QUERY_BYTE: usize = 64;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WirePlan {
    version: u32,
    query: String,
    start_ms: i64,
    end_ms: i64,
    step_ms: i64,
    lookback_ms: i64,
    instant: bool,
    nodes: Vec<WireNode>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireNode {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    span: Option<(u32, u32)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    operands: Vec<usize>,
    is: WireKind,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum WireKind {
    /// The bits of the value, since any NaN is data; the value itself is for readers.
    Number {
        bits: u64,
        text: String,
        is_duration: bool,
    },
    String {
        bytes: Vec<u8>,
    },
    Paren,
    Plus,
    Minus,
    Binary {
        op: String,
        bool: bool,
        matching: WireMatching,
        op_span: Option<(u32, u32)>,
    },
    Aggregate {
        op: String,
        by: Option<bool>,
        labels: Vec<String>,
    },
    Call {
        function: String,
    },
    Vector {
        selector: WireSelector,
    },
    Matrix {
        selector: WireSelector,
        range_ms: i64,
    },
    Subquery {
        range_ms: i64,
        step_ms: Option<i64>,
        offset_ms: i64,
        at_ms: Option<i64>,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireMatching {
    /// `1:1`, `n:1`, `1:n` or `n:n`.
    cardinality: String,
    on: bool,
    labels: Vec<String>,
    include: Vec<String>,
    fill_left: Option<u64>,
    fill_right: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSelector {
    name: Option<String>,
    /// Name, operator, value.
    matchers: Vec<(String, String, WireValue)>,
    offset_ms: i64,
    at_ms: Option<i64>,
    extension: Option<String>,
}

/// A value of a label: a text where it is one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum WireValue {
    Text(String),
    Bytes(Vec<u8>),
}

impl WireValue {
    fn new(value: &[u8]) -> Self {
        match str::from_utf8(value) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Bytes(value.to_vec()),
        }
    }

    fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.into_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// The JSON of a plan.
pub(super) fn encode(plan: &LogicalPlan) -> Result<String> {
    let mut nodes = Vec::new();
    exec::with_room(exec::depth(&plan.expr), || push(&plan.expr, &mut nodes))?;
    let QueryTimes { start_ms, end_ms, step_ms } = plan.times;
    let wire = WirePlan {
        version: VERSION,
        query: plan.text.to_string(),
        start_ms,
        end_ms,
        step_ms,
        lookback_ms: plan.lookback_ms,
        instant: plan.instant,
        nodes,
    };
    serde_json::to_string(&wire).map_err(|e| Error::internal("a plan has no JSON").with_source(e))
}

/// Appends a node behind its operands and gives its number.
fn push(expr: &Expr, out: &mut Vec<WireNode>) -> Result<usize> {
    let operands = operands(expr).into_iter().map(|e| push(e, out)).collect::<Result<_>>()?;
    out.push(WireNode { span: expr.span, operands, is: kind(expr)? });
    Ok(out.len() - 1)
}

fn kind(expr: &Expr) -> Result<WireKind> {
    Ok(match &expr.node {
        Node::Number { value, is_duration } => {
            WireKind::Number { bits: value.to_bits(), text: value.to_string(), is_duration: *is_duration }
        }
        Node::String(bytes) => WireKind::String { bytes: bytes.clone() },
        Node::Paren(_) => WireKind::Paren,
        Node::Unary { negative: true, .. } => WireKind::Minus,
        Node::Unary { negative: false, .. } => WireKind::Plus,
        Node::Binary(b) => WireKind::Binary {
            op: b.op.as_str().to_owned(),
            bool: b.return_bool,
            matching: WireMatching {
                cardinality: cardinality_text(b.matching.cardinality).to_owned(),
                on: b.matching.on,
                labels: b.matching.labels.clone(),
                include: b.matching.include.clone(),
                fill_left: b.matching.fill_left.map(f64::to_bits),
                fill_right: b.matching.fill_right.map(f64::to_bits),
            },
            op_span: b.op_span,
        },
        Node::Aggregate(a) => WireKind::Aggregate {
            op: a.op.as_str().to_owned(),
            by: a.grouping.as_ref().map(|g| g.by),
            labels: a.grouping.as_ref().map(|g| g.labels.clone()).unwrap_or_default(),
        },
        Node::Call { function, .. } => WireKind::Call { function: function.name.to_owned() },
        Node::Vector(v) => WireKind::Vector { selector: selector(v)? },
        Node::Matrix { selector: v, range } => {
            WireKind::Matrix { selector: selector(v)?, range_ms: folded(range)? }
        }
        Node::Subquery(s) => WireKind::Subquery {
            range_ms: folded(&s.range)?,
            step_ms: s.step.as_ref().map(folded).transpose()?,
            offset_ms: folded(&s.offset)?,
            at_ms: at_ms(s.at)?,
        },
    })
}

fn at_ms(at: Option<At>) -> Result<Option<i64>> {
    match at {
        None => Ok(None),
        Some(At::Time(t)) => Ok(Some(t)),
        Some(At::Start | At::End) => Err(Error::internal("a time of the query was not folded")),
    }
}

fn selector(v: &VectorSelector) -> Result<WireSelector> {
    let matcher = |m: &Matcher| (m.name().to_owned(), m.op().as_str().to_owned(), WireValue::new(m.value()));
    Ok(WireSelector {
        name: v.name.clone(),
        matchers: v.matchers.iter().map(matcher).collect(),
        offset_ms: folded(&v.offset)?,
        at_ms: at_ms(v.at)?,
        extension: v.extension.map(|e| e.as_str().to_owned()),
    })
}

/// The plan of a JSON text.
pub(super) fn decode(json: &str, options: &EngineOptions) -> Result<LogicalPlan> {
    let bytes_max = options.query_bytes_max.saturating_mul(BYTES_PER_QUERY_BYTE);
    if json.len() > bytes_max {
        return Err(Error::limit(format!("plan is longer than {bytes_max} bytes")));
    }
    let wire: WirePlan = serde_json::from_str(json).map_err(|e| Error::invalid(format!("bad plan: {e}")))?;
    if wire.version != VERSION {
        return Err(bad(format!("version {} is unknown", wire.version)));
    }
    if wire.instant && (wire.step_ms != 0 || wire.start_ms != wire.end_ms) {
        return Err(bad("an instant query has one time"));
    }
    if !(0..=DURATION_MAX_MS).contains(&wire.lookback_ms) || wire.step_ms < 0 {
        return Err(bad("the lookback or the step is out of range"));
    }
    let expr = tree(wire.nodes, options.query_depth_max)?;
    let times = QueryTimes { start_ms: wire.start_ms, end_ms: wire.end_ms, step_ms: wire.step_ms };
    check::check(&expr, b"").map_err(|e| bad(e.message))?;
    Ok(LogicalPlan {
        expr,
        text: wire.query.into(),
        times,
        lookback_ms: wire.lookback_ms,
        instant: wire.instant,
    })
}

fn bad(what: impl std::fmt::Display) -> Error {
    Error::invalid(format!("bad plan: {what}"))
}

/// The tree whose last node is the root; each other node is the operand of exactly one behind it.
fn tree(nodes: Vec<WireNode>, depth_max: usize) -> Result<Expr> {
    let mut made: Vec<Option<(Expr, usize)>> = Vec::with_capacity(nodes.len());
    for WireNode { span, operands, is } in nodes {
        let mut depth = 0;
        let mut take = |number: usize| -> Result<Expr> {
            let taken = made.get_mut(number).and_then(Option::take);
            let (expr, levels) = taken.ok_or_else(|| bad("a node is no operand, or of two"))?;
            depth = depth.max(levels);
            Ok(expr)
        };
        let operands = operands.into_iter().map(&mut take).collect::<Result<Vec<_>>>()?;
        if depth >= depth_max {
            return Err(Error::limit(format!("query nests deeper than {depth_max} levels")));
        }
        made.push(Some((Expr { node: node(is, operands)?, span }, depth + 1)));
    }
    let root = made.pop().flatten().ok_or_else(|| bad("it has no nodes"))?;
    if made.iter().any(Option::is_some) {
        return Err(bad("a node is no operand of another"));
    }
    Ok(root.0)
}

fn node(is: WireKind, operands: Vec<Expr>) -> Result<Node> {
    let count = operands.len();
    let mut operands = operands.into_iter();
    let mut next = || operands.next().ok_or_else(|| bad("an operand is missing"));
    let (node, taken) = match is {
        WireKind::Number { bits, is_duration, .. } => {
            (Node::Number { value: f64::from_bits(bits), is_duration }, 0)
        }
        WireKind::String { bytes } => (Node::String(bytes), 0),
        WireKind::Paren => (Node::Paren(Box::new(next()?)), 1),
        WireKind::Plus => (Node::Unary { negative: false, expr: Box::new(next()?) }, 1),
        WireKind::Minus => (Node::Unary { negative: true, expr: Box::new(next()?) }, 1),
        WireKind::Binary { op, bool, matching, op_span } => {
            let (lhs, rhs) = (next()?, next()?);
            let op = BINARY_OPS.iter().copied().find(|o| o.as_str() == op);
            let op = op.ok_or_else(|| bad("an operator is unknown"))?;
            let cardinality = cardinality(&matching.cardinality)?;
            if cardinality == Cardinality::ManyToMany && !op.is_set() {
                return Err(bad("only set operators pair many with many"));
            }
            let matching = Matching {
                cardinality,
                on: matching.on,
                labels: matching.labels,
                include: matching.include,
                fill_left: matching.fill_left.map(f64::from_bits),
                fill_right: matching.fill_right.map(f64::from_bits),
            };
            (Node::Binary(Box::new(Binary { op, lhs, rhs, return_bool: bool, matching, op_span })), 2)
        }
        WireKind::Aggregate { op, by, labels } => {
            let op = AGGREGATE_OPS.iter().copied().find(|o| o.as_str() == op);
            let op = op.ok_or_else(|| bad("an aggregation is unknown"))?;
            let param = if op.has_param() { Some(next()?) } else { None };
            let grouping = by.map(|by| Grouping { by, labels });
            let taken = 1 + usize::from(op.has_param());
            (Node::Aggregate(Box::new(Aggregate { op, expr: next()?, param, grouping })), taken)
        }
        WireKind::Call { function } => {
            let function = find_function(&function).ok_or_else(|| bad("a function is unknown"))?;
            (Node::Call { function, args: operands.by_ref().collect() }, count)
        }
        WireKind::Vector { selector } => (Node::Vector(parsed(selector)?), 0),
        WireKind::Matrix { selector, range_ms } => {
            (Node::Matrix { selector: parsed(selector)?, range: positive(range_ms)? }, 0)
        }
        WireKind::Subquery { range_ms, step_ms, offset_ms, at_ms } => {
            let (expr, range) = (next()?, positive(range_ms)?);
            let step = step_ms.map(positive).transpose()?;
            let (offset, at) = (duration(offset_ms)?, at_ms.map(At::Time));
            (Node::Subquery(Box::new(Subquery { expr, range, step, offset, at })), 1)
        }
    };
    if taken != count {
        return Err(bad(format!("a node has {count} operands instead of {taken}")));
    }
    Ok(node)
}

fn positive(ms: i64) -> Result<Duration> {
    if ms > 0 { duration(ms) } else { Err(bad("a duration must be greater than 0")) }
}

fn duration(ms: i64) -> Result<Duration> {
    match ms.unsigned_abs() <= DURATION_MAX_MS.unsigned_abs() {
        true => Ok(Duration::Ms(ms)),
        false => Err(bad("a duration is out of range")),
    }
}

fn parsed(wire: WireSelector) -> Result<VectorSelector> {
    let matchers = wire.matchers.into_iter().map(|(name, op, value)| {
        let op = MATCH_OPS.iter().copied().find(|o| o.as_str() == op);
        let op = op.ok_or_else(|| bad("the operator of a matcher is unknown"))?;
        Matcher::new(op, name, value.into_bytes())
    });
    let matchers = matchers.collect::<Result<Vec<_>>>()?;
    let named =
        |name: &String| matchers.last().is_some_and(|m| *m == Matcher::equal("__name__", name.as_str()));
    if wire.name.as_ref().is_some_and(|name| !named(name)) {
        return Err(bad("the matcher of the name stands not last"));
    }
    let extension = match wire.extension.as_deref() {
        None => None,
        Some("anchored") => Some(Extension::Anchored),
        Some("smoothed") => Some(Extension::Smoothed),
        Some(_) => return Err(bad("a modifier is unknown")),
    };
    let (offset, at) = (duration(wire.offset_ms)?, wire.at_ms.map(At::Time));
    Ok(VectorSelector { name: wire.name, matchers, offset, at, extension })
}

fn cardinality_text(cardinality: Cardinality) -> &'static str {
    match cardinality {
        Cardinality::OneToOne => "1:1",
        Cardinality::ManyToOne => "n:1",
        Cardinality::OneToMany => "1:n",
        Cardinality::ManyToMany => "n:n",
    }
}

fn cardinality(text: &str) -> Result<Cardinality> {
    let all =
        [Cardinality::OneToOne, Cardinality::ManyToOne, Cardinality::OneToMany, Cardinality::ManyToMany];
    let found = all.into_iter().find(|c| cardinality_text(*c) == text);
    found.ok_or_else(|| bad("a cardinality is unknown"))
}

const MATCH_OPS: &[MatchOp] = &[MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];

const BINARY_OPS: &[BinaryOp] = &[
    BinaryOp::Add,
    BinaryOp::Sub,
    BinaryOp::Mul,
    BinaryOp::Div,
    BinaryOp::Mod,
    BinaryOp::Pow,
    BinaryOp::Atan2,
    BinaryOp::Eq,
    BinaryOp::Ne,
    BinaryOp::Lt,
    BinaryOp::Le,
    BinaryOp::Gt,
    BinaryOp::Ge,
    BinaryOp::TrimUpper,
    BinaryOp::TrimLower,
    BinaryOp::And,
    BinaryOp::Or,
    BinaryOp::Unless,
];

const AGGREGATE_OPS: &[AggregateOp] = &[
    AggregateOp::Sum,
    AggregateOp::Avg,
    AggregateOp::Count,
    AggregateOp::Min,
    AggregateOp::Max,
    AggregateOp::Group,
    AggregateOp::Stddev,
    AggregateOp::Stdvar,
    AggregateOp::Topk,
    AggregateOp::Bottomk,
    AggregateOp::CountValues,
    AggregateOp::Quantile,
    AggregateOp::Limitk,
    AggregateOp::LimitRatio,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::parse;

    fn options() -> EngineOptions {
        EngineOptions {
            experimental_functions: true,
            extended_range_selectors: true,
            fill_modifiers: true,
            ..EngineOptions::default()
        }
    }

    fn plan(text: &str) -> LogicalPlan {
        let expr = parse(text, &options()).expect("parses");
        let times = QueryTimes { start_ms: 5, end_ms: 100, step_ms: 10 };
        LogicalPlan::new(expr, text.into(), times, 300_000, false, &options(), &[]).expect("folds")
    }

    #[test]
    fn a_plan_comes_back_equal() {
        for text in [
            "1",
            "-(x) + 2 * step()",
            r#"label_replace(x{a!="1",b=~"2|3",c!~"4"}, "a", "$1", "b", "\xff")"#,
            "sum by (a, b) (rate(x[5m] anchored offset -1m)) / on (a) group_left (c) topk without (d) (3, y @ end())",
            "max_over_time(x[1h:5m] offset 1m) or vector(Inf) unless y",
            "a == bool on (x) fill_left (-0) b",
            "quantile_over_time(0.5, x[range()])",
        ] {
            let plan = plan(text);
            let json = plan.to_json().expect("is folded");
            assert_eq!(LogicalPlan::from_json(&json, &options()).expect("is a plan"), plan, "{text}");
        }
    }

    fn check(text: &str, from: &str, to: &str, want: &str) {
        let json = plan(text).to_json().expect("is folded");
        assert!(json.contains(from), "{json}");
        let got = LogicalPlan::from_json(&json.replace(from, to), &options()).map(|p| p.expr.to_string());
        let message = got.map_err(|e| e.message().to_owned()).expect_err("is refused");
        assert!(message.contains(want), "{message}");
    }

    #[test]
    fn what_is_no_plan_is_refused() {
        check("x", "\"version\":1", "\"version\":2", "version 2");
        check("x + y", "s\":[0,1]", "s\":[0,0]", "of two");
        check("x + y", "s\":[0,1]", "s\":[0,9]", "no operand");
        check("x + y", "s\":[0,1]", "s\":[0]", "missing");
        check("abs(x)", "\"operands\":[0],", "", "no operand of another");
        check("abs(x)", "\"abs\"", "\"abz\"", "function is unknown");
        check("abs(x)", "\"abs\"", "\"rate\"", "range vector");
        check("sum(x)", "\"sum\"", "\"topk\"", "missing");
        check("x + 1", "\"+\"", "\"and\"", "set operator");
        check("x[5m]", "300000}", "0}", "greater than 0");
        check("x[5m]", "300000}", "9223372036854775807}", "out of range");
        check("x", "\"=\"", "\"=~~\"", "matcher is unknown");
        check("x", "\"nodes\":[", "\"nodes\":[],\"n\":[", "unknown field");
        let deep = format!("{}x{}", "(".repeat(300), ")".repeat(300));
        let json = plan(&deep).to_json().expect("is folded");
        let shallow = EngineOptions { query_depth_max: 100, ..options() };
        assert!(LogicalPlan::from_json(&json, &shallow).is_err());
        assert!(LogicalPlan::from_json(&json, &options()).is_ok());
        let short = EngineOptions { query_bytes_max: 10, ..options() };
        assert!(LogicalPlan::from_json(&json, &short).is_err());
    }
}
