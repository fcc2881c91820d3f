//! Thanos' deduplication of raw and downsampled series.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::{Mutex, OnceLock},
};

use serde_json::{Value, json};
use thanoslib::{
    chunk::{Chunk, Encoding},
    dedup::{Algorithm, Counters, DedupRequest, Deduplicator, Reader, Replica, SeriesChunk},
    model::{Aggr, Interval, SampleColumns},
    testing::golden::{Golden, Suite, Verdict, equal},
};

use crate::{
    histogram_chunks::{Made, as_floats, chunks, listed, samples},
    thanos_aggr::check_seeks,
    tsdb_chunks::unhex,
};

pub(crate) fn run(golden: &mut Golden) {
    golden.run(&Suite {
        label: "thanos/dedup/penalty",
        path: "thanos/dedup/penalty.jsonl",
        inputs: &["name", "func", "algorithm", "pipeline", "mint", "maxt", "replicas", "replicas_ref"],
        expected: &["out", "seeks", "series", "err"],
        ignored: &[("out_labels", "labels are grouped above the deduplicator")],
        rows: None,
        check: &check_raw,
    });
    golden.run(&Suite {
        label: "thanos/dedup/aggr_query",
        path: "thanos/dedup/aggr_query.jsonl",
        inputs: &["name", "func", "mint", "maxt", "replicas", "replicas_ref"],
        expected: &["out", "err"],
        ignored: &[],
        rows: None,
        check: &check_aggregates,
    });
}

/// The replicas of a row, its own or those of the row that it names.
fn replicas(path: &Path, row: &Value) -> Result<Vec<Value>, String> {
    static FILES: OnceLock<Mutex<HashMap<String, HashMap<String, Value>>>> = OnceLock::new();
    if let Some(own) = row["replicas"].as_array() {
        return Ok(own.clone());
    }
    let name = row["replicas_ref"].as_str().ok_or("no replicas")?;
    let mut files = FILES.get_or_init(Mutex::default).lock().map_err(|e| e.to_string())?;
    let key = path.display().to_string();
    if !files.contains_key(&key) {
        let text = fs::read_to_string(path).map_err(|e| e.to_string())?;
        let rows = text.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
        let by_name = rows
            .filter(|r| r["replicas"].is_array())
            .filter_map(|r| Some((r["name"].as_str()?.to_owned(), r["replicas"].clone())))
            .collect();
        files.insert(key.clone(), by_name);
    }
    let found = files.get(&key).and_then(|rows| rows.get(name));
    found.and_then(Value::as_array).cloned().ok_or_else(|| format!("no row {name}"))
}

fn request(row: &Value) -> Result<DedupRequest<'_>, String> {
    let algorithm = match row["algorithm"].as_str() {
        Some("chain") => Algorithm::Chain,
        _ => Algorithm::Penalty,
    };
    let time = |key: &str| row[key].as_i64().ok_or_else(|| format!("no {key}"));
    Ok(DedupRequest {
        algorithm,
        counters: Counters::Thanos,
        function: row["func"].as_str().unwrap_or_default(),
        interval: Interval::new(time("mint")?, time("maxt")?),
    })
}

