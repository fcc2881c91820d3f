//! min_over_time, max_over_time and the times of the extremes.

use std::{collections::VecDeque, ops::Range};

use crate::promql::FunctionId;

use super::{Notes, Output, Samples, Window, over_time::seconds};

/// The extremes of windows that move forward over one series.
///
/// A queue holds the floats that are, or may become, the extreme: each is worse than the
/// one before it. NaN is the extreme only of windows with nothing else.
#[derive(Debug)]
pub(super) struct Extreme<'s> {
    values: &'s [f64],
    smallest: bool,
    /// The time of the last extreme is wanted, not the value of the first.
    time: bool,
    queue: VecDeque<usize>,
    seen: usize,
}

impl<'s> Extreme<'s> {
    pub(super) fn new(id: FunctionId, samples: &Samples<'s>) -> Self {
        Self {
            values: samples.fv,
            smallest: matches!(id, FunctionId::MinOverTime | FunctionId::TsOfMinOverTime),
            time: matches!(id, FunctionId::TsOfMinOverTime | FunctionId::TsOfMaxOverTime),
            queue: VecDeque::new(),
            seen: 0,
        }
    }

    pub(super) fn at(&mut self, w: &Window<'_>, notes: &mut Notes<'_>) -> Option<Output> {
        if w.f.is_empty() {
            return None;
        }
        if !w.h.is_empty() {
            notes.ignored_histograms();
        }
        Some(Output::Float(self.float(w.samples.ft, &w.f)))
    }

    /// Of a run of floats that is not empty; no edge is before that of the last run.
    pub(super) fn float(&mut self, times: &[i64], run: &Range<usize>) -> f64 {
        for i in self.seen.max(run.start)..run.end {
            self.push(i);
        }
        self.seen = self.seen.max(run.end);
        while self.queue.front().is_some_and(|i| *i < run.start) {
            self.queue.pop_front();
        }
        match (self.queue.front(), self.time) {
            (Some(i), false) => self.values[*i],
            (Some(i), true) => seconds(times[*i]),
            // All are NaN: the first value, the time of the last.
            (None, false) => self.values[run.start],
            (None, true) => seconds(times[run.end - 1]),
        }
    }

    fn push(&mut self, i: usize) {
        let new = self.values[i];
        if new.is_nan() {
            return;
        }
        while let Some(back) = self.queue.back() {
            let old = self.values[*back];
            let better = if self.smallest { new < old } else { new > old };
            if better || (self.time && new == old) {
                self.queue.pop_back();
            } else {
                break;
            }
        }
        self.queue.push_back(i);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::Labels, promql::Annotations};

    #[test]
    fn windows_give_what_a_scan_of_each_gives() {
        let values = [3.0, f64::NAN, 1.0, 2.0, 2.0, -0.0, 0.0, f64::NAN, f64::NAN, 5.0, 4.0];
        let ft: Vec<i64> = (0..values.len() as i64).map(|i| i * 1000).collect();
        let samples = Samples { ft: &ft, fv: &values, fs: &[], ht: &[], hv: &[], hs: &[], grain: None };
        let check = |id, width: usize| {
            let mut kernel = Extreme::new(id, &samples);
            let (mut annotations, labels) = (Annotations::default(), Labels::empty());
            let mut notes = Notes::new(&mut annotations, &labels, None, None);
            for end in 1..=values.len() {
                let f = end.saturating_sub(width)..end;
                let smallest = matches!(id, FunctionId::MinOverTime | FunctionId::TsOfMinOverTime);
                let time = matches!(id, FunctionId::TsOfMinOverTime | FunctionId::TsOfMaxOverTime);
                let mut best = f.start;
                for i in f.clone().skip(1) {
                    let (new, old) = (values[i], values[best]);
                    let better = if smallest { new < old } else { new > old };
                    if better || old.is_nan() || (time && new == old) {
                        best = if old.is_nan() && new.is_nan() && !time { best } else { i };
                    }
                }
                let want = if time { best as f64 } else { values[best] };
                let w = Window { samples: &samples, step: 0, t_ms: 0, start_ms: 0, end_ms: 0, f, h: 0..0 };
                let Some(Output::Float(got)) = kernel.at(&w, &mut notes) else { panic!("a float") };
                assert_eq!(got.to_bits(), want.to_bits(), "{id:?} width {width} end {end}");
            }
        };
        for width in 1..6 {
            for id in [
                FunctionId::MinOverTime,
                FunctionId::MaxOverTime,
                FunctionId::TsOfMinOverTime,
                FunctionId::TsOfMaxOverTime,
            ] {
                check(id, width);
            }
        }
    }
}
