//! The canonical text of a syntax tree.

use std::fmt::{self, Display, Formatter, Write};

use super::ast::{
    Aggregate, At, Binary, Cardinality, Duration, DurationExpr, DurationNode, Expr, Extension, Matching,
    Node, Subquery, VectorSelector,
};
use crate::model::{
    LABEL_NAME,
    float::{write_general, write_quoted},
};

impl Display for Expr {
    /// Writes the text that parses to an equal tree, as upstream writes it.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.node {
            Node::Number { value, is_duration: true } => duration_seconds(f, *value),
            Node::Number { value, .. } => number(f, *value),
            Node::String(s) => write_quoted(f, s),
            Node::Paren(e) => write!(f, "({e})"),
            Node::Unary { negative, expr } => write!(f, "{}{expr}", if *negative { "-" } else { "+" }),
            Node::Binary(b) => binary(f, b),
            Node::Aggregate(a) => aggregate(f, a),
            Node::Call { function, args } => {
                write!(f, "{}(", function.name)?;
                list(f, args)?;
                f.write_str(")")
            }
            Node::Vector(v) => {
                name_and_matchers(f, v)?;
                extension(f, v.extension)?;
                modifiers(f, v.at, &v.offset)
            }
            Node::Matrix { selector, range } => {
                name_and_matchers(f, selector)?;
                write!(f, "[{range}]")?;
                extension(f, selector.extension)?;
                modifiers(f, selector.at, &selector.offset)
            }
            Node::Subquery(s) => subquery(f, s),
        }
    }
}

fn list(f: &mut Formatter<'_>, items: &[impl Display]) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

fn number(f: &mut impl Write, v: f64) -> fmt::Result {
    if v == f64::INFINITY {
        f.write_str("+Inf")
    } else if v == f64::NEG_INFINITY {
        f.write_str("-Inf")
    } else {
        write!(f, "{v}")
    }
}

/// A label name, quoted unless it is a plain identifier that clauses read as a label.
fn label(f: &mut impl Write, name: &str) -> fmt::Result {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    // Compat: upstream leaves these three unquoted, too, and cannot read them again.
    let is_word = ["without", "inf", "nan"].iter().any(|word| name.eq_ignore_ascii_case(word));
    if plain && !is_word { f.write_str(name) } else { write_quoted(f, name.as_bytes()) }
}

fn labels(f: &mut impl Write, names: &[String]) -> fmt::Result {
    f.write_str("(")?;
    for (i, name) in names.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        label(f, name)?;
    }
    f.write_str(")")
}

fn binary(f: &mut Formatter<'_>, b: &Binary) -> fmt::Result {
    write!(f, "{} ", b.lhs)?;
    operator(f, b)?;
    write!(f, " {}", b.rhs)
}

/// The operator with its modifiers.
pub(super) fn operator(f: &mut impl Write, b: &Binary) -> fmt::Result {
    f.write_str(b.op.as_str())?;
    if b.return_bool {
        f.write_str(" bool")?;
    }
    matching(f, &b.matching)
}

fn matching(f: &mut impl Write, m: &Matching) -> fmt::Result {
    let group = match m.cardinality {
        Cardinality::ManyToOne => Some("group_left"),
        Cardinality::OneToMany => Some("group_right"),
        Cardinality::OneToOne | Cardinality::ManyToMany => None,
    };
    if m.on || !m.labels.is_empty() || group.is_some() {
        f.write_str(if m.on { " on " } else { " ignoring " })?;
        labels(f, &m.labels)?;
    }
    if let Some(group) = group {
        write!(f, " {group} ")?;
        labels(f, &m.include)?;
    }
    if let (Some(left), Some(right)) = (m.fill_left, m.fill_right)
        && left == right
    {
        return fill(f, "fill", left);
    }
    if let Some(v) = m.fill_left {
        fill(f, "fill_left", v)?;
    }
    if let Some(v) = m.fill_right {
        fill(f, "fill_right", v)?;
    }
    Ok(())
}

fn fill(f: &mut impl Write, word: &str, v: f64) -> fmt::Result {
    write!(f, " {word} (")?;
    // Compat: other than literals, large values have an exponent (promql/parser/printer.go).
    write_general(f, v)?;
    f.write_str(")")
}

/// The operator with its label clause, up to the parenthesis.
pub(super) fn aggregate_head(f: &mut impl Write, a: &Aggregate) -> fmt::Result {
    f.write_str(a.op.as_str())?;
    // An empty `by ()` says the same as no clause.
    if let Some(grouping) = a.grouping.as_ref().filter(|g| !g.by || !g.labels.is_empty()) {
        f.write_str(if grouping.by { " by " } else { " without " })?;
        labels(f, &grouping.labels)?;
        f.write_str(" ")?;
    }
    Ok(())
}

