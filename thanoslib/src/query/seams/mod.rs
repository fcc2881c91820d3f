//! A series with downsampled data, read so that windows are right where resolutions meet.
//!
//! Chunks are first told apart by resolution into *layers*: scraped samples, windows of 5m,
//! windows of 1h. Replicas are merged inside of each layer, so that samples are compared with such
//! as are as far apart. Then the layers become one line: a window of a coarser layer is taken where
//! no finer layer covers its middle, and the samples that it stands for are dropped from finer
//! layers. So every moment is told by one resolution, the finest there is.
//!
//! What a function needs at a seam is kept, not thinned out to the coarser side: the scraped samples
//! behind a seam say exactly what came since. Instead the line carries its [`Grain`]: where each
//! resolution ends, how far apart its samples are, how many scrapes they stand for. With it `rate`
//! and its kin extrapolate each end of a window by the resolution found there, and take of a
//! window of downsampled data, cut by the start or end of theirs, the part that lies inside;
//! `count_over_time` adds up scrapes and `avg_over_time` weighs by them.
//!
//! An average is the value in the middle of its window, not at its end. For functions that look
//! at slopes it stands there, or a seam would look like a step.
//!
//! Counters become one line that never falls ([`totals`], [`histograms`]): between two layers
//! the last value before the seam is compared with the first one after it, so that a reset counts
//! once and only where there was one.
//!
//! Invariant: one series at a time; knows no stores and no labels.

mod cover;
mod histograms;
mod layer;
#[cfg(test)]
mod tests;
mod totals;

pub(super) use layer::{Reading, is_downsampled, resolution_of};

use super::selection::Selection;
use crate::{
    dedup::SeriesChunk,
    error::Result,
    model::CounterReset,
    promql::{Grain, Stretch},
    series::SampleColumns,
};
use cover::{Line, Pick};
use layer::Layer;

/// Appends the samples of a series, whose chunks are in order of time, and what they stand for.
///
/// # Errors
/// Those of the chunks; `out` may then hold a part.
pub(super) fn read(
    selection: &Selection,
    chunks: &[SeriesChunk<'_>],
    out: &mut SampleColumns,
    grain: &mut Grain,
) -> Result<()> {
    let reading = selection.reading;
    let layers = layer::read(selection, chunks, reading)?;
    let line = Line::new(&layers);
    if reading == Reading::Counter {
        totals::join(&layers, &line.floats, &mut out.floats);
        histograms::join(&layers, &line.histograms, &mut out.histograms);
    } else {
        copy(&layers, &line, reading, out);
    }
    if selection.ranged {
        tell(&layers, &line, reading, grain);
    }
    Ok(())
}

/// Copies the samples of a line as they are stored.
fn copy(layers: &[Layer<'_>], line: &Line, reading: Reading, out: &mut SampleColumns) {
    let time = |p: &Pick| if reading == Reading::Slopes { layers[p.layer].middle(p.t_ms) } else { p.t_ms };
    for p in &line.floats {
        let floats = &layers[p.layer].samples.floats;
        out.floats.push_st(floats.start(p.index), time(p), floats.vs[p.index]);
    }
    let mut before = None;
    for p in &line.histograms {
        out.histograms.push_from(&layers[p.layer].samples.histograms, p.index);
        if let Some(t_ms) = out.histograms.ts.last_mut() {
            *t_ms = time(p);
        }
        // Of two layers it is not known whether the counter was reset in between.
        if before.replace(p.layer).is_some_and(|layer| layer != p.layer)
            && let Some(hint) = out.histograms.hints.last_mut()
            && *hint != CounterReset::Gauge
        {
            *hint = CounterReset::Unknown;
        }
    }
}

/// Notes where the resolutions of a line end and what its samples stand for.
fn tell(layers: &[Layer<'_>], line: &Line, reading: Reading, grain: &mut Grain) {
    let mut add = |p: &Pick| {
        let layer = &layers[p.layer];
        let (interval_ms, lag_ms) = (layer.interval_ms, layer.lag_at(p.t_ms));
        let stretch = if reading == Reading::Slopes {
            // Averages in the middle of windows are samples like others.
            Stretch { until_ms: layer.middle(p.t_ms), interval_ms, window_ms: 0, lag_ms: 0 }
        } else {
            Stretch { until_ms: p.t_ms, interval_ms, window_ms: layer.window_ms, lag_ms }
        };
        match grain.stretches.last_mut() {
            Some(last) if (last.window_ms, last.interval_ms) == (stretch.window_ms, stretch.interval_ms) => {
                last.until_ms = stretch.until_ms;
                if stretch.lag_ms > 0 {
                    last.lag_ms = stretch.lag_ms;
                }
            }
            _ => grain.stretches.push(stretch),
        }
    };
    let (mut f, mut h) = (line.floats.iter().peekable(), line.histograms.iter().peekable());
    loop {
        let float_first = match (f.peek(), h.peek()) {
            (Some(f), Some(h)) => f.t_ms <= h.t_ms,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => break,
        };
        let next = if float_first { f.next() } else { h.next() };
        next.into_iter().for_each(&mut add);
    }
    if matches!(reading, Reading::Counts | Reading::Averages) {
        grain.float_counts.extend(line.floats.iter().map(|p| layers[p.layer].float_count(p, reading)));
        grain.histogram_counts.extend(line.histograms.iter().map(|p| layers[p.layer].count_at(p.t_ms)));
    }
}
