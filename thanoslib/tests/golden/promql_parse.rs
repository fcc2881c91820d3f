//! Recorded parses: canonical and indented text, type and place of valid queries, the first
//! error of invalid ones.

use std::path::Path;

use serde_json::{Value, json};
use thanoslib::{
    promql::{EngineOptions, ParseError, ast::Expr, parse, parse_bytes},
    testing::golden::{Golden, Suite, Verdict},
};

pub(crate) fn run(golden: &mut Golden) {
    golden.run(&Suite {
        label: "promql/parse",
        path: "promql/parse.jsonl",
        inputs: &["expr", "expr_hex", "features"],
        expected: &["ok", "string", "pretty", "type", "range", "string_reparses", "error", "errors"],
        ignored: &[],
        rows: None,
        check: &check,
    });
}

/// The engine options of a row's features, in the spelling of `--enable-feature`.
pub(crate) fn options(row: &Value) -> Result<EngineOptions, String> {
    let mut options = EngineOptions::default();
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

/// The bytes of a row's query.
pub(crate) fn query(row: &Value) -> Result<Vec<u8>, String> {
    match row["expr_hex"].as_str() {
        Some(hex) => (0..hex.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(hex.get(i..i + 2).unwrap_or_default(), 16))
            .collect::<Result<_, _>>()
            .map_err(|e| format!("expr_hex: {e}")),
        None => Ok(row["expr"].as_str().unwrap_or_default().as_bytes().to_vec()),
    }
}

fn check(_: &Path, row: &Value) -> Verdict {
    let options = options(row)?;
    match (parse_bytes(&query(row)?, &options), row["ok"].as_bool()) {
        (Ok(expr), Some(true)) => accepted(row, &expr, &options),
        (Err(e), Some(false)) => refused(row, &e),
        (Ok(expr), _) => Err(format!("accepted as {expr}, want {}", row["error"])),
        (Err(e), _) => Err(format!("refused: {e}")),
    }
}

fn accepted(row: &Value, expr: &Expr, options: &EngineOptions) -> Verdict {
    let string = expr.to_string();
    let range = expr.span.map(|(start, end)| json!([start, end]));
    let reparses = parse(&string, options).is_ok_and(|again| again.to_string() == string);
    let want = |key: &str, got: Value| match &row[key] {
        want if *want == got => Ok(()),
        want => Err(format!("{key} {got}, want {want}")),
    };
    want("string", string.into())?;
    want("pretty", expr.prettify().into())?;
    want("type", expr.value_type().as_str().into())?;
    want("range", range.into())?;
    want("string_reparses", reparses.into())
}

/// Compares the text and the first error; upstream reads on after it, we do not.
fn refused(row: &Value, e: &ParseError) -> Verdict {
    if row["error"] != e.to_string() {
        return Err(format!("{e}, want {}", row["error"]));
    }
    let first = &row["errors"][0];
    let span = e.span.map(|(start, end)| json!([start, end]));
    if json!([first["start"], first["end"]]) != Value::from(span.clone()) {
        return Err(format!("blames {span:?}, want {first}"));
    }
    if first["msg"] != e.message.as_str() {
        return Err(format!("{:?}, want {first}", e.message));
    }
    Ok(())
}
