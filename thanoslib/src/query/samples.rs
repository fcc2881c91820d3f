//! The samples of one selected series, decoded when the engine wants them.

use std::sync::Arc;

use super::{
    ResolutionSeams, broken, plain,
    seams::{self, is_downsampled, resolution_of},
    selection::Selection,
};
use crate::{
    chunk::Chunk,
    dedup::{Algorithm, SeriesChunk, windows},
    error::Result,
    model::{Interval, Resolution},
    promql::{Grain, SeriesData},
    series::{Aggr, ChunkView, SampleColumns, SeriesBatch, SeriesView},
};

/// One series of one batch.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) batch: Arc<SeriesBatch>,
    pub(super) index: usize,
}

/// A series whose chunks lie in one batch or go on in the next ones.
#[derive(Debug)]
pub(super) struct StoredSeries {
    pub(super) first: Part,
    /// The same series in the batches behind.
    pub(super) more: Vec<Part>,
    pub(super) selection: Arc<Selection>,
}

impl StoredSeries {
    pub(super) fn views(&self) -> impl Iterator<Item = SeriesView<'_>> {
        [&self.first].into_iter().chain(&self.more).filter_map(|p| p.batch.get(p.index))
    }

    /// True when a chunk holds counter values whose resets were added up by downsampling.
    pub(super) fn has_counter_aggregates(&self) -> bool {
        self.views().flat_map(|s| s.chunks()).any(|c| c.meta.aggr == Aggr::Counter)
    }
}

impl StoredSeries {
    /// The resolutions of its chunks.
    pub(super) fn resolutions(&self) -> impl Iterator<Item = Resolution> {
        self.views().flat_map(windows).map(|c| resolution_of(&c))
    }

    /// Decodes raw chunks of one replica, which need no merge; false when there is more to do.
    fn decode_plain(&self, out: &mut SampleColumns) -> Result<bool> {
        let slots = self.selection.merge_replicas && self.selection.algorithm == Algorithm::Interval;
        if slots || self.selection.adds_up_resets() {
            return Ok(false);
        }
        // Nearly all series lie in one batch, and of theirs each chunk is wanted: a plain row.
        if self.more.is_empty() && !self.selection.joined {
            let Some(only) = self.first.batch.get(self.first.index) else { return Ok(true) };
            return Ok(is_row(only.chunks()) && self.read_row(only.chunks(), out)?);
        }
        let read = |i: Interval| !self.selection.joined || i.overlaps(self.selection.reads);
        let chunks = || self.views().flat_map(|s| s.chunks()).filter(|c| read(c.meta.interval));
        Ok(is_row(chunks()) && self.read_row(chunks(), out)?)
    }

    fn read_row<'a>(
        &self,
        chunks: impl Iterator<Item = ChunkView<'a>>,
        out: &mut SampleColumns,
    ) -> Result<bool> {
        let raw = chunks.map(|c| (c.meta.interval, Chunk { encoding: c.meta.encoding, data: c.data() }));
        plain::read_row(raw, self.selection.interval, out)
    }

    /// Decodes chunks of any kind; they come in order of time.
    fn decode_chunks(
        &self,
        chunks: Vec<SeriesChunk<'_>>,
        out: &mut SampleColumns,
        grain: &mut Grain,
    ) -> Result<()> {
        let chunks = self.ordered(chunks);
        if chunks.is_empty() {
            return Ok(());
        }
        let selection = &*self.selection;
        if selection.seams == ResolutionSeams::Right && chunks.iter().any(is_downsampled) {
            return seams::read(selection, &chunks, out, grain);
        }
        selection.merge(&chunks, selection.request(), out)
    }

    /// The chunks of the selected time in order of time.
    fn ordered<'a>(&self, mut chunks: Vec<SeriesChunk<'a>>) -> Vec<SeriesChunk<'a>> {
        if self.selection.joined {
            chunks.retain(|c| c.interval.overlaps(self.selection.reads));
        }
        // Sources should send chunks in order of time, but need not.
        let key = |c: &SeriesChunk<'_>| (c.interval.mint, c.interval.maxt);
        if !chunks.is_sorted_by_key(key) {
            chunks.sort_by_key(key);
        }
        chunks
    }
}

/// True for raw chunks that follow each other; those of several replicas lie across each other,
/// which is seen before one is decoded.
fn is_row<'a>(chunks: impl Iterator<Item = ChunkView<'a>>) -> bool {
    let mut before = None;
    for c in chunks {
        if c.meta.aggr != Aggr::Raw || before.is_some_and(|before| c.meta.interval.mint <= before) {
            return false;
        }
        before = Some(c.meta.interval.maxt);
    }
    true
}

impl SeriesData for StoredSeries {
    fn decode(&self, out: &mut SampleColumns) -> Result<()> {
        self.decode_grained(out, &mut Grain::default())
    }

    fn decode_grained(&self, out: &mut SampleColumns, grain: &mut Grain) -> Result<()> {
        let decoded = match self.decode_plain(out) {
            Ok(true) => return Ok(()),
            Ok(false) => self.decode_chunks(self.views().flat_map(windows).collect(), out, grain),
            Err(e) => Err(e),
        };
        let Err(e) = decoded else { return Ok(()) };
        let sound = broken::left_out(self, e, grain)?;
        out.clear();
        grain.stretches.clear();
        grain.float_counts.clear();
        grain.histogram_counts.clear();
        self.decode_chunks(sound, out, grain)
    }

    fn size_bytes(&self) -> usize {
        self.views().map(|s| s.data_len()).sum()
    }
}
