//! Several selects of equal matchers answered by one read.

use std::sync::Arc;

use super::{
    samples::{Part, StoredSeries},
    selection::{Selection, reads_raw_only},
};
use crate::{
    error::Result,
    model::Interval,
    promql::{Grain, SeriesData},
    series::SampleColumns,
};

/// True when the chunks of one select are among those of a read of both times: raw data is chosen chunk by
/// chunk, which resolution is taken depends on the whole time.
pub(super) fn joins(one: &Selection, other: &Selection) -> bool {
    reads_raw_only(one) && reads_raw_only(other)
}

/// The time that all selects read.
pub(super) fn around(selections: &[Arc<Selection>]) -> Interval {
    let mint = selections.iter().map(|s| s.reads.mint).min().unwrap_or(i64::MAX);
    let maxt = selections.iter().map(|s| s.reads.maxt).max().unwrap_or(i64::MIN);
    Interval::new(mint, maxt)
}

/// A series of several selects. Each decodes the chunks of its own time, as if it were read alone.
#[derive(Debug)]
pub(super) struct JoinedSeries {
    of: Vec<StoredSeries>,
}

impl JoinedSeries {
    /// The series with these parts, for each of the selects.
    pub(super) fn new(first: &Part, more: &[Part], selections: &[Arc<Selection>]) -> Self {
        let of = |s: &Arc<Selection>| StoredSeries {
            first: first.clone(),
            more: more.to_vec(),
            selection: Arc::clone(s),
        };
        Self { of: selections.iter().map(of).collect() }
    }
}

impl SeriesData for JoinedSeries {
    fn decode(&self, out: &mut SampleColumns) -> Result<()> {
        self.decode_of(0, out, &mut Grain::default())
    }

    fn decode_of(&self, select: usize, out: &mut SampleColumns, grain: &mut Grain) -> Result<()> {
        match self.of.get(select) {
            Some(series) => series.decode_grained(out, grain),
            None => Ok(()),
        }
    }

    fn size_bytes(&self) -> usize {
        // The chunks are the same for all.
        self.of.first().map_or(0, SeriesData::size_bytes)
    }
}
