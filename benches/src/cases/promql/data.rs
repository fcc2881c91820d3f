//! The series that the queries ask for, in blocks that are written once for all cases.

use std::{
    cell::OnceCell,
    fs,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use thanoslib::{
    block::{BlockIdGenerator, BlockMeta, BlockWriter},
    chunk::{Chunk, ChunkCutter, ChunkFormat, CutPolicy, EncodedChunk, Encoding},
    clock::ManualClock,
    model::{Histogram, IntHistogramColumn, Interval, Labels, Span},
};

use crate::generate::{CHUNK, SEED, SHAPES, START_MS, STEP_MS, Shape, floats_from, labels, xor_chunk};

/// Pods; each has three containers, one series of responses and eleven buckets.
const PODS: usize = 1000;
/// Containers of a pod.
const CONTAINERS: usize = 3;
/// Samples of a float series: six hours.
const FLOATS: usize = 720;
/// Distance of float samples in ms.
const FLOAT_STEP_MS: i64 = 30_000;
/// Series of counters that are scraped every 15 s for two hours.
const SCRAPED_SERIES: usize = 3000;
/// Samples of such a series.
pub(super) const SCRAPES: usize = 480;
/// Series of native histograms.
const HISTOGRAM_SERIES: usize = 3000;
/// Samples of such a series: somewhat more than two hours.
const HISTOGRAMS: usize = 500;
/// Distance of native histograms in ms.
const HISTOGRAM_STEP_MS: i64 = 15_000;

/// A block in a folder of its own, which is written when it is first asked for.
pub(super) struct Data {
    write: fn(&Path) -> Result<()>,
    folder: OnceCell<TempDir>,
}

impl Data {
    /// Counters and classic buckets.
    pub(super) fn floats() -> Rc<Self> {
        Rc::new(Self { write: write_floats, folder: OnceCell::new() })
    }

    /// Counters as scrapes give them.
    pub(super) fn scraped() -> Rc<Self> {
        Rc::new(Self { write: write_scraped, folder: OnceCell::new() })
    }

    /// Native histograms.
    pub(super) fn histograms() -> Rc<Self> {
        Rc::new(Self { write: write_histograms, folder: OnceCell::new() })
    }

    /// The folder that holds the block.
    pub(super) fn folder(&self) -> Result<&Path> {
        if let Some(dir) = self.folder.get() {
            return Ok(dir.path());
        }
        let dir = tempfile::tempdir()?;
        (self.write)(dir.path())?;
        Ok(self.folder.get_or_init(|| dir).path())
    }

    /// The block.
    pub(super) fn block(&self) -> Result<PathBuf> {
        let mut entries = fs::read_dir(self.folder()?)?;
        Ok(entries.next().context("the folder holds a block")??.path())
    }
}

/// A value for each step: `first + growth · step`.
type Line = (Labels, f64, f64);

fn lines() -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for pod in 0..PODS {
        let first = pod as f64;
        let name = format!("p{pod}");
        let mut push = |metric: &str, label: Option<(&str, String)>, growth: f64| {
            let mut pairs = vec![("__name__", metric.to_owned()), ("pod", name.clone())];
            pairs.extend(label);
            lines.push((Labels::from_pairs(pairs), first, growth));
        };
        for container in 0..CONTAINERS {
            let label = ("container", format!("c{container}"));
            push("http_requests_total", Some(label), container as f64);
        }
        push("http_responses_total", None, 0.0);
        for bucket in 0..10 {
            push("http_response_seconds_bucket", Some(("le", bucket.to_string())), bucket as f64);
        }
        push("http_response_seconds_bucket", Some(("le", "+Inf".to_owned())), first);
    }
    lines.sort_by(|a, b| a.0.cmp(&b.0));
    lines
}

fn writer(dir: &Path, samples: usize, step_ms: i64) -> Result<BlockWriter> {
    let ulid = BlockIdGenerator::new(Arc::new(ManualClock::new(0)), SEED).next_id();
    let max_time = samples as i64 * step_ms;
    let meta = BlockMeta { ulid, min_time: 0, max_time, version: 1, ..BlockMeta::default() };
    Ok(BlockWriter::new(dir, meta)?)
}

