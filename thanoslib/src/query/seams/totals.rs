//! Float counters of several layers as one line that never falls.

use super::{cover::Pick, layer::Layer};
use crate::{
    dedup::SeriesChunk,
    series::{Aggr, FloatColumn},
};

/// Appends the line of a counter, whose layers each have their resets added up.
pub(super) fn join(layers: &[Layer<'_>], line: &[Pick], out: &mut FloatColumn) {
    let total = |p: &Pick| layers[p.layer].samples.floats.vs[p.index];
    let mut before: Option<&Pick> = None;
    // What the layer of the current sample is raised by.
    let mut raised = 0.0;
    for p in line {
        if let Some(last) = before.filter(|last| last.layer != p.layer) {
            raised += total(last) + increase(layers, last, p) - total(p);
        }
        out.push(p.t_ms, total(p) + raised);
        before = Some(p);
    }
}

/// What a counter grew from the last sample of one layer to the first of another.
fn increase(layers: &[Layer<'_>], last: &Pick, first: &Pick) -> f64 {
    let (old, new) = (&layers[last.layer], &layers[first.layer]);
    if let (Some(from), Some(to)) = (old.value_at_end(last), new.value_at_start(first)) {
        return if to < from { to } else { to - from };
    }
    // The seam lies inside a chunk of windows, where values are known but for an amount. So the
    // coarser layer, which reaches over the finer one, tells how far it grew; of that the part
    // that the finer one has told already, or will tell, is left out.
    let over_old = || old.reaches_on(last).map(|(t_ms, grown)| grown - new.grown(first.index, t_ms));
    let over_new = || new.reaches_back(first).map(|(t_ms, grown)| grown - old.grown_until(t_ms, last.index));
    let grown = if old.window_ms > new.window_ms {
        over_old().or_else(over_new)
    } else {
        over_new().or_else(over_old)
    };
    grown.unwrap_or(0.0).max(0.0)
}

impl Layer<'_> {
    /// The scraped value behind a sample that ends a chunk.
    fn value_at_end(&self, p: &Pick) -> Option<f64> {
        if self.window_ms == 0 {
            return self.scraped.get(p.index).copied();
        }
        let ends_here = |c: &&SeriesChunk<'_>| c.interval.maxt == p.t_ms;
        ends(self.chunks.iter().find(ends_here)?).map(|(_, last)| last)
    }

    /// The scraped value behind a sample that begins a chunk.
    fn value_at_start(&self, p: &Pick) -> Option<f64> {
        if self.window_ms == 0 {
            return self.scraped.get(p.index).copied();
        }
        let near = |c: &&SeriesChunk<'_>| c.interval.mint >= p.t_ms;
        let (first, _) = self.chunks.iter().filter(near).find_map(|c| {
            let ((t_ms, first), _) = first_and_last(c)?;
            (t_ms == p.t_ms).then_some((first, t_ms))
        })?;
        Some(first)
    }

    /// The last scrape of the next sample of this layer, and how much it grew until then.
    fn reaches_on(&self, p: &Pick) -> Option<(i64, f64)> {
        let floats = &self.samples.floats;
        let next = p.index + 1;
        Some((self.scrape_ms(next)?, floats.vs.get(next)? - floats.vs[p.index]))
    }

    /// The last scrape of the sample of this layer before, and how much it grew since.
    fn reaches_back(&self, p: &Pick) -> Option<(i64, f64)> {
        let before = p.index.checked_sub(1)?;
        let floats = &self.samples.floats;
        Some((self.scrape_ms(before)?, floats.vs[p.index] - floats.vs[before]))
    }

    fn scrape_ms(&self, i: usize) -> Option<i64> {
        let t_ms = *self.samples.floats.ts.get(i)?;
        Some(t_ms.saturating_sub(self.lag_at(t_ms)))
    }

    /// Growth from sample `from` to `t_ms`.
    fn grown(&self, from: usize, t_ms: i64) -> f64 {
        (self.value_at(t_ms) - self.samples.floats.vs[from]).max(0.0)
    }

    /// Growth from `t_ms` to sample `to`.
    fn grown_until(&self, t_ms: i64, to: usize) -> f64 {
        (self.samples.floats.vs[to] - self.value_at(t_ms)).max(0.0)
    }

    /// The value at a time, on a straight line between samples.
    fn value_at(&self, t_ms: i64) -> f64 {
        let FloatColumn { ts, vs, .. } = &self.samples.floats;
        let after = ts.partition_point(|t| *t < t_ms).min(ts.len() - 1);
        let Some(before) = after.checked_sub(1) else { return vs[after] };
        let (from, to) = (self.scrape_or(before), self.scrape_or(after));
        let way = (t_ms.saturating_sub(from) as f64 / to.saturating_sub(from).max(1) as f64).clamp(0.0, 1.0);
        vs[before] + way * (vs[after] - vs[before])
    }

    fn scrape_or(&self, i: usize) -> i64 {
        self.scrape_ms(i).unwrap_or(i64::MAX)
    }
}

/// The first and the last scraped value of a chunk of counter windows.
fn ends(chunk: &SeriesChunk<'_>) -> Option<(f64, f64)> {
    first_and_last(chunk).map(|((_, first), last)| (first, last))
}

/// The first scraped sample of a chunk of counter windows and its last scraped value.
///
/// Layers were decoded before, so that a chunk that does not decode can not come here.
fn first_and_last(chunk: &SeriesChunk<'_>) -> Option<((i64, f64), f64)> {
    let mut counter = FloatColumn::default();
    chunk.get(Aggr::Counter)?.decode_floats(&mut counter).ok()?;
    Some(((*counter.ts.first()?, *counter.vs.first()?), *counter.vs.last()?))
}
