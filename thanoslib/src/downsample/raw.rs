//! Raw samples of a series in, chunks of aggregates out.

use super::{
    chunks::AggrChunks,
    floats::FloatWindows,
    fold::never_falls,
    histograms::{HistogramEncoder, HistogramWindows, Kind, Picked},
    window::{last_of_window, target_chunk_count},
};
use crate::{
    chunk::{Chunk, Encoding, XorDecoder},
    error::{Error, ErrorKind, Result},
    model::{FloatColumn, FloatHistogramColumn, Interval, is_stale},
};

/// Distance of raw samples that the size of chunks is reckoned with.
const RAW_STEP_MS: i64 = 60_000;

/// Downsamples raw series, one after the other.
///
/// Samples come in time order, as columns or as chunks. Chunks of aggregates are given once
/// their number is known: at the end of the series, or where floats and histograms change.
/// Stale markers and other NaN are dropped; a series of nothing else gives no chunk.
///
/// A chunk of floats holds count, sum, min, max and counter, one of histograms count, sum and
/// counter. Histograms of other bounds than those before, or a gauge after counters, begin a new
/// chunk.
///
/// ```
/// use thanoslib::downsample::{AggrChunks, RawDownsampler};
///
/// let mut downsampler = RawDownsampler::new(300_000)?;
/// let mut out = AggrChunks::default();
/// downsampler.floats(&[0, 60_000, 300_000], &[1.0, 2.0, 4.0], &mut out)?;
/// downsampler.finish(&mut out)?;
/// let (interval, chunk) = out.iter().next().expect("a chunk");
/// assert_eq!((interval.mint, interval.maxt), (299_999, 300_000));
/// assert_eq!(chunk.num_samples()?, 2);
/// # Ok::<(), thanoslib::Error>(())
/// ```
///
/// Source: Thanos `pkg/compact/downsample/downsample.go`. Compat: samples before 1970, which are
/// lost there, are kept.
#[derive(Clone, Debug)]
pub struct RawDownsampler {
    resolution_ms: i64,
    /// What the open run is made of.
    run: Option<Samples>,
    last_ms: Option<i64>,
    floats: FloatColumn,
    histograms: FloatHistogramColumn,
    /// The histograms that count, and their times.
    kept: Vec<usize>,
    kept_ts: Vec<i64>,
    scratch: Scratch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Samples {
    Floats,
    Histograms,
}

/// Memory that is kept from batch to batch.
#[derive(Clone, Debug, Default)]
struct Scratch {
    /// True when some float of the run may be NaN.
    nan: bool,
    /// True when some float of the run may be below the one before it.
    falls: bool,
    batch: FloatColumn,
    at: Vec<usize>,
    ts: Vec<i64>,
    windows: FloatWindows,
    histogram_windows: HistogramWindows,
    encoder: HistogramEncoder,
}

impl RawDownsampler {
    /// A downsampler to windows of this length.
    ///
    /// # Errors
    /// `Invalid` unless the length is positive.
    pub fn new(resolution_ms: i64) -> Result<Self> {
        if resolution_ms <= 0 {
            return Err(Error::invalid(format!("windows of {resolution_ms} ms")));
        }
        Ok(Self {
            resolution_ms,
            run: None,
            last_ms: None,
            floats: FloatColumn::default(),
            histograms: FloatHistogramColumn::default(),
            kept: Vec::new(),
            kept_ts: Vec::new(),
            scratch: Scratch::default(),
        })
    }

    /// Forgets the samples of a series that is not finished.
    pub fn reset(&mut self) {
        self.run = None;
        self.last_ms = None;
        self.clear_run();
    }

    /// Adds float samples; both slices have the same length.
    ///
    /// # Errors
    /// `Invalid` when the slices differ in length or begin before the last sample. Samples that
    /// go back in time within the slices are dropped.
    pub fn floats(&mut self, ts: &[i64], vs: &[f64], out: &mut AggrChunks) -> Result<()> {
        if ts.len() != vs.len() {
            return Err(Error::invalid(format!("{} times of {} values", ts.len(), vs.len())));
        }
        self.begin(Samples::Floats, out)?;
        let from = self.floats.len();
        self.floats.ts.extend_from_slice(ts);
        self.floats.vs.extend_from_slice(vs);
        let distances = distances(&self.floats.ts[from..]);
        self.take_floats(from, distances, Error::invalid)
    }

