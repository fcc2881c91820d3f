//! From the crate's tree to ours.

use std::time::{Duration, SystemTime};

use promql_parser::{
    label::{Labels, METRIC_NAME, MatchOp as ParsedOp, Matchers},
    parser::{self as parsed, AtModifier, LabelModifier, Offset, VectorMatchCardinality},
};

use super::{
    ParseError,
    literal::DURATION_MAX_MS,
    scan::{Kind, Scan},
};
use crate::{
    model::{MatchOp, Matcher, float::Quoted},
    promql::{
        ast::{
            self, Aggregate, AggregateOp, At, Binary, BinaryOp, Cardinality, Expr, Matching, Node, Subquery,
            ValueType, VectorSelector,
        },
        functions,
    },
    store::Grouping,
};

/// A node with its first and last token.
struct Placed {
    node: Node,
    first: Option<usize>,
    last: usize,
}

struct Lowering<'a> {
    text: &'a str,
    scan: &'a Scan,
    depth_max: usize,
    /// The first token that no node has taken yet.
    next: usize,
}

/// Lowers a tree whose literals and names are token numbers.
pub(super) fn lower(
    tree: &parsed::Expr,
    text: &str,
    scan: &Scan,
    depth_max: usize,
) -> Result<Expr, ParseError> {
    Lowering { text, scan, depth_max, next: 0 }.expr(tree, 0).map(|(expr, _)| expr)
}

type Range = (Option<usize>, usize);

