//! Samples as Thanos' recordings write them, and chunks made of them.

use serde_json::{Value, json};
use thanoslib::{
    chunk::{Encoding, XorAppender},
    encoding::BitWriter,
    model::{CounterReset, FloatHistogram, Histogram, SampleColumns, Span, is_stale},
};

use crate::tsdb_chunks::{bits, float};

/// A sample of a recording.
#[derive(Clone, Debug)]
pub(crate) enum Recorded {
    Float(f64),
    Int(Histogram),
    FloatHistogram(FloatHistogram),
}

impl Recorded {
    pub(crate) fn is_float(&self) -> bool {
        matches!(self, Recorded::Float(_))
    }
}

/// The samples of a list `[[t, value]..]`.
pub(crate) fn samples(list: &Value) -> Result<Vec<(i64, Recorded)>, String> {
    let list = list.as_array().ok_or("no list of samples")?;
    list.iter().map(|s| Ok((s[0].as_i64().ok_or("no time")?, recorded(&s[1])?))).collect()
}

fn recorded(v: &Value) -> Result<Recorded, String> {
    if v.is_string() {
        return float(v).map(Recorded::Float);
    }
    let int = |v: &Value| v.as_i64().ok_or_else(|| format!("no integer: {v}"));
    let list = |key: &str| v[key].as_array().cloned().unwrap_or_default();
    let spans = |key: &str| -> Result<Vec<Span>, String> {
        list(key)
            .iter()
            .map(|s| Ok(Span { offset: int(&s[0])? as i32, length: int(&s[1])? as u32 }))
            .collect()
    };
    let floats = |key: &str| list(key).iter().map(float).collect::<Result<Vec<_>, _>>();
    let hint = match v["hint"].as_u64() {
        Some(1) => CounterReset::Reset,
        Some(2) => CounterReset::NotReset,
        Some(3) => CounterReset::Gauge,
        _ => CounterReset::Unknown,
    };
    let (schema, zero_threshold, sum) = (int(&v["schema"])? as i32, float(&v["zt"])?, float(&v["sum"])?);
    let (positive_spans, negative_spans, custom_values) = (spans("ps")?, spans("ns")?, floats("cv")?);
    if v["kind"] == "float" {
        return Ok(Recorded::FloatHistogram(FloatHistogram {
            hint,
            schema,
            zero_threshold,
            zero_count: float(&v["zc"])?,
            count: float(&v["count"])?,
            sum,
            positive_spans,
            negative_spans,
            positive_buckets: floats("pb")?,
            negative_buckets: floats("nb")?,
            custom_values,
        }));
    }
    let ints = |key: &str| list(key).iter().map(int).collect::<Result<Vec<_>, _>>();
    Ok(Recorded::Int(Histogram {
        hint,
        schema,
        zero_threshold,
        zero_count: int(&v["zc"])? as u64,
        count: int(&v["count"])? as u64,
        sum,
        positive_spans,
        negative_spans,
        positive_deltas: ints("pb")?,
        negative_deltas: ints("nb")?,
        custom_values,
    }))
}

/// The same list with integer histograms as float ones, which is what we answer with.
pub(crate) fn as_floats(list: &Value) -> Result<Value, String> {
    samples(list)?
        .into_iter()
        .map(|(t, v)| {
            Ok(match v {
                Recorded::Float(v) => json!([t, bits(v)]),
                Recorded::Int(h) => json!([t, histogram(&FloatHistogram::from(&h))]),
                Recorded::FloatHistogram(h) => json!([t, histogram(&h)]),
            })
        })
        .collect()
}

/// Decoded samples as such a list, in order of time.
pub(crate) fn listed(samples: &SampleColumns) -> Value {
    let (floats, histograms) = (&samples.floats, &samples.histograms);
    let mut list: Vec<(i64, Value)> = Vec::new();
    let mut j = 0;
    for (t, v) in floats.ts.iter().zip(&floats.vs) {
        while j < histograms.len() && histograms.ts[j] < *t {
            list.push((histograms.ts[j], histogram(&histograms.get(j))));
            j += 1;
        }
        list.push((*t, bits(*v)));
    }
    (j..histograms.len()).for_each(|j| list.push((histograms.ts[j], histogram(&histograms.get(j)))));
    list.into_iter().map(|(t, v)| json!([t, v])).collect()
}

fn histogram(h: &FloatHistogram) -> Value {
    let spans = |spans: &[Span]| -> Value { spans.iter().map(|s| json!([s.offset, s.length])).collect() };
    let floats = |vs: &[f64]| -> Value { vs.iter().map(|v| bits(*v)).collect() };
    json!({
        "hint": h.hint as u8, "schema": h.schema, "zt": bits(h.zero_threshold), "zc": bits(h.zero_count),
        "count": bits(h.count), "sum": bits(h.sum), "ps": spans(&h.positive_spans),
        "ns": spans(&h.negative_spans), "pb": floats(&h.positive_buckets), "nb": floats(&h.negative_buckets),
        "cv": floats(&h.custom_values),
    })
}

/// A chunk with its first and last time.
pub(crate) type Made = (i64, i64, Encoding, Vec<u8>);

/// Chunks of samples; a histogram that could not follow the one before begins another.
pub(crate) fn chunks(samples: &[(i64, Recorded)]) -> Result<Vec<Made>, String> {
    samples
        .chunk_by(|(_, a), (_, b)| follows(a, b))
        .map(|run| {
            let (first, last) = (run[0].0, run[run.len() - 1].0);
            let (encoding, data) = match &run[0].1 {
                Recorded::Float(_) => {
                    let mut appender = XorAppender::new();
                    for (t, v) in run {
                        let Recorded::Float(v) = v else { return Err("mixed run".to_owned()) };
                        appender.append(*t, *v).map_err(|e| e.to_string())?;
                    }
                    (Encoding::Xor, appender.into_bytes())
                }
                Recorded::Int(_) => (Encoding::Histogram, write_histograms(run)),
                Recorded::FloatHistogram(_) => (Encoding::FloatHistogram, write_histograms(run)),
            };
            Ok((first, last, encoding, data))
        })
        .collect()
}

