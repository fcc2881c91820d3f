//! Thanos' downsampling of whole blocks, series by series and file by file.

use std::{fs, path::Path};

use serde_json::{Value, json};
use thanoslib::{
    block::{BlockMeta, BlockWriter, Downsampled, downsample_block},
    chunk::{Chunk, ChunkRecord, Encoding},
    downsample::SeriesDownsampler,
    encoding::crc32c,
    index::SeriesEntry,
    model::{Interval, Labels, Matcher, Resolution},
    testing::golden::{Golden, Suite, Verdict, equal},
};

use crate::{blocks::open_index, thanos_aggr::aggr_chunk, tsdb_index::pairs};

/// The series of which upstream loses samples where its bounds change.
const LOSSY: &str = "nhcb_bounds_change";

pub(crate) fn run(golden: &mut Golden) {
    for (label, path) in [
        ("thanos/downsample/5m", "thanos/downsample/expected_5m.jsonl"),
        ("thanos/downsample/1h", "thanos/downsample/expected_1h.jsonl"),
    ] {
        golden.run(&Suite {
            label,
            path,
            inputs: &["block", "labels"],
            expected: &["chunks"],
            ignored: &[],
            rows: None,
            check: &check_series,
        });
    }
    golden.run(&Suite {
        label: "thanos/downsample/blocks",
        path: "thanos/downsample/blocks.json",
        inputs: &["name", "from", "to"],
        expected: &["index", "chunks", "meta"],
        ignored: &[],
        rows: Some(block_rows),
        check: &check_block,
    });
}

fn text(e: impl std::fmt::Display) -> String {
    e.to_string()
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|e| format!("{}: {e}", path.display()))
}

fn json_file(path: &Path) -> Result<Value, String> {
    serde_json::from_slice(&read(path)?).map_err(text)
}

/// A series with the bytes of its chunks.
type Stored = (Labels, Vec<(Interval, Encoding, Vec<u8>)>);

/// All series of a block of one segment.
fn stored(dir: &Path) -> Result<Vec<Stored>, String> {
    let (index, segment) = (open_index(dir)?, read(&dir.join("chunks/000001"))?);
    let mut entry = SeriesEntry::default();
    let everything = [Matcher::equal("none", "")];
    let mut out = Vec::new();
    for id in index.select(&everything).map_err(text)? {
        index.series(id, &mut entry).map_err(text)?;
        let chunks = entry.chunks.iter().map(|(interval, at)| {
            let bytes = segment.get(at.0 as usize..).ok_or("a chunk outside of the segment")?;
            match ChunkRecord::parse(bytes, at.0).map_err(text)? {
                ChunkRecord::Whole { encoding, data, .. } => Ok((*interval, encoding, data.to_vec())),
                ChunkRecord::Short(_) => Err("a chunk is cut".to_owned()),
            }
        });
        out.push((index.labels(&entry).map_err(text)?, chunks.collect::<Result<_, String>>()?));
    }
    Ok(out)
}

fn views(stored: &Stored) -> impl Iterator<Item = (Interval, Chunk<'_>)> {
    stored.1.iter().map(|(at, encoding, data)| (*at, Chunk { encoding: *encoding, data }))
}

/// The resolution before the one of a block.
fn finer(to: Resolution) -> Resolution {
    if to == Resolution::OneHour { Resolution::FiveMinutes } else { Resolution::Raw }
}

fn check_series(path: &Path, row: &Value) -> Verdict {
    let hours = path.ends_with("expected_1h.jsonl");
    let (from, to) = if hours { ("5m", Resolution::OneHour) } else { ("raw", Resolution::FiveMinutes) };
    let blocks = json_file(&path.with_file_name("blocks.json"))?;
    let dir = path.with_file_name("blocks").join(blocks[from].as_str().ok_or("no block")?);
    let all = stored(&dir)?;
    let series = all.iter().find(|(labels, _)| pairs(labels) == row["labels"]).ok_or("no such series")?;
    let mut downsampler = SeriesDownsampler::new(finer(to), to).map_err(text)?;
    views(series).try_for_each(|(at, chunk)| downsampler.chunk(at, chunk)).map_err(text)?;
    let got = downsampler.finish().map_err(text)?;
    let shown = got
        .iter()
        .enumerate()
        .map(|(i, (at, chunk))| aggr_chunk(at, chunk, row["chunks"][i].get("bytes_hex").is_some()));
    equal(&shown.collect::<Result<Value, String>>()?, &row["chunks"])
}

