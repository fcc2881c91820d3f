//! The interval merge: an owner for each slot of absolute time, gaps filled from the others.
//!
//! Time is cut into fixed slots. What comes out of a slot depends on the samples in it and in the
//! slots beside it alone, never on where a query begins, so that all queries, splits of a query
//! and orders of replicas see the same samples.
//!
//! - The scrape interval is that of the samples in and around the slot.
//! - The replica that missed the fewest scrapes in the slot owns it; of equal ones the one that
//!   scrapes earlier in the interval does, which stays the same from slot to slot.
//! - Where the owner misses a scrape, the others fill in, at least half an interval away from its
//!   samples; so they do where the owners of two slots meet, and where they are closer than that
//!   the later one waits.
//! - Under functions that look at resets, values are raised or lowered where the replica changes,
//!   so that what is added there is what the new replica gained since; its real resets stay.
//!
//! Invariant: a pure function of the samples; picks samples, makes none.

mod lift;
mod lines;
#[cfg(test)]
mod tests;

use super::{
    Replica,
    place::{Place, REPLICAS_MAX},
};
use crate::{
    error::{Error, Result},
    model::{Interval, is_stale},
};
use lift::Lift;
use lines::Window;

/// Length of a slot.
const SLOT_MS: i64 = 300_000;
/// Slots on either side of those wanted that are looked at.
const MARGIN_SLOTS: i64 = 2;

/// One sample of one source.
#[derive(Clone, Copy, Debug)]
struct Item {
    t: i64,
    /// Value, or the sum of a histogram.
    v: f64,
    histogram: bool,
    /// Place in its column.
    index: u32,
    /// Which replica it is from.
    source: u32,
}

impl Item {
    fn is_stale(&self) -> bool {
        is_stale(self.v)
    }

    fn is(&self, other: &Self) -> bool {
        (self.source, self.histogram, self.index) == (other.source, other.histogram, other.index)
    }
}

/// The time whose samples decide what comes out of `interval`.
pub(super) fn around(interval: Interval) -> Interval {
    let margin = MARGIN_SLOTS * SLOT_MS;
    let mint = interval.mint.div_euclid(SLOT_MS).saturating_mul(SLOT_MS);
    let maxt = interval.maxt.div_euclid(SLOT_MS).saturating_add(1).saturating_mul(SLOT_MS).saturating_sub(1);
    Interval::new(
        mint.min(interval.mint).saturating_sub(margin),
        maxt.max(interval.maxt).saturating_add(margin),
    )
}

/// Samples picked from replicas, in order of time.
#[derive(Debug)]
pub(super) struct Picks {
    places: Vec<(i64, Place)>,
    /// Before the first when 0.
    next: usize,
}

impl Picks {
    /// The merge of replicas inside `interval`; `lift` for functions that look at resets.
    ///
    /// # Errors
    /// `Limit` for more than 512 replicas at a time.
    pub(super) fn new(replicas: &[Replica], interval: Interval, lift: bool) -> Result<Self> {
        let sources = sources(replicas, around(interval));
        let mut merge = Merge { out: Vec::new(), lift: lift.then(Lift::default), interval };
        merge.run(&sources)?;
        Ok(Self { places: merge.out, next: 0 })
    }

    /// Moves to the next sample; false at the end.
    pub(super) fn advance(&mut self) -> bool {
        self.next = (self.next + 1).min(self.places.len() + 1);
        self.next <= self.places.len()
    }

    /// Moves to the first sample at or after `t`, not at all from one that is.
    pub(super) fn seek(&mut self, t: i64) -> bool {
        let from = self.next.saturating_sub(1).min(self.places.len());
        let skipped = self.places[from..].partition_point(|(at, _)| *at < t);
        self.next = from + skipped + 1;
        self.next <= self.places.len()
    }

    /// The current sample.
    pub(super) fn place(&self) -> Option<Place> {
        self.places.get(self.next.checked_sub(1)?).map(|(_, place)| *place)
    }
}

/// The samples of each replica inside `wide`.
fn sources(replicas: &[Replica], wide: Interval) -> Vec<Vec<Item>> {
    let mut sources: Vec<Vec<Item>> = Vec::with_capacity(replicas.len());
    for (source, replica) in replicas.iter().enumerate() {
        let mut items = Vec::new();
        for run in &replica.runs {
            for index in run.start..run.end {
                let samples = &replica.samples;
                let (t, v) = match run.histogram {
                    true => (samples.histograms.ts[index], samples.histograms.sums[index]),
                    false => (samples.floats.ts[index], samples.floats.vs[index]),
                };
                if wide.contains(t) {
                    let (index, source) = (index as u32, source as u32);
                    items.push(Item { t, v, histogram: run.histogram, index, source });
                }
            }
        }
        if !items.is_empty() {
            sources.push(items);
        }
    }
    sources.sort_by_key(|items| items.first().map(|i| i.t));
    sources
}

/// What one slot gives, before it meets its neighbours.
struct Slot {
    number: i64,
    window: Window,
    /// The picked samples, with the line that each lies in.
    picks: Vec<Pick>,
    /// The last of them, also when it has to wait for the slot before.
    tail: Option<Pick>,
}

/// A sample that comes out, and its place in the lines of its window.
#[derive(Clone, Copy, Debug)]
struct Pick {
    line: usize,
    at: usize,
    item: Item,
}

