//! The samples around one slot, as lines: what seems to be one replica each.

use std::cmp::Ordering;

use super::{Item, Pick, SLOT_MS};

/// Lines that fill in for each other.
const DEPTH_MAX: usize = 8;

/// Samples that follow each other.
pub(super) type Line = Vec<Item>;

/// The samples in a slot and the two beside it.
pub(super) struct Window {
    pub(super) lines: Vec<Line>,
    /// Time between scrapes; that of a slot where it cannot be told.
    pub(super) step: i64,
}

impl Window {
    /// Links pieces of chunks to lines, each to the one that it continues best.
    ///
    /// The order of the pieces is one of their samples alone.
    pub(super) fn new(mut pieces: Vec<&[Item]>) -> Self {
        pieces.sort_by(|a, b| order(a, b));
        let guess = step(&pieces);
        let mut lines: Vec<Line> = Vec::with_capacity(pieces.len().min(16));
        for piece in pieces {
            let Some(first) = piece.first() else { continue };
            // How far the piece is from where the next scrape of an ended line is due.
            let off = |line: &Line| {
                let last = line.last().map(|l| l.t).filter(|last| *last < first.t)?;
                let over = first.t.saturating_sub(last).rem_euclid(guess);
                let missed = first.t.saturating_sub(last) < guess / 2;
                Some(if missed { guess } else { over.min(guess - over) })
            };
            let best = lines.iter().enumerate().filter_map(|(i, line)| Some((off(line)?, i))).min();
            match best {
                // Where there is but one line, who scrapes at odd times goes on with it.
                Some((off, i)) if off <= guess / 4 || lines.len() == 1 => lines[i].extend_from_slice(piece),
                _ => lines.push(piece.to_vec()),
            }
        }
        let step = step(&lines.iter().map(Vec::as_slice).collect::<Vec<_>>());
        Self { lines, step }
    }

    /// The samples of the owner of a slot, and what others fill in between them.
    pub(super) fn own(&self, begin: i64, end: i64, out: &mut Vec<Pick>) {
        let Some(owner) = self.best(begin, end, &[]) else { return };
        let picks = self.within(owner, begin, end);
        for (i, pick) in picks.iter().enumerate() {
            if let Some(before) = i.checked_sub(1).and_then(|b| picks.get(b)) {
                self.between(Some(before), Some(pick), begin, end, &mut vec![owner], out);
            }
            out.push(*pick);
        }
    }

    /// What any line has between two samples that are too far from each other, or on the open
    /// side of one of them, up to the bounds.
    pub(super) fn fill(
        &self,
        after: Option<&Pick>,
        before: Option<&Pick>,
        begin: i64,
        end: i64,
        out: &mut Vec<Pick>,
    ) {
        self.between(after, before, begin, end, &mut Vec::new(), out);
    }

    fn between(
        &self,
        after: Option<&Pick>,
        before: Option<&Pick>,
        begin: i64,
        end: i64,
        used: &mut Vec<usize>,
        out: &mut Vec<Pick>,
    ) {
        if used.len() > DEPTH_MAX {
            return;
        }
        let half = self.step / 2;
        if let (Some(a), Some(b)) = (after, before)
            && b.item.t.saturating_sub(a.item.t) <= self.step + half
        {
            return;
        }
        let from = after.map_or(begin, |a| a.item.t.saturating_add(half.max(1)));
        let to = before.map_or(end, |b| b.item.t.saturating_sub(half.max(1)));
        let Some(line) = (from <= to).then(|| self.best(from, to, used)).flatten() else { return };
        let picks = self.within(line, from, to);
        used.push(line);
        let mut last = after;
        for pick in &picks {
            self.between(last, Some(pick), begin, end, used, out);
            out.push(*pick);
            last = Some(pick);
        }
        self.between(last, before, begin, end, used, out);
        used.pop();
    }

    /// The line that missed the fewest scrapes from `from` to `to`; of equal ones the one that
    /// scrapes earliest in its interval.
    fn best(&self, from: i64, to: i64, used: &[usize]) -> Option<usize> {
        let lines = self.lines.iter().enumerate().filter(|(i, _)| !used.contains(i));
        let judged = lines.filter_map(|(i, line)| {
            let (lo, hi) = bounds(line, from, to);
            let first = line.get(lo).filter(|_| lo < hi)?;
            Some((self.missed(line, lo, hi, from, to), first.t.rem_euclid(self.step), i))
        });
        judged.min().map(|(_, _, i)| i)
    }

