//! Blocks that real programs merged from recorded blocks, merged again.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use thanoslib::{
    block::{BlockMeta, BlockWriter, Tombstones},
    chunk::{AGGREGATES, AggrChunk, Chunk, ChunkFormat, ChunkRecord, EncodedChunk, clip},
    dedup::{Algorithm, ChunkMerge},
    encoding::crc32c,
    index::SeriesEntry,
    model::{Interval, Labels, SampleColumns},
    testing::golden::{Golden, Suite, Verdict, equal},
};

use crate::{
    blocks::open_index,
    histogram_chunks::{as_floats, listed},
    tsdb_chunks::decode,
    tsdb_index::pairs,
};

type Merged = BTreeMap<Labels, Vec<EncodedChunk>>;

/// A merged block and what it was merged from.
struct Recipe {
    inputs: Vec<PathBuf>,
    output: PathBuf,
    algorithm: Algorithm,
    format: ChunkFormat,
}

pub(crate) fn run(golden: &mut Golden) {
    let cache = RefCell::new(BTreeMap::<PathBuf, Merged>::new());
    let merged = |recipe: &Recipe| -> Result<Merged, String> {
        if let Some(known) = cache.borrow().get(&recipe.output) {
            return Ok(known.clone());
        }
        let made = merge(recipe)?;
        cache.borrow_mut().insert(recipe.output.clone(), made.clone());
        Ok(made)
    };
    for path in [
        "tsdb/blocks/seq-merged.expected.jsonl",
        "tsdb/blocks/overlap-merged.expected.jsonl",
        "tsdb/blocks/st-overlap-merged-xor.expected.jsonl",
        "tsdb/blocks/st-overlap-merged-xor2.expected.jsonl",
        "tsdb/blocks/tombstones-cleaned.expected.jsonl",
    ] {
        golden.run(&Suite {
            label: "tsdb/blocks merged",
            path,
            inputs: &[],
            expected: &["labels", "chunks", "samples"],
            ignored: &[("ref", "compared with the bytes of the index"), ("chunks.*.ref", "the same")],
            rows: None,
            check: &|path, row| check_tsdb(&merged(&tsdb_recipe(path)?)?, row),
        });
        golden.run(&Suite {
            label: "tsdb/blocks merged bytes",
            path,
            inputs: &["id"],
            expected: &["files"],
            ignored: &[],
            rows: Some(|path| Ok(vec![json!({"id": "bytes", "files": sums(&tsdb_recipe(path)?.output)?})])),
            check: &|path, row| {
                let recipe = tsdb_recipe(path)?;
                equal(&written(&recipe, &merged(&recipe)?)?, &row["files"])
            },
        });
    }
    let path = "thanos/dedup/chunks/expected.jsonl";
    golden.run(&Suite {
        label: "thanos/dedup/chunks",
        path,
        inputs: &["id", "block"],
        expected: &["labels", "chunks", "samples"],
        ignored: &[],
        rows: Some(|path| rows_of(path, false)),
        check: &|path, row| check_thanos(&merged(&thanos_recipe(path, &row["block"])?)?, row),
    });
    golden.run(&Suite {
        label: "thanos/dedup/chunks aggregates",
        path,
        inputs: &["id", "block"],
        expected: &["labels", "chunks"],
        ignored: &[(
            "chunks.*.aggr.counter",
            "upstream keeps neither the first nor the last raw value of a counter",
        )],
        rows: Some(|path| rows_of(path, true)),
        check: &|path, row| check_aggregates(&merged(&thanos_recipe(path, &row["block"])?)?, row),
    });
    golden.run(&Suite {
        label: "thanos/dedup/chunks bytes",
        path: "thanos/dedup/chunks/blocks.json",
        inputs: &["id"],
        expected: &["files"],
        ignored: &[],
        rows: Some(|path| {
            ["out_penalty", "out_none"]
                .into_iter()
                .map(|id| {
                    let recipe = thanos_recipe(path, &Value::from(id))?;
                    Ok(json!({"id": id, "files": sums(&recipe.output)?}))
                })
                .collect()
        }),
        check: &|path, row| {
            let recipe = thanos_recipe(path, &row["id"])?;
            equal(&written(&recipe, &merged(&recipe)?)?, &row["files"])
        },
    });
    golden.run(&Suite {
        label: "thanos/dedup/chunks panics",
        path: "thanos/dedup/chunks/blocks.json",
        inputs: &["id", "kind", "algorithm"],
        expected: &["windows"],
        ignored: &[],
        rows: Some(panic_rows),
        check: &|path, row| {
            let merged = merged(&thanos_recipe(path, &row["id"])?)?;
            equal(&json!(windows(&merged)), &row["windows"])
        },
    });
}

