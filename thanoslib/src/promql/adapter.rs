//! From the tree of the crate `promql-parser` to ours.
//!
//! For programs that already hold such a tree. Its nodes have no places, so remarks of the
//! engine come without positions.

use std::time::{Duration as StdDuration, SystemTime};

use promql_parser::{
    label::{MatchOp as ParsedOp, Matchers},
    parser::{self as parsed, AtModifier, LabelModifier, Offset, VectorMatchCardinality, token},
};

use super::{
    ast::{
        Aggregate, AggregateOp, At, Binary, BinaryOp, Cardinality, Duration, Expr, Matching, Node, Subquery,
        VectorSelector, find_function,
    },
    exec::with_room,
    parse::check,
};
use crate::{
    error::{Error, Result},
    model::{LABEL_NAME, MatchOp, Matcher},
    store::Grouping,
};

/// Deepest tree that is taken over, as deep as queries are by default.
const LEVELS_MAX: usize = 512;

impl TryFrom<&parsed::Expr> for Expr {
    type Error = Error;

    /// Takes over a tree and checks its types; no feature switch is asked.
    ///
    /// ```
    /// use thanoslib::promql::ast::Expr;
    /// let theirs = promql_parser::parser::parse("sum by (job) (rate(up[5m]))").expect("a query");
    /// let ours = Expr::try_from(&theirs)?;
    /// assert_eq!(ours.to_string(), "sum by (job) (rate(up[5m]))");
    /// # Ok::<(), thanoslib::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Unsupported` for what Prometheus has not (`or` between matchers, foreign nodes and
    /// functions), `Invalid` for what it refuses, `Limit` for more than 512 levels.
    fn try_from(e: &parsed::Expr) -> Result<Self> {
        let levels = levels(e);
        if levels > LEVELS_MAX {
            return Err(Error::limit(format!("query nests deeper than {LEVELS_MAX} levels")));
        }
        with_room(levels, || {
            let expr = expr(e)?;
            check::check(&expr, b"").map_err(|e| Error::invalid(e.message))?;
            Ok(expr)
        })
    }
}

impl TryFrom<parsed::Expr> for Expr {
    type Error = Error;

    /// Takes over a tree as the conversion from a reference does.
    ///
    /// # Errors
    /// Those of that conversion.
    fn try_from(e: parsed::Expr) -> Result<Self> {
        Self::try_from(&e)
    }
}

/// Levels of a tree, counted without recursion.
fn levels(e: &parsed::Expr) -> usize {
    let mut deepest = 0;
    let mut waiting = vec![(e, 1)];
    while let Some((e, level)) = waiting.pop() {
        deepest = deepest.max(level);
        let mut push = |e| waiting.push((e, level + 1));
        match e {
            parsed::Expr::Paren(p) => push(&p.expr),
            parsed::Expr::Unary(u) => push(&u.expr),
            parsed::Expr::Binary(b) => [&b.lhs, &b.rhs].into_iter().for_each(|e| push(e)),
            parsed::Expr::Aggregate(a) => a.param.iter().chain([&a.expr]).for_each(|e| push(e)),
            parsed::Expr::Call(c) => c.args.args.iter().for_each(|e| push(e)),
            parsed::Expr::Subquery(s) => push(&s.expr),
            parsed::Expr::NumberLiteral(_)
            | parsed::Expr::StringLiteral(_)
            | parsed::Expr::VectorSelector(_)
            | parsed::Expr::MatrixSelector(_)
            | parsed::Expr::Extension(_) => {}
        }
    }
    deepest
}

fn expr(e: &parsed::Expr) -> Result<Expr> {
    Ok(Expr::new(match e {
        parsed::Expr::NumberLiteral(n) => Node::Number { value: n.val, is_duration: false },
        parsed::Expr::StringLiteral(s) => Node::String(s.val.clone().into_bytes()),
        parsed::Expr::Paren(p) => Node::Paren(Box::new(expr(&p.expr)?)),
        parsed::Expr::Unary(u) => Node::Unary { negative: true, expr: Box::new(expr(&u.expr)?) },
        parsed::Expr::Binary(b) => binary(b, expr(&b.lhs)?, expr(&b.rhs)?)?,
        parsed::Expr::Aggregate(a) => {
            let param = a.param.as_ref().map(|p| expr(p)).transpose()?;
            aggregate(a, expr(&a.expr)?, param)?
        }
        parsed::Expr::Call(c) => {
            let function = find_function(c.func.name)
                .ok_or_else(|| Error::unsupported(format!("unknown function with name {:?}", c.func.name)))?;
            let args = c.args.args.iter().map(|arg| expr(arg)).collect::<Result<_>>()?;
            Node::Call { function, args }
        }
        parsed::Expr::VectorSelector(v) => Node::Vector(selector(v)?),
        parsed::Expr::MatrixSelector(m) => {
            Node::Matrix { selector: selector(&m.vs)?, range: positive(m.range)? }
        }
        parsed::Expr::Subquery(s) => Node::Subquery(Box::new(Subquery {
            expr: expr(&s.expr)?,
            range: positive(s.range)?,
            step: s.step.map(positive).transpose()?,
            offset: offset(s.offset.as_ref())?,
            at: at(s.at.as_ref())?,
        })),
        parsed::Expr::Extension(_) => return Err(Error::unsupported("the query holds a foreign node")),
    }))
}

