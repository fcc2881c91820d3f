//! One replica decoded into columns, and a cursor that walks it forward.

use super::{SeriesChunk, chain::Walk};
use crate::{
    chunk::{Chunk, Encoding},
    downsample::{CounterResets, average},
    error::{Error, Result},
    model::Interval,
    series::{Aggr, FloatColumn, SampleColumns},
};

/// Samples of one replica: columns, and the runs of floats and histograms that make its time line.
///
/// See [`Reader`](super::Reader).
#[derive(Debug, Default)]
pub struct Replica {
    pub(super) samples: SampleColumns,
    pub(super) runs: Vec<Run>,
    /// Why the replica ends before its time.
    pub(super) error: Option<Error>,
}

/// Consecutive samples of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) histogram: bool,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// What is read of each chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// One aggregate, else the raw samples.
    One(Aggr),
    /// The raw samples, else the window averages.
    Average,
    /// The counter aggregate, else the raw samples; resets added up.
    Counter,
}

/// Columns that decoding needs in between, kept to be used again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    chunk: SampleColumns,
    counts: FloatColumn,
}

impl From<SampleColumns> for Replica {
    /// The time line of both columns, floats first where they tie.
    fn from(samples: SampleColumns) -> Self {
        let (f, h) = (&samples.floats.ts, &samples.histograms.ts);
        let mut runs = Vec::new();
        let (mut i, mut j) = (0, 0);
        while i < f.len() || j < h.len() {
            let start = i;
            while i < f.len() && h.get(j).is_none_or(|t| f[i] <= *t) {
                i += 1;
            }
            if i > start {
                runs.push(Run { histogram: false, start, end: i });
            }
            let start = j;
            while j < h.len() && f.get(i).is_none_or(|t| h[j] < *t) {
                j += 1;
            }
            if j > start {
                runs.push(Run { histogram: true, start, end: j });
            }
        }
        Self { samples, runs, error: None }
    }
}

impl Replica {
    pub(super) fn clear(&mut self) {
        self.samples.clear();
        self.runs.clear();
        self.error = None;
    }

