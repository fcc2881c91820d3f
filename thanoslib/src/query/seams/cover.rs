//! Which samples of which layer make the line of a series.

use super::layer::Layer;
use crate::{
    downsample::window_end,
    model::{Interval, Resolution},
};

/// One sample of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pick {
    pub(super) t_ms: i64,
    /// The layer that it is of, and its place there.
    pub(super) layer: usize,
    pub(super) index: usize,
}

/// The samples of a series, each moment told by one layer.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) floats: Vec<Pick>,
    pub(super) histograms: Vec<Pick>,
}

impl Line {
    /// The line of layers, finest first.
    pub(super) fn new(layers: &[Layer<'_>]) -> Self {
        let mut line = Self::default();
        // What finer layers tell of.
        let mut covered: Vec<Interval> = Vec::new();
        for (layer, of) in layers.iter().enumerate() {
            let mut floats = picks(layer, &of.samples.floats.ts);
            let mut histograms = picks(layer, &of.samples.histograms.ts);
            if of.window_ms == 0 {
                floats.retain(|p| !of.hides_float(p.index));
                histograms.retain(|p| !of.samples.histograms.is_stale(p.index));
                covered = stretches(&floats, &histograms, of.interval_ms);
            } else {
                let window = |p: &Pick| {
                    let end = window_end(p.t_ms, of.window_ms);
                    Interval::new(end.saturating_sub(of.window_ms - 1), end)
                };
                let kept = |p: &Pick| {
                    let Interval { mint, maxt } = window(p);
                    !holds(&covered, mint + (maxt - mint) / 2)
                };
                floats.retain(kept);
                histograms.retain(kept);
                let mut windows: Vec<Interval> = floats.iter().chain(&histograms).map(window).collect();
                windows.sort_by_key(|w| w.mint);
                let windows = joined(windows);
                line.floats.retain(|p| !holds(&windows, p.t_ms));
                line.histograms.retain(|p| !holds(&windows, p.t_ms));
                covered.extend(windows);
                covered.sort_by_key(|w| w.mint);
                covered = joined(std::mem::take(&mut covered));
            }
            for (to, from) in [(&mut line.floats, floats), (&mut line.histograms, histograms)] {
                to.extend(from);
                // Of one time the finest sample stays.
                to.sort_by_key(|p| (p.t_ms, p.layer));
                to.dedup_by_key(|p| p.t_ms);
            }
        }
        line
    }
}

fn picks(layer: usize, ts: &[i64]) -> Vec<Pick> {
    ts.iter().enumerate().map(|(index, t_ms)| Pick { t_ms: *t_ms, layer, index }).collect()
}

/// The times from scrape to scrape, but for holes that windows might fill.
fn stretches(floats: &[Pick], histograms: &[Pick], interval_ms: i64) -> Vec<Interval> {
    let hole_ms = Resolution::FiveMinutes.window_ms().max(interval_ms.saturating_mul(3));
    let mut ts: Vec<i64> = floats.iter().chain(histograms).map(|p| p.t_ms).collect();
    ts.sort_unstable();
    let mut out: Vec<Interval> = Vec::new();
    for t in ts {
        match out.last_mut() {
            Some(last) if t.saturating_sub(last.maxt) <= hole_ms => last.maxt = t,
            _ => out.push(Interval::new(t, t)),
        }
    }
    out
}

/// Intervals in order of their beginning, those that touch made one.
fn joined(intervals: Vec<Interval>) -> Vec<Interval> {
    let mut out: Vec<Interval> = Vec::new();
    for next in intervals {
        match out.last_mut() {
            Some(last) if next.mint <= last.maxt.saturating_add(1) => last.maxt = last.maxt.max(next.maxt),
            _ => out.push(next),
        }
    }
    out
}

/// True when `t_ms` lies in one of these intervals, which are apart and in order.
fn holds(intervals: &[Interval], t_ms: i64) -> bool {
    let after = intervals.partition_point(|i| i.mint <= t_ms);
    after.checked_sub(1).and_then(|i| intervals.get(i)).is_some_and(|i| i.contains(t_ms))
}