fn write_floats(dir: &Path) -> Result<()> {
    let mut writer = writer(dir, FLOATS, FLOAT_STEP_MS)?;
    let ts: Vec<i64> = (0..FLOATS as i64).map(|i| i * FLOAT_STEP_MS).collect();
    for (labels, first, growth) in lines() {
        let vs: Vec<f64> = (0..FLOATS).map(|i| first + growth * i as f64).collect();
        let chunks: Vec<(Interval, Vec<u8>)> = ts
            .chunks(CHUNK)
            .zip(vs.chunks(CHUNK))
            .map(|(ts, vs)| (Interval::new(ts[0], ts[ts.len() - 1]), xor_chunk(ts, vs)))
            .collect();
        let views: Vec<_> =
            chunks.iter().map(|(i, data)| (*i, Chunk { encoding: Encoding::Xor, data })).collect();
        writer.add(labels.view(), &views)?;
    }
    writer.finish()?;
    Ok(())
}

/// Counters of integers and of floats, on time and late, each scraped at times of its own.
fn write_scraped(dir: &Path) -> Result<()> {
    let ulid = BlockIdGenerator::new(Arc::new(ManualClock::new(0)), SEED).next_id();
    let max_time = START_MS + SCRAPES as i64 * STEP_MS;
    let meta = BlockMeta { ulid, min_time: START_MS, max_time, version: 1, ..BlockMeta::default() };
    let mut writer = BlockWriter::new(dir, meta)?;
    let shapes: Vec<Shape> = SHAPES.into_iter().filter(|s| s.name.ends_with("counter")).collect();
    for i in 0..SCRAPED_SERIES {
        let start_ms = START_MS + 100 + (i as i64 * 37) % (STEP_MS - 200);
        let column = floats_from(shapes[i % shapes.len()], i as u64, SCRAPES, start_ms);
        let chunks: Vec<(Interval, Vec<u8>)> = column
            .ts
            .chunks(CHUNK)
            .zip(column.vs.chunks(CHUNK))
            .map(|(ts, vs)| (Interval::new(ts[0], ts[ts.len() - 1]), xor_chunk(ts, vs)))
            .collect();
        let views: Vec<_> =
            chunks.iter().map(|(i, data)| (*i, Chunk { encoding: Encoding::Xor, data })).collect();
        writer.add(labels(i).view(), &views)?;
    }
    writer.finish()?;
    Ok(())
}

/// Counters that grow in every bucket, on both sides of zero.
fn histograms() -> IntHistogramColumn {
    let mut column = IntHistogramColumn::default();
    let spans = vec![Span { offset: 0, length: 2 }, Span { offset: 1, length: 2 }];
    for i in 0..HISTOGRAMS as u64 {
        let deltas = vec![i as i64 + 1, 1, -1, 0];
        column.push(
            i as i64 * HISTOGRAM_STEP_MS,
            &Histogram {
                schema: 1,
                zero_threshold: 0.001,
                zero_count: 2 + i,
                count: 12 + 9 * i,
                sum: 18.4 * (i + 1) as f64,
                positive_spans: spans.clone(),
                negative_spans: spans.clone(),
                positive_deltas: deltas.clone(),
                negative_deltas: deltas,
                ..Histogram::default()
            },
        );
    }
    column
}

fn write_histograms(dir: &Path) -> Result<()> {
    let mut writer = writer(dir, HISTOGRAMS, HISTOGRAM_STEP_MS)?;
    let column = histograms();
    let mut chunks: Vec<EncodedChunk> = Vec::new();
    let mut cutter = ChunkCutter::new(CutPolicy::default(), ChunkFormat::default());
    cutter.append_int_histograms(&column, 0..column.len(), &mut chunks)?;
    chunks.extend(cutter.finish());
    let views: Vec<_> =
        chunks.iter().map(|c| (c.interval, Chunk { encoding: c.encoding, data: &c.data })).collect();
    let mut all: Vec<Labels> = (0..HISTOGRAM_SERIES)
        .map(|i| {
            let name = ("__name__", "native_histogram_series".to_owned());
            Labels::from_pairs([name, ("foo", "bar".to_owned()), ("h", i.to_string())])
        })
        .collect();
    all.sort();
    for labels in all {
        writer.add(labels.view(), &views)?;
    }
    writer.finish()?;
    Ok(())
}
