//! The samples of one resolution, replicas merged.

use super::{super::selection::Selection, cover::Pick};
use crate::{
    dedup::{Counters, DedupRequest, SeriesChunk},
    downsample::{CounterResets, aggregates_for, window_end},
    error::Result,
    model::{Resolution, is_stale},
    series::{Aggr, FloatColumn, SampleColumns},
};

/// What is read of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::query) enum Reading {
    /// Counters, for functions that look at their increase.
    Counter,
    /// How many scrapes there were.
    Counts,
    /// Averages and how many scrapes they stand for.
    Averages,
    /// Averages, for functions that look at how they rise and fall.
    Slopes,
    /// One value for each window.
    Values,
}

impl Reading {
    /// What a function reads; `ranged` when it sees windows of samples.
    pub(in crate::query) fn of(function: &str, ranged: bool) -> Self {
        const SLOPES: [&str; 6] =
            ["delta", "idelta", "deriv", "predict_linear", "double_exponential_smoothing", "holt_winters"];
        match aggregates_for(function) {
            [Aggr::Counter] => Self::Counter,
            [Aggr::Count] => Self::Counts,
            _ if ranged && function == "avg_over_time" => Self::Averages,
            _ if ranged && SLOPES.contains(&function) => Self::Slopes,
            _ => Self::Values,
        }
    }

    /// True when samples just outside of the wanted interval are of use.
    pub(in crate::query) fn looks_outside(self) -> bool {
        matches!(self, Self::Counter | Self::Slopes)
    }
}

/// The samples of one resolution.
#[derive(Debug)]
pub(super) struct Layer<'a> {
    /// Length of the windows that samples stand for; 0 for scraped samples.
    pub(super) window_ms: i64,
    /// Usual distance of samples.
    pub(super) interval_ms: i64,
    pub(super) chunks: Vec<SeriesChunk<'a>>,
    /// Counters of floats with their resets added up, all else as stored.
    pub(super) samples: SampleColumns,
    /// Under [`Reading::Counter`] the scraped values behind the floats of a layer of scrapes.
    pub(super) scraped: Vec<f64>,
    /// Under [`Reading::Averages`] how many scrapes the windows stand for.
    counts: FloatColumn,
}

/// True for a chunk of aggregates.
pub(in crate::query) fn is_downsampled(chunk: &SeriesChunk<'_>) -> bool {
    chunk.get(Aggr::Raw).is_none()
}

/// The layers of a series, finest first; none is empty.
pub(super) fn read<'a>(
    selection: &Selection,
    chunks: &[SeriesChunk<'a>],
    reading: Reading,
) -> Result<Vec<Layer<'a>>> {
    let mut layers = Vec::with_capacity(Resolution::ALL.len());
    for resolution in Resolution::ALL {
        let mut chunks = chunks.to_vec();
        chunks.retain(|c| resolution_of(c) == resolution);
        if chunks.is_empty() {
            continue;
        }
        let layer = Layer::new(selection, chunks, resolution.window_ms(), reading)?;
        if !layer.samples.is_empty() {
            layers.push(layer);
        }
    }
    Ok(layers)
}

/// The resolution of a chunk, as far apart as its samples are.
///
/// Chunks do not say theirs. Windows of 1h end with hours, and a chunk of them holds many.
pub(in crate::query) fn resolution_of(chunk: &SeriesChunk<'_>) -> Resolution {
    const HOUR_MS: i64 = Resolution::OneHour.window_ms();
    if !is_downsampled(chunk) {
        return Resolution::Raw;
    }
    let part = [Aggr::Count, Aggr::Sum, Aggr::Min, Aggr::Max, Aggr::Counter].into_iter();
    let Some((aggr, part)) = part.filter_map(|a| Some((a, chunk.get(a)?))).next() else {
        return Resolution::FiveMinutes;
    };
    // Float counters have a sample before the first window and one after the last.
    let extra = if aggr == Aggr::Counter && !part.is_histogram() { 2 } else { 0 };
    let windows = part.num_samples().unwrap_or(0).saturating_sub(extra);
    let steps = i64::try_from(windows).unwrap_or(i64::MAX).saturating_sub(1);
    let span = chunk.interval.maxt.saturating_sub(chunk.interval.mint);
    let ends_an_hour = chunk.interval.mint.saturating_add(1).rem_euclid(HOUR_MS) == 0;
    // The last window of a chunk may be a short one.
    let hourly = if steps > 1 { span / steps >= HOUR_MS / 2 } else { ends_an_hour };
    if hourly { Resolution::OneHour } else { Resolution::FiveMinutes }
}

