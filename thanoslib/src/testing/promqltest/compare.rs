//! Compares answers with what a script expects.

use std::sync::Arc;

use crate::{
    error::Error,
    model::{FloatHistogram, Labels, Value, is_stale},
    promql::{Annotations, MatrixSeries, QueryResult, QueryValue},
};

use super::{
    script::{Eval, Presence, Text, Time},
    text::Item,
};

/// Judges the answer of an evaluation: value and annotations.
pub(super) fn judge(eval: &Eval, answer: &Result<QueryResult, Error>) -> Result<(), String> {
    match (&eval.fail, answer) {
        (Some(texts), Err(e)) => match texts.iter().find(|t| !fits(t, e.message())) {
            Some(text) => Err(format!("failed with {:?}, want {text:?}", e.message())),
            None => Ok(()),
        },
        (Some(_), Ok(_)) => Err("did not fail".to_owned()),
        (None, Err(e)) => Err(format!("failed: {e}")),
        (None, Ok(result)) => {
            annotations(eval, &result.annotations)?;
            value(eval, &result.value)
        }
    }
}

fn annotations(eval: &Eval, got: &Annotations) -> Result<(), String> {
    let all = [
        ("warning", &eval.warn, got.warnings().collect::<Vec<_>>()),
        ("info", &eval.info, got.infos().collect::<Vec<_>>()),
    ];
    for (kind, want, got) in all {
        match want {
            Presence::Unasserted => {}
            Presence::None if got.is_empty() => {}
            Presence::None => return Err(format!("unexpected {kind}: {got:?}")),
            Presence::Some(texts) => {
                if got.is_empty() {
                    return Err(format!("no {kind}, want {texts:?}"));
                }
                if let Some(other) = got.iter().find(|g| !texts.iter().any(|t| fits(t, g))) {
                    return Err(format!("{kind} {other:?} is none of {texts:?}"));
                }
                if let Some(absent) = texts.iter().find(|t| !got.iter().any(|g| fits(t, g))) {
                    return Err(format!("no {kind} like {absent:?} in {got:?}"));
                }
            }
        }
    }
    Ok(())
}

fn fits(want: &Text, got: &str) -> bool {
    match want {
        Text::Any => true,
        Text::Equal(text) => text == got,
        Text::Matches(pattern) => {
            regex_automata::meta::Regex::new(pattern).is_ok_and(|regex| regex.is_match(got))
        }
    }
}

/// Judges the value alone.
pub(super) fn value(eval: &Eval, got: &QueryValue) -> Result<(), String> {
    if let Some(want) = &eval.string {
        return match got {
            QueryValue::String { s, .. } if s == want => Ok(()),
            other => Err(format!("got {other:?}, want the string {:?}", String::from_utf8_lossy(want))),
        };
    }
    match (got, eval.time, eval.range_vector) {
        (QueryValue::Scalar { v, .. }, ..) => match eval.scalar {
            Some(want) if nearly(*v, want) => Ok(()),
            Some(want) => Err(format!("got the scalar {v}, want {want}")),
            None => Err(format!("got the scalar {v}, want series")),
        },
        (QueryValue::String { .. }, ..) => Err(format!("got {got:?}, want no string")),
        (QueryValue::Matrix(m), Time::Range { start_ms, end_ms, step_ms }, _)
        | (QueryValue::Matrix(m), Time::Instant(_), Some((start_ms, end_ms, step_ms))) => {
            matrix(eval, m, (start_ms, end_ms, step_ms))
        }
        (QueryValue::Matrix(_), ..) => Err("got a range vector".to_owned()),
        (QueryValue::Vector(_), _, Some(_)) => Err("got no range vector".to_owned()),
        (QueryValue::Vector(v), ..) => {
            let samples: Vec<(&Labels, &Value)> = v.iter().map(|s| (&s.labels, &s.value)).collect();
            vector(eval, &samples)
        }
    }
}

/// Judges an instant vector.
pub(super) fn vector(eval: &Eval, got: &[(&Labels, &Value)]) -> Result<(), String> {
    if eval.scalar.is_some() {
        return Err("got a vector, want a scalar".to_owned());
    }
    let mut seen = vec![false; eval.series.len()];
    for (i, (labels, value)) in got.iter().enumerate() {
        let at = eval
            .series
            .iter()
            .position(|(want, _)| want == *labels)
            .ok_or_else(|| format!("unexpected series {labels} {value:?}"))?;
        if std::mem::replace(&mut seen[at], true) {
            return Err(format!("series {labels} stands twice in the answer"));
        }
        if eval.ordered && at != i {
            return Err(format!("series {labels} is number {i}, want {at}"));
        }
        let [want] = eval.series[at].1.as_slice() else {
            return Err(format!("{labels}: an instant has one value"));
        };
        same(want, Some(value)).map_err(|e| format!("{labels}: {e}"))?;
    }
    match seen.iter().position(|s| !s) {
        Some(absent) => Err(format!("no series {}", eval.series[absent].0)),
        None => Ok(()),
    }
}

