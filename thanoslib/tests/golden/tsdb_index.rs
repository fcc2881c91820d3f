//! Indexes of recorded blocks: every part, every query.

use std::{io::Cursor, path::Path};

use serde_json::{Value, json};
use thanoslib::{
    index::{IndexFile, IndexWriter, ListRef, PostingsPlan, SeriesEntry, plan_postings},
    model::{Labels, MatchOp, Matcher},
    testing::golden::{Golden, Suite, Verdict, equal},
};

use crate::blocks::{block_dirs, open_index, text};

pub(crate) fn run(golden: &mut Golden) {
    golden.run(&Suite {
        label: "tsdb/index",
        path: "tsdb/index/*.json",
        inputs: &["kind", "block", "ask"],
        expected: &["want"],
        ignored: &[],
        rows: Some(rows),
        check: &check,
    });
    golden.run(&Suite {
        label: "tsdb/index rewritten",
        path: "tsdb/blocks/*.expected.jsonl",
        inputs: &["name"],
        expected: &["series"],
        ignored: &[],
        rows: Some(rewritten_rows),
        check: &rewritten,
    });
}

/// One row for each fact and each query of a recorded index.
fn rows(path: &Path) -> Result<Vec<Value>, String> {
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    let all: Value = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
    let block = &all["block"];
    let mut rows = Vec::new();
    for (kind, value) in all.as_object().ok_or("no object")? {
        let answer = match kind.as_str() {
            "block" => continue,
            "queries" | "sharded_postings" => "refs",
            "label_values" => "values",
            "label_names_with_matchers" => "names",
            _ => {
                rows.push(json!({"kind": kind, "block": block, "ask": {}, "want": value}));
                continue;
            }
        };
        for item in value.as_array().ok_or("no list")? {
            let mut ask = item.clone();
            let want = ask.as_object_mut().and_then(|o| o.remove(answer)).ok_or("no answer")?;
            rows.push(json!({"kind": kind, "block": block, "ask": ask, "want": want}));
        }
    }
    Ok(rows)
}

fn matchers(ask: &Value) -> Result<Vec<Matcher>, String> {
    let list = ask["matchers"].as_array().cloned().unwrap_or_default();
    list.iter()
        .map(|m| {
            let op = match m["type"].as_str() {
                Some("=") => MatchOp::Equal,
                Some("!=") => MatchOp::NotEqual,
                Some("=~") => MatchOp::Regex,
                _ => MatchOp::NotRegex,
            };
            Matcher::new(op, m["name"].as_str().unwrap_or(""), m["value"].as_str().unwrap_or(""))
                .map_err(|e| e.to_string())
        })
        .collect()
}

pub(crate) fn pairs(labels: &Labels) -> Value {
    labels.iter().map(|l| json!([text(l.name), text(l.value)])).collect()
}

