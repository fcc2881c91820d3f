//! The penalty merge of two replicas of floats, run by run: what nearly every HA pair is.
//!
//! Gives exactly what [`Penalty`](super::penalty::Penalty) and [`Lift`](super::lift::Lift) give sample by
//! sample; tests compare them.

use super::penalty::INITIAL_PENALTY_MS;
use crate::{model::Interval, series::FloatColumn};

/// Appends the merged samples to `out`; `lift` as `Lift` does.
pub(super) fn merge(replicas: [&FloatColumn; 2], interval: Interval, lift: bool, out: &mut FloatColumn) {
    let mut out = Out { replicas, lift, last: None, by: 0.0, out };
    let [mut a, mut b] = replicas.map(|floats| Side::new(&floats.ts, interval));
    let (mut penalty_a, mut penalty_b) = (0, 0);
    let mut last_t: Option<i64> = None;
    let mut run = Run { replica: 0, start: 0, end: 0 };
    loop {
        let after = last_t.unwrap_or(i64::MIN).saturating_add(1);
        a.seek(after.saturating_add(penalty_a), interval);
        b.seek(after.saturating_add(penalty_b), interval);
        let (take_a, t) = match (a.alive, b.alive) {
            (false, false) => break,
            (false, true) => {
                penalty_b = 0;
                (false, b.t())
            }
            (true, false) => {
                penalty_a = 0;
                (true, a.t())
            }
            (true, true) => {
                let (ta, tb) = (a.t(), b.t());
                let (take_a, t) = (ta <= tb, ta.min(tb));
                // The side not taken must wait twice the distance of the last two samples.
                let penalty =
                    last_t.map_or(INITIAL_PENALTY_MS, |last| t.saturating_sub(last).saturating_mul(2));
                (penalty_a, penalty_b) = if take_a { (0, penalty) } else { (penalty, 0) };
                (take_a, t)
            }
        };
        last_t = Some(t);
        let (replica, at) = if take_a { (0, a.at) } else { (1, b.at) };
        if replica == run.replica && at == run.end {
            run.end += 1;
        } else {
            out.run(run);
            run = Run { replica, start: at, end: at + 1 };
        }
    }
    out.run(run);
}

/// A replica that only moves forward.
struct Side<'a> {
    ts: &'a [i64],
    at: usize,
    alive: bool,
}

impl<'a> Side<'a> {
    /// At the first sample; it lives if that is not behind the end.
    fn new(ts: &'a [i64], interval: Interval) -> Self {
        let at = ts.iter().position(|t| *t >= interval.mint).unwrap_or(ts.len());
        let alive = ts.get(at).is_some_and(|t| *t <= interval.maxt);
        Self { ts, at, alive }
    }

    /// To the first sample at or after `t`. A `t` behind the end finds nothing, the sample found may lie
    /// behind it.
    #[inline]
    fn seek(&mut self, t: i64, interval: Interval) {
        if !self.alive {
            return;
        }
        self.alive = t <= interval.maxt;
        if self.alive {
            while self.ts.get(self.at).is_some_and(|x| *x < t) {
                self.at += 1;
            }
            self.alive = self.at < self.ts.len();
        }
    }

    #[inline]
    fn t(&self) -> i64 {
        self.ts[self.at]
    }
}

/// Samples of one replica that follow each other.
#[derive(Clone, Copy, Debug)]
struct Run {
    replica: usize,
    start: usize,
    end: usize,
}

/// The last value that went out.
#[derive(Clone, Copy, Debug)]
struct Emitted {
    replica: usize,
    index: usize,
    t_ms: i64,
    v: f64,
}

struct Out<'a, 'o> {
    replicas: [&'a FloatColumn; 2],
    lift: bool,
    last: Option<Emitted>,
    /// What is added to the values.
    by: f64,
    out: &'o mut FloatColumn,
}

impl Out<'_, '_> {
    fn run(&mut self, run: Run) {
        let floats = self.replicas[run.replica];
        let vs = &floats.vs[run.start..run.end];
        self.out.ts.extend_from_slice(&floats.ts[run.start..run.end]);
        let from = self.out.vs.len();
        self.out.vs.extend_from_slice(vs);
        if !self.lift {
            return;
        }
        let Some(first) = vs.iter().position(|v| !v.is_nan()) else { return };
        self.enter(run.replica, run.start + first);
        if self.by != 0.0 {
            self.raise(&vs[first..], from + first);
        }
        let last = vs.len() - 1 - vs.iter().rev().position(|v| !v.is_nan()).unwrap_or(0);
        let index = run.start + last;
        let v = self.out.vs[from + last];
        self.last = Some(Emitted { replica: run.replica, index, t_ms: floats.ts[index], v });
    }