fn fail(e: impl std::fmt::Display) -> String {
    e.to_string()
}

fn tsdb_recipe(expected: &Path) -> Result<Recipe, String> {
    let name = expected.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let name = name.trim_end_matches(".expected.jsonl");
    let inputs: &[&str] = match name {
        "seq-merged" => &["seq-1", "seq-2", "seq-3"],
        "overlap-merged" => &["overlap-1", "overlap-2"],
        "st-overlap-merged-xor" | "st-overlap-merged-xor2" => &["st-overlap-1", "st-overlap-2"],
        "tombstones-cleaned" => &["tombstones"],
        other => return Err(format!("no inputs of {other} are known")),
    };
    Ok(Recipe {
        inputs: inputs.iter().map(|i| expected.with_file_name(i)).collect(),
        output: expected.with_file_name(name),
        algorithm: Algorithm::Chain,
        format: ChunkFormat { xor2: name.ends_with("xor2"), ..ChunkFormat::default() },
    })
}

/// The inputs of the block in a folder such as `out_penalty`.
fn thanos_recipe(path: &Path, block: &Value) -> Result<Recipe, String> {
    let folder = block.as_str().and_then(|b| b.split('/').next()).ok_or("no block")?;
    let base = path.with_file_name("");
    let kind = match folder {
        "out_penalty" | "out_none" => "in",
        "aggr_out_penalty" | "aggr_out_none" => "aggr_in",
        _ => "aggr_hist_in",
    };
    let blocks = |folder: &str| -> Result<Vec<PathBuf>, String> {
        let entries = std::fs::read_dir(base.join(folder)).map_err(fail)?;
        let mut dirs = entries.map(|e| Ok(e.map_err(fail)?.path())).collect::<Result<Vec<_>, String>>()?;
        dirs.sort_unstable();
        Ok(dirs)
    };
    let algorithm = if folder.ends_with("none") { Algorithm::Chain } else { Algorithm::Penalty };
    let output = match blocks(folder) {
        Ok(dirs) => dirs.into_iter().next().ok_or("no merged block")?,
        Err(_) => base.join(folder),
    };
    Ok(Recipe { inputs: blocks(kind)?, output, algorithm, format: ChunkFormat::default() })
}

/// The series of a block, deleted samples left out.
fn read(dir: &Path) -> Result<Merged, String> {
    let index = open_index(dir)?;
    let tombstones = match std::fs::read(dir.join("tombstones")) {
        Ok(bytes) => Tombstones::parse(&bytes).map_err(fail)?,
        Err(_) => Tombstones::default(),
    };
    let mut segments = BTreeMap::new();
    let mut series = Merged::new();
    let mut entry = SeriesEntry::default();
    let every = thanoslib::model::Matcher::equal("", "");
    for id in index.select(std::slice::from_ref(&every)).map_err(fail)? {
        index.series(id, &mut entry).map_err(fail)?;
        let deleted = tombstones.get(u64::from(id));
        let mut chunks = Vec::new();
        for (interval, place) in &entry.chunks {
            let number = place.segment();
            if let std::collections::btree_map::Entry::Vacant(slot) = segments.entry(number) {
                let name = thanoslib::chunk::segment_name(number);
                slot.insert(std::fs::read(dir.join("chunks").join(name)).map_err(fail)?);
            }
            let at = place.offset() as usize;
            let record = ChunkRecord::parse(&segments[&number][at..], at as u64).map_err(fail)?;
            let ChunkRecord::Whole { encoding, data, .. } = record else {
                return Err("chunk is cut".to_owned());
            };
            let chunk = Chunk { encoding, data };
            if !deleted.iter().any(|d| d.overlaps(*interval)) {
                let samples = chunk.num_samples().map_err(fail)?;
                chunks.push(EncodedChunk { interval: *interval, encoding, samples, data: data.to_vec() });
            } else {
                chunks.extend(clip(chunk, deleted).map_err(fail)?);
            }
        }
        if !chunks.is_empty() {
            series.insert(index.labels(&entry).map_err(fail)?, chunks);
        }
    }
    Ok(series)
}

