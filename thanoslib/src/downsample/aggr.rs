//! Chunks of aggregates in, chunks of aggregates of longer windows out.

use super::{
    CounterResets,
    chunks::AggrChunks,
    floats::{Fold, encode_counter, part},
    histograms::{HistogramEncoder, HistogramWindows, Kind, Picked},
    raw::RawDownsampler,
    window::target_chunk_count,
};
use crate::{
    chunk::{AggrChunk, AggrError, Chunk, Encoding, XorAppender},
    error::{Error, ErrorKind, Result},
    model::{Aggr, FloatColumn, FloatHistogramColumn, Interval, is_stale},
};

/// Most windows of the chunks that become one: it can hold no more.
const WINDOWS_MAX: usize = u16::MAX as usize - 2;

/// Downsamples series of aggregates further, one after the other.
///
/// Chunks come in time order; every chunk that is given is made of whole chunks, so that the
/// first and last raw values of counters are kept. Chunks of raw samples, which old versions left
/// behind among those of aggregates, are downsampled to the shorter windows first.
///
/// Source: Thanos `pkg/compact/downsample/downsample.go`. Compat: fewer chunks than are wanted
/// make that many chunks, where upstream loops for ever; an absent aggregate does not count as
/// one at time 0.
///
/// ```
/// use thanoslib::downsample::{AggrChunks, AggrDownsampler, RawDownsampler};
/// let (mut raw, mut fives) = (RawDownsampler::new(300_000)?, AggrChunks::default());
/// let ts: Vec<i64> = (0..120).map(|i| i * 60_000).collect();
/// raw.floats(&ts, &[1.0; 120], &mut fives)?;
/// raw.finish(&mut fives)?;
/// let (mut downsampler, mut hours) = (AggrDownsampler::new(300_000, 3_600_000)?, AggrChunks::default());
/// for (interval, chunk) in fives.iter() {
///     downsampler.chunk(interval, chunk, &mut hours)?;
/// }
/// downsampler.finish(&mut hours)?;
/// assert_eq!(hours.iter().next().expect("a chunk").1.num_samples()?, 2);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct AggrDownsampler {
    from_ms: i64,
    to_ms: i64,
    run: AggrChunks,
    /// Windows of the run.
    windows: usize,
    histograms: bool,
    raw: RawDownsampler,
    fresh: AggrChunks,
    scratch: Scratch,
}

/// Memory that is kept from chunk to chunk.
#[derive(Clone, Debug, Default)]
struct Scratch {
    samples: FloatColumn,
    folded: FloatColumn,
    /// In the order of the aggregates.
    chunks: [XorAppender; 5],
    sums: Joined,
    counters: Joined,
    windows: HistogramWindows,
    encoder: HistogramEncoder,
}

/// Histograms of several chunks, and those of the next.
#[derive(Clone, Debug, Default)]
struct Joined {
    next: FloatHistogramColumn,
    column: FloatHistogramColumn,
    at: Vec<usize>,
    ts: Vec<i64>,
    kind: Option<Kind>,
}

impl AggrDownsampler {
    /// A downsampler from windows of one length to those of another.
    ///
    /// # Errors
    /// `Invalid` unless the lengths are positive and grow.
    pub fn new(from_ms: i64, to_ms: i64) -> Result<Self> {
        if from_ms <= 0 || to_ms <= from_ms {
            return Err(Error::invalid(format!("windows of {from_ms} ms can not become {to_ms} ms long")));
        }
        Ok(Self {
            from_ms,
            to_ms,
            run: AggrChunks::default(),
            windows: 0,
            histograms: false,
            raw: RawDownsampler::new(from_ms)?,
            fresh: AggrChunks::default(),
            scratch: Scratch::default(),
        })
    }

    /// Forgets the chunks of a series that is not finished.
    pub fn reset(&mut self) {
        self.run.clear();
        self.windows = 0;
        self.raw.reset();
    }

    /// Adds a chunk with its first and last window.
    ///
    /// # Errors
    /// `Corrupt` for a chunk that does not decode, as far as it is looked at.
    pub fn chunk(&mut self, interval: Interval, chunk: Chunk<'_>, out: &mut AggrChunks) -> Result<()> {
        if chunk.encoding == Encoding::Aggr {
            return self.aggregates(interval, chunk.data, out);
        }
        if chunk.num_samples()? == 0 {
            return Ok(());
        }
        let mut fresh = std::mem::take(&mut self.fresh);
        fresh.clear();
        let result = self.raw.chunk(chunk, &mut fresh).and_then(|()| self.raw.finish(&mut fresh));
        self.raw.reset();
        let result = result.and_then(|()| {
            fresh.iter().try_for_each(|(interval, chunk)| self.aggregates(interval, chunk.data, out))
        });
        self.fresh = fresh;
        result
    }

