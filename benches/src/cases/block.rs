//! Blocks: entries of the index, and every sample with every checksum.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use bytes::Bytes;
use thanoslib::{
    block::{BlockIdGenerator, BlockMeta, BlockWriter},
    chunk::{Chunk, ChunkRecord, Encoding},
    clock::ManualClock,
    index::{IndexFile, LabelReader, SeriesEntry},
    model::{FloatColumn, Interval, LabelsRef},
};

use super::Make;
use crate::{
    Case,
    generate::{CHUNK, SEED, SHAPES, START_MS, floats, labels, xor_chunk},
};

/// Series of the block.
const SERIES: usize = 4_000;
/// Chunks of a series.
const CHUNKS: usize = 4;

pub(super) fn cases() -> Vec<(&'static str, Make)> {
    vec![
        (
            "block_scan/mixed",
            Box::new(|dir| {
                Ok(Box::new(Scan {
                    block: Block::new(dir)?,
                    out: FloatColumn::default(),
                    sums: false,
                    sum: 0,
                }))
            }),
        ),
        (
            "index_series/7_labels",
            Box::new(|dir| Ok(Box::new(Entries { block: Block::new(dir)?, labels: Vec::new() }))),
        ),
    ]
}

/// A block with its files in memory.
struct Block {
    dir: PathBuf,
    index: IndexFile,
    index_bytes: Bytes,
    ids: Vec<u32>,
    segments: Vec<Vec<u8>>,
}

impl Block {
    fn new(parent: &Path) -> Result<Self> {
        let ulid = BlockIdGenerator::new(Arc::new(ManualClock::new(START_MS)), SEED).next_id();
        let (min_time, max_time) = (START_MS, START_MS + 7_200_000);
        let meta = BlockMeta { ulid, min_time, max_time, version: 1, ..BlockMeta::default() };
        let mut writer = BlockWriter::new(parent, meta)?;
        for i in 0..SERIES {
            let column = floats(SHAPES[i % 4], i as u64, CHUNK * CHUNKS);
            let chunks: Vec<(Interval, Vec<u8>)> = column
                .ts
                .chunks(CHUNK)
                .zip(column.vs.chunks(CHUNK))
                .map(|(ts, vs)| (Interval::new(ts[0], ts[ts.len() - 1]), xor_chunk(ts, vs)))
                .collect();
            let views: Vec<_> = chunks
                .iter()
                .map(|(interval, data)| (*interval, Chunk { encoding: Encoding::Xor, data }))
                .collect();
            writer.add(labels(i).view(), &views)?;
        }
        let dir = writer.finish()?;
        let index_bytes = Bytes::from(fs::read(dir.join("index"))?);
        let index = IndexFile::open(index_bytes.clone()).context("the index")?;
        let mut files: Vec<_> =
            fs::read_dir(dir.join("chunks"))?.map(|e| Ok(e?.path())).collect::<Result<_>>()?;
        files.sort();
        let segments = files.iter().map(fs::read).collect::<std::io::Result<_>>()?;
        let all = index.index().table.all().context("a list of all series")?;
        let ids = index.postings(all)?.iter().collect();
        Ok(Self { dir, index, index_bytes, ids, segments })
    }
}

struct Scan {
    block: Block,
    out: FloatColumn,
    sums: bool,
    sum: u64,
}

impl Case for Scan {
    fn write(&self, _: &Path) -> Result<PathBuf> {
        Ok(self.block.dir.clone())
    }

    fn items(&self) -> u64 {
        (SERIES * CHUNKS * CHUNK) as u64
    }

    fn checksum(&mut self) -> u64 {
        (self.sums, self.sum) = (true, 0);
        self.run();
        self.sums = false;
        self.sum
    }

    fn run(&mut self) {
        let mut entry = SeriesEntry::default();
        for id in &self.block.ids {
            self.block.index.series(*id, &mut entry).expect("an entry");
            self.out.clear();
            for (_, chunk) in &entry.chunks {
                let (segment, offset) = (chunk.0 >> 32, chunk.0 as u32 as usize);
                let bytes = &self.block.segments[segment as usize][offset..];
                let Ok(ChunkRecord::Whole { encoding, data, .. }) = ChunkRecord::parse(bytes, offset as u64)
                else {
                    panic!("a chunk");
                };
                Chunk { encoding, data }.decode_floats(&mut self.out).expect("samples");
            }
            if self.sums {
                self.sum = self.sum.wrapping_add(super::xor::sum(&self.out));
            }
        }
    }

    fn bare(&mut self) {
        // Every byte is looked at once.
        let bytes = self.block.segments.iter().flatten().chain(&self.block.index_bytes[..]);
        self.sum = bytes.fold(0u64, |sum, b| sum.wrapping_add(u64::from(*b)));
    }
}

struct Entries {
    block: Block,
    labels: Vec<u8>,
}

impl Entries {
    fn each(&mut self, mut done: impl FnMut(&[u8], &SeriesEntry)) {
        let mut entry = SeriesEntry::default();
        let mut reader = LabelReader::new(&self.block.index.index().symbols);
        for id in &self.block.ids {
            self.block.index.series(*id, &mut entry).expect("an entry");
            self.labels.clear();
            reader.append(&entry, 0, &mut self.labels).expect("labels");
            done(&self.labels, &entry);
        }
    }
}

impl Case for Entries {
    fn write(&self, _: &Path) -> Result<PathBuf> {
        Ok(self.block.dir.clone())
    }

    fn items(&self) -> u64 {
        SERIES as u64
    }

    fn checksum(&mut self) -> u64 {
        let bytes = |text: &[u8]| text.iter().map(|b| u64::from(*b)).sum::<u64>();
        let mut sum = 0u64;
        self.each(|labels, entry| {
            for label in LabelsRef::from_flat(labels).iter() {
                sum = sum.wrapping_add(bytes(label.name)).wrapping_add(bytes(label.value) * 3);
            }
            for (interval, chunk) in &entry.chunks {
                sum = sum
                    .wrapping_add(interval.mint as u64)
                    .wrapping_add((interval.maxt as u64).wrapping_mul(5))
                    .wrapping_add(chunk.0.wrapping_mul(31));
            }
        });
        sum
    }

    fn run(&mut self) {
        let mut bytes = 0;
        self.each(|labels, entry| bytes += labels.len() + entry.chunks.len());
        assert!(bytes > 0);
    }

    fn bare(&mut self) {
        // The flat labels are moved once.
        let labels: Vec<u8> = self.labels.clone();
        for _ in 0..SERIES {
            self.labels.clear();
            self.labels.extend_from_slice(std::hint::black_box(&labels));
        }
    }
}
