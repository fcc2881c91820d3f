//! Native histogram chunks, decoded into columns.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use thanoslib::{
    chunk::{Chunk, ChunkCutter, ChunkFormat, CutPolicy, EncodedChunk, Encoding},
    model::{FloatHistogram, FloatHistogramColumn, Histogram, IntHistogramColumn, SampleColumns, Span},
};

use super::Make;
use crate::{
    Case, files,
    generate::{Random, START_MS, STEP_MS},
};

/// Series in one round; each is one chunk.
const SERIES: u64 = 64;
/// Samples of a series.
const SAMPLES: i64 = 100;

/// Buckets of a shape, and whether its chunks are of floats.
type Shape = (&'static str, usize, bool, bool);

const SHAPES: [Shape; 4] = [
    ("int_20_buckets", 20, false, false),
    ("float_20_buckets", 20, true, false),
    ("int_custom_12_buckets", 12, false, true),
    ("int_160_buckets", 160, false, false),
];

pub(super) fn cases() -> Vec<(&'static str, Make)> {
    let case = |shape: Shape| -> (&'static str, Make) {
        (format!("histogram_decode/{}", shape.0).leak(), Box::new(move |_| Ok(Box::new(Decode::new(shape)?))))
    };
    SHAPES.map(case).into()
}

/// A counter whose buckets grow at different speeds.
fn grown(random: &mut Random, buckets: usize, custom: bool) -> IntHistogramColumn {
    let mut column = IntHistogramColumn::default();
    let mut counts = vec![0u64; buckets];
    let (mut zero, mut sum) = (0, 0.0);
    for i in 0..SAMPLES {
        for (bucket, count) in counts.iter_mut().enumerate() {
            let middle = buckets.abs_diff(2 * bucket) as u64;
            *count += random.below(2 + 40 / (1 + middle));
        }
        zero += if custom { 0 } else { random.below(2) };
        sum += random.below(100_000) as f64 / 1000.0;
        let deltas = (0..buckets).map(|b| counts[b] as i64 - if b == 0 { 0 } else { counts[b - 1] as i64 });
        column.push(
            START_MS + i * STEP_MS,
            &Histogram {
                schema: if custom { -53 } else { 3 },
                zero_threshold: if custom { 0.0 } else { 2f64.powi(-128) },
                zero_count: zero,
                count: zero + counts.iter().sum::<u64>(),
                sum,
                positive_spans: vec![Span { offset: if custom { 0 } else { -8 }, length: buckets as u32 }],
                positive_deltas: deltas.collect(),
                custom_values: if custom {
                    (0..buckets - 1).map(|b| 0.005 * 2f64.powi(b as i32)).collect()
                } else {
                    Vec::new()
                },
                ..Histogram::default()
            },
        );
    }
    column
}

fn floats(ints: &IntHistogramColumn) -> FloatHistogramColumn {
    let mut out = FloatHistogramColumn::default();
    (0..ints.len()).for_each(|i| out.push(ints.ts[i], &FloatHistogram::from(&ints.get(i))));
    out
}

struct Decode {
    chunks: Vec<EncodedChunk>,
    out: SampleColumns,
    int_out: IntHistogramColumn,
    whole: FloatHistogramColumn,
    int_whole: IntHistogramColumn,
    floats: bool,
}

impl Decode {
    fn new((_, buckets, is_float, custom): Shape) -> Result<Self> {
        let mut chunks = Vec::new();
        for salt in 0..SERIES {
            let column = grown(&mut Random::new(salt), buckets, custom);
            let mut cutter = ChunkCutter::new(CutPolicy::default(), ChunkFormat::default());
            if is_float {
                cutter.append_float_histograms(&floats(&column), 0..column.len(), &mut chunks)?;
            } else {
                cutter.append_int_histograms(&column, 0..column.len(), &mut chunks)?;
            }
            chunks.extend(cutter.finish());
        }
        ensure!(chunks.iter().map(|c| c.samples as i64).sum::<i64>() == SERIES as i64 * SAMPLES);
        let mut made = Self {
            chunks,
            out: SampleColumns::default(),
            int_out: IntHistogramColumn::default(),
            whole: FloatHistogramColumn::default(),
            int_whole: IntHistogramColumn::default(),
            floats: is_float,
        };
        made.run();
        (made.whole, made.int_whole) = (made.out.histograms.clone(), made.int_out.clone());
        Ok(made)
    }
}

impl Case for Decode {
    fn write(&self, dir: &Path) -> Result<PathBuf> {
        let mut out = Vec::new();
        self.chunks.iter().for_each(|c| files::put_chunk(&mut out, c.encoding, &c.data));
        let path = dir.join("chunks");
        fs::write(&path, out)?;
        Ok(path)
    }

    fn items(&self) -> u64 {
        SERIES * SAMPLES as u64
    }

    fn checksum(&mut self) -> u64 {
        self.run();
        let time = |t: &i64| (*t as u64).wrapping_mul(31);
        let mut sum = 0u64;
        let mut add = |n: u64| sum = sum.wrapping_add(n);
        if self.floats {
            let c = &self.out.histograms;
            for i in 0..c.len() {
                add(time(&c.ts[i]));
                [c.counts[i], c.zero_counts[i], c.sums[i]].iter().for_each(|v| add(v.to_bits()));
                c.buckets(i).0.iter().for_each(|b| add(b.to_bits().wrapping_mul(7)));
            }
        } else {
            let c = &self.int_out;
            for i in 0..c.len() {
                add(time(&c.ts[i]));
                [c.counts[i], c.zero_counts[i], c.sums[i].to_bits()].iter().for_each(|n| add(*n));
                c.buckets(i).0.iter().fold(0i64, |count, delta| {
                    add(((count + delta) as u64).wrapping_mul(7));
                    count + delta
                });
            }
        }
        sum
    }

    fn run(&mut self) {
        self.out.clear();
        self.int_out.clear();
        for c in &self.chunks {
            let chunk = Chunk { encoding: c.encoding, data: &c.data };
            let done = match chunk.encoding {
                Encoding::Histogram => chunk.decode_int_histograms(&mut self.int_out),
                _ => chunk.decode_float_histograms(&mut self.out.histograms),
            };
            done.expect("samples");
        }
    }

    fn bare(&mut self) {
        if self.floats {
            self.out.histograms.clone_from(&self.whole);
        } else {
            self.int_out.clone_from(&self.int_whole);
        }
    }
}
