//! What the store gateway's index reader answers, asked of the index itself, both versions.

use std::{fs, path::Path};

use serde_json::{Value, json};
use thanoslib::{
    index::{IndexFile, ListRef, SeriesEntry},
    testing::golden::{Golden, Suite, Verdict, equal},
};

pub(crate) fn run(golden: &mut Golden) {
    golden.run(&Suite {
        label: "thanos/indexheader/answers",
        path: "thanos/indexheader/answers.jsonl",
        inputs: &["args", "block", "name", "q", "sampling"],
        expected: &["out"],
        ignored: &[("err", "that both fail is compared; the texts are those of index-headers")],
        rows: None,
        check: &check,
    });
}

fn check(path: &Path, row: &Value) -> Verdict {
    let block = row["block"].as_str().unwrap_or_default();
    let file = path.with_file_name("blocks").join(block).join("index");
    let bytes = fs::read(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    let index = IndexFile::open(bytes.into()).map_err(|e| e.to_string())?;
    every_series(&index)?;
    match (answer(&index, row), row.get("out")) {
        (Ok(got), Some(want)) => equal(&got, want),
        (Err(_), None) => Ok(()),
        (Ok(got), None) => Err(format!("got {got}, want the error {}", row["err"])),
        (Err(e), Some(want)) => Err(format!("got the error {e}, want {want}")),
    }
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

fn answer(index: &IndexFile, row: &Value) -> Result<Value, String> {
    let args: Vec<&str> = row["args"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let table = &index.index().table;
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    // An index-header gives the ids with their number, without length and checksum.
    let range = |list: ListRef| json!([list.start + 4, list.end - 4]);
    let is_v1 = index.index().version.number() == 1;
    match row["q"].as_str().unwrap_or_default() {
        "index_version" => Ok(json!(index.index().version.number())),
        "label_names" => Ok(json!(table.names().filter(|n| !n.is_empty()).map(text).collect::<Vec<_>>())),
        "label_values" => {
            let values: Vec<_> = table.values(args[0].as_bytes()).map(|(value, _)| text(value)).collect();
            // Go writes a list that was never made as null.
            Ok(if values.is_empty() { Value::Null } else { json!(values) })
        }
        "postings_offset" => {
            let list = table.find(args[0].as_bytes(), args[1].as_bytes()).ok_or("no such pair")?;
            Ok(range(list))
        }
        "postings_offsets" => {
            let name = args[0].as_bytes();
            if table.values(name).next().is_none() {
                return Ok(json!([]));
            }
            let found = args[1..].iter().map(|value| table.find(name, value.as_bytes()));
            Ok(found
                .filter(|list| list.is_some() || !is_v1)
                .map(|list| list.map_or(json!([-1, -1]), range))
                .collect())
        }
        "lookup_symbol" => {
            let reference =
                row["args"][0].as_u64().and_then(|r| u32::try_from(r).ok()).ok_or("no reference")?;
            index
                .index()
                .symbols
                .get(reference)
                .map(|s| json!(text(s)))
                .ok_or_else(|| "no such symbol".to_owned())
        }
        "lookup_symbols_table" => {
            let want = row["out"].as_array().ok_or("no table")?;
            let pair = |p: &Value| {
                let reference = p[0].as_u64().unwrap_or_default() as u32;
                json!([reference, index.index().symbols.get(reference).map(text)])
            };
            Ok(want.iter().map(pair).collect())
        }
        other => Err(format!("unknown question {other}")),
    }
}
