//! Recorded blocks, read from their folder and from an object store, written again.

use std::{path::Path, sync::Arc};

use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path as ObjectPath};
use serde_json::{Value, json};
use thanoslib::{
    block::{
        Block, BlockBatch, BlockMeta, BlockSelect, BlockWriter, LocalReader, ObjectReader, RangeReader, clip,
    },
    budget::Budget,
    chunk::{Chunk, SEGMENT_SIZE_MAX},
    context::Context,
    index::SeriesEntry,
    model::{Aggr, Interval, Labels, MatchOp, Matcher, SampleColumns},
    object_store,
    testing::golden::{Golden, Suite, Verdict, equal},
};

use crate::{
    blocks::{block_dirs, open_index},
    tsdb_chunks::decode,
    tsdb_index::pairs,
};

pub(crate) fn run(golden: &mut Golden) {
    golden.run(&Suite {
        label: "tsdb/blocks",
        path: "tsdb/blocks/*.expected.jsonl",
        inputs: &[],
        expected: &["ref", "labels", "chunks", "samples"],
        ignored: &[],
        rows: None,
        check: &check,
    });
    golden.run(&Suite {
        label: "tsdb/blocks tombstones",
        path: "tsdb/blocks/tombstones.tombstones.json",
        inputs: &[],
        expected: &["all"],
        ignored: &[],
        rows: Some(whole),
        check: &tombstones,
    });
    golden.run(&Suite {
        label: "tsdb/blocks tombstones applied",
        path: "tsdb/blocks/tombstones.tombstones_applied.jsonl",
        inputs: &[],
        expected: &["all"],
        ignored: &[],
        rows: Some(whole),
        check: &tombstones_applied,
    });
    golden.run(&Suite {
        label: "tsdb/blocks rewritten",
        path: "tsdb/blocks/*.expected.jsonl",
        inputs: &["name"],
        expected: &["files"],
        ignored: &[],
        rows: Some(file_rows),
        check: &rewritten,
    });
}

pub(crate) fn wait<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(work)
}

fn fail(e: thanoslib::Error) -> String {
    e.to_string()
}

/// The block as a folder and as objects of a store.
fn readers(dir: &Path) -> Result<[Arc<dyn RangeReader>; 2], String> {
    let store = InMemory::new();
    let mut files = vec!["index".to_owned(), "meta.json".to_owned(), "tombstones".to_owned()];
    for entry in std::fs::read_dir(dir.join("chunks")).map_err(|e| e.to_string())? {
        let name = entry.map_err(|e| e.to_string())?.file_name();
        files.push(format!("chunks/{}", name.to_string_lossy()));
    }
    for name in files {
        let Ok(bytes) = std::fs::read(dir.join(&name)) else { continue };
        let path = ObjectPath::from(format!("some/prefix/{name}"));
        wait(store.put(&path, bytes.into())).map_err(|e| e.to_string())?;
    }
    let store: Arc<dyn ObjectStore> = Arc::new(store);
    let object = ObjectReader::new(store, ObjectPath::from("some/prefix")).with_tombstones();
    Ok([Arc::new(LocalReader::new(dir)), Arc::new(object)])
}

fn select(reader: &Arc<dyn RangeReader>, matchers: Vec<Matcher>) -> Result<Vec<BlockBatch>, String> {
    let budget = Budget::unlimited();
    let ctx = Context::new(Arc::clone(&budget));
    let request = BlockSelect {
        matchers,
        interval: Interval::ALL,
        skip_chunks: false,
        aggregates: vec![Aggr::Count, Aggr::Sum],
    };
    let batches = wait(async {
        let block = Block::open(&ctx, Arc::clone(reader)).await?;
        block.select(&ctx, request).await?.try_collect::<Vec<_>>().await
    });
    let batches = batches.map_err(fail)?;
    let held: usize = batches.iter().map(|b| b.series.size_bytes()).sum();
    if (budget.used() as usize) < held {
        return Err(format!("{held} bytes are held, {} charged", budget.used()));
    }
    Ok(batches)
}

fn exact(labels: &Value) -> Vec<Matcher> {
    let pairs = labels.as_array().into_iter().flatten();
    pairs.map(|p| Matcher::equal(p[0].as_str().unwrap_or(""), p[1].as_str().unwrap_or(""))).collect()
}

