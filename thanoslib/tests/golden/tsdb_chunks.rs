//! Prometheus' chunks of every encoding: decoded, and floats encoded again.

use serde_json::{Map, Value, json};
use thanoslib::{
    chunk::{Chunk, Encoding, Xor2Appender, XorAppender, transcode},
    model::{FloatColumn, FloatHistogram, FloatHistogramColumn, Histogram, IntHistogramColumn, Span},
    testing::golden::{Golden, Suite, Verdict, equal},
};

pub(crate) fn run(golden: &mut Golden) {
    golden.run(&Suite {
        label: "tsdb/chunks",
        path: "tsdb/chunks.jsonl",
        inputs: &["name", "encoding", "reopened_before"],
        expected: &["num_samples", "counter_reset_header", "samples", "data"],
        ignored: &[],
        rows: None,
        check: &|_, row| check(row),
    });
}

pub(crate) fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let byte = |i| text.get(i..i + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..text.len()).step_by(2).map(|i| byte(i).ok_or_else(|| format!("no hex: {text}"))).collect()
}

pub(crate) fn bits(v: f64) -> Value {
    Value::from(format!("{:016x}", v.to_bits()))
}

pub(crate) fn float(v: &Value) -> Result<f64, String> {
    let text = v.as_str().ok_or("no float bits")?;
    u64::from_str_radix(text, 16).map(f64::from_bits).map_err(|e| e.to_string())
}

