//! Recorded queries over recorded series.
//!
//! Floats are compared bit by bit, all NaNs alike but for the stale marker; queries with
//! sums, averages or deviations with a relative tolerance of 1e-12, those with
//! transcendental functions within 2 units in the last place.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use futures::StreamExt;
use serde_json::Value as Json;
use thanoslib::{
    context::Context,
    model::{
        CounterReset, FloatHistogram, Interval, Labels, SampleColumns, Span, Value,
        histogram::CUSTOM_BUCKETS_SCHEMA, is_stale,
    },
    promql::{
        Engine, EngineOptions, InstantQuery, QueryResult, QueryValue, Queryable, RangeQuery, Select,
        SelectFrame, parse_bytes,
    },
    runtime::Inline,
    store::SelectHints,
    testing::{
        MemoryQueryable,
        golden::{Golden, Suite, Verdict},
    },
};
use tokio::runtime::{Builder, Runtime};

use crate::promql_parse::{options, query};

pub(crate) fn run(golden: &mut Golden) {
    let Some(ready) = ready(golden, load) else { return };
    golden.run(&Suite {
        label: "promql/data",
        path: "promql/data.jsonl",
        inputs: &["labels"],
        expected: &["samples"],
        ignored: &[],
        rows: None,
        check: &|_, row| {
            let (store, runtime) = ready.as_ref().map_err(Clone::clone)?;
            runtime.block_on(check_data(&**store, row))
        },
    });
    golden.run(&Suite {
        label: "promql/eval",
        path: "promql/eval.jsonl",
        inputs: &[
            "id", "category", "expr", "expr_hex", "kind", "ts", "start", "end", "step", "features", "ordered",
        ],
        expected: &["result_type", "result", "error", "error_kind", "warnings", "infos"],
        ignored: &[],
        rows: None,
        check: &|_, row| {
            let (store, runtime) = ready.as_ref().map_err(Clone::clone)?;
            runtime.block_on(check_eval(store, options(row)?, row))
        },
    });
}

/// The functions of Thanos over the same series.
pub(crate) fn run_x_functions(golden: &mut Golden) {
    let Some(ready) = ready(golden, load) else { return };
    golden.run(&Suite {
        label: "promql/xfunctions",
        path: "promql/xfunctions.jsonl",
        inputs: &["id", "expr", "kind", "ts", "start", "end", "step", "ordered"],
        expected: &["result_type", "result", "error", "error_kind"],
        ignored: &[],
        rows: None,
        check: &|_, row| {
            let (store, runtime) = ready.as_ref().map_err(Clone::clone)?;
            let options = EngineOptions { x_functions: true, ..options(row)? };
            runtime.block_on(check_eval(store, options, row))
        },
    });
}

/// What rows are asked of, and what runs the asking; `None` when no series were recorded.
pub(crate) fn ready<T>(
    golden: &Golden,
    load: impl FnOnce(&Path) -> Result<T, String>,
) -> Option<Result<(T, Runtime), String>> {
    let path = golden.root().join("promql/data.jsonl");
    let runtime = || Builder::new_current_thread().enable_time().build().map_err(|e| e.to_string());
    path.exists().then(|| Ok((load(&path)?, runtime()?)))
}

pub(crate) fn load(path: &Path) -> Result<Arc<dyn Queryable>, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut store = MemoryQueryable::default();
    for line in text.lines() {
        let row: Json = serde_json::from_str(line).map_err(|e| e.to_string())?;
        let labels = labels(&row["labels"])?;
        for sample in list(&row["samples"])? {
            let (t_ms, st_ms, value) = recorded_sample(sample)?;
            store.push(&labels, t_ms, st_ms, value);
        }
    }
    Ok(Arc::new(store))
}

/// The engine reads back from memory what was recorded.
pub(crate) async fn check_data(store: &dyn Queryable, row: &Json) -> Verdict {
    let want_labels = labels(&row["labels"])?;
    let mut want = SampleColumns::default();
    for sample in list(&row["samples"])? {
        let (t_ms, st_ms, value) = recorded_sample(sample)?;
        match value {
            Value::Float(v) => want.floats.push_st(st_ms, t_ms, v),
            Value::Histogram(h) => {
                want.histograms.push(t_ms, &h);
                want.histograms.set_last_start(st_ms);
            }
        }
    }
    let matchers = want_labels
        .iter()
        .map(|l| {
            let text = |s: &[u8]| String::from_utf8_lossy(s).into_owned();
            thanoslib::model::Matcher::equal(text(l.name), text(l.value))
        })
        .collect();
    let select = Select { interval: Interval::ALL, matchers, hints: SelectHints::default() };
    let mut stream = store.select(&Context::default(), select).await.map_err(|e| e.to_string())?;
    let mut got = SampleColumns::default();
    while let Some(frame) = stream.next().await {
        if let SelectFrame::Series(series) = frame.map_err(|e| e.to_string())? {
            for s in series.iter().filter(|s| s.labels == want_labels) {
                s.data.decode(&mut got).map_err(|e| e.to_string())?;
            }
        }
    }
    let bits = |c: &SampleColumns| {
        format!("{:?} {:?}", c.floats.vs.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), c)
    };
    if bits(&got) == bits(&want) { Ok(()) } else { Err("samples differ".to_owned()) }
}