impl Lowering<'_> {
    fn expr(&mut self, e: &parsed::Expr, depth: usize) -> Result<(Expr, Range), ParseError> {
        if depth >= self.depth_max {
            return Err(ParseError::too_deep(self.depth_max));
        }
        let placed = match e {
            parsed::Expr::NumberLiteral(n) => self.number_node(n.val)?,
            parsed::Expr::StringLiteral(s) => {
                let i = self.index(&s.val)?;
                let Kind::String(bytes) = &self.scan.tokens[i].kind else { return Err(untraceable()) };
                Placed { node: Node::String(bytes.clone()), first: Some(i), last: i }
            }
            parsed::Expr::Paren(p) => {
                let (inner, range) = self.expr(&p.expr, depth + 1)?;
                let open =
                    range.0.and_then(|first| self.before_signs(first)).filter(|i| self.scan.sign(*i) == "(");
                let last = open.map_or(range.1 + 1, |i| self.scan.partner[i]);
                Placed { node: Node::Paren(Box::new(inner)), first: open, last }
            }
            parsed::Expr::Unary(u) => {
                let (inner, range) = self.expr(&u.expr, depth + 1)?;
                let mut sign = range.0.and_then(|first| first.checked_sub(1));
                while let Some(i) = sign.filter(|i| self.scan.sign(*i) == "+") {
                    sign = i.checked_sub(1);
                }
                let first = sign.filter(|i| self.scan.sign(*i) == "-");
                Placed { node: Node::Unary { negative: true, expr: Box::new(inner) }, first, last: range.1 }
            }
            parsed::Expr::Binary(b) => self.binary(b, depth)?,
            parsed::Expr::Aggregate(a) => self.aggregate(a, depth)?,
            parsed::Expr::Call(c) => self.call(c, depth)?,
            parsed::Expr::VectorSelector(v) => {
                let (selector, (first, last)) = self.selector(v)?;
                let last = self.after_modifiers(last);
                Placed { node: Node::Vector(selector), first, last }
            }
            parsed::Expr::MatrixSelector(m) => {
                let (selector, (first, last)) = self.selector(&m.vs)?;
                let last = self.after_modifiers(self.after_brackets(last));
                let range = self.positive(m.range)?;
                Placed { node: Node::Matrix { selector, range }, first, last }
            }
            parsed::Expr::Subquery(s) => {
                let (inner, (first, last)) = self.expr(&s.expr, depth + 1)?;
                let last = self.after_modifiers(self.after_brackets(last));
                let subquery = Subquery {
                    expr: inner,
                    range: self.positive(s.range)?,
                    step: s.step.map(|step| self.positive(step)).transpose()?,
                    offset: self.offset(s.offset.as_ref())?,
                    at: self.at(s.at.as_ref())?,
                };
                Placed { node: Node::Subquery(Box::new(subquery)), first, last }
            }
            parsed::Expr::Extension(_) => return Err(untraceable()),
        };
        let last = placed.last.min(self.scan.tokens.len() - 1);
        self.next = self.next.max(last + 1);
        let tokens = &self.scan.tokens;
        let span = placed.first.map(|first| (tokens[first].start, tokens[last].end));
        let expr = Expr { node: placed.node, span };
        let kind = expr.value_type();
        if matches!(kind, ValueType::String | ValueType::Matrix)
            && let Some(sign) = placed.first.and_then(|first| first.checked_sub(1))
            && matches!(self.scan.sign(sign), "+" | "-")
        {
            // The grammar forgets a plus sign.
            let message = format!(
                "unary expression only allowed on expressions of type scalar or instant vector, got \"{}\"",
                kind.documented()
            );
            return Err(ParseError::at(message, self.text, tokens[sign].start as usize));
        }
        Ok((expr, (placed.first, last)))
    }

    fn number_node(&self, v: f64) -> Result<Placed, ParseError> {
        let i = self.token(v.abs())?;
        let Kind::Number(value) = self.scan.tokens[i].kind else { return Err(untraceable()) };
        if v < 0.0 {
            let first = i.checked_sub(1).filter(|s| self.scan.sign(*s) == "-");
            return Ok(Placed { node: number(-value), first, last: i });
        }
        Ok(Placed { node: number(value), first: Some(i), last: i })
    }

    fn binary(&mut self, b: &parsed::BinaryExpr, depth: usize) -> Result<Placed, ParseError> {
        let (lhs, left) = self.expr(&b.lhs, depth + 1)?;
        let (rhs, right) = self.expr(&b.rhs, depth + 1)?;
        let name = b.op.to_string();
        let op = OPERATORS.iter().copied().find(|op| op.as_str() == name).ok_or_else(untraceable)?;
        let mut matching = Matching::default();
        let mut return_bool = false;
        if let Some(m) = &b.modifier {
            return_bool = m.return_bool;
            match &m.matching {
                Some(LabelModifier::Include(labels)) => {
                    matching.on = true;
                    matching.labels = self.labels(labels)?;
                }
                Some(LabelModifier::Exclude(labels)) => matching.labels = self.labels(labels)?,
                None => {}
            }
            matching.cardinality = match &m.card {
                VectorMatchCardinality::OneToOne => Cardinality::OneToOne,
                VectorMatchCardinality::ManyToOne(_) => Cardinality::ManyToOne,
                VectorMatchCardinality::OneToMany(_) => Cardinality::OneToMany,
                VectorMatchCardinality::ManyToMany => Cardinality::ManyToMany,
            };
            if let Some(labels) = m.card.labels() {
                matching.include = self.labels(labels)?;
            }
            matching.fill_left = m.fill_values.lhs.map(|v| self.signed(v)).transpose()?;
            matching.fill_right = m.fill_values.rhs.map(|v| self.signed(v)).transpose()?;
        }
        if op.is_set() && matching.cardinality == Cardinality::OneToOne {
            matching.cardinality = Cardinality::ManyToMany;
        }
        let node = Node::Binary(Box::new(Binary { op, lhs, rhs, return_bool, matching, op_span: None }));
        Ok(Placed { node, first: left.0, last: right.1 })
    }

    fn aggregate(&mut self, a: &parsed::AggregateExpr, depth: usize) -> Result<Placed, ParseError> {
        let mut param = None;
        let mut first_argument = None;
        if let Some(p) = &a.param {
            let (expr, range) = self.expr(p, depth + 1)?;
            param = Some(expr);
            first_argument = range.0;
        }
        let (expr, range) = self.expr(&a.expr, depth + 1)?;
        if a.param.is_none() {
            first_argument = range.0;
        }
        let name = a.op.to_string();
        let op = AGGREGATIONS.iter().copied().find(|op| op.as_str() == name).ok_or_else(untraceable)?;
        let grouping = match &a.modifier {
            Some(LabelModifier::Include(labels)) => Some(Grouping { by: true, labels: self.labels(labels)? }),
            Some(LabelModifier::Exclude(labels)) => {
                Some(Grouping { by: false, labels: self.labels(labels)? })
            }
            None => None,
        };
        let open = first_argument.and_then(|i| self.before_signs(i)).filter(|i| self.scan.sign(*i) == "(");
        let mut first = open.and_then(|i| i.checked_sub(1));
        let mut last = open.map_or(range.1 + 1, |i| self.scan.partner[i]);
        if let Some(i) = first.filter(|i| self.scan.sign(*i) == ")") {
            // `sum by (…) (…)`: the word stands before the clause.
            first = self.scan.partner[i].checked_sub(2);
        } else if self.scan.is_keyword(last + 1, "by") || self.scan.is_keyword(last + 1, "without") {
            last = self.scan.partner.get(last + 2).copied().unwrap_or(last);
        }
        let first = first.filter(|i| self.scan.is_keyword(*i, op.as_str()));
        let node = Node::Aggregate(Box::new(Aggregate { op, expr, param, grouping }));
        Ok(Placed { node, first, last })
    }

    fn call(&mut self, c: &parsed::Call, depth: usize) -> Result<Placed, ParseError> {
        let from = self.next;
        let mut args = Vec::with_capacity(c.args.args.len());
        let mut first_argument = None;
        for (i, arg) in c.args.args.iter().enumerate() {
            let (expr, range) = self.expr(arg, depth + 1)?;
            if i == 0 {
                first_argument = range.0;
            }
            args.push(expr);
        }
        let name = c.func.name;
        let word = if args.is_empty() {
            // Nothing inside leads to the name: it is the next call of this name.
            (from..self.scan.tokens.len())
                .find(|i| self.scan.word(*i) == name && self.scan.sign(i + 1) == "(")
        } else {
            first_argument
                .and_then(|i| self.before_signs(i))
                .filter(|i| self.scan.sign(*i) == "(")
                .and_then(|i| i.checked_sub(1))
        };
        let first = word.filter(|i| self.scan.word(*i).eq_ignore_ascii_case(name));
        let last = first.map_or(self.next, |i| self.scan.partner[i + 1]);
        let Some(function) = functions::find(name) else {
            let message = format!("unknown function with name {name:?}");
            return Err(match first {
                Some(i) => ParseError::at(message, self.text, self.scan.tokens[i].start as usize),
                None => ParseError::new(message),
            });
        };
        Ok(Placed { node: Node::Call { function, args }, first, last })
    }

    fn selector(&mut self, v: &parsed::VectorSelector) -> Result<(VectorSelector, Range), ParseError> {
        let mut first = None;
        let name = match &v.name {
            Some(name) => match named(name) {
                Some(n) => {
                    first = Some(n);
                    Some(self.scan.word(n).to_owned())
                }
                // A keyword is left in the text as it is; it is the next such word.
                None => {
                    first = (self.next..self.scan.tokens.len()).find(|i| self.scan.word(*i) == name);
                    Some(name.clone())
                }
            },
            None => None,
        };
        let (mut matchers, open) = self.matchers(&v.matchers)?;
        if first.is_none() && name.is_none() {
            first = open;
        }
        let brace =
            first.map(|i| if name.is_some() { i + 1 } else { i }).filter(|i| self.scan.sign(*i) == "{");
        let last = brace.map_or_else(|| first.unwrap_or(self.next), |i| self.scan.partner[i]);
        if let Some(name) = &name {
            if let Some(twice) = matchers.iter().find(|m| m.name() == METRIC_NAME) {
                return Err(ParseError::new(format!(
                    "metric name must not be set twice: {} or {}",
                    Quoted::text(name),
                    Quoted::text(twice.value())
                )));
            }
            matchers.push(Matcher::equal(METRIC_NAME, name.as_str()));
        }
        let selector = VectorSelector {
            name,
            matchers,
            offset: self.offset(v.offset.as_ref())?,
            at: self.at(v.at.as_ref())?,
            extension: None,
        };
        Ok((selector, (first, last)))
    }

    /// The matchers in written order and their opening brace.
    fn matchers(&self, matchers: &Matchers) -> Result<(Vec<Matcher>, Option<usize>), ParseError> {
        if !matchers.or_matchers.is_empty() {
            return Err(ParseError::new(
                "unexpected identifier \"or\" in label matching, expected \",\" or \"}\"",
            ));
        }
        let mut out = Vec::with_capacity(matchers.matchers.len());
        let mut open = None;
        for m in &matchers.matchers {
            if m.name == "l0" {
                if matchers.matchers.len() == 1 {
                    // It stands for empty braces.
                    open = (self.next..self.scan.tokens.len())
                        .find(|i| self.scan.sign(*i) == "{" && self.scan.sign(i + 1) == "}");
                }
                continue;
            }
            let value = self.utf8(self.index(&m.value)?)?;
            let at = if m.name == METRIC_NAME {
                self.index(&m.value)?
            } else {
                m.name
                    .strip_prefix('l')
                    .unwrap_or(&m.name)
                    .parse::<usize>()
                    .ok()
                    .and_then(|n| n.checked_sub(1))
                    .ok_or_else(untraceable)?
            };
            open = open.or_else(|| at.checked_sub(1));
            if m.name == METRIC_NAME {
                out.push(Matcher::equal(METRIC_NAME, value));
                continue;
            }
            let name = match &self.scan.tokens.get(at).ok_or_else(untraceable)?.kind {
                Kind::Word(word) => word.clone(),
                _ => self.utf8(at)?,
            };
            let op = match m.op {
                ParsedOp::Equal => MatchOp::Equal,
                ParsedOp::NotEqual => MatchOp::NotEqual,
                ParsedOp::Re(_) => MatchOp::Regex,
                ParsedOp::NotRe(_) => MatchOp::NotRegex,
            };
            let matcher = Matcher::new(op, name, value)
                .map_err(|e| ParseError::at(e.message(), self.text, self.scan.tokens[at].start as usize))?;
            out.push(matcher);
        }
        Ok((out, open))
    }

    fn labels(&self, labels: &Labels) -> Result<Vec<String>, ParseError> {
        labels
            .labels
            .iter()
            .map(|label| match named(label) {
                Some(i) => Ok(self.scan.word(i).to_owned()),
                None if label.starts_with(|c: char| c.is_ascii_digit()) => self.utf8(self.index(label)?),
                None => Ok(label.clone()),
            })
            .collect()
    }

    fn positive(&self, d: Duration) -> Result<ast::Duration, ParseError> {
        let ms = self.duration(d)?;
        if ms <= 0 {
            return Err(ParseError::new("duration must be greater than 0"));
        }
        Ok(ast::Duration::Ms(ms))
    }

    fn offset(&self, offset: Option<&Offset>) -> Result<ast::Duration, ParseError> {
        match offset {
            None => Ok(ast::Duration::ZERO),
            Some(Offset::Pos(d)) => self.duration(*d).map(ast::Duration::Ms),
            Some(Offset::Neg(d)) => self.duration(*d).map(|ms| ast::Duration::Ms(-ms)),
        }
    }

    /// Milliseconds of the number that a placed duration stands for.
    fn duration(&self, d: Duration) -> Result<i64, ParseError> {
        let seconds = self.signed(d.as_secs() as f64)?;
        // Nanoseconds are rounded, milliseconds cut, as upstream does.
        let ms = (seconds * 1e9).round() / 1e6;
        if ms.is_nan() || ms.abs() > DURATION_MAX_MS as f64 {
            return Err(ParseError::new("duration out of range"));
        }
        Ok(ms as i64)
    }

    fn at(&self, at: Option<&AtModifier>) -> Result<Option<At>, ParseError> {
        let Some(at) = at else { return Ok(None) };
        let time = match at {
            AtModifier::Start => return Ok(Some(At::Start)),
            AtModifier::End => return Ok(Some(At::End)),
            AtModifier::At(time) => time,
        };
        let n = match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => after.as_secs() as f64,
            Err(before) => -(before.duration().as_secs() as f64),
        };
        let seconds = self.signed(n)?;
        let ms = (seconds * 1000.0).round();
        if !(-(2f64.powi(63))..2f64.powi(63)).contains(&ms) {
            let shown = match seconds {
                s if s.is_nan() => "NaN".to_owned(),
                s if s == f64::INFINITY => "+Inf".to_owned(),
                s if s == f64::NEG_INFINITY => "-Inf".to_owned(),
                s => format!("{s:.6}"),
            };
            return Err(ParseError::new(format!("timestamp out of bounds for @ modifier: {shown}")));
        }
        Ok(Some(At::Time(ms as i64)))
    }

    /// The number that a signed token number stands for.
    fn signed(&self, n: f64) -> Result<f64, ParseError> {
        match self.scan.tokens[self.token(n.abs())?].kind {
            Kind::Number(v) if n < 0.0 => Ok(-v),
            Kind::Number(v) => Ok(v),
            _ => Err(untraceable()),
        }
    }

    fn token(&self, n: f64) -> Result<usize, ParseError> {
        let i = (n as usize).checked_sub(1).filter(|i| *i < self.scan.tokens.len());
        i.ok_or_else(untraceable)
    }

    fn index(&self, n: &str) -> Result<usize, ParseError> {
        self.token(n.parse::<u32>().map_err(|_| untraceable())?.into())
    }

    fn utf8(&self, i: usize) -> Result<String, ParseError> {
        let Kind::String(bytes) = &self.scan.tokens[i].kind else { return Err(untraceable()) };
        String::from_utf8(bytes.clone()).map_err(|_| {
            let message = "label names and values must be valid UTF-8";
            ParseError::at(message, self.text, self.scan.tokens[i].start as usize)
        })
    }

    /// The token before `first` and the signs in front of it.
    fn before_signs(&self, first: usize) -> Option<usize> {
        let mut i = first.checked_sub(1)?;
        while matches!(self.scan.sign(i), "+" | "-") {
            i = i.checked_sub(1)?;
        }
        Some(i)
    }

    fn after_brackets(&self, last: usize) -> usize {
        if self.scan.sign(last + 1) == "[" { self.scan.partner[last + 1] } else { last }
    }

    /// The last token of the `offset` and `@` modifiers behind `last`.
    fn after_modifiers(&self, mut last: usize) -> usize {
        loop {
            if !self.scan.is_keyword(last + 1, "offset") && self.scan.sign(last + 1) != "@" {
                return last;
            }
            last += 2;
            if matches!(self.scan.sign(last), "+" | "-") {
                last += 1;
            }
            if self.scan.sign(last + 1) == "(" {
                last = self.scan.partner[last + 1];
            }
        }
    }
}