    /// Adds histograms.
    ///
    /// # Errors
    /// `Invalid` when the column begins before the last sample, `Limit` for more than 2^32
    /// buckets. Samples that go back in time within the column are dropped.
    pub fn histograms(&mut self, column: &FloatHistogramColumn, out: &mut AggrChunks) -> Result<()> {
        self.begin(Samples::Histograms, out)?;
        if self.histograms.buckets.len() + column.buckets.len() > u32::MAX as usize {
            return Err(Error::new(ErrorKind::Limit, "series holds more than 2^32 buckets"));
        }
        let from = self.histograms.len();
        (0..column.len()).for_each(|i| self.histograms.push_from(column, i));
        self.take_histograms(from, Error::invalid)
    }

    /// Adds the samples of a raw chunk.
    ///
    /// # Errors
    /// `Corrupt` when the chunk does not decode, holds aggregates, or begins before the last
    /// sample.
    pub fn chunk(&mut self, chunk: Chunk<'_>, out: &mut AggrChunks) -> Result<()> {
        if chunk.is_histogram() {
            self.begin(Samples::Histograms, out)?;
            let from = self.histograms.len();
            chunk.decode_float_histograms(&mut self.histograms)?;
            return self.take_histograms(from, Error::corrupt);
        }
        self.begin(Samples::Floats, out)?;
        let from = self.floats.len();
        let distances = if chunk.encoding == Encoding::Xor {
            let mut decoder = XorDecoder::new(chunk.data)?;
            decoder.fill(&mut self.floats, usize::MAX)?;
            decoder.distances()
        } else {
            chunk.decode_floats(&mut self.floats)?;
            distances(&self.floats.ts[from..])
        };
        // Nothing here reads start timestamps.
        self.floats.st.clear();
        self.take_floats(from, distances, Error::corrupt)
    }

    /// Ends the series.
    ///
    /// # Errors
    /// `Internal` when samples do not fit together, which is a bug here.
    pub fn finish(&mut self, out: &mut AggrChunks) -> Result<()> {
        let result = self.flush(out);
        self.reset();
        result
    }

    /// Ends the run before if it is of another kind.
    fn begin(&mut self, samples: Samples, out: &mut AggrChunks) -> Result<()> {
        if self.run.is_some_and(|run| run != samples) {
            self.flush(out)?;
        }
        self.run = Some(samples);
        Ok(())
    }

    /// Keeps those of the floats from `from` on that count; none of their distances exceeds
    /// `distances`.
    fn take_floats(&mut self, from: usize, distances: u64, refuse: impl Fn(String) -> Error) -> Result<()> {
        let (ts, vs) = (&mut self.floats.ts, &mut self.floats.vs);
        // What never falls holds no NaN either.
        let rises = never_falls(&vs[from.saturating_sub(1)..]);
        let nan = !rises && has_nan(&vs[from..]);
        self.scratch.falls |= !rises;
        self.scratch.nan |= nan;
        if nan || !in_order(&ts[from..], distances) {
            let (mut to, mut last) = (from, i64::MIN);
            for i in from..ts.len() {
                if ts[i] >= last && !is_stale(vs[i]) {
                    (ts[to], vs[to], last) = (ts[i], vs[i], ts[i]);
                    to += 1;
                }
            }
            ts.truncate(to);
            vs.truncate(to);
        }
        let ends = ts.get(from).copied().zip(ts.last().copied());
        self.check_order(ends, refuse)
    }

    /// Notes those of the histograms from `from` on that count.
    fn take_histograms(&mut self, from: usize, refuse: impl Fn(String) -> Error) -> Result<()> {
        let first = self.kept.len();
        let mut last = i64::MIN;
        for i in from..self.histograms.len() {
            let t = self.histograms.ts[i];
            if t >= last && !self.histograms.is_stale(i) {
                self.kept.push(i);
                self.kept_ts.push(t);
                last = t;
            }
        }
        let ends = self.kept_ts.get(first).copied().zip(self.kept_ts.last().copied());
        self.check_order(ends, refuse)
    }

    fn check_order(&mut self, ends: Option<(i64, i64)>, refuse: impl Fn(String) -> Error) -> Result<()> {
        let Some((first, last)) = ends else { return Ok(()) };
        if let Some(before) = self.last_ms.filter(|before| first < *before) {
            return Err(refuse(format!("samples from {first} on follow one at {before}")));
        }
        self.last_ms = Some(last);
        Ok(())
    }

    /// Downsamples the open run.
    fn flush(&mut self, out: &mut AggrChunks) -> Result<()> {
        let resolution_ms = self.resolution_ms;
        for batch in Batches::new(&self.floats.ts, resolution_ms) {
            let (ts, vs) = (&self.floats.ts[batch.clone()], &self.floats.vs[batch]);
            self.scratch.float_batch(ts, vs, resolution_ms, out)?;
        }
        for batch in Batches::new(&self.kept_ts, resolution_ms) {
            self.scratch.histogram_batch(&self.histograms, &self.kept[batch], resolution_ms, out)?;
        }
        self.clear_run();
        Ok(())
    }

