//! The index-header, built from recorded indexes, and what the store gateway's reader of it
//! answers; the codec of cached postings.

use std::{fs, path::Path};

use bytes::Bytes;
use serde_json::{Value, json};
use thanoslib::{
    encoding::SnappyReader,
    index::{IndexFile, IndexHeader, IndexHeaderPlan, PostingsDecoder, SeriesEntry, encode_postings},
    testing::golden::{Golden, Suite, Verdict, equal},
};

use crate::tsdb_chunks::unhex;

pub(crate) fn run(golden: &mut Golden) {
    golden.run(&Suite {
        label: "thanos/indexheader/built",
        path: "thanos/indexheader/blocks.json",
        inputs: &["block", "name"],
        expected: &["header_bytes"],
        ignored: &[],
        rows: Some(blocks),
        check: &built,
    });
    golden.run(&Suite {
        label: "thanos/indexheader/answers",
        path: "thanos/indexheader/answers.jsonl",
        inputs: &["args", "block", "name", "q", "sampling"],
        expected: &["out"],
        ignored: &[("err", "that both fail is compared; our calls name the object, not the cause")],
        rows: None,
        check: &check,
    });
    golden.run(&Suite {
        label: "thanos/indexheader/postings_codec",
        path: "thanos/indexheader/postings_codec.jsonl",
        inputs: &["name", "kind", "hex", "n", "formula"],
        expected: &["ids", "dss_hex", "dvs_hex", "varint_hex", "fails"],
        ignored: &[
            ("err", "that it fails is compared; the texts are those of Go's decoders"),
            ("panic", "the text of a fault of the recorded program; ours is an error"),
            ("dss_len", "compressed bytes differ from one compressor to the next"),
            ("dss_xxhash64", "compressed bytes differ from one compressor to the next"),
            ("dvs_len", "compressed bytes differ from one compressor to the next"),
            ("dvs_xxhash64", "compressed bytes differ from one compressor to the next"),
        ],
        rows: Some(codec_rows),
        check: &|_, row| codec(row),
    });
}

/// Marks the rows that fail.
fn codec_rows(path: &Path) -> Result<Vec<Value>, String> {
    let text = fs::read_to_string(path).map_err(|e| e.to_string())?;
    let mut rows = Vec::new();
    for line in text.lines() {
        let mut row: Value = serde_json::from_str(line).map_err(|e| e.to_string())?;
        row["fails"] = json!(row.get("err").is_some() || row.get("panic").is_some());
        rows.push(row);
    }
    Ok(rows)
}

/// The ids of a cached value, and whether it ended well.
fn decode(bytes: &[u8]) -> (Vec<u64>, bool) {
    let mut ids = Vec::new();
    let Ok(mut decoder) = PostingsDecoder::new(bytes) else { return (ids, false) };
    loop {
        match decoder.next_into(&mut ids) {
            Ok(true) => {}
            Ok(false) => return (ids, true),
            Err(_) => return (ids, false),
        }
    }
}

