//! Overlapping downsampled chunks, merged window by window.
//!
//! Which chunk a window is taken from follows from the times of the windows, as for samples; all
//! aggregates of the window come from that chunk. Counters go on by the increase that the chunk
//! saw since the window before, so that a change of chunk is neither a reset nor a jump.

use super::{
    super::Algorithm,
    line::{Line, Run, chain},
};
use crate::{
    chunk::{
        AGGREGATES, AggrChunk, AggrError, Chunk, EncodedChunk, Encoding, Fit, FloatHistogramAppender,
        XorAppender,
    },
    error::{Error, Result},
    model::{FloatColumn, FloatHistogramColumn, Interval},
};

/// Windows of a chunk that is written anew.
const WINDOWS: usize = 120;
/// Place of the counter among [`AGGREGATES`].
const COUNTER: usize = 4;

/// Merges downsampled chunks.
#[derive(Debug, Default)]
pub(super) struct Aggregates {
    line: Line,
    runs: Vec<Run>,
}

/// One aggregate of a decoded chunk.
#[derive(Debug, Default)]
enum Part {
    #[default]
    Missing,
    Floats(FloatColumn),
    Histograms(FloatHistogramColumn),
}

impl Part {
    fn ts(&self) -> &[i64] {
        match self {
            Self::Missing => &[],
            Self::Floats(column) => &column.ts,
            Self::Histograms(column) => &column.ts,
        }
    }

    /// Index of the sample at `t`.
    fn at(&self, t: i64) -> Option<usize> {
        let i = self.ts().partition_point(|x| *x < t);
        (self.ts().get(i) == Some(&t)).then_some(i)
    }
}

/// A decoded chunk.
#[derive(Debug, Default)]
struct Windows {
    parts: [Part; 5],
    /// Times of the windows.
    ts: Vec<i64>,
}

impl Windows {
    fn decode(chunk: Chunk<'_>) -> Result<Self> {
        let aggregates = AggrChunk::new(chunk.data);
        let mut windows = Self::default();
        for (aggr, part) in AGGREGATES.into_iter().zip(&mut windows.parts) {
            *part = match aggregates.get(aggr) {
                Ok(chunk) if chunk.is_histogram() => {
                    let mut column = FloatHistogramColumn::default();
                    chunk.decode_float_histograms(&mut column)?;
                    Part::Histograms(column)
                }
                Ok(chunk) => {
                    let mut column = FloatColumn::default();
                    chunk.decode_floats(&mut column)?;
                    Part::Floats(column)
                }
                Err(AggrError::Missing) => Part::Missing,
                // Compat: an absent aggregate at the end reads as a size error.
                Err(AggrError::InvalidSize) if chunk.data.ends_with(&[0]) => Part::Missing,
                Err(e) => return Err(Error::from(e)),
            };
        }
        let times = windows.parts.iter().map(Part::ts).find(|ts| !ts.is_empty()).unwrap_or_default();
        windows.ts = times.to_vec();
        windows.ts.dedup();
        Ok(windows)
    }

    /// The value that the counter really had at the end.
    fn last_raw(&self) -> Option<(i64, f64)> {
        match &self.parts[COUNTER] {
            Part::Floats(column) => Some((*column.ts.last()?, *column.vs.last()?)),
            _ => None,
        }
    }

    /// The summed up counter at `t`, between two windows on the line from one to the other;
    /// `None` before the first value.
    fn counter_at(&self, t: i64) -> Option<f64> {
        let Part::Floats(column) = &self.parts[COUNTER] else { return None };
        let len = summed(column);
        let after = column.ts[..len].partition_point(|x| *x <= t);
        let before = after.checked_sub(1)?;
        let (from, v) = (column.ts[before], column.vs[before]);
        if after == len || from == t {
            return Some(v);
        }
        let share = t.wrapping_sub(from) as u64 as f64 / column.ts[after].wrapping_sub(from) as u64 as f64;
        Some(v + (column.vs[after] - v) * share)
    }
}