    /// Scrapes that a line missed from `from` to `to`; its samples there are `lo..hi`.
    fn missed(&self, line: &[Item], lo: usize, hi: usize, from: i64, to: i64) -> i64 {
        let half = self.step / 2;
        let gap = |a: i64, b: i64| ((b.saturating_sub(a).saturating_add(half)) / self.step - 1).max(0);
        let end = to.saturating_add(1);
        let before =
            lo.checked_sub(1).and_then(|i| line.get(i)).map(|i| i.t.max(from.saturating_sub(self.step)));
        let after = line.get(hi).map(|i| i.t.min(end.saturating_add(self.step)));
        let (Some(first), Some(last)) = (line.get(lo), hi.checked_sub(1).and_then(|i| line.get(i))) else {
            return i64::MAX;
        };
        let head = before.map_or_else(|| first.t.saturating_sub(from) / self.step, |b| gap(b, first.t));
        let tail = after.map_or_else(|| end.saturating_sub(last.t) / self.step, |a| gap(last.t, a));
        let inner: i64 = line[lo..hi].windows(2).map(|w| gap(w[0].t, w[1].t)).sum();
        head + inner + tail
    }

    fn within(&self, line: usize, from: i64, to: i64) -> Vec<Pick> {
        let items = &self.lines[line];
        let (lo, hi) = bounds(items, from, to);
        (lo..hi).map(|at| Pick { line, at, item: items[at] }).collect()
    }

    /// The place of a sample in the lines of this window.
    pub(super) fn find(&self, item: &Item) -> Option<Pick> {
        self.lines.iter().enumerate().find_map(|(line, items)| {
            let at = items.partition_point(|i| i.t < item.t);
            let found = items.get(at).filter(|i| i.is(item))?;
            Some(Pick { line, at, item: *found })
        })
    }

    /// True when one sample comes right after the other in a line.
    pub(super) fn follows(&self, before: &Pick, after: &Pick) -> bool {
        let Some(line) = self.lines.get(after.line) else { return false };
        after.at.checked_sub(1).and_then(|at| line.get(at)).is_some_and(|i| i.is(&before.item))
    }

    /// True when another line has a value soon after the sample, so that the series has not ended.
    pub(super) fn goes_on(&self, pick: &Pick) -> bool {
        let until = pick.item.t.saturating_add(self.step + self.step / 2);
        self.lines.iter().enumerate().filter(|(i, _)| *i != pick.line).any(|(_, line)| {
            let (lo, hi) = bounds(line, pick.item.t.saturating_add(1), until);
            line[lo..hi].iter().any(|item| !item.is_stale())
        })
    }
}

/// Where the samples from `from` to `to` lie in a line.
fn bounds(line: &[Item], from: i64, to: i64) -> (usize, usize) {
    let lo = line.partition_point(|item| item.t < from);
    (lo, lo + line[lo..].partition_point(|item| item.t <= to))
}

/// An order of pieces that knows nothing but their samples.
fn order(a: &[Item], b: &[Item]) -> Ordering {
    let key = |i: &Item| (i.t, i.histogram, i.v.to_bits());
    a.iter().map(key).cmp(b.iter().map(key))
}

/// The time between scrapes: the middle one of those of the line that has most; rounded, so that
/// jitter does not change it from slot to slot.
fn step(lines: &[&[Item]]) -> i64 {
    let longest = lines.iter().max_by_key(|line| line.len()).filter(|line| line.len() > 1);
    let Some(line) = longest else { return SLOT_MS };
    let mut distances: Vec<i64> = line.windows(2).map(|w| w[1].t - w[0].t).collect();
    distances.sort_unstable();
    let middle = distances[(distances.len() - 1) / 2];
    let unit = match middle {
        ..200 => 1,
        200..2_000 => 100,
        _ => 1_000,
    };
    (((middle + unit / 2) / unit) * unit).clamp(1, SLOT_MS)
}