fn check(path: &Path, row: &Value) -> Verdict {
    let (_, dir) = block_dirs(path)?;
    let labels = Labels::from_pairs(
        row["labels"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|p| (p[0].as_str().unwrap_or("").to_owned(), p[1].as_str().unwrap_or("").to_owned())),
    );
    equal(&pairs(&labels), &row["labels"])?;
    // The index knows the numbers of series and chunks.
    let index = open_index(&dir)?;
    let (mut entry, mut number) = (SeriesEntry::default(), None);
    for id in index.select(&exact(&row["labels"])).map_err(fail)? {
        index.series(id, &mut entry).map_err(|e| e.to_string())?;
        if index.labels(&entry).map_err(|e| e.to_string())? == labels {
            number = Some(id);
            break;
        }
    }
    equal(&json!(number), &row["ref"])?;
    for reader in readers(&dir)? {
        let batches = select(&reader, exact(&row["labels"]))?;
        let series = batches.iter().flat_map(|b| b.series.iter()).filter(|s| s.labels() == labels.view());
        let (mut chunks, mut samples) = (Vec::new(), Vec::new());
        for chunk in series.flat_map(|s| s.chunks()) {
            let view = Chunk { encoding: chunk.meta.encoding, data: chunk.data() };
            let decoded = decode(view)?;
            let decoded = decoded.as_array().cloned().unwrap_or_default();
            let place = entry.chunks.get(chunks.len()).map(|(_, r)| r.0);
            chunks.push(json!({
                "ref": place, "mint": chunk.meta.interval.mint, "maxt": chunk.meta.interval.maxt,
                "encoding": view.encoding as u8, "numsamples": decoded.len(),
            }));
            samples.extend(decoded);
        }
        if !dir.ends_with("tombstones") {
            equal(&json!(chunks), &row["chunks"])?;
            equal(&json!(samples), &row["samples"])?;
            continue;
        }
        // Chunks that are deleted whole do not come; the others come as stored.
        let all = row["chunks"].as_array().into_iter().flatten();
        let places: Vec<_> = all.clone().map(|c| c["mint"].clone()).collect();
        let stored: Vec<_> = decoded_samples(&dir, &entry)?;
        equal(&json!(stored), &row["samples"])?;
        let recorded: Vec<_> = entry.chunks.iter().map(|(at, r)| (at.mint, at.maxt, r.0)).collect();
        let want: Vec<_> = all
            .map(|c| (c["mint"].as_i64(), c["maxt"].as_i64(), c["ref"].as_u64()))
            .filter_map(|(a, b, c)| Some((a?, b?, c?)))
            .collect();
        if recorded != want || chunks.iter().any(|c| !places.contains(&c["mint"])) {
            return Err(format!("chunks {recorded:?}, want {want:?}"));
        }
        let kinds: Vec<_> = entry_kinds(&dir, &entry)?;
        let all = row["chunks"].as_array().into_iter().flatten();
        equal(&json!(kinds), &all.map(|c| json!([c["encoding"], c["numsamples"]])).collect())?;
    }
    Ok(())
}

fn stored_chunks(dir: &Path, entry: &SeriesEntry) -> Result<Vec<(u8, Value)>, String> {
    let segment = std::fs::read(dir.join("chunks/000001")).map_err(|e| e.to_string())?;
    let chunks = entry.chunks.iter().map(|(_, r)| {
        let at = r.offset() as usize;
        match thanoslib::chunk::ChunkRecord::parse(&segment[at..], at as u64).map_err(|e| e.to_string())? {
            thanoslib::chunk::ChunkRecord::Whole { encoding, data, .. } => {
                Ok((encoding as u8, decode(Chunk { encoding, data })?))
            }
            thanoslib::chunk::ChunkRecord::Short(n) => Err(format!("cut, {n} bytes needed")),
        }
    });
    chunks.collect()
}

fn decoded_samples(dir: &Path, entry: &SeriesEntry) -> Result<Vec<Value>, String> {
    let chunks = stored_chunks(dir, entry)?;
    Ok(chunks.into_iter().flat_map(|(_, v)| v.as_array().cloned().unwrap_or_default()).collect())
}

fn entry_kinds(dir: &Path, entry: &SeriesEntry) -> Result<Vec<Value>, String> {
    let chunks = stored_chunks(dir, entry)?;
    Ok(chunks.into_iter().map(|(e, v)| json!([e, v.as_array().map_or(0, Vec::len)])).collect())
}

/// All lines of a file, or its one value, as one row.
fn whole(path: &Path) -> Result<Vec<Value>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let values = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let values = values.collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
    Ok(vec![json!({"all": values})])
}

fn tombstones(path: &Path, row: &Value) -> Verdict {
    let (_, dir) = block_dirs(path)?;
    let bytes = std::fs::read(dir.join("tombstones")).map_err(|e| e.to_string())?;
    let tombstones = thanoslib::block::Tombstones::parse(&bytes).map_err(|e| e.to_string())?;
    let list = tombstones.iter().map(|(series, intervals)| {
        let intervals: Vec<_> = intervals.iter().map(|i| json!([i.mint, i.maxt])).collect();
        json!({"ref": series, "intervals": intervals})
    });
    equal(&json!([list.collect::<Vec<_>>()]), &row["all"])
}