fn binary(b: &parsed::BinaryExpr, lhs: Expr, rhs: Expr) -> Result<Node> {
    let op = BINARY.iter().find(|(id, _)| *id == b.op.id()).map(|(_, op)| *op);
    let op = op.ok_or_else(|| Error::unsupported(format!("operator {} is not known", b.op)))?;
    let mut matching = Matching::default();
    let mut return_bool = false;
    if let Some(m) = &b.modifier {
        return_bool = m.return_bool;
        if let Some(labels) = &m.matching {
            (matching.on, matching.labels) = match labels {
                LabelModifier::Include(labels) => (true, labels.labels.clone()),
                LabelModifier::Exclude(labels) => (false, labels.labels.clone()),
            };
        }
        matching.cardinality = match &m.card {
            VectorMatchCardinality::OneToOne => Cardinality::OneToOne,
            VectorMatchCardinality::ManyToOne(_) => Cardinality::ManyToOne,
            VectorMatchCardinality::OneToMany(_) => Cardinality::OneToMany,
            VectorMatchCardinality::ManyToMany => Cardinality::ManyToMany,
        };
        matching.include = m.card.labels().map(|labels| labels.labels.clone()).unwrap_or_default();
        (matching.fill_left, matching.fill_right) = (m.fill_values.lhs, m.fill_values.rhs);
    }
    if op.is_set() && matching.cardinality == Cardinality::OneToOne {
        matching.cardinality = Cardinality::ManyToMany;
    }
    Ok(Node::Binary(Box::new(Binary { op, lhs, rhs, return_bool, matching, op_span: None })))
}

fn aggregate(a: &parsed::AggregateExpr, expr: Expr, param: Option<Expr>) -> Result<Node> {
    let op = AGGREGATE.iter().find(|(id, _)| *id == a.op.id()).map(|(_, op)| *op);
    let op = op.ok_or_else(|| Error::unsupported(format!("aggregation {} is not known", a.op)))?;
    if op.has_param() != param.is_some() {
        return Err(Error::invalid("wrong number of arguments for aggregate expression provided"));
    }
    let grouping = a.modifier.as_ref().map(|modifier| match modifier {
        LabelModifier::Include(labels) => Grouping { by: true, labels: labels.labels.clone() },
        LabelModifier::Exclude(labels) => Grouping { by: false, labels: labels.labels.clone() },
    });
    Ok(Node::Aggregate(Box::new(Aggregate { op, expr, param, grouping })))
}

fn selector(v: &parsed::VectorSelector) -> Result<VectorSelector> {
    let mut matchers = matchers(&v.matchers)?;
    if let Some(name) = &v.name {
        matchers.push(Matcher::equal(LABEL_NAME, name.as_str()));
    }
    let (offset, at) = (offset(v.offset.as_ref())?, at(v.at.as_ref())?);
    Ok(VectorSelector { name: v.name.clone(), matchers, offset, at, ..VectorSelector::default() })
}

fn matchers(matchers: &Matchers) -> Result<Vec<Matcher>> {
    if !matchers.or_matchers.is_empty() {
        return Err(Error::unsupported("matchers joined by or"));
    }
    let one = |m: &promql_parser::label::Matcher| {
        let op = match m.op {
            ParsedOp::Equal => MatchOp::Equal,
            ParsedOp::NotEqual => MatchOp::NotEqual,
            ParsedOp::Re(_) => MatchOp::Regex,
            ParsedOp::NotRe(_) => MatchOp::NotRegex,
        };
        Matcher::new(op, m.name.as_str(), m.value.as_str())
    };
    matchers.matchers.iter().map(one).collect()
}

fn milliseconds(d: StdDuration) -> Result<i64> {
    // As long as 64 bits of nanoseconds, like durations of a query.
    match i64::try_from(d.as_nanos()) {
        Ok(ns) => Ok(ns / 1_000_000),
        Err(_) => Err(Error::invalid("duration out of range")),
    }
}

fn positive(d: StdDuration) -> Result<Duration> {
    match milliseconds(d)? {
        0 if d.is_zero() => Err(Error::invalid("duration must be greater than 0")),
        ms => Ok(Duration::Ms(ms)),
    }
}

fn offset(offset: Option<&Offset>) -> Result<Duration> {
    match offset {
        None => Ok(Duration::ZERO),
        Some(Offset::Pos(d)) => milliseconds(*d).map(Duration::Ms),
        Some(Offset::Neg(d)) => milliseconds(*d).map(|ms| Duration::Ms(-ms)),
    }
}

