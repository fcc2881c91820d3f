//! Samples as Prometheus' head cuts them into chunks, byte for byte.

use serde_json::{Value, json};
use thanoslib::{
    ErrorKind,
    chunk::{ChunkCutter, ChunkFormat, CutPolicy, EncodedChunk},
    model::{CounterReset, FloatHistogram, FloatHistogramColumn, Histogram, IntHistogramColumn, Span},
    testing::golden::{Golden, Suite, Verdict, equal},
};

use crate::tsdb_chunks::float;

pub(crate) fn run(golden: &mut Golden) {
    golden.run(&Suite {
        label: "tsdb/appender",
        path: "tsdb/appender.jsonl",
        inputs: &["name", "config", "samples"],
        expected: &["results", "chunks"],
        ignored: &[],
        rows: None,
        check: &|_, row| check(row),
    });
}

/// A sample of a recording.
pub(crate) enum Recorded {
    Float(f64),
    Int(Histogram),
    FloatHistogram(FloatHistogram),
}

impl Recorded {
    /// The start timestamp, the time and the value of a recorded sample.
    pub(crate) fn parse(v: &Value) -> Result<(i64, i64, Self), String> {
        let (st, t) = (v["st"].as_i64().unwrap_or(0), v["t"].as_i64().ok_or("no time")?);
        let value = match (v.get("v"), v.get("h"), v.get("fh")) {
            (Some(v), ..) => Self::Float(float(v)?),
            (_, Some(h), _) => Self::Int(int_histogram(h)?),
            (.., Some(h)) => Self::FloatHistogram(float_histogram(h)?),
            _ => return Err(format!("no value: {v}")),
        };
        Ok((st, t, value))
    }

    /// Appends the sample to a cutter.
    pub(crate) fn append(
        &self,
        cutter: &mut ChunkCutter,
        st: i64,
        t: i64,
    ) -> thanoslib::Result<Option<EncodedChunk>> {
        match self {
            Self::Float(v) => cutter.append_float(st, t, *v),
            Self::Int(h) => {
                let mut column = IntHistogramColumn::default();
                column.push(t, h);
                column.set_last_start(st);
                cutter.append_int_histogram(&column, 0)
            }
            Self::FloatHistogram(h) => {
                let mut column = FloatHistogramColumn::default();
                column.push(t, h);
                column.set_last_start(st);
                cutter.append_float_histogram(&column, 0)
            }
        }
    }
}

fn list<T>(h: &Value, key: &str, item: impl Fn(&Value) -> Result<T, String>) -> Result<Vec<T>, String> {
    h[key].as_array().into_iter().flatten().map(item).collect()
}

fn spans(h: &Value, key: &str) -> Result<Vec<Span>, String> {
    list(h, key, |s| {
        let (offset, length) = (s[0].as_i64().ok_or("no offset")?, s[1].as_u64().ok_or("no length")?);
        Ok(Span { offset: offset as i32, length: length as u32 })
    })
}

fn float_or_0(h: &Value, key: &str) -> Result<f64, String> {
    h.get(key).map_or(Ok(0.0), float)
}

fn hint(h: &Value) -> CounterReset {
    match h["counter_reset_hint"].as_u64() {
        Some(1) => CounterReset::Reset,
        Some(2) => CounterReset::NotReset,
        Some(3) => CounterReset::Gauge,
        _ => CounterReset::Unknown,
    }
}

fn int_histogram(h: &Value) -> Result<Histogram, String> {
    let int = |v: &Value| v.as_i64().ok_or_else(|| format!("no integer: {v}"));
    Ok(Histogram {
        hint: hint(h),
        schema: h["schema"].as_i64().unwrap_or(0) as i32,
        zero_threshold: float_or_0(h, "zero_threshold")?,
        zero_count: h["zero_count"].as_u64().unwrap_or(0),
        count: h["count"].as_u64().unwrap_or(0),
        sum: float_or_0(h, "sum")?,
        positive_spans: spans(h, "positive_spans")?,
        negative_spans: spans(h, "negative_spans")?,
        positive_deltas: list(h, "positive_deltas", int)?,
        negative_deltas: list(h, "negative_deltas", int)?,
        custom_values: list(h, "custom_values", float)?,
    })
}

fn float_histogram(h: &Value) -> Result<FloatHistogram, String> {
    Ok(FloatHistogram {
        hint: hint(h),
        schema: h["schema"].as_i64().unwrap_or(0) as i32,
        zero_threshold: float_or_0(h, "zero_threshold")?,
        zero_count: float_or_0(h, "zero_count")?,
        count: float_or_0(h, "count")?,
        sum: float_or_0(h, "sum")?,
        positive_spans: spans(h, "positive_spans")?,
        negative_spans: spans(h, "negative_spans")?,
        positive_buckets: list(h, "positive_counts", float)?,
        negative_buckets: list(h, "negative_counts", float)?,
        custom_values: list(h, "custom_values", float)?,
    })
}

fn check(row: &Value) -> Verdict {
    let config = &row["config"];
    let flag = |key: &str| config[key].as_bool().unwrap_or(false);
    let policy = CutPolicy::Head {
        range_ms: config["chunk_range"].as_i64().ok_or("no range")?,
        samples: config["samples_per_chunk"].as_u64().ok_or("no target")? as usize,
    };
    let format = ChunkFormat { xor2: flag("xor2"), histogram_st: flag("histogram_st") };
    let mut cutter = ChunkCutter::new(policy, format);
    let (mut chunks, mut results) = (Vec::new(), Vec::new());
    let mut first = true;
    for sample in row["samples"].as_array().ok_or("no samples")? {
        let (st, t, value) = Recorded::parse(sample)?;
        let st = if flag("store_st") { st } else { 0 };
        results.push(match value.append(&mut cutter, st, t) {
            Ok(closed) => {
                let new_chunk = closed.is_some() || std::mem::take(&mut first);
                chunks.extend(closed);
                if new_chunk { "new_chunk" } else { "ok" }
            }
            Err(e) if e.kind() == ErrorKind::Conflict => "out_of_order",
            Err(e) => return Err(e.to_string()),
        });
    }
    chunks.extend(cutter.finish());
    let chunks: Vec<Value> = chunks.iter().map(listed).collect();
    for (i, (got, want)) in chunks.iter().zip(row["chunks"].as_array().into_iter().flatten()).enumerate() {
        equal(got, want).map_err(|e| format!("chunk {i}: {e}"))?;
    }
    equal(&json!(chunks), &row["chunks"])?;
    equal(&json!(results), &row["results"])
}

fn listed(chunk: &EncodedChunk) -> Value {
    let data: String = chunk.data.iter().map(|b| format!("{b:02x}")).collect();
    json!({
        "mint": chunk.interval.mint, "maxt": chunk.interval.maxt, "encoding": chunk.encoding as u8,
        "num_samples": chunk.samples, "data": data,
    })
}
