//! What the engines that Thanos links answer to the same queries over the same series.
//!
//! Two engines were recorded, each with the rows in which it differs from the one before: the
//! older engine of Prometheus from the newest, and that of Thanos from the older one. A row
//! passes when it is what we answer.

use std::{collections::HashMap, fs, path::Path};

use serde_json::Value as Json;
use thanoslib::testing::golden::{Golden, Suite};

use crate::{
    promql_eval::{check_eval, load, ready},
    promql_parse::options,
};

/// What a recorded answer consists of.
const ANSWER: [&str; 6] = ["result_type", "result", "error", "error_kind", "warnings", "infos"];
/// What a query consists of.
const QUERY: [&str; 7] = ["expr_hex", "kind", "ts", "start", "end", "step", "features"];

pub(crate) fn run(golden: &mut Golden) {
    let Some(ready) = ready(golden, load) else { return };
    golden.run(&Suite {
        label: "promql/eval_thanos",
        path: "promql/eval_thanos.jsonl",
        inputs: &[
            "id", "engine", "expr", "expr_hex", "kind", "ts", "start", "end", "step", "features", "ordered",
        ],
        expected: &ANSWER,
        ignored: &[("result_omitted", "says that the result differs and was too long to record")],
        rows: Some(rows),
        check: &|_, row| {
            let (store, runtime) = ready.as_ref().map_err(Clone::clone)?;
            if row["result_omitted"] == true {
                return Err("a result that was not recorded differs from that of Prometheus".to_owned());
            }
            runtime.block_on(check_eval(store, options(row)?, row))
        },
    });
}

/// The rows with the queries that their ids stand for, named `id/engine`.
///
/// Where the engine of Thanos hands a query to that of Prometheus, the answer is the latter's.
fn rows(path: &Path) -> Result<Vec<Json>, String> {
    let all = read(&path.with_file_name("eval.jsonl"))?;
    let newest: HashMap<&str, &Json> =
        all.iter().filter_map(|row| Some((row["id"].as_str()?, row))).collect();
    let recorded = read(path)?;
    let of_older = |id: &str| recorded.iter().find(|row| row["id"] == *id && row["engine"] != "thanos");
    let mut rows = Vec::with_capacity(recorded.len());
    for row in &recorded {
        let (id, engine) = (text(row, "id")?, text(row, "engine")?);
        let query = *newest.get(id).ok_or_else(|| format!("eval.jsonl has no row {id}"))?;
        if query["expr"] != row["expr"] {
            return Err(format!("{id} is {} in eval.jsonl, {} here", query["expr"], row["expr"]));
        }
        let mut out = row.clone();
        let object = out.as_object_mut().ok_or("a row is an object")?;
        if row["error_kind"] == "fallback" {
            let answer = of_older(id).unwrap_or(query);
            for key in ANSWER {
                object.remove(key);
                object.extend(answer.get(key).map(|v| (key.to_owned(), v.clone())));
            }
        }
        for key in QUERY {
            object.extend(query.get(key).map(|v| (key.to_owned(), v.clone())));
        }
        object.extend(query.get("ordered").map(|v| ("ordered".to_owned(), v.clone())));
        object.insert("id".to_owned(), format!("{id}/{engine}").into());
        rows.push(out);
    }
    Ok(rows)
}

fn text<'r>(row: &'r Json, key: &str) -> Result<&'r str, String> {
    row[key].as_str().ok_or_else(|| format!("a row without {key}: {row}"))
}

fn read(path: &Path) -> Result<Vec<Json>, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    text.lines().map(|line| serde_json::from_str(line).map_err(|e| e.to_string())).collect()
}