fn tombstones_applied(path: &Path, row: &Value) -> Verdict {
    let (_, dir) = block_dirs(path)?;
    for reader in readers(&dir)? {
        let batches = select(&reader, vec![Matcher::equal("", "")])?;
        let mut got = Vec::new();
        for batch in &batches {
            for (i, series) in batch.series.iter().enumerate() {
                let deleted = batch.deleted.iter().find(|(at, _)| *at == i).map_or(&[][..], |(_, d)| d);
                let mut samples = Vec::new();
                for chunk in series.chunks() {
                    let view = Chunk { encoding: chunk.meta.encoding, data: chunk.data() };
                    let mut kept = SampleColumns::default();
                    view.decode_into(&mut kept).map_err(|e| e.to_string())?;
                    clip(&mut kept, deleted);
                    let times: Vec<_> = kept.floats.ts.iter().chain(&kept.histograms.ts).copied().collect();
                    let decoded = decode(view)?;
                    let inside = |s: &&Value| s["t"].as_i64().is_some_and(|t| times.contains(&t));
                    samples.extend(decoded.as_array().into_iter().flatten().filter(inside).cloned());
                }
                if !samples.is_empty() {
                    got.push(json!({"labels": pairs(&series.labels().to_labels()), "samples": samples}));
                }
            }
        }
        equal(&json!(got), &row["all"])?;
    }
    Ok(())
}

fn file_rows(path: &Path) -> Result<Vec<Value>, String> {
    let (name, dir) = block_dirs(path)?;
    let mut files = std::fs::read_dir(dir.join("chunks"))
        .map_err(|e| e.to_string())?
        .map(|entry| Ok(entry.map_err(|e| e.to_string())?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>, String>>()?;
    files.sort_unstable();
    Ok(vec![json!({"name": name, "files": files})])
}

/// Writes what a select of everything gives as a new block; index and chunks are equal
/// byte by byte, deleted chunks aside, which the select leaves out.
fn rewritten(path: &Path, row: &Value) -> Verdict {
    let (name, dir) = block_dirs(path)?;
    let reader: Arc<dyn RangeReader> = Arc::new(LocalReader::new(&dir));
    let meta = wait(reader.read("meta.json")).map_err(fail)?;
    let meta = BlockMeta::parse(&meta).map_err(fail)?;
    let parent = tempfile::tempdir().map_err(|e| e.to_string())?;
    let size = if name == "segments" { 2048 } else { SEGMENT_SIZE_MAX };
    let mut new = meta.clone();
    new.stats = thanoslib::block::BlockStats::default();
    let mut writer = BlockWriter::with_segment_size(parent.path(), new, size).map_err(fail)?;
    // Some hold strings that no series uses: those of a head, or of merged blocks.
    writer.add_symbols(open_index(&dir)?.index().symbols.iter());
    if name == "tombstones" {
        // Selecting applies them.
        std::fs::create_dir_all(parent.path().join("copy/chunks")).map_err(|e| e.to_string())?;
        for file in ["index", "meta.json", "chunks/000001"] {
            std::fs::copy(dir.join(file), parent.path().join("copy").join(file))
                .map_err(|e| e.to_string())?;
        }
    }
    let source = if name == "tombstones" { parent.path().join("copy") } else { dir.clone() };
    let reader: Arc<dyn RangeReader> = Arc::new(LocalReader::new(source));
    let everything = Matcher::new(MatchOp::Regex, "none", ".*").map_err(fail)?;
    for batch in select(&reader, vec![everything])? {
        for series in batch.series.iter() {
            let chunks: Vec<_> = series
                .chunks()
                .map(|c| (c.meta.interval, Chunk { encoding: c.meta.encoding, data: c.data() }))
                .collect();
            writer.add(series.labels(), &chunks).map_err(fail)?;
        }
    }
    let out = writer.finish().map_err(fail)?;
    let (mut files, mut bytes) = (Vec::new(), vec!["index".to_owned()]);
    for entry in std::fs::read_dir(out.join("chunks")).map_err(|e| e.to_string())? {
        files.push(entry.map_err(|e| e.to_string())?.file_name().to_string_lossy().into_owned());
    }
    files.sort_unstable();
    equal(&json!(files), &row["files"])?;
    bytes.extend(files.iter().map(|f| format!("chunks/{f}")));
    for file in bytes {
        let got = std::fs::read(out.join(&file)).map_err(|e| e.to_string())?;
        let want = std::fs::read(dir.join(&file)).map_err(|e| e.to_string())?;
        if got != want {
            let at = got.iter().zip(&want).position(|(a, b)| a != b);
            return Err(format!("{file} differs at {at:?}, {} against {} bytes", got.len(), want.len()));
        }
    }
    let written = std::fs::read(out.join("meta.json")).map_err(|e| e.to_string())?;
    let written = BlockMeta::parse(&written).map_err(fail)?;
    let mut stats = written.stats;
    stats.num_tombstones = meta.stats.num_tombstones;
    if stats != meta.stats {
        return Err(format!("statistics {stats:?}, want {:?}", meta.stats));
    }
    Ok(())
}
