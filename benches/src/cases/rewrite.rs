//! Jobs of a compactor: downsampling, and merging the replicas of an HA pair.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use thanoslib::{
    chunk::{Chunk, ChunkFormat, Encoding},
    dedup::{Algorithm, ChunkMerge},
    downsample::SeriesDownsampler,
    encoding::crc32c,
    model::{FloatColumn, Interval, Resolution},
};

use super::Make;
use crate::{
    Case, files,
    generate::{CHUNK, Random, SHAPES, Shape, floats, xor_chunk},
};

/// Series that are downsampled, and pairs that are merged.
const SERIES: u64 = 40;
/// Samples of a series: half a day.
const SAMPLES: usize = 24 * CHUNK;
/// Samples of a series in a fresh block: two hours.
const SAMPLES_2H: usize = 4 * CHUNK;

pub(super) fn cases() -> Vec<(&'static str, Make)> {
    let downsample = [1, 2, 3, 5].map(|i| -> (&'static str, Make) {
        let shape = SHAPES[i];
        (format!("downsample/{}", shape.name).leak(), Box::new(move |_| Ok(Box::new(Downsample::new(shape)))))
    });
    let spans = [("", SAMPLES), ("_2h", SAMPLES_2H)];
    let merge = spans.into_iter().flat_map(|span| [1, 3].map(|i| (SHAPES[i], span)));
    let merge = merge.map(|(shape, (suffix, samples))| -> (&'static str, Make) {
        let name = format!("penalty_merge/{}{suffix}", shape.name).leak();
        (name, Box::new(move |_| Ok(Box::new(Pairs::new(shape, samples)))))
    });
    downsample.into_iter().chain(merge).collect()
}

/// XOR chunks of one series with their times.
struct Chunks(Vec<(Interval, Vec<u8>)>);

impl Chunks {
    fn new(column: &FloatColumn) -> Self {
        let samples = column.ts.chunks(CHUNK).zip(column.vs.chunks(CHUNK));
        let chunk = |(ts, vs): (&[i64], &[f64])| (Interval::new(ts[0], ts[ts.len() - 1]), xor_chunk(ts, vs));
        Self(samples.map(chunk).collect())
    }

    fn views(&self) -> Vec<(Interval, Chunk<'_>)> {
        self.0.iter().map(|(i, data)| (*i, Chunk { encoding: Encoding::Xor, data })).collect()
    }
}

fn write(series: &[Chunks], dir: &Path) -> Result<PathBuf> {
    let mut out = Vec::new();
    for chunks in series {
        chunks.0.iter().for_each(|(_, data)| files::put_chunk(&mut out, Encoding::Xor, data));
        files::end_series(&mut out);
    }
    let path = dir.join("series");
    fs::write(&path, out)?;
    Ok(path)
}

/// Decodes every chunk: whoever makes new samples has to see the old ones.
fn decode(series: &[Chunks]) {
    let mut out = FloatColumn::default();
    for (_, chunk) in series.iter().flat_map(Chunks::views) {
        out.clear();
        chunk.decode_floats(&mut out).expect("samples");
    }
}

struct Downsample {
    series: Vec<Chunks>,
    downsampler: SeriesDownsampler,
}

impl Downsample {
    fn new(shape: Shape) -> Self {
        let series = (0..SERIES).map(|salt| Chunks::new(&floats(shape, salt, SAMPLES))).collect();
        let downsampler = SeriesDownsampler::new(Resolution::Raw, Resolution::FiveMinutes);
        Self { series, downsampler: downsampler.expect("the second is coarser") }
    }

    fn each(&mut self, mut done: impl FnMut(Chunk<'_>)) {
        for chunks in &self.series {
            for (interval, data) in &chunks.0 {
                let chunk = Chunk { encoding: Encoding::Xor, data };
                self.downsampler.chunk(*interval, chunk).expect("samples");
            }
            self.downsampler.finish().expect("samples").iter().for_each(|(_, chunk)| done(chunk));
        }
    }
}

impl Case for Downsample {
    fn write(&self, dir: &Path) -> Result<PathBuf> {
        write(&self.series, dir)
    }

    fn items(&self) -> u64 {
        SERIES * SAMPLES as u64
    }

    fn checksum(&mut self) -> u64 {
        let mut sum = 0;
        self.each(|chunk| sum += u64::from(crc32c(chunk.data)));
        sum
    }

    fn run(&mut self) {
        let mut bytes = 0;
        self.each(|chunk| bytes += chunk.data.len());
        assert!(bytes > 0);
    }

    fn bare(&mut self) {
        decode(&self.series);
    }
}

struct Pairs {
    /// Replica a, replica b, the next series' replica a, …
    replicas: Vec<Chunks>,
    merge: ChunkMerge,
}

impl Pairs {
    fn new(shape: Shape, samples: usize) -> Self {
        let mut replicas = Vec::new();
        for salt in 0..SERIES {
            let a = floats(shape, salt, samples);
            let mut random = Random::new(salt + 1000);
            let mut b = FloatColumn::default();
            for (i, (t, v)) in a.ts.iter().zip(&a.vs).enumerate() {
                // The second replica scrapes seven seconds later and misses some scrapes.
                let missed = i % 400 >= 390 || random.below(50) == 0;
                if !missed {
                    b.push(t + 7000, *v);
                }
            }
            replicas.extend([Chunks::new(&a), Chunks::new(&b)]);
        }
        Self { replicas, merge: ChunkMerge::new(Algorithm::Penalty, ChunkFormat::default()) }
    }

    fn each(&mut self, mut done: impl FnMut(Chunk<'_>)) {
        for pair in self.replicas.chunks(2) {
            let inputs = [pair[0].views(), pair[1].views()];
            let mut out = Vec::new();
            self.merge.merge(&[&inputs[0], &inputs[1]], &mut out).expect("samples");
            out.iter().for_each(|merged| done(merged.chunk()));
        }
    }
}

impl Case for Pairs {
    fn write(&self, dir: &Path) -> Result<PathBuf> {
        write(&self.replicas, dir)
    }

    fn items(&self) -> u64 {
        let samples = self.replicas.iter().flat_map(Chunks::views).map(|(_, c)| c.num_samples());
        samples.map(|n| n.expect("a header") as u64).sum()
    }

    fn checksum(&mut self) -> u64 {
        let mut sum = 0;
        self.each(|chunk| sum += u64::from(crc32c(chunk.data)));
        sum
    }

    fn run(&mut self) {
        let mut bytes = 0;
        self.each(|chunk| bytes += chunk.data.len());
        assert!(bytes > 0);
    }

    fn bare(&mut self) {
        decode(&self.replicas);
    }
}