    fn aggregates(&mut self, interval: Interval, data: &[u8], out: &mut AggrChunks) -> Result<()> {
        let chunk = AggrChunk::new(data);
        let histograms = chunk.get(Aggr::Counter).is_ok_and(|c| c.is_histogram());
        if !self.run.is_empty() && histograms != self.histograms {
            self.flush(out)?;
        }
        self.histograms = histograms;
        self.windows += chunk.num_samples()?;
        self.run.push_bytes(interval, data);
        Ok(())
    }

    /// Ends the series.
    ///
    /// # Errors
    /// `Corrupt` for a chunk that does not decode, or that holds floats without a counter.
    pub fn finish(&mut self, out: &mut AggrChunks) -> Result<()> {
        let result = self.flush(out);
        self.reset();
        result
    }

    fn flush(&mut self, out: &mut AggrChunks) -> Result<()> {
        let ends = self.run.iter().next().zip(self.run.iter().last());
        let Some(((first, _), (last, _))) = ends else { return Ok(()) };
        let interval = Interval::new(first.mint, last.maxt);
        let wanted = target_chunk_count(interval, self.from_ms, self.to_ms, self.windows);
        let size = (self.run.len() / usize::try_from(wanted).unwrap_or(usize::MAX)).max(1);
        let (to_ms, scratch) = (self.to_ms, &mut self.scratch);
        let mut group: Vec<AggrChunk<'_>> = Vec::with_capacity(size.min(self.run.len()));
        let mut windows = 0;
        let mut merge = |group: &mut Vec<AggrChunk<'_>>| {
            let merged = match self.histograms {
                true => scratch.merge_histograms(group, to_ms, out),
                false => scratch.merge_floats(group, to_ms, out),
            };
            group.clear();
            merged
        };
        for (_, chunk) in self.run.iter() {
            let chunk = AggrChunk::new(chunk.data);
            let more = chunk.num_samples()?;
            if group.len() == size || (!group.is_empty() && windows + more > WINDOWS_MAX) {
                merge(&mut group)?;
                windows = 0;
            }
            windows += more;
            group.push(chunk);
        }
        merge(&mut group)?;
        self.run.clear();
        self.windows = 0;
        Ok(())
    }
}