    fn clear_run(&mut self) {
        self.floats.clear();
        (self.scratch.nan, self.scratch.falls) = (false, false);
        self.histograms.clear();
        self.kept.clear();
        self.kept_ts.clear();
    }
}

impl Scratch {
    fn float_batch(
        &mut self,
        ts: &[i64],
        vs: &[f64],
        resolution_ms: i64,
        out: &mut AggrChunks,
    ) -> Result<()> {
        let Self { nan, falls, batch, windows, .. } = self;
        let (mut ts, mut vs) = (ts, vs);
        if *nan && has_nan(vs) {
            batch.clear();
            ts.iter().zip(vs).filter(|(_, v)| !v.is_nan()).for_each(|(t, v)| batch.push(*t, *v));
            (ts, vs) = (&batch.ts, &batch.vs);
        }
        while let (Some(&t), Some(&v)) = (ts.first(), vs.first()) {
            let taken = windows.fill(ts, vs, resolution_ms, !*falls);
            windows.encode((t, v), vs[taken - 1], out)?;
            (ts, vs) = (&ts[taken..], &vs[taken..]);
        }
        Ok(())
    }

    fn histogram_batch(
        &mut self,
        column: &FloatHistogramColumn,
        samples: &[usize],
        resolution_ms: i64,
        out: &mut AggrChunks,
    ) -> Result<()> {
        self.at.clear();
        self.at.extend(samples.iter().filter(|i| !column.sums[**i].is_nan()));
        self.ts.clear();
        self.ts.extend(self.at.iter().map(|i| column.ts[*i]));
        let mut from = 0;
        while from < self.at.len() {
            let kind = Kind::of(column, self.at[from]);
            let alike = self.at[from..].iter().take_while(|i| kind.fits(&Kind::of(column, **i))).count();
            let picked = from..from + alike;
            let samples = Picked::new(column, &self.at[picked.clone()], &self.ts[picked]);
            self.histogram_windows.fill(samples, resolution_ms, kind.is_gauge())?;
            self.encoder.encode(&self.histogram_windows, out)?;
            from += alike;
        }
        Ok(())
    }
}

/// Looks at all values, without a branch for each.
fn has_nan(vs: &[f64]) -> bool {
    const LANES: usize = 8;
    let (blocks, rest) = vs.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for block in blocks {
        for i in 0..LANES {
            sums[i] += block[i];
        }
    }
    // A sum with NaN is NaN. Infinities can make one too.
    let sum = sums.iter().chain(rest).sum::<f64>();
    sum.is_nan() && vs.iter().any(|v| v.is_nan())
}

/// The bits that are set in some distance of neighbours.
fn distances(ts: &[i64]) -> u64 {
    ts.iter().zip(ts.get(1..).unwrap_or_default()).fold(0, |all, (a, b)| all | b.wrapping_sub(*a) as u64)
}

/// True when no time is before the last; mostly known without a look at each.
fn in_order(ts: &[i64], distances: u64) -> bool {
    const DISTANCE_MAX: u64 = 1 << 40;
    const LEN_MAX: usize = 1 << 20;
    let Some(first) = ts.first() else { return true };
    // Distances that are this small, from a time that is far from the ends, can not have wrapped.
    (distances < DISTANCE_MAX && ts.len() <= LEN_MAX && first.unsigned_abs() < 1 << 62) || ts.is_sorted()
}

/// Cuts a run into the samples of single chunks, at ends of windows.
#[derive(Clone, Debug)]
struct Batches<'a> {
    ts: &'a [i64],
    resolution_ms: i64,
    size: usize,
    at: usize,
}

impl<'a> Batches<'a> {
    fn new(ts: &'a [i64], resolution_ms: i64) -> Self {
        let interval = Interval::new(ts.first().copied().unwrap_or(0), ts.last().copied().unwrap_or(0));
        let chunks = target_chunk_count(interval, RAW_STEP_MS, resolution_ms, ts.len());
        let size = ts.len() / usize::try_from(chunks).unwrap_or(usize::MAX) + 1;
        Self { ts, resolution_ms, size, at: 0 }
    }
}

impl Iterator for Batches<'_> {
    type Item = std::ops::Range<usize>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.at;
        let mut end = start.saturating_add(self.size).min(self.ts.len());
        let last = *self.ts[start..end].last()?;
        let end_ms = last_of_window(last, self.resolution_ms);
        end += self.ts[end..].iter().take_while(|t| **t <= end_ms).count();
        self.at = end;
        Some(start..end)
    }
}
