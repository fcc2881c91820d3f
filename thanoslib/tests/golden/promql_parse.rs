//! Recorded parses: canonical text and type of valid queries, refusal of invalid ones.

use std::path::Path;

use serde_json::Value;
use thanoslib::{
    promql::{EngineOptions, parse},
    testing::golden::{Golden, Suite, Verdict},
};

pub(crate) fn run(golden: &mut Golden) {
    golden.run(&Suite {
        label: "promql/parse",
        path: "promql/parse.jsonl",
        inputs: &["expr", "expr_hex", "features"],
        expected: &["ok", "string", "type"],
        ignored: &[
            ("pretty", "the indented form is not written"),
            ("range", "the front end gives no positions of ends"),
            ("string_reparses", "follows from the canonical text, which is compared"),
            ("error", "texts of syntax errors come with a parser of our own"),
            ("errors", "texts of syntax errors come with a parser of our own"),
        ],
        rows: None,
        check: &check,
    });
}

/// The engine options of a row's features, in the spelling of `--enable-feature`.
pub(crate) fn options(row: &Value) -> Result<EngineOptions, String> {
    let mut options = EngineOptions { duration_expressions: true, ..EngineOptions::default() };
    for feature in row["features"].as_array().into_iter().flatten() {
        match feature.as_str().unwrap_or_default() {
            "promql-experimental-functions" => options.experimental_functions = true,
            "promql-extended-range-selectors" => options.extended_range_selectors = true,
            "promql-binop-fill-modifiers" => options.fill_modifiers = true,
            "promql-delayed-name-removal" => options.delayed_name_removal = true,
            "type-and-unit-labels" => options.type_and_unit_labels = true,
            "use-start-timestamps" => options.start_timestamps = true,
            other => return Err(format!("the feature {other:?} is not known")),
        }
    }
    Ok(options)
}

/// The query of a row; `None` when it is not UTF-8, which no query can be here.
pub(crate) fn query(row: &Value) -> Option<&str> {
    if row.get("expr_hex").is_some() { None } else { row["expr"].as_str() }
}

fn check(_: &Path, row: &Value) -> Verdict {
    let options = options(row)?;
    let parsed = match query(row) {
        Some(text) => parse(text, &options).map_err(|e| e.to_string()),
        None => Err("a query is UTF-8".to_owned()),
    };
    match (parsed, row["ok"].as_bool()) {
        (Ok(expr), Some(true)) => {
            let (string, kind) = (expr.to_string(), expr.value_type().as_str());
            if row["string"] != string.as_str() {
                return Err(format!("{string:?}, want {}", row["string"]));
            }
            if row["type"] != kind {
                return Err(format!("type {kind}, want {}", row["type"]));
            }
            Ok(())
        }
        (Err(_), Some(false)) => Ok(()),
        (Ok(expr), _) => Err(format!("accepted as {expr}, want {}", row["error"])),
        (Err(e), _) => Err(format!("refused: {e}")),
    }
}