fn merge(recipe: &Recipe) -> Result<Merged, String> {
    let inputs = recipe.inputs.iter().map(|dir| read(dir)).collect::<Result<Vec<_>, _>>()?;
    let all: BTreeSet<&Labels> = inputs.iter().flat_map(|i| i.keys()).collect();
    let mut merge = ChunkMerge::new(recipe.algorithm, recipe.format);
    let mut merged = Merged::new();
    for labels in all {
        let chunks: Vec<Vec<(Interval, Chunk<'_>)>> = inputs
            .iter()
            .filter_map(|i| i.get(labels))
            .map(|chunks| chunks.iter().map(|c| (c.interval, c.chunk())).collect())
            .collect();
        let chunks: Vec<&[_]> = chunks.iter().map(Vec::as_slice).collect();
        let mut out = Vec::new();
        merge.merge(&chunks, &mut out).map_err(fail)?;
        let out = out.iter().map(|c| {
            let chunk = c.chunk();
            Ok(EncodedChunk {
                interval: c.interval(),
                encoding: chunk.encoding,
                samples: chunk.num_samples().map_err(fail)?,
                data: chunk.data.to_vec(),
            })
        });
        merged.insert(labels.clone(), out.collect::<Result<_, String>>()?);
    }
    Ok(merged)
}

fn find<'a>(merged: &'a Merged, labels: &Value) -> Result<&'a [EncodedChunk], String> {
    let known = merged.iter().find(|(l, _)| equal(&pairs(l), labels).is_ok());
    known.map(|(_, chunks)| chunks.as_slice()).ok_or_else(|| format!("no series {labels}"))
}

fn check_tsdb(merged: &Merged, row: &Value) -> Verdict {
    let (mut chunks, mut samples) = (Vec::new(), Vec::new());
    for c in find(merged, &row["labels"])? {
        let (at, encoding) = (c.interval, c.encoding as u8);
        chunks.push(json!({"mint": at.mint, "maxt": at.maxt, "encoding": encoding, "numsamples": c.samples}));
        samples.extend(decode(c.chunk())?.as_array().cloned().unwrap_or_default());
    }
    let mut want = row["chunks"].clone();
    for chunk in want.as_array_mut().into_iter().flatten() {
        chunk.as_object_mut().map(|c| c.remove("ref"));
    }
    equal(&json!(chunks), &want)?;
    equal(&json!(samples), &row["samples"])
}

fn check_thanos(merged: &Merged, row: &Value) -> Verdict {
    let (mut chunks, mut samples) = (Vec::new(), Vec::new());
    for c in find(merged, &row["labels"])? {
        chunks.push(json!([c.interval.mint, c.interval.maxt, c.encoding as u8, c.samples]));
        let mut decoded = SampleColumns::default();
        c.chunk().decode_into(&mut decoded).map_err(fail)?;
        samples.extend(listed(&decoded).as_array().cloned().unwrap_or_default());
    }
    equal(&json!(chunks), &row["chunks"])?;
    equal(&json!(samples), &as_floats(&row["samples"])?)
}

fn check_aggregates(merged: &Merged, row: &Value) -> Verdict {
    let mut chunks = Vec::new();
    for c in find(merged, &row["labels"])? {
        let mut chunk = json!({
            "mint": c.interval.mint, "maxt": c.interval.maxt, "enc": c.encoding as u8,
            "num_samples": c.samples, "aggr": {}, "aggr_enc": {},
        });
        for (aggr, name) in AGGREGATES.into_iter().zip(["count", "sum", "min", "max", "counter"]) {
            let Ok(part) = AggrChunk::new(&c.data).get(aggr) else { continue };
            chunk["aggr_enc"][name] = json!(part.encoding as u8);
            let mut decoded = SampleColumns::default();
            part.decode_into(&mut decoded).map_err(fail)?;
            if name == "counter" {
                continue;
            }
            // Upstream loses the first window after a cut, of all aggregates but the count.
            let cut = chunks.last().is_some_and(|before: &Value| before["num_samples"] == 120);
            if cut && name != "count" {
                let kept = Interval::new(c.interval.mint + 1, c.interval.maxt);
                decoded = decoded.within(kept);
            }
            chunk["aggr"][name] = listed(&decoded);
        }
        chunks.push(chunk);
    }
    let mut want = row["chunks"].clone();
    for chunk in want.as_array_mut().into_iter().flatten() {
        chunk["aggr"].as_object_mut().map(|parts| parts.remove("counter"));
        chunk.as_object_mut().map(|c| c.remove("bytes_hex"));
    }
    equal(&json!(chunks), &want)
}

