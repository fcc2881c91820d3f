//! The streams of eight stores, joined in label order.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Result;
use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use thanoslib::{
    Error, ErrorKind,
    budget::Budget,
    chunk::Encoding,
    context::Context,
    model::{Aggr, FloatColumn, Interval, Matcher},
    series::{BatchBuilder, SeriesBatch},
    store::{
        Abilities, Fanout, Frame, LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, Member,
        SeriesRequest, SeriesStream, Store, StoreInfo,
    },
};

use super::Make;
use crate::{
    Case,
    generate::{CHUNK, SHAPES, floats, labels, xor_chunk},
};

/// Stores that are joined.
const STORES: usize = 8;
/// Different series; each is in two stores, with the same chunks.
const SERIES: usize = 20_000;
/// Series in a batch.
const BATCH: usize = 256;

pub(super) fn cases() -> Vec<(&'static str, Make)> {
    vec![("merge_stores/8", Box::new(|_| Ok(Box::new(Merge::new()))))]
}

/// A store that sends batches it was given.
pub(super) struct Prepared {
    pub(super) batches: Vec<SeriesBatch>,
    pub(super) interval: Interval,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("batches", &self.batches.len()).finish()
    }
}

#[async_trait]
impl Store for Prepared {
    fn info(&self) -> StoreInfo {
        StoreInfo {
            component: "store",
            label_sets: Vec::new(),
            interval: Some(self.interval),
            tsdbs: Vec::new(),
            abilities: Abilities::default(),
            blocks_hash: None,
        }
    }

    async fn series(&self, _: &Context, _: SeriesRequest) -> thanoslib::Result<SeriesStream> {
        let frames: Vec<_> = self.batches.iter().cloned().map(|b| Ok(Frame::Batch(b))).collect();
        Ok(stream::iter(frames).boxed())
    }

    async fn label_names(&self, _: &Context, _: LabelNamesRequest) -> thanoslib::Result<LabelNames> {
        Err(Error::new(ErrorKind::Unsupported, "only series are compared"))
    }

    async fn label_values(&self, _: &Context, _: LabelValuesRequest) -> thanoslib::Result<LabelValues> {
        Err(Error::new(ErrorKind::Unsupported, "only series are compared"))
    }
}

/// The series `ids` with a chunk each, which lie together in one buffer for each batch, as a store
/// reads them; each is written to `file` as well.
pub(super) fn batches(
    ids: &[usize],
    columns: &[FloatColumn],
    interval: Interval,
    file: &mut Vec<u8>,
) -> Vec<SeriesBatch> {
    let mut batches = Vec::new();
    for ids in ids.chunks(BATCH) {
        let mut builder = BatchBuilder::default();
        let mut buffer = Vec::new();
        let mut places = Vec::new();
        for i in ids {
            let column = &columns[i % columns.len()];
            let data = xor_chunk(&column.ts, &column.vs);
            places.push(buffer.len()..buffer.len() + data.len());
            buffer.extend_from_slice(&data);
        }
        let buffer = Bytes::from(buffer);
        for (i, place) in ids.iter().zip(places) {
            let (labels, data) = (labels(*i), buffer.slice(place));
            put_series(file, &labels, interval, &data);
            builder.series(labels.view());
            builder.chunk(interval, Aggr::Raw, Encoding::Xor, true, data);
        }
        batches.push(builder.finish());
    }
    batches
}

struct Merge {
    fanout: Fanout,
    interval: Interval,
    file: Vec<u8>,
    whole: Vec<SeriesBatch>,
}

impl Merge {
    fn new() -> Self {
        let mut file = (STORES as u32).to_le_bytes().to_vec();
        let columns: Vec<_> = (0..64).map(|i| floats(SHAPES[i % 4], i as u64, CHUNK)).collect();
        let interval = Interval::new(columns[0].ts[0], columns[0].ts[CHUNK - 1]);
        let mut members = Vec::new();
        for store in 0..STORES {
            let held = |i: &usize| i * 7 % STORES == store || (i * 7 + 3) % STORES == store;
            let ids: Vec<usize> = (0..SERIES).filter(held).collect();
            file.extend_from_slice(&(ids.len() as u32).to_le_bytes());
            let batches = batches(&ids, &columns, interval, &mut file);
            members.push(Member {
                name: format!("store-{store}"),
                store: Arc::new(Prepared { batches, interval }),
            });
        }
        Self { fanout: Fanout::new("query", members), interval, file, whole: Vec::new() }
    }

    /// Everything is there at once, so that nothing is ever waited for.
    fn merged(&self, mut each: impl FnMut(SeriesBatch)) {
        let ctx = Context::new(Budget::unlimited());
        let matcher = Matcher::equal("job", "frontend");
        let work = async {
            let request = SeriesRequest::new(self.interval, vec![matcher]);
            let mut stream = self.fanout.series(&ctx, request).await.expect("a stream");
            while let Some(frame) = stream.next().await {
                if let Frame::Batch(batch) = frame.expect("a frame") {
                    each(batch);
                }
            }
        };
        work.now_or_never().expect("nothing to wait for");
    }
}

/// Adds a series: `labels u32 | (length u16, name, length u16, value)… | chunks u32 |
/// (mint i64, maxt i64, length u32, data)…`, all little-endian.
fn put_series(out: &mut Vec<u8>, labels: &thanoslib::model::Labels, interval: Interval, data: &[u8]) {
    out.extend_from_slice(&(labels.len() as u32).to_le_bytes());
    for label in labels.iter() {
        for text in [label.name, label.value] {
            out.extend_from_slice(&(text.len() as u16).to_le_bytes());
            out.extend_from_slice(text);
        }
    }
    out.extend_from_slice(&1u32.to_le_bytes());
    out.extend_from_slice(&interval.mint.to_le_bytes());
    out.extend_from_slice(&interval.maxt.to_le_bytes());
    out.extend_from_slice(&(data.len() as u32).to_le_bytes());
    out.extend_from_slice(data);
}

impl Case for Merge {
    fn write(&self, dir: &Path) -> Result<PathBuf> {
        let path = dir.join("stores");
        fs::write(&path, &self.file)?;
        Ok(path)
    }

    fn items(&self) -> u64 {
        (2 * SERIES) as u64
    }

    fn checksum(&mut self) -> u64 {
        let (mut sum, mut i, mut whole) = (0u64, 0u64, Vec::new());
        self.merged(|batch| {
            for series in batch.iter() {
                i += 1;
                sum = sum.wrapping_add(i * series.chunks().len() as u64);
                for label in series.labels().iter() {
                    sum = sum.wrapping_add(label.name.len() as u64 + label.value.len() as u64 * 3);
                }
            }
            whole.push(batch);
        });
        self.whole = whole;
        sum
    }

    fn run(&mut self) {
        let mut chunks = 0;
        self.merged(|batch| chunks += batch.iter().map(|s| s.chunks().len()).sum::<usize>());
        assert!(chunks >= SERIES);
    }

    fn bare(&mut self) {
        // The joined series are copied once from batch to batch, sharing their data.
        for batch in &self.whole {
            let mut builder = BatchBuilder::default();
            batch.iter().for_each(|series| builder.copy(series));
            assert!(builder.finish().len() == batch.len());
        }
    }
}
