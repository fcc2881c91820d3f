//! Counters as Prometheus would see them: stored values, lifted only at a change of replica.

use super::{Replica, place::Place};

/// Decides for each sample of a merge what to add to its value.
///
/// At a change from replica X to Y, let p be Y's last value at or before X's last. If Y itself
/// fell after p, that reset is real and stays. Else, if Y's first value is below X's last, the
/// difference is added to Y's values until Y falls or the replica changes again. A Y without p
/// tells nothing but its stored values, which stay.
#[derive(Debug)]
pub(super) struct Lift<'a> {
    replicas: &'a [Replica],
    falls: Vec<Falls>,
    last: Option<Emitted>,
    by: f64,
}

/// The last value that went out.
#[derive(Clone, Copy, Debug)]
struct Emitted {
    replica: usize,
    t_ms: i64,
    v: f64,
    falls: u32,
}

/// Times of a replica's values, NaN left out, and how often it had fallen at each.
#[derive(Debug, Default)]
struct Falls {
    ts: Vec<i64>,
    count: Vec<u32>,
    /// Index of the value looked up last; look-ups ascend.
    at: usize,
}

impl Falls {
    fn of(replica: &Replica) -> Self {
        let floats = &replica.samples.floats;
        let mut falls = Self::default();
        let (mut before, mut count) = (f64::NEG_INFINITY, 0);
        for run in replica.runs.iter().filter(|run| !run.histogram) {
            for i in run.start..run.end {
                let v = floats.vs[i];
                if v.is_nan() {
                    continue;
                }
                count += u32::from(v < before);
                before = v;
                falls.ts.push(floats.ts[i]);
                falls.count.push(count);
            }
        }
        falls
    }

    /// Falls up to the value at `t_ms`.
    fn up_to(&mut self, t_ms: i64) -> u32 {
        while self.ts.get(self.at + 1).is_some_and(|t| *t <= t_ms) {
            self.at += 1;
        }
        self.count.get(self.at).copied().unwrap_or(0)
    }

    /// Falls up to the last value at or before `t_ms`, if there is such a value.
    fn before(&self, t_ms: i64) -> Option<u32> {
        let n = self.ts.partition_point(|t| *t <= t_ms);
        self.count.get(n.checked_sub(1)?).copied()
    }
}

impl<'a> Lift<'a> {
    pub(super) fn new(replicas: &'a [Replica]) -> Self {
        Self { replicas, falls: replicas.iter().map(Falls::of).collect(), last: None, by: 0.0 }
    }

    /// What is added to the float at `place`, the next of the merge; `None` for nothing.
    pub(super) fn next(&mut self, place: Place) -> Option<f64> {
        if place.histogram {
            return None;
        }
        let floats = &self.replicas[place.replica].samples.floats;
        let (t_ms, v) = (floats.ts[place.index], floats.vs[place.index]);
        if v.is_nan() {
            return None;
        }
        let falls = &mut self.falls[place.replica];
        let now = falls.up_to(t_ms);
        match self.last {
            Some(last) if last.replica == place.replica && now == last.falls => {}
            Some(last) if last.replica == place.replica => self.by = 0.0,
            Some(last) => {
                let known = falls.before(last.t_ms);
                self.by = if known == Some(now) { (last.v - v).max(0.0) } else { 0.0 };
            }
            None => {}
        }
        self.last = Some(Emitted { replica: place.replica, t_ms, v: v + self.by, falls: now });
        (self.by != 0.0).then_some(self.by)
    }
}