fn follows(a: &Recorded, b: &Recorded) -> bool {
    match (a, b) {
        (Recorded::Float(_), Recorded::Float(_)) => true,
        (Recorded::Int(a), Recorded::Int(b)) => {
            float_follows(&FloatHistogram::from(a), &FloatHistogram::from(b))
        }
        (Recorded::FloatHistogram(a), Recorded::FloatHistogram(b)) => float_follows(a, b),
        _ => false,
    }
}

fn float_follows(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    if is_stale(b.sum) {
        return true;
    }
    let same = a.schema == b.schema
        && a.zero_threshold == b.zero_threshold
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && a.custom_values == b.custom_values
        && (a.hint == CounterReset::Gauge) == (b.hint == CounterReset::Gauge);
    let grows = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| a <= b);
    let reset = a.count > b.count
        || a.zero_count > b.zero_count
        || !grows(&a.positive_buckets, &b.positive_buckets)
        || !grows(&a.negative_buckets, &b.negative_buckets);
    !is_stale(a.sum) && same && (a.hint == CounterReset::Gauge || !reset)
}

/// One chunk of histograms of one layout, in a plain but valid form.
fn write_histograms(run: &[(i64, Recorded)]) -> Vec<u8> {
    let numbers = |v: &Recorded| match v {
        Recorded::Int(h) => {
            let mut all = vec![h.count as i64, h.zero_count as i64];
            all.extend(h.positive_deltas.iter().chain(&h.negative_deltas));
            (all, Vec::new(), h.sum)
        }
        Recorded::FloatHistogram(h) => {
            let mut all = vec![h.count, h.zero_count, h.sum];
            all.extend(h.positive_buckets.iter().chain(&h.negative_buckets));
            (Vec::new(), all, h.sum)
        }
        Recorded::Float(v) => (Vec::new(), Vec::new(), *v),
    };
    let head = match &run[0].1 {
        Recorded::Int(h) => FloatHistogram::from(h),
        Recorded::FloatHistogram(h) => h.clone(),
        Recorded::Float(_) => FloatHistogram::default(),
    };
    let gauge = if head.hint == CounterReset::Gauge { 0b1100_0000 } else { 0 };
    let mut w = BitWriter::after(vec![(run.len() >> 8) as u8, run.len() as u8, gauge]);
    write_layout(&mut w, &head);
    let (mut ints, mut deltas, mut floats, mut sum) = (Vec::new(), Vec::new(), Vec::new(), 0.0);
    let (mut t, mut dt) = (0, 0);
    for (i, (at, v)) in run.iter().enumerate() {
        let (new_ints, new_floats, new_sum) = numbers(v);
        let stale = i > 0 && is_stale(new_sum);
        if i == 0 {
            write_int(&mut w, *at);
            if new_floats.is_empty() {
                write_uint(&mut w, new_ints[0] as u64);
                write_uint(&mut w, new_ints[1] as u64);
                w.bits(new_sum.to_bits(), 64);
                new_ints[2..].iter().for_each(|b| write_int(&mut w, *b));
            } else {
                new_floats.iter().for_each(|v| w.bits(v.to_bits(), 64));
            }
            deltas = vec![0; new_ints.len()];
            (ints, floats) = (new_ints, new_floats);
        } else {
            let delta = at - t;
            write_int(&mut w, delta - dt);
            dt = delta;
            for j in 0..if stale { ints.len().min(2) } else { ints.len() } {
                if j == 2 {
                    write_xor(&mut w, sum, new_sum);
                }
                let delta = if stale { deltas[j] } else { new_ints[j] - ints[j] };
                write_int(&mut w, delta - deltas[j]);
                (deltas[j], ints[j]) = (delta, ints[j] + delta);
            }
            if !ints.is_empty() && (stale || ints.len() == 2) {
                write_xor(&mut w, sum, new_sum);
            }
            for j in 0..if stale { floats.len().min(3) } else { floats.len() } {
                write_xor(&mut w, floats[j], new_floats[j]);
                floats[j] = new_floats[j];
            }
        }
        (t, sum) = (*at, new_sum);
    }
    w.into_bytes()
}

fn write_layout(w: &mut BitWriter, h: &FloatHistogram) {
    w.bits(255, 8);
    w.bits(h.zero_threshold.to_bits(), 64);
    write_int(w, i64::from(h.schema));
    for spans in [&h.positive_spans, &h.negative_spans] {
        write_uint(w, spans.len() as u64);
        for span in spans {
            write_uint(w, u64::from(span.length));
            write_int(w, i64::from(span.offset));
        }
    }
    if h.schema == -53 {
        write_uint(w, h.custom_values.len() as u64);
        for bound in &h.custom_values {
            w.bit(false);
            w.bits(bound.to_bits(), 64);
        }
    }
}

fn write_int(w: &mut BitWriter, x: i64) {
    if x == 0 {
        return w.bit(false);
    }
    w.bits(0xff, 8);
    w.bits(x as u64, 64);
}

fn write_uint(w: &mut BitWriter, x: u64) {
    write_int(w, x as i64);
}

fn write_xor(w: &mut BitWriter, before: f64, v: f64) {
    let delta = before.to_bits() ^ v.to_bits();
    if delta == 0 {
        return w.bit(false);
    }
    // A new window over all 64 bits, whose length is written as 0.
    w.bits(0b11 << 11, 13);
    w.bits(delta, 64);
}