pub(crate) async fn check_eval(store: &Arc<dyn Queryable>, options: EngineOptions, row: &Json) -> Verdict {
    let outcome = match parse_bytes(&query(row)?, &options) {
        Err(e) => Err(("create", e.to_string())),
        Ok(expr) => {
            let engine = Engine::new(options, Arc::new(Inline));
            let text: Arc<str> = Arc::from(row["expr"].as_str().unwrap_or_default());
            let ctx = Context::default();
            let source = Arc::clone(store);
            let answer = if row["kind"] == "instant" {
                let query = InstantQuery { expr, text, time_ms: int(&row["ts"])?, lookback_ms: None };
                match query.check() {
                    Ok(()) => engine.instant(&ctx, source, query).await.map_err(|e| ("exec", e)),
                    Err(e) => Err(("create", e)),
                }
            } else {
                let query = RangeQuery {
                    expr,
                    text,
                    start_ms: int(&row["start"])?,
                    end_ms: int(&row["end"])?,
                    step_ms: int(&row["step"])?,
                    lookback_ms: None,
                };
                match query.check() {
                    Ok(()) => engine.range(&ctx, source, query).await.map_err(|e| ("exec", e)),
                    Err(e) => Err(("create", e)),
                }
            };
            answer.map_err(|(kind, e)| {
                let text = e.to_string();
                // The recorded engine refuses this before it runs.
                (if text == "expression not implemented" { "create" } else { kind }, text)
            })
        }
    };
    match (outcome, row["error"].as_str()) {
        (Err((kind, text)), Some(want)) => {
            if row["error_kind"] != kind {
                return Err(format!("{kind} error {text}, want {} error {want}", row["error_kind"]));
            }
            if text != want {
                return Err(format!("error {text}, want {want}"));
            }
            Ok(())
        }
        (Err((_, text)), None) => Err(format!("error {text}")),
        (Ok(_), Some(want)) => Err(format!("no error, want {want}")),
        (Ok(result), None) => check_result(&result, row),
    }
}

fn check_result(result: &QueryResult, row: &Json) -> Verdict {
    let texts = |key: &str| -> BTreeSet<String> {
        row[key].as_array().into_iter().flatten().filter_map(|t| t.as_str().map(str::to_owned)).collect()
    };
    for (key, got) in [
        ("warnings", result.annotations.warnings().collect::<BTreeSet<_>>()),
        ("infos", result.annotations.infos().collect()),
    ] {
        let want = texts(key);
        if got != want {
            return Err(format!("{key} {got:?}, want {want:?}"));
        }
    }
    let kind = match &result.value {
        QueryValue::Scalar { .. } => "scalar",
        QueryValue::String { .. } => "string",
        QueryValue::Vector(_) => "vector",
        QueryValue::Matrix(_) => "matrix",
    };
    if row["result_type"] != kind {
        return Err(format!("a {kind}, want {}", row["result_type"]));
    }
    let mut got: Vec<(Labels, Vec<(i64, Value)>)> = match &result.value {
        QueryValue::String { s, .. } => {
            let got = String::from_utf8_lossy(s);
            return if row["result"] == *got {
                Ok(())
            } else {
                Err(format!("{got:?}, want {}", row["result"]))
            };
        }
        QueryValue::Scalar { t_ms, v } => vec![(Labels::empty(), vec![(*t_ms, Value::Float(*v))])],
        QueryValue::Vector(v) => {
            v.iter().map(|s| (s.labels.clone(), vec![(s.t_ms, s.value.clone())])).collect()
        }
        QueryValue::Matrix(m) => m
            .iter()
            .map(|s| {
                let floats = s.floats.iter().map(|(t, v)| (*t, Value::Float(*v)));
                let histograms = s.histograms.iter().map(|(t, h)| (*t, Value::Histogram(Arc::clone(h))));
                let mut points: Vec<_> = floats.chain(histograms).collect();
                points.sort_by_key(|(t, _)| *t);
                (s.labels.clone(), points)
            })
            .collect(),
    };
    let mut want = Vec::new();
    for series in list(&row["result"])? {
        let points = list(&series["points"])?
            .iter()
            .map(|p| Ok((int(&p[0])?, value(&p[1])?)))
            .collect::<Result<Vec<_>, String>>()?;
        want.push((labels(&series["labels"])?, points));
    }
    if kind == "vector" && row["ordered"] != true {
        got.sort_by(|a, b| a.0.cmp(&b.0));
        want.sort_by(|a, b| a.0.cmp(&b.0));
    }
    let names = |s: &[(Labels, Vec<(i64, Value)>)]| s.iter().map(|(l, _)| l.to_string()).collect::<Vec<_>>();
    if names(&got) != names(&want) {
        return Err(format!("series {:?}, want {:?}", names(&got), names(&want)));
    }
    let near = Near::of(row["expr"].as_str().unwrap_or_default());
    for ((labels, got), (_, want)) in got.iter().zip(&want) {
        let times = |p: &[(i64, Value)]| p.iter().map(|(t, _)| *t).collect::<Vec<_>>();
        if times(got) != times(want) {
            return Err(format!("{labels} at {:?}, want {:?}", times(got), times(want)));
        }
        for ((t, got), (_, want)) in got.iter().zip(want) {
            if !near.values(got, want) {
                return Err(format!("{labels} at {t}: {got:?}, want {want:?}"));
            }
        }
    }
    Ok(())
}

