//! Recorded blocks are verified: nothing is wrong with them, and as many series are counted as
//! were recorded.

use std::path::Path;

use serde_json::{Value, json};
use thanoslib::{
    block::{LocalReader, VerifySettings, verify_block},
    context::Context,
    testing::golden::{Golden, Suite, Verdict, equal},
};

use crate::{blocks::block_dirs, tsdb_blocks::wait};

pub(crate) fn run(golden: &mut Golden) {
    golden.run(&Suite {
        label: "tsdb/blocks verified",
        path: "tsdb/blocks/*.expected.jsonl",
        inputs: &["name"],
        expected: &["series", "findings"],
        ignored: &[],
        rows: Some(rows),
        check: &check,
    });
}

fn rows(path: &Path) -> Result<Vec<Value>, String> {
    let (name, _) = block_dirs(path)?;
    let lines = std::fs::read_to_string(path).map_err(|e| e.to_string())?.lines().count();
    Ok(vec![json!({"name": name, "series": lines, "findings": 0})])
}

fn check(path: &Path, row: &Value) -> Verdict {
    let (_, dir) = block_dirs(path)?;
    let reader = LocalReader::new(dir);
    let report = wait(verify_block(&Context::default(), &reader, &VerifySettings::default()));
    let report = report.map_err(|e| e.to_string())?;
    if let Some(finding) = report.findings.first() {
        return Err(finding.to_string());
    }
    equal(&json!([report.stats.num_series, report.findings.len()]), &json!([row["series"], row["findings"]]))
}
