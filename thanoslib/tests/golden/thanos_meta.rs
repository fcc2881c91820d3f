//! Descriptions and marks of blocks, as Thanos reads and writes them.

use std::{path::Path, sync::Arc};

use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path as ObjectPath};
use serde_json::{Value, json};
use thanoslib::{
    block::{BlockMeta, DeletionMark, Mark, NoCompactMark, NoDownsampleMark, ObjectReader},
    object_store,
    testing::golden::{Golden, Suite, Verdict, equal},
};

use crate::{tsdb_blocks::wait, tsdb_chunks::unhex};

pub(crate) fn run(golden: &mut Golden) {
    golden.run(&Suite {
        label: "thanos/meta",
        path: "thanos/meta/meta.jsonl",
        inputs: &["name", "in", "in_hex"],
        expected: &["write", "string", "group_key", "err", "fails"],
        ignored: &[
            ("labels_nil", "our map has no nil"),
            ("json_err", "the text of Go's JSON parser; that it fails is compared"),
        ],
        rows: Some(rows),
        check: &|_, row| meta(row),
    });
    golden.run(&Suite {
        label: "thanos/markers",
        path: "thanos/meta/markers.jsonl",
        inputs: &["name", "in", "block", "file", "marker"],
        expected: &["out", "err", "fails"],
        ignored: &[("json_err", "the text of Go's JSON parser; that it fails is compared")],
        rows: Some(rows),
        check: &|_, row| marker(row),
    });
}

/// Keeps the texts of errors that are not those of Go's JSON parser.
fn rows(path: &Path) -> Result<Vec<Value>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let mut rows = Vec::new();
    for line in text.lines() {
        let mut row: Value = serde_json::from_str(line).map_err(|e| e.to_string())?;
        let err = row["err"].as_str().map(str::to_owned);
        row["fails"] = json!(err.is_some());
        if let Some(err) =
            err.filter(|e| !e.starts_with("unexpected meta") && !e.contains("-mark file version"))
        {
            row.as_object_mut().and_then(|r| r.remove("err"));
            row["json_err"] = json!(err);
        }
        rows.push(row);
    }
    Ok(rows)
}

fn failed(row: &Value, error: &thanoslib::Error) -> Verdict {
    equal(&json!(true), &row["fails"]).map_err(|e| format!("{error}: {e}"))?;
    match row.get("err") {
        Some(want) => equal(&json!(error.to_string()), want),
        None => Ok(()),
    }
}

fn meta(row: &Value) -> Verdict {
    let bytes = match row["in_hex"].as_str() {
        Some(hex) => unhex(hex)?,
        None => row["in"].as_str().ok_or("no input")?.as_bytes().to_vec(),
    };
    let meta = match BlockMeta::parse(&bytes) {
        Ok(meta) => meta,
        Err(e) => return failed(row, &e),
    };
    equal(&json!(false), &row["fails"])?;
    equal(&json!(meta.to_string()), &row["string"])?;
    equal(&json!(meta.group_key()), &row["group_key"])?;
    let written = meta.encode().map_err(|e| e.to_string())?;
    equal(&json!(String::from_utf8_lossy(&written)), &row["write"])?;
    let again = BlockMeta::parse(&written).map_err(|e| e.to_string())?;
    if again == meta { Ok(()) } else { Err(format!("read again: {again:?}")) }
}

fn marker(row: &Value) -> Verdict {
    match row["marker"].as_str() {
        Some("deletion") => mark::<DeletionMark>(row),
        Some("no_compact") => mark::<NoCompactMark>(row),
        _ => mark::<NoDownsampleMark>(row),
    }
}

fn mark<M: Mark>(row: &Value) -> Verdict {
    let prefix = ObjectPath::from(row["block"].as_str().unwrap_or("none"));
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    if let Some(text) = row["in"].as_str() {
        let path = prefix.clone().join(row["file"].as_str().unwrap_or(""));
        wait(store.put(&path, text.as_bytes().to_vec().into())).map_err(|e| e.to_string())?;
    }
    match wait(M::load(&ObjectReader::new(store, prefix))) {
        Ok(Some(mark)) => {
            equal(&json!(false), &row["fails"])?;
            let bytes = mark.encode().map_err(|e| e.to_string())?;
            equal(&json!(String::from_utf8_lossy(&bytes)), &row["out"])
        }
        // Thanos' reader gives an error for an absent mark, which its callers look for.
        Ok(None) => equal(&json!([true, "marker not found"]), &json!([row["fails"], row["json_err"]])),
        Err(e) => failed(row, &e),
    }
}