/// How exact floats must be.
#[derive(Clone, Copy)]
enum Near {
    Bits,
    Ulps(u64),
    Relative(f64),
}

impl Near {
    fn of(expr: &str) -> Self {
        let words: Vec<&str> = expr.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).collect();
        let has = |names: &[&str]| words.iter().any(|w| names.contains(w));
        if has(&["sum", "avg", "stddev", "stdvar", "SUM", "AVG", "Sum"]) {
            return Self::Relative(1e-12);
        }
        let transcendental = [
            "exp",
            "ln",
            "log2",
            "log10",
            "sin",
            "cos",
            "tan",
            "asin",
            "acos",
            "atan",
            "sinh",
            "cosh",
            "tanh",
            "asinh",
            "acosh",
            "atanh",
            "atan2",
            "histogram_quantile",
            "histogram_quantiles",
            "histogram_fraction",
            "histogram_stddev",
            "histogram_stdvar",
        ];
        if has(&transcendental) || expr.contains('^') { Self::Ulps(2) } else { Self::Bits }
    }

    fn values(self, got: &Value, want: &Value) -> bool {
        match (got, want) {
            (Value::Float(got), Value::Float(want)) => self.floats(*got, *want),
            (Value::Histogram(got), Value::Histogram(want)) => self.histograms(got, want),
            _ => false,
        }
    }

    fn floats(self, got: f64, want: f64) -> bool {
        if is_stale(got) || is_stale(want) {
            return is_stale(got) && is_stale(want);
        }
        if want.is_nan() {
            return got.is_nan();
        }
        if got.to_bits() == want.to_bits() {
            return true;
        }
        match self {
            Self::Bits => false,
            Self::Ulps(n) => {
                got.is_sign_negative() == want.is_sign_negative()
                    && got.is_finite()
                    && got.to_bits().abs_diff(want.to_bits()) <= n
            }
            Self::Relative(r) => (got - want).abs() <= r * got.abs().max(want.abs()),
        }
    }

    fn histograms(self, got: &FloatHistogram, want: &FloatHistogram) -> bool {
        let (mut got, mut want) = (got.clone(), want.clone());
        got.compact(0);
        want.compact(0);
        let all = |got: &[f64], want: &[f64]| {
            got.len() == want.len() && got.iter().zip(want).all(|(g, w)| self.floats(*g, *w))
        };
        got.hint == want.hint
            && got.schema == want.schema
            && self.floats(got.count, want.count)
            && self.floats(got.sum, want.sum)
            // Custom buckets have no zero bucket; its sign is not recorded.
            && (self.floats(got.zero_count, want.zero_count) || got.zero_count == 0.0 && want.zero_count == 0.0 && want.schema == CUSTOM_BUCKETS_SCHEMA)
            && got.zero_threshold.to_bits() == want.zero_threshold.to_bits()
            && got.positive_spans == want.positive_spans
            && got.negative_spans == want.negative_spans
            && all(&got.positive_buckets, &want.positive_buckets)
            && all(&got.negative_buckets, &want.negative_buckets)
            && got.custom_values.len() == want.custom_values.len()
            && got.custom_values.iter().zip(&want.custom_values).all(|(g, w)| g.to_bits() == w.to_bits())
    }
}

pub(crate) fn list(v: &Json) -> Result<&Vec<Json>, String> {
    v.as_array().ok_or_else(|| format!("want a list, got {v}"))
}

