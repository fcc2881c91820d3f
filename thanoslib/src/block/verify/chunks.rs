//! Chunk segments: every chunk that the index names.

use super::{FindingKind, VerifyReport, Window, found};
use crate::{
    block::{BlockMeta, RangeReader, read::segments},
    chunk::{
        AGGREGATES, AggrChunk, AggrError, Chunk, ChunkRecord, Encoding, SEGMENT_HEADER_LEN,
        parse_segment_header,
    },
    error::Result,
    index::ChunkRef,
    model::{Interval, SampleColumns},
};

/// Bytes that hold most chunks.
const CHUNK_BYTES: u64 = 16 << 10;
/// Longest chunk that is believed.
const CHUNK_BYTES_MAX: u64 = 64 << 20;

/// A chunk that an entry names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) place: ChunkRef,
    pub(super) interval: Interval,
    /// File offset of the entry.
    pub(super) series: u64,
}

/// The chunk segments of a block.
pub(super) struct Segments<'a> {
    reader: &'a dyn RangeReader,
    /// Names and sizes, in order; no size for one that is missing.
    names: Vec<(String, Option<u64>)>,
    window: Option<(u32, Window<'a>)>,
    decode: bool,
    samples: SampleColumns,
}

impl<'a> Segments<'a> {
    /// Looks at the header of each segment.
    pub(super) async fn open(
        reader: &'a dyn RangeReader,
        meta: Option<&BlockMeta>,
        decode: bool,
        report: &mut VerifyReport,
    ) -> Result<Self> {
        let default = BlockMeta::default();
        let mut names = Vec::new();
        for name in segments(reader, meta.unwrap_or(&default)).await? {
            let listed = meta.is_some_and(|m| m.thanos.files.iter().any(|f| f.rel_path == name));
            let size = match reader.size(&name).await {
                // One that the description lists was told before.
                Err(e) if e.kind() == crate::ErrorKind::NotFound && listed => None,
                size => found(size, &name, report)?,
            };
            if let Some(size) = size {
                let header = SEGMENT_HEADER_LEN as u64;
                let mut window = Window::new(reader, name.clone(), size.min(header));
                if let Err(e) = parse_segment_header(window.at(0, header).await?) {
                    report.say(FindingKind::Segment, &name, e.offset as u64, e.what);
                }
            }
            names.push((name, size));
        }
        Ok(Self { reader, names, window: None, decode, samples: SampleColumns::default() })
    }

    /// Checks some chunks, which are sorted by their place here.
    pub(super) async fn check(&mut self, placed: &mut [Placed], report: &mut VerifyReport) -> Result<()> {
        placed.sort_by_key(|p| p.place);
        for chunk in placed.iter() {
            self.one(*chunk, report).await?;
        }
        Ok(())
    }

    async fn one(&mut self, chunk: Placed, report: &mut VerifyReport) -> Result<()> {
        let (segment, offset) = (chunk.place.segment(), u64::from(chunk.place.offset()));
        let Some((name, size)) = self.names.get(segment as usize) else {
            let have = self.names.len() as i64;
            report.add(FindingKind::ChunkRef, super::INDEX, chunk.series, || {
                (Some(segment.into()), Some(have), "number of the segment".to_owned())
            });
            return Ok(());
        };
        // That the whole segment is missing was told.
        let Some(size) = *size else { return Ok(()) };
        if offset < SEGMENT_HEADER_LEN as u64 || offset >= size {
            report.add(FindingKind::ChunkRef, name, offset, || {
                (Some(offset as i64), Some(size as i64), format!("series at {}", chunk.series))
            });
            return Ok(());
        }
        let window = match &mut self.window {
            Some((of, window)) if *of == segment => window,
            other => &mut other.insert((segment, Window::new(self.reader, name.clone(), size))).1,
        };
        let mut want = CHUNK_BYTES;
        loop {
            match ChunkRecord::parse(window.at(offset, want).await?, offset) {
                Ok(ChunkRecord::Whole { encoding, data, .. }) => {
                    let data = Chunk { encoding, data };
                    let decode = self.decode.then_some(&mut self.samples);
                    content(name, chunk, data, decode, report);
                }
                Ok(ChunkRecord::Short(need))
                    if need as u64 > want
                        && need as u64 <= CHUNK_BYTES_MAX
                        && offset + need as u64 <= size =>
                {
                    want = need as u64;
                    continue;
                }
                Ok(ChunkRecord::Short(need)) => report.add(FindingKind::ChunkContent, name, offset, || {
                    let left = (size - offset) as i64;
                    (Some(need as i64), Some(left), "the chunk is longer than its segment".to_owned())
                }),
                Err(e) => {
                    let checksum = e.what == ChunkRecord::CHECKSUM_MISMATCH;
                    let kind = if checksum { FindingKind::ChunkChecksum } else { FindingKind::ChunkContent };
                    report.say(kind, name, offset, e.what);
                }
            }
            return Ok(());
        }
    }
}

/// Counts the samples of a chunk, decodes them and compares their times.
fn content(
    object: &str,
    placed: Placed,
    chunk: Chunk<'_>,
    decode: Option<&mut SampleColumns>,
    report: &mut VerifyReport,
) {
    let offset = u64::from(placed.place.offset());
    let count = match chunk.num_samples() {
        Ok(count) => count as u64,
        Err(e) => return report.say(FindingKind::ChunkContent, object, offset, e.what),
    };
    let stats = &mut report.stats;
    stats.num_samples += count;
    match chunk.encoding {
        Encoding::Aggr | Encoding::None => {}
        _ if chunk.is_histogram() => stats.num_histogram_samples += count,
        _ => stats.num_float_samples += count,
    }
    let Some(samples) = decode else { return };
    if chunk.encoding == Encoding::Aggr {
        for aggr in AGGREGATES {
            samples.clear();
            let decoded = match AggrChunk::new(chunk.data).get(aggr) {
                Ok(part) => part.decode_into(samples).map_err(|e| e.to_string()),
                Err(AggrError::Missing) => Ok(()),
                Err(e) => Err(e.to_string()),
            };
            if let Err(e) = decoded {
                report.say(FindingKind::ChunkContent, object, offset, format_args!("{aggr:?}: {e}"));
            }
        }
        return;
    }
    samples.clear();
    if let Err(e) = chunk.decode_into(samples) {
        return report.say(FindingKind::ChunkContent, object, offset, e);
    }
    let decoded = (samples.floats.len() + samples.histograms.len()) as u64;
    report.equal(FindingKind::ChunkContent, object, "samples", decoded, count);
    let ts = if chunk.is_histogram() { &samples.histograms.ts } else { &samples.floats.ts };
    let (Some(first), Some(last)) = (ts.first(), ts.last()) else {
        return report.say(FindingKind::ChunkContent, object, offset, "no samples");
    };
    for (got, want, what) in [
        (*first, placed.interval.mint, "time of the first sample"),
        (*last, placed.interval.maxt, "time of the last sample"),
    ] {
        if got != want {
            let text = || (Some(got), Some(want), format!("{what}, series at {}", placed.series));
            report.add(FindingKind::ChunkTimes, object, offset, text);
        }
    }
    if !ts.is_sorted_by(|a, b| a < b) {
        report.say(FindingKind::ChunkContent, object, offset, "samples are out of order");
    }
}
