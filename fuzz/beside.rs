//! Writes blocks and queries for a comparison with Prometheus.
//!
//! `beside fleet DIR SEED COUNT` writes what [`fleet`](thanoslib_fuzz::fleet) scrapes: `DIR/prometheus` for a
//! Prometheus server, `DIR/a` and `DIR/b` with the same samples in other chunks for two replicas of ours,
//! and `DIR/queries`, a line each: `R` or `I`, first and last time and step in ms, expression.
//! `beside script FILE DIR` writes the loads of a test script as one block, `DIR/prometheus`.

use std::{collections::BTreeMap, env, error::Error, fmt::Write, fs, path::Path, sync::Arc};

use thanoslib::{
    BlockId, BlockMeta, BlockWriter,
    block::Compaction,
    chunk::{ChunkCutter, ChunkFormat, CutPolicy, EncodedChunk},
    model::{
        FloatHistogram, FloatHistogramColumn, Histogram, IntHistogramColumn, Labels, Value, duration,
        is_stale, stale_nan,
    },
    promql::{SequenceValue, parse_series},
};
use thanoslib_fuzz::{
    fleet::{Dice, FleetSeries, FleetSpec, fleet},
    queries::{Pick, Queries},
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const BLOCK_MS: i64 = 7_200_000;
const HOURS: i64 = 6;
const SCRAPE_MS: i64 = 30_000;

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["fleet", dir, seed, count] => write_fleet(Path::new(dir), seed.parse()?, count.parse()?),
        ["script", file, dir] => write_script(Path::new(file), Path::new(dir)),
        _ => Err("usage: beside fleet DIR SEED COUNT | beside script FILE DIR".into()),
    }
}

fn write_fleet(dir: &Path, seed: u64, count: usize) -> Result<()> {
    let start_ms = 1_700_006_400_000 / BLOCK_MS * BLOCK_MS;
    let scrapes = (HOURS * 3_540_000 / SCRAPE_MS) as usize;
    let all = fleet(&FleetSpec { seed, instances: 8, start_ms, step_ms: SCRAPE_MS, scrapes });
    for n in 0..HOURS * 3_600_000 / BLOCK_MS {
        let from = start_ms + n * BLOCK_MS;
        let other = 60 + (seed % 90) as usize;
        for (name, cut) in [("prometheus", 120), ("a", 120), ("b", other)] {
            write_block(&dir.join(name), &all, from, cut)?;
        }
    }
    fs::write(dir.join("queries"), queries(seed, count, start_ms)?)?;
    Ok(())
}

fn queries(seed: u64, count: usize, start_ms: i64) -> Result<String> {
    let (mut dice, mut text) = (Dice::new(seed ^ 0x00ab_cdef), String::new());
    for _ in 0..count {
        let (levels, is_range) = (dice.pick(4), dice.pick(5) < 3);
        let mut queries = Queries::new(&mut dice, start_ms / 1000 + 4000);
        let expr = if is_range { queries.query(levels) } else { queries.instant(levels) };
        let from = start_ms + dice.pick((HOURS * 3_300_000) as usize) as i64;
        if is_range {
            let step = dice.of(&[15_000, 30_000, 60_000, 97_500, 300_000, 61_000]);
            let from = from - from % dice.of(&[1, 1000, step]);
            let to = from + step * (1 + dice.pick(80)) as i64;
            writeln!(text, "R\t{from}\t{to}\t{step}\t{expr}")?;
        } else {
            writeln!(text, "I\t{from}\t{from}\t0\t{expr}")?;
        }
    }
    Ok(text)
}

