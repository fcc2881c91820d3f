//! The samples of one selected series, decoded when the engine wants them.

use std::sync::Arc;

use super::selection::Selection;
use crate::{
    chunk::Chunk,
    dedup::{SeriesChunk, read_floats, windows},
    error::Result,
    promql::SeriesData,
    series::{Aggr, SampleColumns, SeriesBatch, SeriesView},
};

/// One series of one batch.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) batch: Arc<SeriesBatch>,
    pub(super) index: usize,
}

/// A series whose chunks lie in one batch or go on in the next ones.
#[derive(Debug)]
pub(super) struct StoredSeries {
    pub(super) parts: Vec<Part>,
    pub(super) selection: Arc<Selection>,
}

impl StoredSeries {
    fn views(&self) -> impl Iterator<Item = SeriesView<'_>> {
        self.parts.iter().filter_map(|p| p.batch.get(p.index))
    }

    /// True when a chunk holds counter values whose resets were added up by downsampling.
    pub(super) fn has_counter_aggregates(&self) -> bool {
        self.views().flat_map(|s| s.chunks()).any(|c| c.meta.aggr == Aggr::Counter)
    }
}

impl StoredSeries {
    /// Decodes raw floats of one replica, which need no merge; false when there is more to do.
    fn decode_plain(&self, out: &mut SampleColumns) -> Result<bool> {
        let chunks = || self.views().flat_map(|s| s.chunks());
        if self.selection.adds_up_resets() || chunks().any(|c| c.meta.aggr != Aggr::Raw) {
            return Ok(false);
        }
        let raw = chunks().map(|c| (c.meta.interval, Chunk { encoding: c.meta.encoding, data: c.data() }));
        read_floats(raw, self.selection.interval, out)
    }
}

impl SeriesData for StoredSeries {
    fn decode(&self, out: &mut SampleColumns) -> Result<()> {
        if self.decode_plain(out)? {
            return Ok(());
        }
        let mut chunks: Vec<SeriesChunk<'_>> = self.views().flat_map(windows).collect();
        if chunks.is_empty() {
            return Ok(());
        }
        // Sources should send chunks in order of time, but need not.
        let key = |c: &SeriesChunk<'_>| (c.interval.mint, c.interval.maxt);
        if !chunks.is_sorted_by_key(key) {
            chunks.sort_by_key(key);
        }
        self.selection.deduplicate(|dedup| {
            if self.selection.merge_replicas {
                dedup.dedup(&[&chunks], out)?;
            } else {
                dedup.concat(&chunks, out)?;
            }
            Ok(())
        })
    }

    fn size_bytes(&self) -> usize {
        self.views().flat_map(|s| s.chunks()).map(|c| c.data().len()).sum()
    }
}
