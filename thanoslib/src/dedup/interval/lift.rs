//! Counters across changes of the replica.

use super::{Pick, lines::Window};

/// Decides what is added to each value, so that a change of the replica adds what the new one
/// gained meanwhile, and its resets stay resets.
#[derive(Debug, Default)]
pub(super) struct Lift {
    /// The last value that was picked, and what was added to it.
    last: Option<(Pick, f64)>,
    by: f64,
}

impl Lift {
    /// What is added to a sample; `None` for nothing.
    pub(super) fn next(&mut self, window: &Window, pick: &Pick) -> Option<f64> {
        if pick.item.histogram || pick.item.v.is_nan() {
            return None;
        }
        if let Some((last, by)) = self.last {
            self.by = match window.find(&last.item) {
                Some(last) if last.line == pick.line => {
                    if pick.item.v < last.item.v {
                        0.0
                    } else {
                        by
                    }
                }
                _ => gained(window, &last, pick).map_or(0.0, |gain| last.item.v + by + gain - pick.item.v),
            };
        }
        self.last = Some((*pick, self.by));
        (self.by != 0.0).then_some(self.by)
    }
}

/// What the line of `pick` gained from the time of `last` up to it; `None` when it fell meanwhile,
/// or was not there yet.
fn gained(window: &Window, last: &Pick, pick: &Pick) -> Option<f64> {
    let line = window.lines.get(pick.line)?;
    let since = last.item.t;
    let values = || line[..=pick.at].iter().filter(|i| !i.histogram && !i.v.is_nan());
    let before = values().rev().find(|i| i.t <= since)?;
    let mut rest = values().filter(|i| i.t > since);
    let next = rest.next()?;
    let mut at = next.v;
    for item in rest {
        if item.v < at {
            return None;
        }
        at = item.v;
    }
    if next.v < before.v {
        return None;
    }
    // Its value at the time of the last one, on the line between the two beside it.
    let part = (since - before.t) as f64 / (next.t - before.t) as f64;
    Some(pick.item.v - (before.v + (next.v - before.v) * part))
}