impl Scratch {
    fn merge_floats(&mut self, group: &[AggrChunk<'_>], to_ms: i64, out: &mut AggrChunks) -> Result<()> {
        let Self { samples, folded, chunks, .. } = self;
        let mut interval = None;
        let mut present = [false; 5];
        let folds = [
            (Aggr::Count, Fold::Sum),
            (Aggr::Sum, Fold::Sum),
            (Aggr::Min, Fold::Min),
            (Aggr::Max, Fold::Max),
        ];
        for (i, (aggr, fold)) in folds.into_iter().enumerate() {
            samples.clear();
            for chunk in group {
                join_floats(chunk, aggr, samples)?;
            }
            fold.fill(samples, to_ms, folded);
            chunks[i].restart();
            chunks[i].extend(&folded.ts, &folded.vs)?;
            present[i] = !folded.is_empty();
            widen(&mut interval, &folded.ts);
        }
        let last_raw = self.counters(group)?;
        let Self { samples, folded, chunks, .. } = self;
        Fold::Counter.fill(samples, to_ms, folded);
        if let (Some(&t), Some(&v), Some(last_v)) = (samples.ts.first(), samples.vs.first(), last_raw) {
            encode_counter((t, v), (&folded.ts, &folded.vs), last_v, &mut chunks[4])?;
            present[4] = true;
            widen(&mut interval, &folded.ts);
        }
        if let Some(interval) = interval {
            out.push(interval, &[0, 1, 2, 3, 4].map(|i| present[i].then(|| part(&chunks[i]))));
        }
        Ok(())
    }

    /// Reads the counters of a group as one without resets; returns the last raw value.
    fn counters(&mut self, group: &[AggrChunk<'_>]) -> Result<Option<f64>> {
        let Self { samples, folded, .. } = self;
        let mut resets = CounterResets::default();
        samples.clear();
        for chunk in group {
            folded.clear();
            match chunk.get(Aggr::Counter) {
                Ok(counter) => counter.decode_floats(folded)?,
                Err(AggrError::Missing) => continue,
                Err(e) => return Err(e.into()),
            }
            resets.next_chunk();
            resets.floats(folded, samples);
        }
        Ok(resets.last_raw())
    }

    fn merge_histograms(&mut self, group: &[AggrChunk<'_>], to_ms: i64, out: &mut AggrChunks) -> Result<()> {
        self.samples.clear();
        self.sums.clear();
        self.counters.clear();
        for chunk in group {
            self.sums.read(chunk, Aggr::Sum)?;
            self.counters.read(chunk, Aggr::Counter)?;
            if !(self.sums.fits() && self.counters.fits()) {
                self.write_histograms(to_ms, out)?;
            }
            join_floats(chunk, Aggr::Count, &mut self.samples)?;
            self.sums.join()?;
            self.counters.join()?;
        }
        self.write_histograms(to_ms, out)
    }

    fn write_histograms(&mut self, to_ms: i64, out: &mut AggrChunks) -> Result<()> {
        let Self { samples, sums, counters, windows, encoder, .. } = self;
        Fold::Sum.fill(samples, to_ms, &mut windows.counts);
        windows.fill_sums(sums.picked(), to_ms)?;
        let gauge = counters.kind.as_ref().is_some_and(Kind::is_gauge);
        windows.fill_counters(counters.picked(), to_ms, gauge)?;
        encoder.encode(windows, out)?;
        samples.clear();
        sums.clear();
        counters.clear();
        Ok(())
    }
}

impl Joined {
    /// Decodes an aggregate of the next chunk, without stale markers.
    fn read(&mut self, chunk: &AggrChunk<'_>, aggr: Aggr) -> Result<()> {
        self.next.clear();
        match chunk.get(aggr) {
            Ok(part) => Ok(part.decode_float_histograms(&mut self.next)?),
            Err(AggrError::Missing) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// The kind of the next chunk.
    fn next_kind(&self) -> Option<Kind> {
        let first = (0..self.next.len()).find(|i| !self.next.is_stale(*i));
        first.map(|i| Kind::of(&self.next, i))
    }

    /// True when the next chunk can be aggregated with those before.
    fn fits(&self) -> bool {
        self.kind.as_ref().zip(self.next_kind()).is_none_or(|(before, next)| before.fits(&next))
    }

    /// Appends the next chunk.
    fn join(&mut self) -> Result<()> {
        if self.column.buckets.len() + self.next.buckets.len() > u32::MAX as usize {
            return Err(Error::new(ErrorKind::Limit, "chunks of one series hold more than 2^32 buckets"));
        }
        self.kind = self.kind.take().or_else(|| self.next_kind());
        let mut last = i64::MIN;
        for i in 0..self.next.len() {
            let t = self.next.ts[i];
            if t < last || self.next.is_stale(i) {
                continue;
            }
            last = t;
            self.at.push(self.column.len());
            self.ts.push(self.ts.last().map_or(t, |before| t.max(*before)));
            self.column.push_from(&self.next, i);
        }
        Ok(())
    }

    fn picked(&self) -> Picked<'_> {
        Picked::new(&self.column, &self.at, &self.ts)
    }

    fn clear(&mut self) {
        self.column.clear();
        self.at.clear();
        self.ts.clear();
        self.kind = None;
    }
}

/// Appends an aggregate of floats, if there is one, without stale markers.
///
/// Samples that go back in time are dropped within a chunk. What lies before the end of the
/// chunk before counts there.
fn join_floats(chunk: &AggrChunk<'_>, aggr: Aggr, out: &mut FloatColumn) -> Result<()> {
    let from = out.len();
    match chunk.get(aggr) {
        Ok(part) => part.decode_floats(out)?,
        Err(AggrError::Missing) => return Ok(()),
        Err(e) => return Err(e.into()),
    }
    out.st.clear();
    let before = from.checked_sub(1).map_or(i64::MIN, |i| out.ts[i]);
    let (ts, vs) = (&mut out.ts, &mut out.vs);
    let (mut to, mut last) = (from, i64::MIN);
    for i in from..ts.len() {
        if ts[i] >= last && !is_stale(vs[i]) {
            last = ts[i];
            (ts[to], vs[to]) = (last.max(before), vs[i]);
            to += 1;
        }
    }
    ts.truncate(to);
    vs.truncate(to);
    Ok(())
}

fn widen(interval: &mut Option<Interval>, ts: &[i64]) {
    if let (Some(&first), Some(&last)) = (ts.first(), ts.last()) {
        let all = interval.get_or_insert(Interval::new(first, last));
        *all = Interval::new(all.mint.min(first), all.maxt.max(last));
    }
}
