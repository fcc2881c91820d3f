//! Merging the chunks of one series from several blocks into the chunks of one.
//!
//! Chunks that overlap no other are handed on as the bytes that they are; the others are
//! decoded, merged by time and written anew with at most 120 samples each.
//!
//! Source: Prometheus `storage/merge.go` (chained samples), Thanos `pkg/dedup/chunk_iter.go`
//! (penalty). Deviations, none of which changes what upstream keeps:
//! - Under penalty upstream drops the chunks of an overlap whose encoding is not that of the
//!   first; here floats and histograms are each merged by penalty, and then put in order of time.
//! - Overlapping downsampled chunks, which upstream drops, spoils or panics on, are merged
//!   window by window.
//! - A chunk and the same chunk without start timestamps are one: the former.

mod aggregates;
mod line;
mod queue;
mod track;

use self::{
    aggregates::Aggregates,
    line::{Line, Run, chain},
    queue::Queue,
    track::Track,
};
use super::Algorithm;
use crate::{
    chunk::{Chunk, ChunkCutter, ChunkFormat, CutPolicy, EncodedChunk, Encoding},
    error::{Error, Result},
    model::{FloatColumn, Interval},
};

/// A chunk of a merged series.
///
/// See [`ChunkMerge`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergedChunk<'a> {
    /// A chunk of an input as it was.
    Copied(Interval, Chunk<'a>),
    /// A chunk that was written anew.
    Written(EncodedChunk),
}

impl MergedChunk<'_> {
    /// First and last sample.
    pub fn interval(&self) -> Interval {
        match self {
            Self::Copied(interval, _) => *interval,
            Self::Written(chunk) => chunk.interval,
        }
    }

    /// The bytes and how to read them.
    pub fn chunk(&self) -> Chunk<'_> {
        match self {
            Self::Copied(_, chunk) => *chunk,
            Self::Written(chunk) => chunk.chunk(),
        }
    }
}

/// Merges the chunks of series, one series after another.
///
/// ```
/// use thanoslib::{
///     chunk::{Chunk, ChunkFormat, Encoding, XorAppender},
///     dedup::{Algorithm, ChunkMerge},
///     model::Interval,
/// };
///
/// let [mut a, mut b] = [XorAppender::new(), XorAppender::new()];
/// a.extend(&[0, 10, 20], &[1.0, 2.0, 3.0])?;
/// b.extend(&[20, 30], &[3.0, 4.0])?;
/// let chunk = |data| Chunk { encoding: Encoding::Xor, data };
/// let (a, b) = ((Interval::new(0, 20), chunk(a.bytes())), (Interval::new(20, 30), chunk(b.bytes())));
/// let mut merged = Vec::new();
/// ChunkMerge::new(Algorithm::Chain, ChunkFormat::default()).merge(&[&[a], &[b]], &mut merged)?;
/// assert_eq!((merged.len(), merged[0].interval()), (1, Interval::new(0, 30)));
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Debug)]
pub struct ChunkMerge {
    algorithm: Algorithm,
    cutter: ChunkCutter,
    tracks: Vec<Track>,
    /// Floats and histograms.
    lines: [Line; 2],
    runs: Vec<Run>,
    gathered: FloatColumn,
    aggregates: Aggregates,
}

impl ChunkMerge {
    /// A merge by this algorithm; samples without start timestamp are written in this format.
    pub fn new(algorithm: Algorithm, format: ChunkFormat) -> Self {
        Self {
            algorithm,
            cutter: ChunkCutter::new(CutPolicy::default(), format),
            tracks: Vec::new(),
            lines: Default::default(),
            runs: Vec::new(),
            gathered: FloatColumn::default(),
            aggregates: Aggregates::default(),
        }
    }