fn check(path: &Path, row: &Value) -> Verdict {
    let name = row["block"].as_str().ok_or("no block")?;
    let dir = path.parent().and_then(Path::parent).ok_or("no folder")?.join("blocks").join(name);
    let file = open_index(&dir)?;
    let fail = |e: thanoslib::Error| e.to_string();
    let index = file.index();
    let ask = &row["ask"];
    let symbols: Vec<_> = index.symbols.iter().map(text).collect();
    let list = |l: ListRef| -> Result<Vec<u32>, String> {
        Ok(file.postings(l).map_err(|e| e.to_string())?.iter().collect())
    };
    let every = || -> Result<Vec<(u32, Labels)>, String> {
        let mut entry = SeriesEntry::default();
        list(index.table.all().ok_or("no list of all")?)?
            .into_iter()
            .map(|id| {
                file.series(id, &mut entry).map_err(|e| e.to_string())?;
                Ok((id, file.labels(&entry).map_err(|e| e.to_string())?))
            })
            .collect()
    };
    let got = match row["kind"].as_str().unwrap_or("") {
        "index_size" => json!(std::fs::metadata(dir.join("index")).map_err(|e| e.to_string())?.len()),
        "version" => json!(index.version.number()),
        "toc" => json!({
            "symbols": index.toc.symbols, "series": index.toc.series,
            "label_indices": index.toc.label_indices, "label_offset_table": index.toc.label_indices_table,
            "postings": index.toc.postings, "postings_offset_table": index.toc.postings_table,
        }),
        "symbols_count" => json!(index.symbols.len()),
        "symbols_first" => json!(symbols.get(..5)),
        "symbols_last" => json!(symbols.get(symbols.len() - 5..)),
        "label_names" => index.table.names().map(text).collect(),
        "postings_offset_table" => {
            let mut out = Vec::new();
            for name in std::iter::once(&b""[..]).chain(index.table.names()) {
                for (value, l) in index.table.values(name) {
                    out.push(json!({
                        "name": text(name), "value": text(value), "offset": l.start, "refs": list(l)?,
                    }));
                    if index.table.find(name, value) != Some(l)
                        || l.end - l.start != 12 + 4 * list(l)?.len() as u64
                    {
                        return Err(format!("{l:?} is not exact"));
                    }
                }
            }
            json!(out)
        }
        "series" => every()?.into_iter().map(|(id, labels)| (id.to_string(), pairs(&labels))).collect(),
        "queries" => json!(file.select(&matchers(ask)?).map_err(fail)?),
        "label_values" => {
            let label = ask["name"].as_str().unwrap_or("");
            let values = file.label_values(label.as_bytes(), &matchers(ask)?).map_err(fail)?;
            values.into_iter().map(text).collect()
        }
        "label_names_with_matchers" => {
            file.label_names(&matchers(ask)?).map_err(fail)?.into_iter().map(text).collect()
        }
        "sharded_postings" => {
            let (shard, of) = (ask["shard_index"].as_u64(), ask["shard_count"].as_u64().ok_or("no count")?);
            let mine = every()?.into_iter().filter(|(_, l)| Some(l.stable_hash() % of) == shard);
            json!(mine.map(|(id, _)| id).collect::<Vec<_>>())
        }
        other => return Err(format!("unknown kind {other}")),
    };
    if row["want"].is_null() && got == json!([]) {
        return Ok(());
    }
    equal(&got, &row["want"])
}

fn rewritten_rows(path: &Path) -> Result<Vec<Value>, String> {
    let (name, _) = block_dirs(path)?;
    let lines = std::fs::read_to_string(path).map_err(|e| e.to_string())?.lines().count();
    Ok(vec![json!({"name": name, "series": lines})])
}

/// Writes the series of a recorded index again and compares the bytes.
fn rewritten(path: &Path, row: &Value) -> Verdict {
    let (_, dir) = block_dirs(path)?;
    let file = open_index(&dir)?;
    let fail = |e: thanoslib::Error| e.to_string();
    let index = file.index();
    let plan = plan_postings(&index.table, &[Matcher::equal("", "")]);
    if plan == PostingsPlan::default() {
        return Err("no list of all".to_owned());
    }
    let mut writer = IndexWriter::new(Cursor::new(Vec::new()), index.symbols.iter()).map_err(fail)?;
    let mut entry = SeriesEntry::default();
    let ids = file.select(&[Matcher::equal("", "")]).map_err(fail)?;
    equal(&json!(ids.len()), &row["series"])?;
    for id in ids {
        file.series(id, &mut entry).map_err(|e| e.to_string())?;
        let labels = file.labels(&entry).map_err(|e| e.to_string())?;
        let chunks = entry.chunks.iter().map(|(interval, reference)| thanoslib::index::IndexChunk {
            interval: *interval,
            reference: *reference,
        });
        let new = writer.add(labels.view(), &chunks.collect::<Vec<_>>()).map_err(fail)?;
        if new != id {
            return Err(format!("series {id} became {new}"));
        }
    }
    let got = writer.finish().map_err(fail)?.into_inner();
    let want = std::fs::read(dir.join("index")).map_err(|e| e.to_string())?;
    match got.iter().zip(&want).position(|(a, b)| a != b) {
        None if got.len() == want.len() => Ok(()),
        at => Err(format!("bytes differ at {at:?}, {} against {} bytes", got.len(), want.len())),
    }
}

pub(crate) fn open(bytes: Vec<u8>) -> Result<IndexFile, String> {
    IndexFile::open(bytes.into()).map_err(|e| e.to_string())
}