    /// Decides what is added from the value at `index` on.
    fn enter(&mut self, replica: usize, index: usize) {
        let Some(last) = self.last else { return };
        let FloatColumn { ts, vs, .. } = self.replicas[replica];
        if last.replica == replica {
            if falls(&vs[last.index..=index]) {
                self.by = 0.0;
            }
            return;
        }
        let known = |i: &usize| ts[*i] <= last.t_ms && !vs[*i].is_nan();
        self.by = match (0..=index).rev().find(known) {
            Some(known) if !falls(&vs[known..=index]) => (last.v - vs[index]).max(0.0),
            _ => 0.0,
        };
    }

    /// Raises values until they fall by themselves; `vs` begins with a number.
    fn raise(&mut self, vs: &[f64], at: usize) {
        let mut before = vs[0];
        for (v, out) in vs.iter().zip(&mut self.out.vs[at..]) {
            if v.is_nan() {
                continue;
            }
            if *v < before {
                self.by = 0.0;
                return;
            }
            before = *v;
            *out = *v + self.by;
        }
    }
}

/// True when a value is smaller than the one before, NaN left out.
fn falls(vs: &[f64]) -> bool {
    let mut before = f64::NEG_INFINITY;
    vs.iter().filter(|v| !v.is_nan()).any(|v| *v < std::mem::replace(&mut before, *v))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        dedup::{Algorithm, Reader, Replica, lift::Lift},
        model::{SampleColumns, stale_nan},
    };

    /// A replica's samples from gaps between them and small values, some of them stale.
    fn samples(steps: &[(u8, u8)], offset: i64) -> FloatColumn {
        let mut out = FloatColumn::default();
        let mut t = offset;
        for (gap, v) in steps {
            // Mostly regular, rarely long.
            t += if *gap < 200 { 15_000 + i64::from(*gap % 8) } else { i64::from(*gap) * 400 };
            out.push(t, if *v < 12 { stale_nan() } else { f64::from(*v / 4) });
        }
        out
    }

    fn slowly(replicas: [&FloatColumn; 2], interval: Interval, lift: bool) -> FloatColumn {
        let whole = replicas
            .map(|floats| Replica::from(SampleColumns { floats: floats.clone(), ..Default::default() }));
        let mut reader = Reader::new(Algorithm::Penalty, false, interval, &whole).expect("few replicas");
        let mut lift = lift.then(|| Lift::new(&whole));
        let mut out = SampleColumns::default();
        while reader.advance() {
            let place = reader.place().expect("a sample");
            reader.copy_raised(place, lift.as_mut().and_then(|lift| lift.next(place)), &mut out);
        }
        out.floats
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

        #[test]
        fn runs_give_what_samples_give(
            a in prop::collection::vec(any::<(u8, u8)>(), 0..60),
            b in prop::collection::vec(any::<(u8, u8)>(), 0..60),
            offset in 0i64..20_000,
            bounds in (0i64..900_000, 0i64..900_000),
            bounded in any::<bool>(),
        ) {
            let (a, b) = (samples(&a, 0), samples(&b, offset));
            let interval = if bounded { Interval::new(bounds.0, bounds.1) } else { Interval::ALL };
            for lift in [false, true] {
                let mut got = FloatColumn::default();
                merge([&a, &b], interval, lift, &mut got);
                let want = slowly([&a, &b], interval, lift);
                let bits = |floats: &FloatColumn| -> Vec<(i64, u64)> {
                    floats.ts.iter().copied().zip(floats.vs.iter().map(|v| v.to_bits())).collect()
                };
                prop_assert_eq!(bits(&got), bits(&want));
            }
        }
    }
}
