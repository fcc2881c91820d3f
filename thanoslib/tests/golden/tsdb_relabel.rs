//! Relabelling rules, and the hash of their action hashmod.

use std::path::Path;

use serde_json::{Value, json};
use thanoslib::{
    Result,
    model::{
        Labels,
        relabel::{NameScheme, Relabel, RelabelConfig, hashmod, parse_relabel_strict},
    },
    testing::golden::{Golden, Suite, Verdict, equal},
};

pub(crate) fn run(golden: &mut Golden) {
    golden.run(&Suite {
        label: "tsdb/hashmod",
        path: "tsdb/hashmod.jsonl",
        inputs: &["value", "modulus"],
        expected: &["result"],
        ignored: &[],
        rows: None,
        check: &hashes,
    });
    golden.run(&Suite {
        label: "tsdb/relabel",
        path: "tsdb/relabel.jsonl",
        inputs: &["configs", "input", "name_validation_scheme"],
        expected: &["output", "dropped", "error"],
        ignored: &[],
        rows: None,
        check: &rules,
    });
}

fn hashes(_: &Path, row: &Value) -> Verdict {
    let modulus = row["modulus"].as_str().and_then(|m| m.parse().ok()).ok_or("no modulus")?;
    let value = row["value"].as_str().ok_or("no value")?;
    equal(&json!(hashmod(value.as_bytes(), modulus).to_string()), &row["result"])
}

fn rules(_: &Path, row: &Value) -> Verdict {
    let scheme =
        if row["name_validation_scheme"] == "legacy" { NameScheme::Legacy } else { NameScheme::Utf8 };
    let compile = |configs: Vec<RelabelConfig>| Relabel::new(&configs, scheme);
    // JSON is YAML, too.
    let relabel = parse_relabel_strict(&row["configs"].to_string()).and_then(compile);
    let mut got = match relabel {
        Err(e) => json!({ "error": without_place(e.message()) }),
        Ok(relabel) => match relabel.apply(pairs(&row["input"])?.view()) {
            None => json!({ "dropped": true }),
            Some(labels) => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let output: Vec<Value> =
                    labels.iter().map(|l| json!([text(l.name), text(l.value)])).collect();
                json!({ "output": output })
            }
        },
    };
    let mut want = json!({});
    for key in ["output", "dropped", "error"] {
        if let (Some(value), Some(want)) = (row.get(key), want.as_object_mut()) {
            want.insert(key.to_owned(), value.clone());
        }
    }
    equal(&got.take(), &want)
}

/// Our readers say which rule is wrong.
fn without_place(message: &str) -> &str {
    message.strip_prefix("rule 1: ").unwrap_or(message)
}

fn pairs(input: &Value) -> Result<Labels, String> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let list = input.as_array().ok_or("no input")?;
    Ok(Labels::from_pairs(list.iter().map(|p| (text(&p[0]), text(&p[1])))))
}