impl Slot {
    fn begin(&self) -> i64 {
        self.number.saturating_mul(SLOT_MS)
    }

    fn end(&self) -> i64 {
        self.begin().saturating_add(SLOT_MS - 1)
    }
}

struct Merge {
    out: Vec<(i64, Place)>,
    lift: Option<Lift>,
    interval: Interval,
}

impl Merge {
    fn run(&mut self, sources: &[Vec<Item>]) -> Result<()> {
        let mut numbers: Vec<i64> = Vec::new();
        for items in sources {
            let mut last = None;
            for item in items {
                let number = item.t.div_euclid(SLOT_MS);
                if last.replace(number) != Some(number) {
                    numbers.push(number);
                }
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        let mut cursors = Cursors::new(sources);
        let mut before: Option<Slot> = None;
        for number in numbers {
            let window = Window::new(cursors.window(number));
            if window.lines.len() > REPLICAS_MAX {
                let lines = window.lines.len();
                let message = format!("series has {lines} overlapping replicas, limit {REPLICAS_MAX}");
                return Err(Error::limit(message));
            }
            let mut slot = Slot { number, picks: Vec::new(), tail: None, window };
            slot.window.own(slot.begin(), slot.end(), &mut slot.picks);
            slot.tail = slot.picks.last().copied();
            match before.take() {
                Some(last) if last.number + 1 == number => self.meet(last, &mut slot),
                Some(last) => {
                    self.end(last);
                    self.begin(&mut slot);
                }
                None => self.begin(&mut slot),
            }
            before = Some(slot);
        }
        if let Some(last) = before {
            self.end(last);
        }
        Ok(())
    }

    /// The first slot after a pause: the others fill in before the owner's first sample.
    fn begin(&mut self, slot: &mut Slot) {
        let Some(first) = slot.picks.first().copied() else { return };
        let mut fill = Vec::new();
        slot.window.fill(None, Some(&first), slot.begin(), slot.end(), &mut fill);
        fill.append(&mut slot.picks);
        slot.picks = fill;
    }

    /// The last slot before a pause: the others fill in after the owner's last sample.
    fn end(&mut self, slot: Slot) {
        self.send(&slot.window, &slot.picks);
        let mut fill = Vec::new();
        slot.window.fill(slot.tail.as_ref(), None, slot.begin(), slot.end(), &mut fill);
        self.send(&slot.window, &fill);
    }

    /// Two slots that follow each other: sends the first, and what comes between them.
    fn meet(&mut self, last: Slot, slot: &mut Slot) {
        self.send(&last.window, &last.picks);
        let Some(tail) = last.tail else { return };
        let step = slot.window.step.min(last.window.step);
        // The owner of the first slot, told by its last sample, in the lines of the second.
        let tail = slot.window.find(&tail.item).unwrap_or(tail);
        let near = |pick: &Pick| {
            pick.item.t.saturating_sub(tail.item.t) < step / 2 && !slot.window.follows(&tail, pick)
        };
        let waits = slot.picks.iter().take_while(|pick| near(pick)).count();
        slot.picks.drain(..waits);
        let mut fill = Vec::new();
        let first = slot.picks.first().copied();
        slot.window.fill(Some(&tail), first.as_ref(), last.begin(), slot.end(), &mut fill);
        self.send(&slot.window, &fill);
    }

    fn send(&mut self, window: &Window, picks: &[Pick]) {
        for pick in picks {
            if pick.item.is_stale() && window.goes_on(pick) {
                continue;
            }
            let raised = self.lift.as_mut().and_then(|lift| lift.next(window, pick));
            if !self.interval.contains(pick.item.t) {
                continue;
            }
            let Item { t, histogram, index, source, .. } = pick.item;
            let last = self.out.last().map(|(_, place)| place.replica);
            let unknown = last.is_some_and(|last| last != source as usize);
            let place = Place { replica: source as usize, histogram, index: index as usize, raised, unknown };
            self.out.push((t, place));
        }
    }
}

/// Where the samples of a window begin and end in each source; windows come in order.
struct Cursors<'a> {
    sources: &'a [Vec<Item>],
    /// Sources before this one have begun.
    begun: usize,
    /// Sources that have samples in the window or after it, with the first of them.
    live: Vec<(usize, usize)>,
}

impl<'a> Cursors<'a> {
    fn new(sources: &'a [Vec<Item>]) -> Self {
        Self { sources, begun: 0, live: Vec::new() }
    }

    /// The samples in the slots around `number`, source by source.
    fn window(&mut self, number: i64) -> Vec<&'a [Item]> {
        let from = number.saturating_sub(1).saturating_mul(SLOT_MS);
        let to = number.saturating_add(2).saturating_mul(SLOT_MS);
        while self.sources.get(self.begun).and_then(|s| s.first()).is_some_and(|first| first.t < to) {
            self.live.push((self.begun, 0));
            self.begun += 1;
        }
        let sources = self.sources;
        let mut window = Vec::with_capacity(self.live.len());
        self.live.retain_mut(|(source, at)| {
            let items = &sources[*source];
            *at += items[*at..].partition_point(|item| item.t < from);
            let rest = &items[*at..];
            let len = rest.partition_point(|item| item.t < to);
            if len > 0 {
                window.push(&rest[..len]);
            }
            !rest.is_empty()
        });
        window
    }
}