    /// Decodes the chunks of a replica one after the other.
    ///
    /// A chunk that overlaps the one before gives only what comes later.
    pub(super) fn read(&mut self, chunks: &[SeriesChunk<'_>], read: Read, scratch: &mut Scratch) {
        self.clear();
        let result = match read {
            Read::Counter => self.read_counter(chunks, scratch),
            _ if chunks.is_empty() => Err(Error::corrupt("got empty chunks")),
            _ => self.read_plain(chunks, read, scratch),
        };
        self.error = result.err();
    }

    fn read_plain(&mut self, chunks: &[SeriesChunk<'_>], read: Read, scratch: &mut Scratch) -> Result<()> {
        // Samples before this time were given by an earlier chunk.
        let mut resume_at: Option<i64> = None;
        for chunk in chunks {
            let (floats, histograms) = (self.samples.floats.len(), self.samples.histograms.len());
            let decoded = decode(chunk, read, scratch, &mut self.samples);
            for histogram in [false, true] {
                let (ts, from) = if histogram {
                    (&self.samples.histograms.ts, histograms)
                } else {
                    (&self.samples.floats.ts, floats)
                };
                let Some(&last) = ts[from..].last() else { continue };
                let end = ts.len();
                let skip = match resume_at {
                    Some(at) => ts[from..].iter().position(|t| *t >= at),
                    None => Some(0),
                };
                if let Some(skip) = skip {
                    resume_at = None;
                    self.push_run(Run { histogram, start: from + skip, end });
                }
                resume_at = resume_at.max(Some(last.saturating_add(1)));
            }
            decoded?;
        }
        Ok(())
    }

    fn read_counter(&mut self, chunks: &[SeriesChunk<'_>], scratch: &mut Scratch) -> Result<()> {
        let mut resets = CounterResets::default();
        for chunk in chunks {
            scratch.chunk.clear();
            let decoded = match chunk.get(Aggr::Counter).or(chunk.get(Aggr::Raw)) {
                Some(part) => part.decode_into(&mut scratch.chunk).map_err(Error::from),
                None => Err(missing()),
            };
            resets.next_chunk();
            let (floats, histograms) = (self.samples.floats.len(), self.samples.histograms.len());
            resets.floats(&scratch.chunk.floats, &mut self.samples.floats);
            resets.histograms(&scratch.chunk.histograms, &mut self.samples.histograms);
            let (f, h) = (self.samples.floats.len(), self.samples.histograms.len());
            self.push_run(Run { histogram: false, start: floats, end: f });
            self.push_run(Run { histogram: true, start: histograms, end: h });
            decoded?;
        }
        Ok(())
    }

    /// Its samples, if they are floats without start times, none of them left out.
    pub(super) fn plain_floats(&self) -> Option<&FloatColumn> {
        let floats = &self.samples.floats;
        let whole = Run { histogram: false, start: 0, end: floats.len() };
        let plain = match self.runs[..] {
            [] => floats.is_empty(),
            [run] => run == whole,
            _ => false,
        };
        (plain && floats.st.is_empty()).then_some(floats)
    }

    fn push_run(&mut self, run: Run) {
        if run.start == run.end {
            return;
        }
        match self.runs.last_mut() {
            Some(last) if last.histogram == run.histogram && last.end == run.start => last.end = run.end,
            _ => self.runs.push(run),
        }
    }

    fn times(&self, run: Run) -> &[i64] {
        let ts = if run.histogram { &self.samples.histograms.ts } else { &self.samples.floats.ts };
        &ts[run.start..run.end]
    }

    /// Appends the samples inside `interval` to `out`, run by run.
    pub(super) fn copy_to(&self, interval: Interval, out: &mut SampleColumns) {
        for run in &self.runs {
            let ts = self.times(*run);
            let from = ts.iter().position(|t| *t >= interval.mint).unwrap_or(ts.len());
            let len = ts[from..].iter().position(|t| *t > interval.maxt);
            let to = from + len.unwrap_or(ts.len() - from);
            self.copy_run(Run { start: run.start + from, end: run.start + to, ..*run }, out);
            if len.is_some() {
                return;
            }
        }
    }

    fn copy_run(&self, run: Run, out: &mut SampleColumns) {
        if run.histogram {
            out.histograms.extend_from(&self.samples.histograms, run.start..run.end);
            return;
        }
        let floats = &self.samples.floats;
        if floats.st.is_empty() && out.floats.st.is_empty() {
            out.floats.ts.extend_from_slice(&floats.ts[run.start..run.end]);
            out.floats.vs.extend_from_slice(&floats.vs[run.start..run.end]);
            return;
        }
        (run.start..run.end).for_each(|i| out.floats.push_st(floats.start(i), floats.ts[i], floats.vs[i]));
    }
}

fn missing() -> Error {
    Error::corrupt("no valid chunk found")
}

/// Appends what `read` asks of one chunk.
fn decode(chunk: &SeriesChunk<'_>, read: Read, scratch: &mut Scratch, out: &mut SampleColumns) -> Result<()> {
    let raw = chunk.get(Aggr::Raw);
    let whole = |part: Option<Chunk<'_>>, out: &mut SampleColumns| {
        part.ok_or_else(missing)?.decode_into(out).map_err(Error::from)
    };
    match read {
        // Histograms have no smallest and largest sample: theirs come without data.
        Read::One(Aggr::Min | Aggr::Max) if raw.is_some_and(|c| c.encoding == Encoding::None) => Ok(()),
        Read::One(aggr) => whole(chunk.get(aggr).or(raw), out),
        Read::Average if raw.is_some() => whole(raw, out),
        _ => {
            let (Some(sum), Some(count)) = (chunk.get(Aggr::Sum), chunk.get(Aggr::Count)) else {
                return Err(missing());
            };
            scratch.chunk.clear();
            scratch.counts.clear();
            sum.decode_into(&mut scratch.chunk)?;
            count.decode_floats(&mut scratch.counts)?;
            average(&scratch.counts, &scratch.chunk, out)
        }
    }
}

/// A place in a replica that only moves forward.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    pub(super) replica: &'a Replica,
    run: usize,
    at: usize,
    started: bool,
    bounds: Interval,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(replica: &'a Replica, bounds: Interval) -> Self {
        Self { replica, run: 0, at: 0, started: false, bounds }
    }

    /// The current float.
    #[inline]
    pub(super) fn float(&self) -> Option<f64> {
        let run = self.current().filter(|run| !run.histogram)?;
        self.replica.samples.floats.vs.get(run.start + self.at).copied()
    }

    /// Kind and column index of the current sample.
    #[inline]
    pub(super) fn place(&self) -> Option<(bool, usize)> {
        self.current().map(|run| (run.histogram, run.start + self.at))
    }

    #[inline]
    fn current(&self) -> Option<Run> {
        self.replica.runs.get(self.run).copied()
    }
}

impl Walk for Cursor<'_> {
    /// Time of the current sample; the caller knows that there is one.
    #[inline]
    fn t(&self) -> i64 {
        self.current().map_or(i64::MAX, |run| self.replica.times(run)[self.at])
    }

    /// Moves to the next sample inside the bounds.
    ///
    /// Compat: Thanos `pkg/dedup/iter.go`: only this checks a sample against the upper bound.
    fn next(&mut self) -> bool {
        if self.started {
            self.at += 1;
            if self.current().is_some_and(|run| self.at >= run.end - run.start) {
                (self.run, self.at) = (self.run + 1, 0);
            }
        }
        self.started = true;
        if self.current().is_none() {
            return false;
        }
        if self.t() < self.bounds.mint && !self.seek(self.bounds.mint) {
            return false;
        }
        self.t() <= self.bounds.maxt
    }

    /// Moves to the first sample at or after `t` from here on; does not move from one that is.
    ///
    /// A `t` beyond the upper bound finds nothing, the sample found may lie beyond it.
    fn seek(&mut self, t: i64) -> bool {
        if t > self.bounds.maxt {
            return false;
        }
        let t = t.max(self.bounds.mint);
        self.started = true;
        while let Some(run) = self.current() {
            let ts = &self.replica.times(run)[self.at..];
            if let Some(skip) = ts.iter().position(|x| *x >= t) {
                self.at += skip;
                return true;
            }
            (self.run, self.at) = (self.run + 1, 0);
        }
        false
    }
}
