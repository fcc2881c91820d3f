//! A store over batches held in memory.

use std::{collections::BTreeMap, sync::RwLock};

use async_trait::async_trait;

use super::{
    Abilities, Frame, LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, SeriesRequest,
    SeriesStream, Store, StoreInfo, TsdbInfo, conform::sort_and_cut, merge,
};
use crate::{
    chunk::Encoding,
    context::Context,
    error::{Error, Result},
    model::{Interval, Labels, Matcher},
    series::{Aggr, BatchBuilder},
};

/// Series of one producer, held as chunks in memory.
///
/// Samples are appended through [`MemoryStore::append`]; the store adds no external labels
/// and removes no replica labels, [`Conform`](super::Conform) does.
#[derive(Debug, Default)]
pub struct MemoryStore {
    labels: Labels,
    series: RwLock<BTreeMap<Labels, Vec<MemoryChunk>>>,
}

#[derive(Debug)]
struct MemoryChunk {
    interval: Interval,
    encoding: Encoding,
    data: bytes::Bytes,
}

impl MemoryStore {
    /// An empty store of a producer with these external labels.
    pub fn new(external: Labels) -> Self {
        Self { labels: external, series: RwLock::default() }
    }

    /// Adds one chunk of a series.
    ///
    /// # Errors
    /// `Internal` when another thread panicked while it held the store.
    pub fn append(
        &self,
        labels: &Labels,
        interval: Interval,
        encoding: Encoding,
        data: bytes::Bytes,
    ) -> Result<()> {
        let mut series = self.series.write().map_err(|_| poisoned())?;
        let chunks = series.entry(labels.clone()).or_default();
        let at = chunks.partition_point(|c| c.interval.mint <= interval.mint);
        chunks.insert(at, MemoryChunk { interval, encoding, data });
        Ok(())
    }

    fn each(
        &self,
        interval: Interval,
        matchers: &[Matcher],
        mut f: impl FnMut(&Labels, &mut dyn Iterator<Item = &MemoryChunk>),
    ) -> Result<()> {
        let series = self.series.read().map_err(|_| poisoned())?;
        for (labels, chunks) in series.iter() {
            let mut inside = chunks.iter().filter(|c| c.interval.overlaps(interval)).peekable();
            if inside.peek().is_some() && matchers.iter().all(|m| m.matches_labels(labels.view())) {
                f(labels, &mut inside);
            }
        }
        Ok(())
    }
}

fn poisoned() -> Error {
    Error::internal("a writer of the memory store panicked")
}

#[async_trait]
impl Store for MemoryStore {
    fn info(&self) -> StoreInfo {
        let mut interval: Option<Interval> = None;
        if let Ok(series) = self.series.read() {
            for chunk in series.values().flatten() {
                let at = interval.get_or_insert(chunk.interval);
                *at = Interval::new(at.mint.min(chunk.interval.mint), at.maxt.max(chunk.interval.maxt));
            }
        }
        let tsdbs = interval.map(|interval| TsdbInfo { labels: self.labels.clone(), interval });
        StoreInfo {
            component: "store",
            label_sets: if self.labels.is_empty() { Vec::new() } else { vec![self.labels.clone()] },
            interval,
            tsdbs: tsdbs.into_iter().collect(),
            abilities: Abilities::default(),
        }
    }

    async fn series(&self, ctx: &Context, request: SeriesRequest) -> Result<SeriesStream> {
        if request.matchers.is_empty() {
            return Ok(merge::ready(Vec::new()));
        }
        let mut frames = Vec::new();
        let mut out = BatchBuilder::default();
        let mut full = Ok(());
        self.each(request.interval, &request.matchers, |labels, chunks| {
            out.series(labels.view());
            if !request.skip_chunks {
                for c in chunks {
                    out.chunk(c.interval, Aggr::Raw, c.encoding, true, c.data.clone());
                }
            }
            if out.len() >= 256 && full.is_ok() {
                full = ctx.check();
                frames.push(Frame::Batch(out.finish()));
            }
        })?;
        full?;
        if !out.is_empty() {
            frames.push(Frame::Batch(out.finish()));
        }
        Ok(merge::ready(frames))
    }

    async fn label_names(&self, _: &Context, request: LabelNamesRequest) -> Result<LabelNames> {
        let mut names = Vec::new();
        self.each(request.interval, &request.matchers, |labels, _| {
            names.extend(labels.iter().map(|l| String::from_utf8_lossy(l.name).into_owned()));
        })?;
        sort_and_cut(&mut names, request.limit);
        Ok(LabelNames { names, ..LabelNames::default() })
    }

    async fn label_values(&self, _: &Context, request: LabelValuesRequest) -> Result<LabelValues> {
        let mut values = Vec::new();
        self.each(request.interval, &request.matchers, |labels, _| {
            values.extend(labels.get(&request.label).map(|v| String::from_utf8_lossy(v).into_owned()));
        })?;
        sort_and_cut(&mut values, request.limit);
        Ok(LabelValues { values, ..LabelValues::default() })
    }
}
