//! Joining the chunks of one series that several sources hold.

use std::{cmp::Ordering, collections::HashSet};

use xxhash_rust::xxh64::xxh64;

use super::batch::{BatchBuilder, ChunkView};
use crate::model::Aggr;

/// Collects the chunks of one series from all its sources, then hands them out once each,
/// in time order.
///
/// Aggregates of one window stay together. A window is dropped when each of its chunks has
/// the bytes of a chunk kept before: replicas of one block, or one series asked twice.
#[derive(Debug, Default)]
pub struct ChunkJoin<'a> {
    windows: Vec<Vec<ChunkView<'a>>>,
}

impl<'a> ChunkJoin<'a> {
    /// Adds the chunks of one source.
    pub fn add(&mut self, chunks: impl Iterator<Item = ChunkView<'a>>) {
        for chunk in chunks {
            match self.windows.last_mut() {
                Some(window) if !chunk.meta.first => window.push(chunk),
                _ => self.windows.push(vec![chunk]),
            }
        }
    }

    /// Number of windows added.
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// True before the first chunk.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Appends what was collected to the current series of `out`.
    pub fn finish(mut self, out: &mut BatchBuilder) {
        self.windows.sort_by(|a, b| order(a, b));
        let mut seen = HashSet::new();
        for window in &self.windows {
            let mut new = false;
            for chunk in window {
                // Times count too: upstream collapses windows of equal bytes at other times.
                let at = (chunk.meta.interval.mint, chunk.meta.interval.maxt, chunk.meta.aggr as u8);
                new |= seen.insert((at, chunk.meta.encoding, xxh64(chunk.data(), 0)));
            }
            if new {
                for chunk in window {
                    out.copy_chunk(*chunk);
                }
            }
        }
    }
}

fn order(a: &[ChunkView<'_>], b: &[ChunkView<'_>]) -> Ordering {
    let key = |window: &[ChunkView<'_>]| {
        let first = window.first().map(|c| c.meta);
        first.map(|m| (m.interval.mint, m.interval.maxt, m.aggr != Aggr::Raw))
    };
    key(a).cmp(&key(b)).then_with(|| {
        let data = |w: &[ChunkView<'_>]| w.first().map(|c| c.data().to_vec());
        // Equal times: any fixed order does, so that an answer does not depend on arrival.
        data(a).cmp(&data(b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chunk::Encoding,
        model::{Interval, LabelsRef},
        series::SeriesBatch,
    };

    fn batch(chunks: &[(i64, i64, &[u8])]) -> SeriesBatch {
        let mut b = BatchBuilder::default();
        b.series(LabelsRef::EMPTY);
        for (mint, maxt, data) in chunks {
            b.chunk_copied(Interval::new(*mint, *maxt), Aggr::Raw, Encoding::Xor, true, data);
        }
        b.finish()
    }

    #[test]
    fn equal_chunks_are_kept_once_and_in_time_order() {
        let a = batch(&[(10, 19, b"x"), (20, 29, b"y")]);
        let b = batch(&[(0, 9, b"w"), (10, 19, b"x"), (20, 29, b"z")]);
        let mut join = ChunkJoin::default();
        for batch in [&a, &b] {
            join.add(batch.get(0).expect("one series").chunks());
        }
        let mut out = BatchBuilder::default();
        out.series(LabelsRef::EMPTY);
        join.finish(&mut out);
        let out = out.finish();
        let got: Vec<_> = out
            .get(0)
            .expect("one series")
            .chunks()
            .map(|c| (c.meta.interval.mint, c.data().to_vec()))
            .collect();
        assert_eq!(got, [(0, b"w".to_vec()), (10, b"x".to_vec()), (20, b"y".to_vec()), (20, b"z".to_vec())]);
    }
}