fn aggregate(f: &mut Formatter<'_>, a: &Aggregate) -> fmt::Result {
    aggregate_head(f, a)?;
    f.write_str("(")?;
    if let Some(param) = &a.param {
        write!(f, "{param}, ")?;
    }
    write!(f, "{})", a.expr)
}

fn name_and_matchers(f: &mut Formatter<'_>, v: &VectorSelector) -> fmt::Result {
    let mut texts: Vec<String> = v.matchers.iter().map(ToString::to_string).collect();
    if let Some(name) = &v.name {
        f.write_str(name)?;
        // Its matcher is the last one.
        if v.matchers.last().is_some_and(|m| m.name() == LABEL_NAME && m.value() == name.as_bytes()) {
            texts.pop();
        }
    }
    if texts.is_empty() && v.name.is_some() {
        return Ok(());
    }
    texts.sort();
    write!(f, "{{{}}}", texts.join(","))
}

fn extension(f: &mut Formatter<'_>, extension: Option<Extension>) -> fmt::Result {
    match extension {
        Some(extension) => write!(f, " {}", extension.as_str()),
        None => Ok(()),
    }
}

fn modifiers(f: &mut impl Write, at: Option<At>, offset: &Duration) -> fmt::Result {
    match at {
        Some(At::Time(ms)) => {
            let sign = if ms < 0 { "-" } else { "" };
            write!(f, " @ {sign}{}.{:03}", ms.unsigned_abs() / 1000, ms.unsigned_abs() % 1000)?;
        }
        Some(At::Start) => f.write_str(" @ start()")?,
        Some(At::End) => f.write_str(" @ end()")?,
        None => {}
    }
    if *offset == Duration::ZERO { Ok(()) } else { write!(f, " offset {offset}") }
}

fn subquery(f: &mut Formatter<'_>, s: &Subquery) -> fmt::Result {
    s.expr.fmt(f)?;
    subquery_suffix(f, s)
}

/// What stands behind the expression of a subquery.
pub(super) fn subquery_suffix(f: &mut impl Write, s: &Subquery) -> fmt::Result {
    write!(f, "[{}:", s.range)?;
    if let Some(step) = &s.step {
        write!(f, "{step}")?;
    }
    f.write_str("]")?;
    modifiers(f, s.at, &s.offset)
}

impl Display for Duration {
    /// Writes a length as upstream does: `1h30m`, or arithmetic.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Duration::Ms(ms) => duration(f, *ms),
            Duration::Expr(e) => e.fmt(f),
        }
    }
}

impl Display for DurationExpr {
    /// Writes arithmetic with blanks around operators; plus signs are left out.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.node {
            DurationNode::Literal { seconds, is_duration: true } => duration_seconds(f, *seconds),
            DurationNode::Literal { seconds, .. } => number(f, *seconds),
            DurationNode::Step => f.write_str("step()"),
            DurationNode::Range => f.write_str("range()"),
            DurationNode::MinOf(a, b) => write!(f, "min_of({a}, {b})"),
            DurationNode::MaxOf(a, b) => write!(f, "max_of({a}, {b})"),
            DurationNode::Paren(e) => write!(f, "({e})"),
            DurationNode::Negate(e) => write!(f, "-{e}"),
            DurationNode::Binary { op, lhs, rhs } => write!(f, "{lhs} {} {rhs}", op.as_str()),
        }
    }
}

/// A duration literal, fractions of milliseconds cut.
fn duration_seconds(f: &mut Formatter<'_>, seconds: f64) -> fmt::Result {
    duration(f, (seconds * 1000.0) as i64)
}

/// `1d2h`; years and weeks only when they divide the rest.
fn duration(f: &mut Formatter<'_>, ms: i64) -> fmt::Result {
    const UNITS: [(&str, u64, bool); 7] = [
        ("y", 365 * 86_400_000, true),
        ("w", 7 * 86_400_000, true),
        ("d", 86_400_000, false),
        ("h", 3_600_000, false),
        ("m", 60_000, false),
        ("s", 1000, false),
        ("ms", 1, false),
    ];
    if ms == 0 {
        return f.write_str("0s");
    }
    if ms < 0 {
        f.write_str("-")?;
    }
    let mut rest = ms.unsigned_abs();
    for (unit, size, exact) in UNITS {
        let n = rest / size;
        if n > 0 && (!exact || rest.is_multiple_of(size)) {
            write!(f, "{n}{unit}")?;
            rest %= size;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_use_few_units() {
        let check = |ms: i64, want: &str| assert_eq!(Duration::Ms(ms).to_string(), want);
        check(0, "0s");
        check(15_001, "15s1ms");
        check(-5_400_000, "-1h30m");
        check(373 * 86_400_000, "373d");
        check(14 * 86_400_000, "2w");
        check(365 * 86_400_000, "1y");
    }
}