/// The token of a name that the scan wrote as `m12` or `m:12`.
fn named(name: &str) -> Option<usize> {
    let number = name.strip_prefix('m')?;
    number.strip_prefix(':').unwrap_or(number).parse::<usize>().ok()?.checked_sub(1)
}

fn number(value: f64) -> Node {
    Node::Number { value, is_duration: false }
}

fn untraceable() -> ParseError {
    ParseError::new("the grammar returned a tree that does not belong to the query")
}

const OPERATORS: [BinaryOp; 16] = [
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
    BinaryOp::And,
    BinaryOp::Or,
    BinaryOp::Unless,
];

const AGGREGATIONS: [AggregateOp; 14] = [
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

/// An error of the crate in upstream's words, token numbers turned back into what was written.
pub(super) fn error(message: &str, scan: &Scan) -> ParseError {
    let message = message.replace("got: ", "got ");
    let text = if message == "invalid promql query" {
        "not a valid query, or syntax that this front end does not know".to_owned()
    } else if let Some(rest) = message.strip_prefix("expected type ") {
        typed(rest).unwrap_or(message)
    } else if let Some(got) =
        message.strip_prefix("unary expression only allowed on expressions of type scalar or vector, got ")
    {
        format!(
            "unary expression only allowed on expressions of type scalar or instant vector, got \"{}\"",
            documented(got)
        )
    } else if let Some(rest) = message.strip_prefix("subquery is only allowed on vector,") {
        format!("subquery is only allowed on instant vector,{rest}")
    } else if message == "vector matching only allowed between vectors" {
        "vector matching only allowed between instant vectors".to_owned()
    } else if let Some(what) = message
        .strip_suffix(" modifier must be preceded by an vector selector or matrix selector or a subquery")
    {
        format!(
            "{what} modifier must be preceded by an instant vector selector or range vector selector or a subquery"
        )
    } else if message.starts_with("no arguments for aggregate expression") {
        "no arguments for aggregate expression provided".to_owned()
    } else {
        quoted(&message, scan)
    };
    ParseError::new(text)
}

fn documented(name: &str) -> &str {
    match name {
        "vector" => "instant vector",
        "matrix" => "range vector",
        other => other,
    }
}

/// `T in CONTEXT, got T` with the types' documented names.
fn typed(rest: &str) -> Option<String> {
    let (want, rest) = rest.split_once(" in ")?;
    let (context, got) = rest.rsplit_once(", got ")?;
    let context = match context {
        "aggregation expression" if want != "vector" => "aggregation parameter".to_owned(),
        other => other.replace('\'', "\""),
    };
    Some(format!("expected type {} in {context}, got {}", documented(want), documented(got)))
}

/// The message with `'x'` as `"x"` and token numbers as the words they stand for.
fn quoted(message: &str, scan: &Scan) -> String {
    let mut out = String::with_capacity(message.len());
    for (i, part) in message.split('\'').enumerate() {
        if i % 2 == 0 {
            out.push_str(part);
            continue;
        }
        let token = named(part).or_else(|| part.parse::<usize>().ok()?.checked_sub(1));
        let shown = match token.and_then(|t| scan.tokens.get(t)).map(|t| &t.kind) {
            Some(Kind::Word(word)) => word.clone(),
            Some(Kind::String(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            _ => part.to_owned(),
        };
        out.push_str(&Quoted::text(&shown).to_string());
    }
    out
}
