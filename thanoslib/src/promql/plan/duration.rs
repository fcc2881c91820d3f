//! Evaluates arithmetic in durations with the times of a query.

use super::{
    super::ast::{BinaryOp, Duration, DurationExpr, DurationNode},
    QueryTimes,
};
use crate::error::{Error, Result};

/// Which values a duration may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// An offset.
    Any,
    /// A window or a step.
    Positive,
}

/// What 64 bits of nanoseconds hold, in seconds.
const SECONDS_MAX: f64 = 9_223_372_036.854_776;

/// The duration in ms, fractions of them cut.
///
/// # Errors
/// `Invalid`, with the bytes of the query that are to blame, when there is no such value.
pub(super) fn fold(duration: Duration, times: &QueryTimes, sign: Sign) -> Result<Duration> {
    let Duration::Expr(expr) = duration else { return Ok(duration) };
    let seconds = value(&expr, times)?;
    if !seconds.is_finite() {
        return Err(blame(&expr, "duration is NaN or infinite"));
    }
    if seconds <= 0.0 && sign == Sign::Positive {
        return Err(blame(&expr, "duration must be greater than 0"));
    }
    if seconds.abs() > SECONDS_MAX {
        return Err(blame(&expr, "duration is out of range"));
    }
    Ok(Duration::Ms((seconds * 1000.0) as i64))
}

fn value(expr: &DurationExpr, times: &QueryTimes) -> Result<f64> {
    Ok(match &expr.node {
        DurationNode::Literal { seconds, .. } => *seconds,
        DurationNode::Step => times.step_seconds(),
        DurationNode::Range => times.range_seconds(),
        DurationNode::MinOf(a, b) => least(value(a, times)?, value(b, times)?),
        DurationNode::MaxOf(a, b) => -least(-value(a, times)?, -value(b, times)?),
        DurationNode::Paren(inner) | DurationNode::Sign { negative: false, expr: inner } => {
            value(inner, times)?
        }
        DurationNode::Sign { negative: true, expr } => -value(expr, times)?,
        DurationNode::Binary { op, lhs, rhs } => {
            let (l, r) = (value(lhs, times)?, value(rhs, times)?);
            match op {
                BinaryOp::Add => l + r,
                BinaryOp::Sub => l - r,
                BinaryOp::Mul => l * r,
                BinaryOp::Div if r == 0.0 => return Err(blame(expr, "division by zero")),
                BinaryOp::Div => l / r,
                BinaryOp::Mod if r == 0.0 => return Err(blame(expr, "modulo by zero")),
                BinaryOp::Mod => l % r,
                BinaryOp::Pow => l.powf(r),
                other => {
                    let what = format!("unexpected duration expression operator {:?}", other.as_str());
                    return Err(blame(expr, &what));
                }
            }
        }
    })
}

/// The smaller of two numbers, NaN if one is NaN.
fn least(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}

fn blame(expr: &DurationExpr, what: &str) -> Error {
    Error::invalid(match expr.span {
        Some((start, end)) => format!("{start}:{end}: {what}"),
        None => what.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(seconds: f64) -> DurationExpr {
        DurationExpr { node: DurationNode::Literal { seconds, is_duration: false }, span: Some((3, 4)) }
    }

    fn binary(op: BinaryOp, lhs: DurationExpr, rhs: DurationExpr) -> DurationExpr {
        let node = DurationNode::Binary { op, lhs: Box::new(lhs), rhs: Box::new(rhs) };
        DurationExpr { node, span: Some((1, 9)) }
    }

    fn check(expr: DurationExpr, want: std::result::Result<i64, &str>) {
        let times = QueryTimes { start_ms: 1000, end_ms: 11_000, step_ms: 2000 };
        let got = fold(Duration::Expr(Box::new(expr)), &times, Sign::Positive);
        let got = got.map(|d| d.ms().expect("is folded")).map_err(|e| e.to_string());
        assert_eq!(got, want.map_err(str::to_owned));
    }

    #[test]
    fn arithmetic_becomes_milliseconds() {
        let node = |node| DurationExpr { node, span: Some((5, 11)) };
        check(node(DurationNode::Step), Ok(2000));
        check(node(DurationNode::Range), Ok(10_000));
        check(binary(BinaryOp::Mul, literal(1.5), node(DurationNode::Step)), Ok(3000));
        check(binary(BinaryOp::Mod, literal(7.0), literal(4.0)), Ok(3000));
        let (a, b) = (Box::new(literal(3.0)), Box::new(literal(5.0)));
        check(node(DurationNode::MinOf(a.clone(), b.clone())), Ok(3000));
        check(node(DurationNode::MaxOf(a, b)), Ok(5000));
        check(binary(BinaryOp::Div, literal(1.0), literal(3000.0)), Ok(0));
    }

    #[test]
    fn what_has_no_place_is_blamed() {
        check(binary(BinaryOp::Div, literal(1.0), literal(0.0)), Err("1:9: division by zero"));
        check(binary(BinaryOp::Mod, literal(1.0), literal(0.0)), Err("1:9: modulo by zero"));
        check(literal(0.0), Err("3:4: duration must be greater than 0"));
        check(literal(f64::NAN), Err("3:4: duration is NaN or infinite"));
        check(binary(BinaryOp::Pow, literal(10.0), literal(10.0)), Err("1:9: duration is out of range"));
    }
}
