//! Deleted intervals of a local block.

use std::collections::BTreeMap;

use crate::{
    encoding::{Take, crc32c, put_uvarint, put_varint},
    error::DecodeError,
    model::Interval,
    series::SampleColumns,
};

const MAGIC: u32 = 0x0130_ba30;

/// Deleted intervals of series, by their number in the index.
///
/// **Layout**: magic `0x0130BA30` BE32, version 1, entries, CRC-32C BE32 of the entries
/// alone. An entry is the series as uvarint and the first and last millisecond as varint.
///
/// Source: Prometheus `tsdb/docs/format/tombstones.md`, `tsdb/tombstones/tombstones.go`.
///
/// ```
/// use thanoslib::{block::Tombstones, model::Interval};
/// let mut tombstones = Tombstones::default();
/// tombstones.add(16, Interval::new(0, 59_999));
/// let mut file = Vec::new();
/// tombstones.encode(&mut file);
/// assert_eq!(Tombstones::parse(&file)?.get(16), [Interval::new(0, 59_999)]);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tombstones {
    series: BTreeMap<u64, Vec<Interval>>,
}

impl Tombstones {
    /// Name of the file.
    pub const FILE: &'static str = "tombstones";

    /// Reads a file; intervals that touch or overlap become one.
    ///
    /// # Errors
    /// Wrong magic number, version or checksum, and entries that are cut.
    pub fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut take = Take::new(bytes);
        if take.be32()? != MAGIC {
            return Err(DecodeError::new("tombstones: wrong magic number", 0));
        }
        if take.u8()? != 1 {
            return Err(DecodeError::new("tombstones: unknown version", 4));
        }
        let Some((entries, crc)) = take.rest().split_last_chunk::<4>() else {
            return Err(take.error("unexpected end of data"));
        };
        if u32::from_be_bytes(*crc) != crc32c(entries) {
            return Err(DecodeError::new("tombstones checksum mismatch", 5 + entries.len()));
        }
        let mut take = Take::at(entries, 5);
        let mut all: BTreeMap<u64, Vec<Interval>> = BTreeMap::new();
        while !take.is_empty() {
            let series = take.uvarint()?;
            let interval = Interval::new(take.varint()?, take.varint()?);
            all.entry(series).or_default().push(interval);
        }
        for intervals in all.values_mut() {
            merge(intervals);
        }
        Ok(Self { series: all })
    }

    /// Appends the file.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC.to_be_bytes());
        out.push(1);
        let start = out.len();
        for (series, intervals) in &self.series {
            for interval in intervals {
                put_uvarint(out, *series);
                put_varint(out, interval.mint);
                put_varint(out, interval.maxt);
            }
        }
        let crc = crc32c(&out[start..]);
        out.extend_from_slice(&crc.to_be_bytes());
    }

    /// Marks an interval of a series as deleted.
    pub fn add(&mut self, series: u64, interval: Interval) {
        let intervals = self.series.entry(series).or_default();
        intervals.push(interval);
        merge(intervals);
    }

    /// The deleted intervals of a series, ascending and apart from each other.
    pub fn get(&self, series: u64) -> &[Interval] {
        self.series.get(&series).map_or(&[], Vec::as_slice)
    }

    /// Every series with its deleted intervals.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[Interval])> {
        self.series.iter().map(|(series, intervals)| (*series, intervals.as_slice()))
    }

    /// True when nothing is deleted.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }
}

fn merge(intervals: &mut Vec<Interval>) {
    intervals.retain(|i| i.mint <= i.maxt);
    intervals.sort_by_key(|i| (i.mint, i.maxt));
    intervals.dedup_by(|next, last| {
        let touches = next.mint <= last.maxt.saturating_add(1);
        if touches {
            last.maxt = last.maxt.max(next.maxt);
        }
        touches
    });
}

/// Removes the samples that lie in one of `deleted`, which ascend.
pub fn clip(samples: &mut SampleColumns, deleted: &[Interval]) {
    let gone = |t: i64| {
        let next = deleted.partition_point(|d| d.maxt < t);
        deleted.get(next).is_some_and(|d| d.contains(t))
    };
    if deleted.is_empty() || !samples.floats.ts.iter().chain(&samples.histograms.ts).any(|t| gone(*t)) {
        return;
    }
    let mut kept = SampleColumns::default();
    for i in 0..samples.floats.len() {
        if !gone(samples.floats.ts[i]) {
            kept.floats.push_st(samples.floats.start(i), samples.floats.ts[i], samples.floats.vs[i]);
        }
    }
    for i in 0..samples.histograms.len() {
        if !gone(samples.histograms.ts[i]) {
            kept.histograms.push(samples.histograms.ts[i], &samples.histograms.get(i));
            kept.histograms.set_last_start(samples.histograms.start(i));
        }
    }
    *samples = kept;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_round_trip_and_intervals_merge() {
        let mut tombstones = Tombstones::default();
        for (mint, maxt) in [(10, 20), (30, 40), (21, 25), (35, 36), (5, 4)] {
            tombstones.add(3, Interval::new(mint, maxt));
        }
        tombstones.add(1, Interval::ALL);
        assert_eq!(tombstones.get(3), [Interval::new(10, 25), Interval::new(30, 40)]);
        assert_eq!(tombstones.get(2), []);
        let mut out = Vec::new();
        tombstones.encode(&mut out);
        assert_eq!(Tombstones::parse(&out), Ok(tombstones));
    }

    #[test]
    fn the_checksum_covers_the_entries_only() {
        let empty = [0x01, 0x30, 0xba, 0x30, 1, 0, 0, 0, 0];
        assert_eq!(Tombstones::parse(&empty), Ok(Tombstones::default()));
        let mut out = Vec::new();
        Tombstones::default().encode(&mut out);
        assert_eq!(out, empty);
        assert!(Tombstones::parse(&empty[..8]).is_err());
        assert!(Tombstones::parse(&[0x01, 0x30, 0xba, 0x30, 1, 0, 0, 0, 1]).is_err());
    }

    #[test]
    fn clipping_removes_deleted_samples() {
        let mut samples = SampleColumns::default();
        (0..6).for_each(|t| samples.floats.push(t * 10, t as f64));
        clip(&mut samples, &[Interval::new(10, 20), Interval::new(45, 50)]);
        assert_eq!(samples.floats.ts, [0, 30, 40]);
    }
}