fn write_script(file: &Path, dir: &Path) -> Result<()> {
    let mut all: BTreeMap<Labels, Vec<(i64, Value)>> = BTreeMap::new();
    let mut gap_ms = None;
    for line in fs::read_to_string(file)?.lines().map(str::trim) {
        if let Some(gap) = line.strip_prefix("load ") {
            gap_ms = Some(duration::parse_allow_negative(gap)?);
        } else if line.is_empty() || line.starts_with('#') || line.starts_with("eval") {
            gap_ms = None;
        } else if let Some(gap_ms) = gap_ms {
            let (labels, values) = parse_series(line)?;
            let samples = all.entry(labels).or_default();
            for (i, value) in (0..).zip(values) {
                samples.extend(sample(value, samples.last()).map(|v| (i * gap_ms, v)));
            }
        }
    }
    let of = |(labels, samples)| FleetSeries { labels, samples, whole: false };
    write_block(&dir.join("prometheus"), &all.into_iter().map(of).collect::<Vec<_>>(), 0, 120)
}

/// A value of a script; a stale mark after a histogram is one of a histogram.
fn sample(value: SequenceValue, before: Option<&(i64, Value)>) -> Option<Value> {
    match value {
        SequenceValue::Omitted => None,
        SequenceValue::Float(v) if is_stale(v) && matches!(before, Some((_, Value::Histogram(_)))) => {
            Some(Value::Histogram(Arc::new(FloatHistogram { sum: stale_nan(), ..Default::default() })))
        }
        SequenceValue::Float(v) => Some(Value::Float(v)),
        SequenceValue::Histogram { histogram, .. } => Some(Value::Histogram(histogram)),
    }
}

/// Writes the samples of the two hours from `from` on.
fn write_block(dir: &Path, all: &[FleetSeries], from: i64, cut: usize) -> Result<()> {
    fs::create_dir_all(dir)?;
    let ulid = BlockId::from_parts(from.unsigned_abs(), cut as u128);
    let meta = BlockMeta {
        ulid,
        min_time: from,
        max_time: from + BLOCK_MS,
        compaction: Compaction { level: 1, sources: vec![ulid], ..Compaction::default() },
        ..BlockMeta::default()
    };
    let mut writer = BlockWriter::new(dir, meta)?;
    for series in all {
        let chunks = chunks(series, from, cut)?;
        if !chunks.is_empty() {
            let chunks: Vec<_> = chunks.iter().map(|c| (c.interval, c.chunk())).collect();
            writer.add(series.labels.view(), &chunks)?;
        }
    }
    writer.finish()?;
    Ok(())
}

fn chunks(series: &FleetSeries, from: i64, cut: usize) -> Result<Vec<EncodedChunk>> {
    let mut cutter = ChunkCutter::new(CutPolicy::Samples(cut), ChunkFormat::default());
    let mut out = Vec::new();
    for (t_ms, value) in series.samples.iter().filter(|(t, _)| (from..from + BLOCK_MS).contains(t)) {
        let closed = match value {
            Value::Float(v) => cutter.append_float(0, *t_ms, *v)?,
            Value::Histogram(h) if series.whole => {
                let mut column = IntHistogramColumn::default();
                column.push(*t_ms, &integer(h));
                cutter.append_int_histogram(&column, 0)?
            }
            Value::Histogram(h) => {
                let mut column = FloatHistogramColumn::default();
                column.push(*t_ms, h);
                cutter.append_float_histogram(&column, 0)?
            }
        };
        out.extend(closed);
    }
    out.extend(cutter.finish());
    Ok(out)
}

/// The same histogram with integer counts.
fn integer(h: &FloatHistogram) -> Histogram {
    let deltas = |buckets: &[f64]| {
        let counts = buckets.iter().map(|v| *v as i64);
        let before = std::iter::once(0).chain(counts.clone());
        counts.zip(before).map(|(count, before)| count - before).collect()
    };
    Histogram {
        hint: h.hint,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        zero_count: h.zero_count as u64,
        count: h.count as u64,
        sum: h.sum,
        positive_spans: h.positive_spans.clone(),
        negative_spans: h.negative_spans.clone(),
        positive_deltas: deltas(&h.positive_buckets),
        negative_deltas: deltas(&h.negative_buckets),
        custom_values: h.custom_values.clone(),
    }
}