fn sum(bytes: &[u8]) -> Value {
    json!(format!("{} bytes, {:08x}", bytes.len(), crc32c(bytes)))
}

fn meta_of(dir: &Path) -> Result<BlockMeta, String> {
    BlockMeta::parse(&read(&dir.join("meta.json"))?).map_err(text)
}

/// What is compared of a description: everything but its name and the sizes of files, which
/// upstream notes when a block is uploaded.
fn comparable(mut meta: BlockMeta) -> Result<Value, String> {
    meta.ulid = BlockMeta::default().ulid;
    meta.thanos.files.clear();
    serde_json::from_slice(&meta.encode().map_err(text)?).map_err(text)
}

fn block_rows(path: &Path) -> Result<Vec<Value>, String> {
    let blocks = json_file(path)?;
    let rows = [("raw", "5m"), ("5m", "1h")].map(|(from, to)| {
        let dir = path.with_file_name("blocks").join(blocks[to].as_str().ok_or("no block")?);
        Ok(json!({
            "name": to, "from": blocks[from], "to": blocks[to], "index": sum(&read(&dir.join("index"))?),
            "chunks": sum(&read(&dir.join("chunks/000001"))?), "meta": comparable(meta_of(&dir)?)?,
        }))
    });
    rows.into_iter().collect()
}

/// Writes the downsampled block; the series of which upstream loses samples as it has it.
fn check_block(path: &Path, row: &Value) -> Verdict {
    let dir = |key: &str| Ok(path.with_file_name("blocks").join(row[key].as_str().ok_or("no block")?));
    let (from, want): (_, std::path::PathBuf) = (dir("from")?, dir("to").map_err(|e: String| e)?);
    let to =
        Resolution::from_window_ms(meta_of(&want)?.thanos.downsample.resolution).ok_or("no resolution")?;
    let input = meta_of(&from)?;
    let parent = tempfile::tempdir().map_err(text)?;
    let meta = input.downsampled(meta_of(&want)?.ulid, to).map_err(text)?;
    let mut writer = BlockWriter::new(parent.path(), meta).map_err(text)?;
    writer.add_symbols(open_index(&from)?.index().symbols.iter());
    let mut downsampler = SeriesDownsampler::new(finer(to), to).map_err(text)?;
    let (all, theirs) = (stored(&from)?, stored(&want)?);
    let lossy = |s: &&Stored| to == Resolution::FiveMinutes && s.0.get("__name__") == Some(LOSSY.as_bytes());
    let before = all.iter().take_while(|s| !lossy(s)).count();
    let mut done = Downsampled::default();
    for part in [&all[..before], &all[before..]] {
        let part = match part.first().filter(lossy) {
            None => part,
            Some((labels, _)) => {
                let series = theirs.iter().find(|s| s.0 == *labels).ok_or("no such series")?;
                writer.add(labels.view(), &views(series).collect::<Vec<_>>()).map_err(text)?;
                done.series += 1;
                &part[1..]
            }
        };
        let series = part.iter().map(|s| Ok((s.0.clone(), views(s))));
        let some = downsample_block(series, &mut downsampler, &mut writer).map_err(text)?;
        done = Downsampled { series: done.series + some.series, empty: done.empty + some.empty };
    }
    let expected = Downsampled { series: theirs.len() as u64, empty: (all.len() - theirs.len()) as u64 };
    if done != expected {
        return Err(format!("{done:?}, want {expected:?}"));
    }
    let out = writer.finish().map_err(text)?;
    equal(&sum(&read(&out.join("index"))?), &row["index"])?;
    equal(&sum(&read(&out.join("chunks/000001"))?), &row["chunks"])?;
    equal(&comparable(meta_of(&out)?)?, &row["meta"])
}