fn int(v: &Json) -> Result<i64, String> {
    v.as_i64().ok_or_else(|| format!("want a whole number, got {v}"))
}

pub(crate) fn labels(v: &Json) -> Result<Labels, String> {
    let mut pairs = Vec::new();
    for pair in list(v)? {
        match (pair[0].as_str(), pair[1].as_str()) {
            (Some(name), Some(value)) => pairs.push((name, value)),
            _ => return Err(format!("want a label, got {pair}")),
        }
    }
    Ok(Labels::from_pairs(pairs))
}

/// A float as its bits in hex; recorded NaNs are the normal one or the stale marker.
fn float(v: &Json) -> Result<f64, String> {
    let text = v.as_str().filter(|t| t.len() == 16);
    let bits = text
        .and_then(|t| u64::from_str_radix(t, 16).ok())
        .ok_or_else(|| format!("want 16 digits, got {v}"))?;
    let f = f64::from_bits(bits);
    if f.is_nan() && !is_stale(f) && bits & 0x7fff_ffff_ffff_fffe != 0x7ff8_0000_0000_0000 {
        return Err(format!("an unknown NaN: {v}"));
    }
    Ok(f)
}

fn value(v: &Json) -> Result<Value, String> {
    if v.is_object() {
        histogram(v).map(|h| Value::Histogram(Arc::new(h)))
    } else {
        float(v).map(Value::Float)
    }
}

/// Time, start timestamp (0 = unknown) and value.
pub(crate) fn recorded_sample(v: &Json) -> Result<(i64, i64, Value), String> {
    let st_ms = v[2].get("st").map_or(Ok(0), int)?;
    let value = match v[1].as_object() {
        Some(object) => {
            let h = object.get("h").or(object.get("fh")).ok_or_else(|| format!("want h or fh, got {v}"))?;
            Value::Histogram(Arc::new(histogram(h)?))
        }
        None => Value::Float(float(&v[1])?),
    };
    Ok((int(&v[0])?, st_ms, value))
}

/// A histogram; whole numbers and deltas are those of an integer histogram.
fn histogram(v: &Json) -> Result<FloatHistogram, String> {
    let count = |key: &str| match &v[key] {
        Json::Null => Ok(0.0),
        Json::Number(n) => n.as_u64().map(|n| n as f64).ok_or_else(|| format!("want a count, got {n}")),
        other => float(other),
    };
    let spans = |key: &str| -> Result<Vec<Span>, String> {
        let items = v[key].as_array().map(Vec::as_slice).unwrap_or_default();
        items
            .iter()
            .map(|s| {
                let offset = i32::try_from(int(&s[0])?).map_err(|e| e.to_string())?;
                let length = u32::try_from(int(&s[1])?).map_err(|e| e.to_string())?;
                Ok(Span { offset, length })
            })
            .collect()
    };
    let buckets = |absolute: &str, deltas: &str, spans: &[Span]| -> Result<Vec<f64>, String> {
        let items = v[absolute].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut out = items.iter().map(float).collect::<Result<Vec<_>, _>>()?;
        let mut sum = 0;
        for delta in v[deltas].as_array().into_iter().flatten() {
            sum += int(delta)?;
            out.push(sum as f64);
        }
        let wanted: u64 = spans.iter().map(|s| u64::from(s.length)).sum();
        if wanted != out.len() as u64 {
            return Err(format!("{} buckets, spans want {wanted}", out.len()));
        }
        Ok(out)
    };
    let hint = match v["crh"].as_str() {
        Some("unknown") => CounterReset::Unknown,
        Some("reset") => CounterReset::Reset,
        Some("not_reset") => CounterReset::NotReset,
        Some("gauge") => CounterReset::Gauge,
        other => return Err(format!("want a hint, got {other:?}")),
    };
    let schema = i32::try_from(int(&v["schema"])?).map_err(|e| e.to_string())?;
    if schema != CUSTOM_BUCKETS_SCHEMA && !(-4..=8).contains(&schema) {
        return Err(format!("{schema} is no schema"));
    }
    let (positive_spans, negative_spans) = (spans("ps")?, spans("ns")?);
    Ok(FloatHistogram {
        hint,
        schema,
        zero_threshold: if v["zt"].is_null() { 0.0 } else { float(&v["zt"])? },
        zero_count: count("zc")?,
        count: count("count")?,
        sum: float(&v["sum"])?,
        positive_buckets: buckets("pb", "pd", &positive_spans)?,
        negative_buckets: buckets("nb", "nd", &negative_spans)?,
        positive_spans,
        negative_spans,
        custom_values: v["cv"].as_array().into_iter().flatten().map(float).collect::<Result<_, _>>()?,
    })
}