/// Number of summed up values: of two at the end that share their time the second is raw.
fn summed(column: &FloatColumn) -> usize {
    match column.ts[..] {
        [.., a, b] if a == b => column.len() - 1,
        _ => column.len(),
    }
}

/// The chunk that is being written.
#[derive(Debug)]
struct Open {
    interval: Interval,
    windows: usize,
    floats: [Option<XorAppender>; 5],
    histograms: [Option<FloatHistogramAppender>; 5],
}

impl Open {
    fn new(t: i64) -> Self {
        Self {
            interval: Interval::new(t, t),
            windows: 0,
            floats: Default::default(),
            histograms: Default::default(),
        }
    }

    /// True when a window of other kinds of values, or a histogram that does not fit, comes next.
    fn refuses(&self, windows: &Windows, t: i64) -> Result<bool> {
        if self.windows == 0 {
            return Ok(false);
        }
        for (i, part) in windows.parts.iter().enumerate() {
            let fits = match part {
                Part::Missing => self.floats[i].is_none() && self.histograms[i].is_none(),
                Part::Floats(_) => self.floats[i].is_some(),
                Part::Histograms(column) => match (&self.histograms[i], part.at(t)) {
                    (Some(appender), Some(at)) => appender.refusal(column, at).is_none(),
                    (Some(_), None) => true,
                    (None, _) => false,
                },
            };
            if !fits {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn finish(mut self) -> EncodedChunk {
        let mut parts: [Option<(Encoding, Vec<u8>)>; 5] = Default::default();
        for (i, part) in parts.iter_mut().enumerate() {
            *part = match (self.floats[i].take(), &mut self.histograms[i]) {
                (Some(appender), _) => Some((Encoding::Xor, appender.into_bytes())),
                (None, Some(appender)) => Some((appender.encoding(), appender.finish())),
                (None, None) => None,
            };
        }
        let chunks = parts.each_ref().map(|part| {
            let (encoding, data) = part.as_ref()?;
            Some(Chunk { encoding: *encoding, data })
        });
        let mut data = Vec::new();
        AggrChunk::encode(&chunks, &mut data);
        EncodedChunk { interval: self.interval, encoding: Encoding::Aggr, samples: self.windows, data }
    }
}

/// The counter that is being written.
#[derive(Clone, Copy, Debug)]
struct Counter {
    t: i64,
    v: f64,
    /// Where the last value came from.
    track: usize,
    /// What the values of that chunk are raised by.
    raised: f64,
}

impl Aggregates {
    /// Writes overlapping downsampled chunks anew.
    pub(super) fn join(
        &mut self,
        group: &[(Interval, Chunk<'_>)],
        algorithm: Algorithm,
        out: &mut Vec<EncodedChunk>,
    ) -> Result<()> {
        // Compat: `pkg/dedup/chunk_iter.go` puts the first chunk last, here and not for samples.
        let order = group.iter().skip(1).chain(group.first());
        let tracks = order.map(|(_, c)| Windows::decode(*c)).collect::<Result<Vec<_>>>()?;
        self.runs.clear();
        match algorithm {
            Algorithm::Penalty => {
                self.line.clear();
                tracks.iter().enumerate().for_each(|(i, track)| self.line.fold(&track.ts, i));
                self.line.runs(&mut self.runs);
            }
            Algorithm::Interval => return Err(super::no_interval_merge()),
            Algorithm::Chain => {
                chain(&tracks.iter().map(|track| track.ts.as_slice()).collect::<Vec<_>>(), &mut self.runs);
            }
        }
        let mut open: Option<Open> = None;
        let mut counter: Option<Counter> = None;
        for (track, i) in self.runs.iter().flat_map(|run| (run.start..run.end).map(|i| (run.track, i))) {
            let (windows, t) = (&tracks[track], tracks[track].ts[i]);
            let goes_on = counter.is_some_and(|c| windows.counter_at(c.t).is_some());
            if let Some(full) = open.take_if(|open| open.windows >= WINDOWS)
                && let Some(full) = close(full, &mut counter, goes_on, &tracks)?
            {
                out.push(full);
            }
            if let Some(other) = &open
                && other.refuses(windows, t)?
                && let Some(other) = open.take()
                && let Some(other) = close(other, &mut counter, goes_on, &tracks)?
            {
                out.push(other);
            }
            let chunk = open.get_or_insert_with(|| Open::new(t));
            for (at, part) in windows.parts.iter().enumerate() {
                match part {
                    Part::Missing => {}
                    Part::Floats(column) if at == COUNTER => {
                        let appender = chunk.floats[at].get_or_insert_default();
                        append_counter(appender, &mut counter, &tracks, (track, i), column)?;
                    }
                    Part::Floats(column) => {
                        let appender = chunk.floats[at].get_or_insert_default();
                        if let Some(i) = part.at(t) {
                            appender.append(t, column.vs[i])?;
                        }
                    }
                    Part::Histograms(column) => {
                        let appender =
                            chunk.histograms[at].get_or_insert_with(|| FloatHistogramAppender::new(false));
                        if let Some(i) = part.at(t)
                            && let Fit::NewChunk(why) = appender.append(column, i)?
                        {
                            return Err(Error::internal(format!(
                                "a histogram that fits is refused: {why:?}"
                            )));
                        }
                    }
                }
            }
            chunk.windows += 1;
            chunk.interval.maxt = t;
        }
        if let Some(open) = open
            && let Some(last) = close(open, &mut counter, false, &tracks)?
        {
            out.push(last);
        }
        Ok(())
    }
}

/// Appends the counter of a window: what the chunk of the window saw since the last value.
fn append_counter(
    appender: &mut XorAppender,
    counter: &mut Option<Counter>,
    tracks: &[Windows],
    (track, i): (usize, usize),
    column: &FloatColumn,
) -> Result<()> {
    let windows = &tracks[track];
    let t = windows.ts[i];
    let after = if i == 0 { None } else { Some(windows.ts[i - 1]) };
    // The window's own value, before it the first raw one.
    let from = after.map_or(0, |after| column.ts.partition_point(|x| *x <= after));
    let to = column.ts[..summed(column)].partition_point(|x| *x <= t);
    for (&at, &v) in column.ts[from.min(to)..to].iter().zip(&column.vs[from.min(to)..to]) {
        let raised = match *counter {
            Some(before) if at <= before.t => continue,
            Some(before) if before.track == track => before.raised,
            Some(before) => match windows.counter_at(before.t) {
                Some(seen) => before.v - seen,
                // The chunk began later: its first value is a raw one.
                None => match raw_before(tracks, before) {
                    raw if v < raw => before.v,
                    raw => before.v - raw,
                },
            },
            None => 0.0,
        };
        appender.append(at, v + raised)?;
        *counter = Some(Counter { t: at, v: v + raised, track, raised });
    }
    Ok(())
}

/// The real value of the counter where the last one was written, as far as it is known: that of
/// the chunk that ended there, else of the chunk that ended last before.
fn raw_before(tracks: &[Windows], counter: Counter) -> f64 {
    let ended = tracks.iter().filter_map(Windows::last_raw).filter(|(t, _)| *t <= counter.t);
    ended.max_by_key(|(t, _)| *t).map_or(counter.v - counter.raised, |(_, v)| v)
}

/// Ends a chunk. Readers take the last sample of a counter for its real value and compare the
/// next chunk with it, so it depends on whether the next one goes on with summed up values.
fn close(
    mut open: Open,
    counter: &mut Option<Counter>,
    goes_on: bool,
    tracks: &[Windows],
) -> Result<Option<EncodedChunk>> {
    if let (Some(appender), Some(last)) = (&mut open.floats[COUNTER], *counter)
        && !appender.is_empty()
    {
        appender.append(last.t, if goes_on { last.v } else { raw_before(tracks, last) })?;
    }
    if !goes_on {
        *counter = None;
    }
    Ok((open.windows > 0).then(|| open.finish()))
}