fn check_raw(path: &Path, row: &Value) -> Verdict {
    let replicas = replicas(path, row)?;
    let made: Vec<Vec<Made>> = replicas
        .iter()
        .map(|r| {
            let lists = r["chunks"].as_array().ok_or("no chunks")?;
            let made = lists.iter().map(|list| chunks(&samples(list)?)).collect::<Result<Vec<_>, _>>()?;
            Ok(made.into_iter().flatten().collect())
        })
        .collect::<Result<_, String>>()?;
    if row["pipeline"] == "direct" {
        return check_direct(row, &made);
    }
    let series: Vec<Vec<SeriesChunk<'_>>> = made
        .iter()
        .map(|chunks| {
            chunks
                .iter()
                .map(|(first, last, encoding, data)| {
                    let chunk = Chunk { encoding: *encoding, data };
                    SeriesChunk::raw(Interval::new(*first, *last), chunk)
                })
                .collect()
        })
        .collect();
    let Some(want) = row["series"].as_array() else {
        return check_series(row, &series);
    };
    // Neighbours of equal labels belong together.
    let ids: Vec<usize> = (0..series.len()).collect();
    let groups: Vec<&[usize]> =
        ids.chunk_by(|a, b| replicas[*a]["labels"] == replicas[*b]["labels"]).collect();
    let mut got = Vec::new();
    for group in groups {
        let members: Vec<&[SeriesChunk<'_>]> = group.iter().map(|i| &series[*i][..]).collect();
        let mut out = SampleColumns::default();
        Deduplicator::new(request(row)?).dedup(&members, &mut out).map_err(|e| e.to_string())?;
        got.push(json!({"labels": replicas[group[0]]["labels"], "out": listed(&out)}));
    }
    equal(&Value::from(got), &Value::from(want.clone()))
}

fn check_series(row: &Value, series: &[Vec<SeriesChunk<'_>>]) -> Verdict {
    let members: Vec<&[SeriesChunk<'_>]> = series.iter().map(|s| &s[..]).collect();
    let mut dedup = Deduplicator::new(request(row)?);
    if let Some(seeks) = row.get("seeks") {
        return check_seeks(dedup.reader(&members).map_err(|e| e.to_string())?, seeks);
    }
    let mut out = SampleColumns::default();
    let err = dedup.dedup(&members, &mut out).err().map(|e| e.to_string());
    equal(&listed(&out), &as_floats(&row["out"])?)?;
    equal(&json!(err), row.get("err").unwrap_or(&Value::Null))
}

/// Every replica is one chunk, merged as it is.
fn check_direct(row: &Value, made: &[Vec<Made>]) -> Verdict {
    let mut replicas = Vec::new();
    for chunks in made {
        let mut samples = SampleColumns::default();
        for (_, _, encoding, data) in chunks {
            let chunk = Chunk { encoding: *encoding, data };
            chunk.decode_into(&mut samples).map_err(|e| e.to_string())?;
        }
        replicas.push(Replica::from(samples));
    }
    let DedupRequest { algorithm, function, interval, .. } = request(row)?;
    let adjust = matches!(function, "rate" | "increase" | "irate" | "resets");
    let mut reader = Reader::new(algorithm, adjust, interval, &replicas).map_err(|e| e.to_string())?;
    if let Some(seeks) = row.get("seeks") {
        return check_seeks(reader, seeks);
    }
    let mut out = SampleColumns::default();
    while reader.advance() {
        reader.copy_to(&mut out);
    }
    equal(&listed(&out), &row["out"])
}

/// One aggregate of a chunk.
type Part = (Aggr, Encoding, Vec<u8>);

fn check_aggregates(path: &Path, row: &Value) -> Verdict {
    let replicas = replicas(path, row)?;
    let mut made: Vec<Vec<(Interval, Vec<Part>)>> = Vec::new();
    for replica in &replicas {
        let mut list = Vec::new();
        for chunk in replica.as_array().ok_or("no chunks")? {
            let time = |key: &str| chunk[key].as_i64().ok_or_else(|| format!("no {key}"));
            let mut parts = Vec::new();
            for (key, aggr) in [
                ("raw", Aggr::Raw),
                ("count", Aggr::Count),
                ("sum", Aggr::Sum),
                ("min", Aggr::Min),
                ("max", Aggr::Max),
                ("counter", Aggr::Counter),
            ] {
                let Some(text) = chunk[key].as_str() else { continue };
                let (encoding, data) = text.split_once(':').ok_or("no encoding")?;
                let encoding = encoding.parse().ok().and_then(Encoding::from_u8).ok_or("no encoding")?;
                parts.push((aggr, encoding, unhex(data)?));
            }
            list.push((Interval::new(time("mint")?, time("maxt")?), parts));
        }
        made.push(list);
    }
    let series: Vec<Vec<SeriesChunk<'_>>> = made
        .iter()
        .map(|list| {
            list.iter()
                .map(|(interval, parts)| {
                    parts.iter().fold(SeriesChunk::empty(*interval), |chunk, (aggr, encoding, data)| {
                        chunk.with(*aggr, Chunk { encoding: *encoding, data })
                    })
                })
                .collect()
        })
        .collect();
    check_series(row, &series)
}