fn codec(row: &Value) -> Verdict {
    let hex = |key: &str| unhex(row[key].as_str().unwrap_or_default());
    if row["kind"] == "decode" {
        let (ids, whole) = decode(&hex("hex")?);
        return equal(&json!([ids, !whole]), &json!([row["ids"], row["fails"]]));
    }
    let given = match row["n"].as_u64() {
        Some(n) => (0..n).map(|i| i * 16 + 16 + i * i % 7).collect(),
        None => row["ids"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect::<Vec<_>>(),
    };
    let encoded = encode_postings(given.iter().copied());
    equal(&json!(encoded.is_err()), &row["fails"])?;
    let Ok(encoded) = encoded else { return equal(&json!(given), &json!([5, 4])) };
    let mut recorded = vec![encoded.clone()];
    for key in ["dss_hex", "dvs_hex"] {
        if row.get(key).is_some() {
            recorded.push(hex(key)?);
        }
    }
    for bytes in recorded {
        let (ids, whole) = decode(&bytes);
        if !whole || ids != given {
            return Err(format!("{} ids, {} were given; whole: {whole}", ids.len(), given.len()));
        }
    }
    let (mut plain, mut stream) = (Vec::new(), SnappyReader::new(&encoded[3..]));
    while stream.next_into(&mut plain).map_err(|e| e.to_string())? {}
    match row["varint_hex"].as_str() {
        Some(want) => equal(&json!(plain), &json!(unhex(want)?)),
        None => Ok(()),
    }
}

/// One row for each recorded block.
fn blocks(path: &Path) -> Result<Vec<Value>, String> {
    let bytes = fs::read(path).map_err(|e| e.to_string())?;
    let all: Value = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
    let row = |(name, block): (&String, &Value)| {
        let file =
            path.with_file_name("blocks").join(block.as_str().unwrap_or_default()).join("index-header");
        let len = fs::metadata(&file).map_err(|e| format!("{}: {e}", file.display()))?.len();
        Ok(json!({"block": block, "name": name, "header_bytes": len}))
    };
    all.as_object().ok_or("no object")?.iter().map(row).collect()
}

fn read(path: &Path, row: &Value, file: &str) -> Result<Bytes, String> {
    let block = row["block"].as_str().unwrap_or_default();
    let file = path.with_file_name("blocks").join(block).join(file);
    Ok(fs::read(&file).map_err(|e| format!("{}: {e}", file.display()))?.into())
}

/// The header of an index, by the ranges that a bucket would be asked for.
fn build(index: &[u8]) -> Result<Bytes, String> {
    let fail = |e: thanoslib::DecodeError| e.to_string();
    let tail = &index[index.len().saturating_sub(100)..];
    let plan = IndexHeaderPlan::new(&index[..5.min(index.len())], tail, index.len() as u64).map_err(fail)?;
    let part = |r: std::ops::Range<u64>| &index[r.start as usize..r.end as usize];
    let header = plan.assemble(part(plan.symbols()), part(plan.table())).map_err(fail)?;
    if header.len() as u64 != plan.header_len() {
        return Err(format!("{} bytes, {} were planned", header.len(), plan.header_len()));
    }
    Ok(header.into())
}

fn built(path: &Path, row: &Value) -> Verdict {
    let index = read(path, row, "index")?;
    let (got, want) = (build(&index)?, read(path, row, "index-header")?);
    equal(&json!(got.len()), &row["header_bytes"])?;
    if let Some(at) = got.iter().zip(&want).position(|(a, b)| a != b) {
        return Err(format!("bytes differ at {at}"));
    }
    let (mine, theirs) = (IndexHeader::parse(&got, 32), IndexFile::open(index));
    let (mine, theirs) = (mine.map_err(|e| e.to_string())?, theirs.map_err(|e| e.to_string())?);
    every_series(&theirs)?;
    // Sampled and whole table say the same of every pair.
    if !mine.index().table.iter().eq(theirs.index().table.iter()) {
        return Err("tables differ".to_owned());
    }
    Ok(())
}

/// Every series of the all-postings list decodes, labels in order.
fn every_series(index: &IndexFile) -> Verdict {
    let all = index.index().table.all().ok_or("no list of all series")?;
    let mut entry = SeriesEntry::default();
    for id in index.postings(all).map_err(|e| e.to_string())?.iter() {
        index.series(id, &mut entry).map_err(|e| format!("series {id}: {e}"))?;
        index.labels(&entry).map_err(|e| format!("labels of series {id}: {e}"))?;
    }
    Ok(())
}

fn check(path: &Path, row: &Value) -> Verdict {
    let header = build(&read(path, row, "index")?)?;
    let sampling = row["sampling"].as_u64().ok_or("no sampling")? as usize;
    let header = IndexHeader::parse(&header, sampling).map_err(|e| e.to_string())?;
    match (answer(&header, row), row.get("out")) {
        (Ok(got), Some(want)) => equal(&got, want),
        (Err(_), None) => Ok(()),
        (Ok(got), None) => Err(format!("got {got}, want the error {}", row["err"])),
        (Err(e), Some(want)) => Err(format!("got the error {e}, want {want}")),
    }
}

fn answer(header: &IndexHeader, row: &Value) -> Result<Value, String> {
    let args: Vec<&str> = row["args"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let arg = |i: usize| args.get(i).map(|a| a.as_bytes()).ok_or("too few arguments");
    match row["q"].as_str().unwrap_or_default() {
        "index_version" => Ok(json!(header.index_version())),
        "label_names" => Ok(header.label_names().map(text).collect()),
        "label_values" => {
            let values: Vec<_> = header.label_values(arg(0)?).map(text).collect();
            // Go writes a list that was never made as null.
            Ok(if values.is_empty() { Value::Null } else { json!(values) })
        }
        "postings_offset" => {
            let range = header.postings_range(arg(0)?, arg(1)?).ok_or("no such pair")?;
            Ok(json!([range.start, range.end]))
        }
        "postings_offsets" => {
            let values = args[1..].iter().map(|v| v.as_bytes());
            let found = header.postings_ranges(arg(0)?, values);
            Ok(found
                // Compat: with version 1 Thanos leaves absent values out.
                .filter(|range| range.is_some() || header.index_version() == 2)
                .map(|range| range.map_or(json!([-1, -1]), |r| json!([r.start, r.end])))
                .collect())
        }
        "lookup_symbol" => {
            let reference =
                row["args"][0].as_u64().and_then(|r| u32::try_from(r).ok()).ok_or("no reference")?;
            header.symbol(reference).map(|s| json!(text(s))).ok_or_else(|| "no such symbol".to_owned())
        }
        "lookup_symbols_table" => {
            let want = row["out"].as_array().ok_or("no table")?;
            let pair = |p: &Value| {
                let reference = p[0].as_u64().unwrap_or_default() as u32;
                json!([reference, header.symbol(reference).map(text)])
            };
            Ok(want.iter().map(pair).collect())
        }
        other => Err(format!("unknown question {other}")),
    }
}