fn at(at: Option<&AtModifier>) -> Result<Option<At>> {
    let time = match at {
        None => return Ok(None),
        Some(AtModifier::Start) => return Ok(Some(At::Start)),
        Some(AtModifier::End) => return Ok(Some(At::End)),
        Some(AtModifier::At(time)) => time,
    };
    let (distance, sign) = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => (after, 1),
        Err(before) => (before.duration(), -1),
    };
    // Rounded as times of a query are.
    match i64::try_from((distance.as_nanos() + 500_000) / 1_000_000) {
        Ok(ms) => Ok(Some(At::Time(sign * ms))),
        Err(_) => Err(Error::invalid("timestamp out of bounds for @ modifier")),
    }
}

const BINARY: [(token::TokenId, BinaryOp); 16] = [
    (token::T_ADD, BinaryOp::Add),
    (token::T_SUB, BinaryOp::Sub),
    (token::T_MUL, BinaryOp::Mul),
    (token::T_DIV, BinaryOp::Div),
    (token::T_MOD, BinaryOp::Mod),
    (token::T_POW, BinaryOp::Pow),
    (token::T_ATAN2, BinaryOp::Atan2),
    (token::T_EQLC, BinaryOp::Eq),
    (token::T_NEQ, BinaryOp::Ne),
    (token::T_LSS, BinaryOp::Lt),
    (token::T_LTE, BinaryOp::Le),
    (token::T_GTR, BinaryOp::Gt),
    (token::T_GTE, BinaryOp::Ge),
    (token::T_LAND, BinaryOp::And),
    (token::T_LOR, BinaryOp::Or),
    (token::T_LUNLESS, BinaryOp::Unless),
];

const AGGREGATE: [(token::TokenId, AggregateOp); 14] = [
    (token::T_SUM, AggregateOp::Sum),
    (token::T_AVG, AggregateOp::Avg),
    (token::T_COUNT, AggregateOp::Count),
    (token::T_MIN, AggregateOp::Min),
    (token::T_MAX, AggregateOp::Max),
    (token::T_GROUP, AggregateOp::Group),
    (token::T_STDDEV, AggregateOp::Stddev),
    (token::T_STDVAR, AggregateOp::Stdvar),
    (token::T_TOPK, AggregateOp::Topk),
    (token::T_BOTTOMK, AggregateOp::Bottomk),
    (token::T_COUNT_VALUES, AggregateOp::CountValues),
    (token::T_QUANTILE, AggregateOp::Quantile),
    (token::T_LIMITK, AggregateOp::Limitk),
    (token::T_LIMIT_RATIO, AggregateOp::LimitRatio),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::ErrorKind,
        promql::{EngineOptions, parse},
    };

    #[test]
    fn trees_are_those_of_our_own_parser() {
        let options =
            EngineOptions { experimental_functions: true, fill_modifiers: true, ..EngineOptions::default() };
        let check = |text: &str| {
            let theirs = parsed::parse(text).expect(text);
            let ours = Expr::try_from(&theirs).map(|e| e.to_string()).map_err(|e| e.to_string());
            let own = parse(text, &options).map(|e| e.to_string()).map_err(|e| e.to_string());
            assert_eq!(ours, own, "{text}");
        };
        check("-(a + 2) ^ 3 / 4 == bool x or y atan2 z");
        check("a / on (b) group_left (c) d");
        check("a unless ignoring (b) d");
        check("a + fill_left (1) fill_right (2) b");
        check("topk by (a) (2, x) - sum without (b) (y) - limit_ratio(0.5, z)");
        check("rate(up{a=\"1\",b!=\"2\",c=~\"3.*\",d!~\"4\"}[5m] offset -1m @ 12.5)");
        check("max_over_time(sum(x)[1h:30s] @ end() offset 5m)");
        check("{\"a b\"} @ start() + label_replace(x, \"a\", \"b\", \"c\", \"d\")");
    }

    #[test]
    fn what_we_do_not_know_is_refused() {
        let check = |text: &str, want: ErrorKind| {
            let theirs = parsed::parse(text).expect(text);
            assert_eq!(Expr::try_from(theirs).map_err(|e| e.kind()).err(), Some(want), "{text}");
        };
        check("x{a=\"b\" or c=\"d\"}", ErrorKind::Unsupported);
        check("info(x, y)", ErrorKind::Invalid);
    }

    #[test]
    fn deep_trees_have_a_limit() {
        let check = |levels: usize, want: Option<ErrorKind>| {
            let mut theirs = parsed::parse("1").expect("a number");
            for _ in 1..levels {
                theirs = parsed::Expr::Paren(parsed::ParenExpr { expr: Box::new(theirs) });
            }
            assert_eq!(Expr::try_from(theirs).map_err(|e| e.kind()).err(), want, "{levels}");
        };
        check(LEVELS_MAX, None);
        check(LEVELS_MAX + 1, Some(ErrorKind::Limit));
    }
}