fn rows_of(path: &Path, aggregates: bool) -> Result<Vec<Value>, String> {
    let text = std::fs::read_to_string(path).map_err(fail)?;
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).map_err(fail));
    let mut rows = rows.collect::<Result<Vec<_>, _>>()?;
    rows.retain(|row| row["block"].as_str().is_some_and(|b| b.starts_with("aggr") == aggregates));
    for row in &mut rows {
        let folder = row["block"].as_str().and_then(|b| b.split('/').next()).ok_or("no block")?;
        let name = row["labels"][0][1].as_str().ok_or("no name")?;
        row["id"] = json!(format!("{folder}/{name}"));
    }
    Ok(rows)
}

/// Writes the merged block as a compactor does, with the symbols of all inputs.
fn written(recipe: &Recipe, merged: &Merged) -> Result<Value, String> {
    let parent = tempfile::tempdir().map_err(fail)?;
    let meta = std::fs::read(recipe.output.join("meta.json")).map_err(fail)?;
    let mut writer = BlockWriter::new(parent.path(), BlockMeta::parse(&meta).map_err(fail)?).map_err(fail)?;
    for input in &recipe.inputs {
        writer.add_symbols(open_index(input)?.index().symbols.iter());
    }
    for (labels, chunks) in merged {
        let chunks: Vec<_> = chunks.iter().map(|c| (c.interval, c.chunk())).collect();
        writer.add(labels.view(), &chunks).map_err(fail)?;
    }
    sums(&writer.finish().map_err(fail)?)
}

fn sums(dir: &Path) -> Result<Value, String> {
    let sum = |file: &str| -> Result<Value, String> {
        let bytes = std::fs::read(dir.join(file)).map_err(fail)?;
        Ok(json!({"size": bytes.len(), "sum": crc32c(&bytes)}))
    };
    Ok(json!({"index": sum("index")?, "chunks/000001": sum("chunks/000001")?}))
}

/// The merges on which upstream panics; each must keep every window.
fn panic_rows(path: &Path) -> Result<Vec<Value>, String> {
    let text = std::fs::read_to_string(path).map_err(fail)?;
    let blocks: Vec<Value> = serde_json::from_str(&text).map_err(fail)?;
    let failed = blocks.iter().filter(|b| b["error"].as_str().is_some_and(|e| e.starts_with("panic")));
    failed
        .map(|block| {
            let kind = block["kind"].as_str().ok_or("no kind")?;
            let id = kind.replace("_merged", "_out");
            let recipe = thanos_recipe(path, &Value::from(id.as_str()))?;
            let inputs = recipe.inputs.iter().map(|i| read(i)).collect::<Result<Vec<_>, _>>()?;
            // With penalty windows of the replica that begins first give way to those of the other.
            let chain = recipe.algorithm == Algorithm::Chain;
            let inputs = if chain { &inputs[..] } else { &inputs[1..] };
            let mut all: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
            for input in inputs {
                for (labels, ts) in windows(input) {
                    all.entry(labels).or_default().extend(ts);
                }
            }
            Ok(json!({"id": id, "kind": kind, "windows": all}))
        })
        .collect()
}

/// Times of the windows of each series.
fn windows(series: &Merged) -> BTreeMap<String, BTreeSet<i64>> {
    let times = |chunks: &[EncodedChunk]| {
        let mut all = BTreeSet::new();
        for c in chunks {
            if let Ok(count) = AggrChunk::new(&c.data).get(AGGREGATES[0]) {
                let mut decoded = SampleColumns::default();
                if count.decode_into(&mut decoded).is_ok() {
                    all.extend(decoded.floats.ts);
                }
            }
        }
        all
    };
    series.iter().map(|(labels, chunks)| (labels.to_string(), times(chunks))).collect()
}