    /// Merges the chunks of one series. Each input holds the chunks of one block with first and
    /// last sample, in order of time; the merged ones are appended to `out` in order of time.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) when a chunk that must be written anew does not
    /// decode, or when raw and downsampled chunks overlap;
    /// [`Conflict`](crate::ErrorKind::Conflict) when the samples of such a chunk do not ascend.
    pub fn merge<'a>(
        &mut self,
        inputs: &[&[(Interval, Chunk<'a>)]],
        out: &mut Vec<MergedChunk<'a>>,
    ) -> Result<()> {
        let mut queue = Queue::new(inputs);
        let mut group: Vec<(Interval, Chunk<'a>)> = Vec::new();
        while let Some(first) = queue.pop() {
            group.clear();
            group.push(first);
            let mut end = first.0.maxt;
            while let Some(next) = queue.pop_until(end) {
                let before = group.len() - 1;
                match same(group[before], next)? {
                    Same::No => {
                        end = end.max(next.0.maxt);
                        group.push(next);
                    }
                    Same::Yes => {}
                    Same::NextHasStart => group[before] = next,
                }
            }
            match group[..] {
                [(interval, chunk)] => out.push(MergedChunk::Copied(interval, chunk)),
                _ => {
                    let mut written = Vec::new();
                    let joined = self.join(&group, &mut written);
                    joined.map_err(|e| e.context(format!("chunks from {} to {end}", first.0.mint)))?;
                    out.extend(written.into_iter().map(MergedChunk::Written));
                }
            }
        }
        Ok(())
    }

    /// Writes overlapping chunks anew.
    fn join(&mut self, group: &[(Interval, Chunk<'_>)], out: &mut Vec<EncodedChunk>) -> Result<()> {
        let aggregates = group.iter().filter(|(_, c)| c.encoding == Encoding::Aggr).count();
        if aggregates == group.len() {
            return self.aggregates.join(group, self.algorithm, out);
        }
        if aggregates > 0 {
            return Err(Error::corrupt("raw and downsampled chunks overlap"));
        }
        if self.tracks.len() < group.len() {
            self.tracks.resize_with(group.len(), Track::default);
        }
        let tracks = &mut self.tracks[..group.len()];
        for ((_, chunk), track) in group.iter().zip(&mut *tracks) {
            track.decode(*chunk)?;
        }
        self.runs.clear();
        match self.algorithm {
            Algorithm::Penalty => {
                self.lines.iter_mut().for_each(Line::clear);
                for (i, track) in tracks.iter().enumerate() {
                    self.lines[usize::from(track.is_histograms())].fold(track.ts(), i);
                }
                let [floats, histograms] = &self.lines;
                if tracks[0].is_histograms() {
                    histograms.runs_with(floats, &mut self.runs);
                } else {
                    floats.runs_with(histograms, &mut self.runs);
                }
            }
            Algorithm::Interval => return Err(no_interval_merge()),
            // Compat: `storage/merge.go` puts the first chunk last, which decides about ties.
            Algorithm::Chain => {
                let order: Vec<usize> = (1..tracks.len()).chain([0]).collect();
                let ts: Vec<&[i64]> = order.iter().map(|i| tracks[*i].ts()).collect();
                chain(&ts, &mut self.runs);
                self.runs.iter_mut().for_each(|run| run.track = order[run.track]);
            }
        }
        // What an error left behind is no part of this series.
        drop(self.cutter.finish());
        self.gathered.clear();
        for run in &self.runs {
            // Runs may be short: floats are put together before they are encoded.
            if tracks[run.track].gather(run.start..run.end, &mut self.gathered) {
                continue;
            }
            self.cutter.append_floats(&self.gathered, 0..self.gathered.len(), out)?;
            self.gathered.clear();
            tracks[run.track].append(run.start..run.end, &mut self.cutter, out)?;
        }
        self.cutter.append_floats(&self.gathered, 0..self.gathered.len(), out)?;
        out.extend(self.cutter.finish());
        Ok(())
    }
}

/// Whether a chunk says what the one before it says.
enum Same {
    No,
    Yes,
    /// Yes, and it knows start timestamps too.
    NextHasStart,
}

fn same(before: (Interval, Chunk<'_>), next: (Interval, Chunk<'_>)) -> Result<Same> {
    let ((at, a), (next_at, b)) = (before, next);
    if at != next_at {
        return Ok(Same::No);
    }
    if a == b {
        return Ok(Same::Yes);
    }
    let with_start = |c: Chunk<'_>| match c.encoding {
        Encoding::Xor => Some(Encoding::Xor2),
        Encoding::Histogram => Some(Encoding::HistogramSt),
        Encoding::FloatHistogram => Some(Encoding::FloatHistogramSt),
        _ => None,
    };
    let (same, outcome) = if with_start(a) == Some(b.encoding) {
        (same_samples(a, b)?, Same::NextHasStart)
    } else if with_start(b) == Some(a.encoding) {
        (same_samples(b, a)?, Same::Yes)
    } else {
        return Ok(Same::No);
    };
    Ok(if same { outcome } else { Same::No })
}

/// True when a chunk without start timestamps holds the samples of one that may have them.
fn same_samples(plain: Chunk<'_>, with_start: Chunk<'_>) -> Result<bool> {
    if plain.num_samples()? != with_start.num_samples()? {
        return Ok(false);
    }
    let mut tracks = [Track::default(), Track::default()];
    tracks[0].decode(plain)?;
    tracks[1].decode(with_start)?;
    Ok(tracks[0].same_values(&tracks[1]))
}

/// The interval merge picks samples by what a query sees around them; what is written is for all.
fn no_interval_merge() -> Error {
    Error::unsupported("chunks are merged by penalty or chain, not by interval")
}

#[cfg(test)]
mod tests;