impl<'a> Layer<'a> {
    fn new(
        selection: &Selection,
        chunks: Vec<SeriesChunk<'a>>,
        window_ms: i64,
        reading: Reading,
    ) -> Result<Self> {
        let scraped = window_ms == 0;
        // Scraped counters are wanted as stored, to be compared across seams.
        let counters = if scraped { Counters::Prometheus } else { selection.counters };
        let request = DedupRequest { counters, interval: selection.wide, ..selection.request() };
        let mut layer = Self {
            window_ms,
            interval_ms: window_ms,
            chunks,
            samples: SampleColumns::default(),
            scraped: Vec::new(),
            counts: FloatColumn::default(),
        };
        selection.merge(&layer.chunks, request, &mut layer.samples)?;
        if scraped {
            layer.interval_ms = usual_distance(&layer.samples);
            if reading == Reading::Counter {
                layer.add_up();
            }
            return Ok(layer);
        }
        if reading == Reading::Averages {
            // Merges look at times only, so that counts come with the times of their windows.
            let request = DedupRequest { function: "count_over_time", ..request };
            let mut counts = SampleColumns::default();
            selection.merge(&layer.chunks, request, &mut counts)?;
            layer.counts = counts.floats;
        }
        Ok(layer)
    }

    /// Adds up the resets of scraped counters and keeps the values beside.
    fn add_up(&mut self) {
        let stored = std::mem::take(&mut self.samples.floats);
        let kept = |v: &f64| !v.is_nan();
        let mut given = FloatColumn::default();
        CounterResets::default().floats(&stored, &mut given);
        self.scraped.reserve(given.len());
        // Of each time the first sample that is a number was given.
        let mut last = None;
        for (t, v) in stored.ts.iter().zip(&stored.vs).filter(|(_, v)| kept(v)) {
            if last.is_none_or(|last| *t > last) {
                last = Some(*t);
                self.scraped.push(*v);
            }
        }
        debug_assert_eq!(self.scraped.len(), given.len());
        self.samples.floats = given;
    }

    /// How long before `t_ms` the last scrape was that a sample of this time tells of.
    ///
    /// The last sample of a chunk carries the time of a scrape, the others the ends of windows.
    pub(super) fn lag_at(&self, t_ms: i64) -> i64 {
        let ends = |t: i64| t.saturating_add(1).checked_rem_euclid(self.window_ms) == Some(0);
        if !ends(t_ms) {
            return 0;
        }
        let holds = self.chunks.iter().filter(|c| c.interval.contains(t_ms));
        let lag = |c: &SeriesChunk<'_>| window_end(c.interval.maxt, self.window_ms) - c.interval.maxt;
        holds.map(lag).find(|lag| *lag > 0).unwrap_or(0)
    }

    /// The middle of the window that a sample stands for; a scrape stands for itself.
    pub(super) fn middle(&self, t_ms: i64) -> i64 {
        if self.window_ms == 0 {
            return t_ms;
        }
        let begin = window_end(t_ms, self.window_ms).saturating_sub(self.window_ms - 1);
        begin + t_ms.saturating_sub(begin) / 2
    }

    /// True for a float that windows of functions do not see.
    pub(super) fn hides_float(&self, i: usize) -> bool {
        is_stale(self.samples.floats.vs[i])
    }

    /// How many scrapes the windows that end at `t_ms` stand for.
    pub(super) fn count_at(&self, t_ms: i64) -> f64 {
        let i = self.counts.ts.partition_point(|t| *t < t_ms);
        match (self.counts.ts.get(i), self.counts.vs.get(i)) {
            (Some(t), Some(v)) if *t == t_ms => *v,
            _ => 1.0,
        }
    }

    /// How many scrapes a float stands for.
    pub(super) fn float_count(&self, pick: &Pick, reading: Reading) -> f64 {
        match reading {
            Reading::Counts if self.window_ms > 0 => self.samples.floats.vs[pick.index],
            Reading::Counts => 1.0,
            _ => self.count_at(pick.t_ms),
        }
    }
}

/// The median distance of samples; 0 for less than two.
fn usual_distance(samples: &SampleColumns) -> i64 {
    let steps = |ts: &[i64]| -> Vec<i64> { ts.windows(2).map(|t| t[1].saturating_sub(t[0])).collect() };
    let mut distances = steps(&samples.floats.ts);
    distances.extend(steps(&samples.histograms.ts));
    let middle = distances.len() / 2;
    if distances.is_empty() { 0 } else { *distances.select_nth_unstable(middle).1 }
}
