//! Thanos' downsampled chunks and the ways to read them.

use serde_json::{Value, json};
use thanoslib::{
    chunk::{AGGREGATES, AggrChunk, Chunk, Encoding},
    dedup::{Algorithm, Reader, Replica},
    downsample::{
        AggrChunks, AggrDownsampler, CounterResets, RawDownsampler, average, target_chunk_count, window_end,
    },
    model::{Aggr, FloatColumn, Interval, SampleColumns},
    testing::golden::{Golden, Suite, Verdict, equal},
};

use crate::{
    histogram_chunks::{Recorded, as_floats, chunks, listed, samples},
    tsdb_chunks::unhex,
};

pub(crate) fn run(golden: &mut Golden) {
    golden.run(&Suite {
        label: "thanos/downsample/aggr",
        path: "thanos/downsample/aggr.jsonl",
        inputs: &[
            "name",
            "kind",
            "aggr",
            "hex",
            "chunks",
            "count",
            "sum",
            "counter_xor_hex",
            "in",
            "in_hex",
            "resolution",
            "in_resolution",
            "out_resolution",
            "in_res",
            "out_res",
            "mint",
            "maxt",
            "t",
        ],
        expected: &["out", "seeks", "err", "chunk_hex", "enc"],
        ignored: &[],
        rows: None,
        check: &|_, row| check(row),
    });
}

fn check(row: &Value) -> Verdict {
    match row["kind"].as_str().unwrap_or_default() {
        "aggr_get" => check_get(row),
        "encode_aggr" => check_encode(row),
        "apply_counter_resets" => check_resets(row),
        "average" => check_average(row),
        "current_window" => {
            let end = window_end(int(row, "t")?, int(row, "resolution")?);
            equal(&json!(end), &row["out"])
        }
        "target_chunk_count" => {
            let interval = Interval::new(int(row, "mint")?, int(row, "maxt")?);
            let (from, to) = (int(row, "in_res")?, int(row, "out_res")?);
            let count = target_chunk_count(interval, from, to, int(row, "count")? as usize);
            equal(&json!(count), &row["out"])
        }
        "downsample_raw" => check_raw(row),
        "downsample_aggr" => check_aggr(row),
        other => Err(format!("no such kind: {other}")),
    }
}

fn int(row: &Value, key: &str) -> Result<i64, String> {
    row[key].as_i64().ok_or_else(|| format!("no {key}"))
}

fn hex(data: &[u8]) -> Value {
    Value::from(data.iter().map(|b| format!("{b:02x}")).collect::<String>())
}

fn check_get(row: &Value) -> Verdict {
    let aggr = match row["aggr"].as_str() {
        Some("count") => Aggr::Count,
        Some("sum") => Aggr::Sum,
        Some("min") => Aggr::Min,
        Some("max") => Aggr::Max,
        Some("counter") => Aggr::Counter,
        other => return Err(format!("no aggregate: {other:?}")),
    };
    let data = unhex(row["hex"].as_str().ok_or("no hex")?)?;
    let got = match AggrChunk::new(&data).get(aggr) {
        Ok(chunk) => json!({"chunk_hex": hex(chunk.data), "enc": chunk.encoding as u8}),
        Err(e) => json!({"err": e.to_string()}),
    };
    let want: Value = ["chunk_hex", "enc", "err"]
        .iter()
        .filter_map(|k| row.get(*k).map(|v| ((*k).to_owned(), v.clone())))
        .collect::<serde_json::Map<_, _>>()
        .into();
    equal(&got, &want)
}

fn check_encode(row: &Value) -> Verdict {
    let counter = row["counter_xor_hex"].as_str().map(unhex).transpose()?;
    let counter = counter.as_deref().map(|data| Chunk { encoding: Encoding::Xor, data });
    let mut out = Vec::new();
    AggrChunk::encode(&[None, None, None, None, counter], &mut out);
    equal(&hex(&out), &row["hex"])
}

fn check_resets(row: &Value) -> Verdict {
    let mut resets = CounterResets::default();
    let mut out = SampleColumns::default();
    for list in row["chunks"].as_array().ok_or("no chunks")? {
        let mut chunk = SampleColumns::default();
        for (_, _, encoding, data) in chunks(&samples(list)?)? {
            Chunk { encoding, data: &data }.decode_into(&mut chunk).map_err(|e| e.to_string())?;
        }
        resets.next_chunk();
        resets.floats(&chunk.floats, &mut out.floats);
        resets.histograms(&chunk.histograms, &mut out.histograms);
    }
    if row.get("seeks").is_none() {
        return equal(&listed(&out), &as_floats(&row["out"])?);
    }
    let replicas = [Replica::from(out)];
    let reader =
        Reader::new(Algorithm::Penalty, false, Interval::ALL, &replicas).map_err(|e| e.to_string())?;
    check_seeks(reader, &row["seeks"])
}

/// Moves a reader as recorded and compares what it stands on.
pub(crate) fn check_seeks(mut reader: Reader<'_>, seeks: &Value) -> Verdict {
    let mut got = Vec::new();
    for step in seeks.as_array().ok_or("no seeks")? {
        let op = &step["op"];
        let found = match (op[0].as_str(), op[1].as_i64()) {
            (Some("next"), _) => reader.advance(),
            (Some("seek"), Some(t)) => reader.seek(t),
            _ => return Err(format!("no operation: {op}")),
        };
        let mut at = SampleColumns::default();
        if found {
            reader.copy_to(&mut at);
        }
        let sample = listed(&at).get(0).cloned().unwrap_or(Value::Null);
        got.push(json!({"op": op, "res": sample}));
    }
    equal(&Value::from(got), seeks)
}