fn matrix(eval: &Eval, got: &[MatrixSeries], (start, end, step): (i64, i64, i64)) -> Result<(), String> {
    if eval.ordered {
        return Err("only instant vectors have an order".to_owned());
    }
    if let Some(two) = got.windows(2).find(|w| w[0].labels >= w[1].labels) {
        return Err(format!("series are not in order: {} before {}", two[0].labels, two[1].labels));
    }
    for (labels, items) in &eval.series {
        let series = got.iter().find(|s| s.labels == *labels);
        let mut times = Vec::new();
        for (i, item) in items.iter().enumerate() {
            let t_ms = start.saturating_add(step.saturating_mul(i as i64));
            if t_ms > end {
                return Err(format!("{labels}: more values than steps"));
            }
            let value = series.and_then(|s| point(s, t_ms));
            same(item, value.as_ref()).map_err(|e| format!("{labels} at {t_ms}: {e}"))?;
            if value.is_some() {
                times.push(t_ms);
            }
        }
        if let Some(series) = series {
            let floats = series.floats.iter().map(|(t, _)| *t);
            let other = floats.chain(series.histograms.iter().map(|(t, _)| *t)).find(|t| !times.contains(t));
            if let Some(t_ms) = other {
                return Err(format!("{labels} has an unexpected point at {t_ms}: {series:?}"));
            }
        } else {
            return Err(format!("no series {labels}"));
        }
    }
    match got.iter().find(|s| !eval.series.iter().any(|(labels, _)| *labels == s.labels)) {
        Some(other) => Err(format!("unexpected series {other:?}")),
        None if eval.scalar.is_some() => Err("got a range vector, want a scalar".to_owned()),
        None => Ok(()),
    }
}

/// The value of a series at a time.
pub(super) fn point(series: &MatrixSeries, t_ms: i64) -> Option<Value> {
    if let Some((_, v)) = series.floats.iter().find(|(t, _)| *t == t_ms) {
        return Some(Value::Float(*v));
    }
    let (_, h) = series.histograms.iter().find(|(t, _)| *t == t_ms)?;
    Some(Value::Histogram(Arc::clone(h)))
}

fn same(want: &Item, got: Option<&Value>) -> Result<(), String> {
    let fine = match (want, got) {
        (Item::Omitted, None) => true,
        (Item::Float(want), Some(Value::Float(got))) => nearly(*got, *want),
        (Item::Histogram { histogram: want, is_hinted: hinted }, Some(Value::Histogram(got))) => {
            (!hinted || want.hint == got.hint) && histograms_are_near(want, got)
        }
        _ => false,
    };
    if fine { Ok(()) } else { Err(format!("got {got:?}, want {want:?}")) }
}

fn histograms_are_near(want: &FloatHistogram, got: &FloatHistogram) -> bool {
    let (mut want, mut got) = (want.clone(), got.clone());
    want.compact(0);
    got.compact(0);
    let all = |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| nearly(*a, *b));
    let bits = |a: &[f64]| a.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    want.schema == got.schema
        && nearly(want.count, got.count)
        && nearly(want.sum, got.sum)
        && nearly(want.zero_count, got.zero_count)
        && want.zero_threshold == got.zero_threshold
        && bits(&want.custom_values) == bits(&got.custom_values)
        && want.positive_spans == got.positive_spans
        && want.negative_spans == got.negative_spans
        && all(&want.positive_buckets, &got.positive_buckets)
        && all(&want.negative_buckets, &got.negative_buckets)
}

/// Equality of floats within a relative 1e-6; a stale marker equals only itself.
fn nearly(a: f64, b: f64) -> bool {
    const EPSILON: f64 = 1e-6;
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if a.is_nan() || b.is_nan() {
        return a.is_nan() && b.is_nan();
    }
    if a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < EPSILON
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stale_nan;

    #[test]
    fn floats_are_near_or_not() {
        let check = |a: f64, b: f64, want: bool| assert_eq!(nearly(a, b), want, "{a} {b}");
        check(1.0, 1.0 + 1e-7, true);
        check(1.0, 1.0 + 1e-5, false);
        check(0.0, 1e-300, false);
        check(f64::NAN, -f64::NAN, true);
        check(f64::NAN, stale_nan(), false);
        check(stale_nan(), stale_nan(), true);
        check(f64::INFINITY, f64::MAX, false);
    }
}