fn check(row: &Value) -> Verdict {
    let encoding = row["encoding"].as_u64().and_then(|e| Encoding::from_u8(e as u8)).ok_or("no encoding")?;
    let data = unhex(row["data"].as_str().ok_or("no data")?)?;
    let chunk = Chunk { encoding, data: &data };
    let samples = decode(chunk)?;
    equal(&samples, &row["samples"])?;
    equal(&json!(chunk.num_samples().map_err(|e| e.to_string())?), &row["num_samples"])?;
    let header = chunk.counter_reset().map_err(|e| e.to_string())?;
    // In the file 1 stands for "not reset" and 2 for "reset", as the two bits of the header.
    let header = header.map(|h| [0, 2, 1, 3][h as usize]);
    equal(&json!(header), row.get("counter_reset_header").unwrap_or(&Value::Null))?;
    check_transcoded(chunk, &samples)?;
    if matches!(encoding, Encoding::Xor | Encoding::Xor2) {
        let reopen: Vec<u64> =
            row["reopened_before"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
        equal(&Value::from(encode(chunk, &reopen)?), &row["data"])?;
    }
    Ok(())
}

pub(crate) fn decode(chunk: Chunk<'_>) -> Result<Value, String> {
    let why = |e: thanoslib::DecodeError| e.to_string();
    let with_start =
        matches!(chunk.encoding, Encoding::Xor2 | Encoding::HistogramSt | Encoding::FloatHistogramSt);
    let sample = |t: i64, st: i64, key: &str, v: Value| {
        let mut sample = json!({"t": t, key: v});
        if with_start {
            sample["st"] = json!(st);
        }
        sample
    };
    match chunk.encoding {
        Encoding::Xor | Encoding::Xor2 => {
            let mut out = FloatColumn::default();
            chunk.decode_floats(&mut out).map_err(why)?;
            Ok((0..out.len()).map(|i| sample(out.ts[i], out.start(i), "v", bits(out.vs[i]))).collect())
        }
        Encoding::Histogram | Encoding::HistogramSt => {
            let mut out = IntHistogramColumn::default();
            chunk.decode_int_histograms(&mut out).map_err(why)?;
            let mut floats = FloatHistogramColumn::default();
            chunk.decode_float_histograms(&mut floats).map_err(why)?;
            for i in 0..out.len() {
                let (got, want) = (float_histogram(&floats.get(i)), FloatHistogram::from(&out.get(i)));
                equal(&got, &float_histogram(&want)).map_err(|e| format!("as floats: {e}"))?;
            }
            Ok((0..out.len()).map(|i| sample(out.ts[i], out.start(i), "h", histogram(&out.get(i)))).collect())
        }
        _ => {
            let mut out = FloatHistogramColumn::default();
            chunk.decode_float_histograms(&mut out).map_err(why)?;
            Ok((0..out.len())
                .map(|i| sample(out.ts[i], out.start(i), "fh", float_histogram(&out.get(i))))
                .collect())
        }
    }
}

/// Without start timestamps the same samples must come out.
fn check_transcoded(chunk: Chunk<'_>, samples: &Value) -> Verdict {
    let Some((encoding, data)) = transcode(chunk).map_err(|e| e.to_string())? else { return Ok(()) };
    let mut want = samples.clone();
    for sample in want.as_array_mut().into_iter().flatten() {
        sample.as_object_mut().map(|s| s.remove("st"));
    }
    equal(&decode(Chunk { encoding, data: &data })?, &want).map_err(|e| format!("transcoded: {e}"))
}

fn encode(chunk: Chunk<'_>, reopen: &[u64]) -> Result<String, String> {
    let mut samples = FloatColumn::default();
    chunk.decode_floats(&mut samples).map_err(|e| e.to_string())?;
    let why = |e: thanoslib::DecodeError| e.to_string();
    let (mut xor, mut xor2) = (XorAppender::new(), Xor2Appender::new());
    for i in 0..samples.len() {
        if reopen.contains(&(i as u64)) {
            xor = XorAppender::reopen(xor.into_bytes()).map_err(why)?;
            xor2 = Xor2Appender::reopen(xor2.into_bytes()).map_err(why)?;
        }
        let (st, t, v) = (samples.start(i), samples.ts[i], samples.vs[i]);
        xor.append(t, v).and_then(|()| xor2.append(st, t, v)).map_err(|e| e.to_string())?;
    }
    let bytes = if chunk.encoding == Encoding::Xor { xor.bytes() } else { xor2.bytes() };
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

/// An object without the fields that are 0 or empty.
fn object(fields: Vec<(&str, Value)>) -> Value {
    let empty = |v: &Value| match v {
        Value::Array(items) => items.is_empty(),
        Value::String(s) => s == "0000000000000000",
        Value::Number(n) => n.as_i64() == Some(0),
        _ => false,
    };
    Value::Object(
        fields.into_iter().filter(|(_, v)| !empty(v)).map(|(k, v)| (k.to_owned(), v)).collect::<Map<_, _>>(),
    )
}

fn spans(spans: &[Span]) -> Value {
    spans.iter().map(|s| json!([s.offset, s.length])).collect()
}

fn histogram(h: &Histogram) -> Value {
    object(vec![
        ("counter_reset_hint", json!(h.hint as u8)),
        ("schema", json!(h.schema)),
        ("zero_threshold", bits(h.zero_threshold)),
        ("zero_count", json!(h.zero_count)),
        ("count", json!(h.count)),
        ("sum", bits(h.sum)),
        ("positive_spans", spans(&h.positive_spans)),
        ("negative_spans", spans(&h.negative_spans)),
        ("positive_deltas", json!(h.positive_deltas)),
        ("negative_deltas", json!(h.negative_deltas)),
        ("custom_values", h.custom_values.iter().map(|v| bits(*v)).collect()),
    ])
}

fn float_histogram(h: &FloatHistogram) -> Value {
    object(vec![
        ("counter_reset_hint", json!(h.hint as u8)),
        ("schema", json!(h.schema)),
        ("zero_threshold", bits(h.zero_threshold)),
        ("zero_count", bits(h.zero_count)),
        ("count", bits(h.count)),
        ("sum", bits(h.sum)),
        ("positive_spans", spans(&h.positive_spans)),
        ("negative_spans", spans(&h.negative_spans)),
        ("positive_counts", h.positive_buckets.iter().map(|v| bits(*v)).collect()),
        ("negative_counts", h.negative_buckets.iter().map(|v| bits(*v)).collect()),
        ("custom_values", h.custom_values.iter().map(|v| bits(*v)).collect()),
    ])
}