/// Downsamples the samples of a row, each kind of them as one column.
fn check_raw(row: &Value) -> Verdict {
    let mut downsampler = RawDownsampler::new(int(row, "resolution")?).map_err(fail)?;
    let mut out = AggrChunks::default();
    for run in samples(&row["in"])?.chunk_by(|(_, a), (_, b)| a.is_float() == b.is_float()) {
        let mut columns = SampleColumns::default();
        for (t, sample) in run {
            match sample {
                Recorded::Float(v) => columns.floats.push(*t, *v),
                Recorded::Int(h) => columns.histograms.push(*t, &h.into()),
                Recorded::FloatHistogram(h) => columns.histograms.push(*t, h),
            }
        }
        let SampleColumns { floats, histograms } = &columns;
        if run[0].1.is_float() {
            downsampler.floats(&floats.ts, &floats.vs, &mut out).map_err(fail)?;
        } else {
            downsampler.histograms(histograms, &mut out).map_err(fail)?;
        }
    }
    downsampler.finish(&mut out).map_err(fail)?;
    equal(&shown(&out)?, &row["out"])
}

fn check_aggr(row: &Value) -> Verdict {
    let (from, to) = (int(row, "in_resolution")?, int(row, "out_resolution")?);
    let mut downsampler = AggrDownsampler::new(from, to).map_err(fail)?;
    let mut out = AggrChunks::default();
    let list = row["in_hex"].as_array().ok_or("no chunks")?;
    let ends = (int(row, "mint")?, int(row, "maxt")?);
    let mut result = Ok(());
    for (i, text) in list.iter().enumerate() {
        // Only where the series begins and ends counts.
        let at = |first: bool, t: i64| if first { t } else { ends.0 + i as i64 };
        let interval = Interval::new(at(i == 0, ends.0), at(i + 1 == list.len(), ends.1));
        let data = unhex(text.as_str().ok_or("no hex")?)?;
        let chunk = Chunk { encoding: Encoding::Aggr, data: &data };
        result = result.and_then(|()| downsampler.chunk(interval, chunk, &mut out));
    }
    let result = result.and_then(|()| downsampler.finish(&mut out));
    if let Err(e) = result {
        return equal(&json!(e.to_string()), &row["err"]);
    }
    equal(&shown(&out)?, &row["out"])
}

fn shown(chunks: &AggrChunks) -> Result<Value, String> {
    chunks.iter().map(|(interval, chunk)| aggr_chunk(interval, chunk, true)).collect()
}

/// A chunk of aggregates as the recordings show it, with its bytes or without.
pub(crate) fn aggr_chunk(interval: Interval, chunk: Chunk<'_>, bytes: bool) -> Result<Value, String> {
    let names = ["count", "sum", "min", "max", "counter"];
    let (mut aggr, mut encodings) = (serde_json::Map::new(), serde_json::Map::new());
    for (name, kind) in names.into_iter().zip(AGGREGATES) {
        // The last one, when absent, reads as cut.
        let Ok(part) = AggrChunk::new(chunk.data).get(kind) else { continue };
        let mut columns = SampleColumns::default();
        part.decode_into(&mut columns).map_err(|e| e.to_string())?;
        let mut samples = listed(&columns);
        for sample in samples.as_array_mut().into_iter().flatten() {
            if let Some(h) = sample[1].as_object_mut() {
                h.insert("kind".to_owned(), json!("float"));
                // Bounds are shown of custom buckets only.
                if h["schema"] != -53 {
                    h.remove("cv");
                }
            }
        }
        aggr.insert(name.to_owned(), samples);
        encodings.insert(name.to_owned(), json!(part.encoding as u8));
    }
    let mut shown = json!({
        "mint": interval.mint, "maxt": interval.maxt, "enc": chunk.encoding as u8, "aggr": aggr,
        "aggr_enc": encodings, "num_samples": chunk.num_samples().map_err(|e| e.to_string())?,
    });
    if bytes {
        shown["bytes_hex"] = hex(chunk.data);
    }
    Ok(shown)
}

fn fail(e: thanoslib::Error) -> String {
    e.to_string()
}

fn check_average(row: &Value) -> Verdict {
    let mut counts = FloatColumn::default();
    for (t, v) in samples(&row["count"])? {
        let Recorded::Float(v) = v else { return Err("a count is no float".to_owned()) };
        counts.push(t, v);
    }
    let mut sums = SampleColumns::default();
    for (_, _, encoding, data) in chunks(&samples(&row["sum"])?)? {
        Chunk { encoding, data: &data }.decode_into(&mut sums).map_err(|e| e.to_string())?;
    }
    let mut out = SampleColumns::default();
    let err = average(&counts, &sums, &mut out).err().map(|e| e.to_string());
    equal(&listed(&out), &as_floats(&row["out"])?)?;
    equal(&json!(err), row.get("err").unwrap_or(&Value::Null))
}
