//! The instant selector: at each step the newest sample that is not too old.

use std::sync::Arc;

use crate::{
    model::{FloatHistogram, is_stale},
    promql::{
        Block, Steps,
        pace::{GROUP, Ladder, Pace, Times, seen},
        plan::{Line, Reference},
    },
    series::SampleColumns,
};

/// What an instant selector gives of the sample that it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Give {
    /// The value.
    Value,
    /// Its time in seconds.
    Timestamp,
    /// Its start timestamp in seconds, 0 if unknown.
    StartTimestamp,
    /// Its time in ms if it is a float, else an empty histogram.
    InfoTime,
}

impl Give {
    /// True when the series lose their names.
    pub(super) fn drops_name(self) -> bool {
        matches!(self, Self::Timestamp | Self::StartTimestamp)
    }
}

/// The sample that a step sees.
enum Found {
    Float(usize),
    Histogram(usize),
}

/// Where an instant selector looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instant {
    pub(super) steps: Steps,
    pub(super) reference: Reference,
    pub(super) lookback_ms: i64,
    pub(super) give: Give,
}

impl Instant {
    /// Fills `block` in one pass over the samples.
    pub(super) fn fill(&self, columns: &SampleColumns, block: &mut Block) {
        let (floats, histograms) = (&columns.floats, &columns.histograms);
        if self.give == Give::Value
            && histograms.is_empty()
            && let Some(line) = self.reference.line(self.steps)
        {
            return self.fill_floats(line, &floats.ts, &floats.vs, block);
        }
        let mut last: Option<(usize, Arc<FloatHistogram>)> = None;
        self.each(columns, |step, found| match (self.give, found) {
            (Give::Value, Found::Float(i)) => block.set(step, floats.vs[i]),
            (Give::Value, Found::Histogram(i)) => {
                let h = match &last {
                    Some((j, h)) if *j == i => Arc::clone(h),
                    _ => Arc::new(histograms.get(i)),
                };
                block.histograms.push((step as u32, Arc::clone(&h)));
                last = Some((i, h));
            }
            (Give::Timestamp, Found::Float(i)) => block.set(step, floats.ts[i] as f64 / 1000.0),
            (Give::Timestamp, Found::Histogram(i)) => block.set(step, histograms.ts[i] as f64 / 1000.0),
            (Give::InfoTime, Found::Float(i)) => block.set(step, floats.ts[i] as f64),
            (Give::InfoTime, Found::Histogram(_)) => block.histograms.push((step as u32, Arc::default())),
            (Give::StartTimestamp, Found::Float(i)) => block.set(step, floats.start(i) as f64 / 1000.0),
            (Give::StartTimestamp, Found::Histogram(i)) => {
                block.set(step, histograms.start(i) as f64 / 1000.0);
            }
        });
    }

    /// Fills `block` from floats alone.
    fn fill_floats(&self, line: Line, ts: &[i64], vs: &[f64], block: &mut Block) {
        // As many values as times: then a place among times is one among values without a look.
        let vs = &vs[..ts.len()];
        let (mut end, ladder) = (0, Ladder::new(line));
        let words = block.present.words_mut().iter_mut();
        for (at, (values, word)) in block.floats.chunks_mut(64).zip(words).enumerate() {
            for (i, values) in values.chunks_mut(GROUP).enumerate() {
                let step = at * 64 + i * GROUP;
                let times = Times::new(line.time(step), &ladder);
                let paced = times.is_some_and(|times| self.fill_paced(times, ts, vs, &mut end, values));
                let seen = match paced {
                    true => (1 << GROUP) - 1,
                    false => self.fill_each(line, step, ts, vs, &mut end, values),
                };
                *word |= seen << (i * GROUP);
            }
        }
    }

    /// Fills a group of steps that each see so many samples more than the one before, the newest
    /// of them not too old; false where it is otherwise. `end` counts the samples seen before.
    #[inline]
    fn fill_paced(
        &self,
        times: Times<'_>,
        ts: &[i64],
        vs: &[f64],
        end: &mut usize,
        values: &mut [f64],
    ) -> bool {
        let Some(values) = values.first_chunk_mut::<GROUP>() else { return false };
        let Some(pace) = Pace::of(ts, *end, times) else { return false };
        let Some(first) = pace.first.checked_sub(1) else { return false };
        if pace.ages >= self.lookback_ms.max(0) as u64 {
            return false;
        }
        match vs[first..].first_chunk::<GROUP>() {
            Some(vs) if pace.stride == 1 => *values = *vs,
            _ => {
                for (i, value) in values.iter_mut().enumerate() {
                    *value = vs[first + i * pace.stride];
                }
            }
        }
        // Stale marks are NaN.
        if values.iter().fold(false, |any, v| any | v.is_nan()) {
            return false;
        }
        *end = pace.end(GROUP - 1);
        true
    }

    /// Fills some steps one by one and gives a bit for each that has a value.
    fn fill_each(
        &self,
        line: Line,
        step: usize,
        ts: &[i64],
        vs: &[f64],
        end: &mut usize,
        values: &mut [f64],
    ) -> u64 {
        let lookback = self.lookback_ms.max(0) as u64;
        let mut found = 0;
        for (i, value) in values.iter_mut().enumerate() {
            let t = line.time(step + i);
            *end = seen(ts, *end, t);
            let Some(newest) = end.checked_sub(1) else { continue };
            *value = vs[newest];
            let lasts = if is_stale(*value) { 0 } else { lookback };
            found |= u64::from((t.wrapping_sub(ts[newest]) as u64) < lasts) << i;
        }
        found
    }

    fn each(&self, columns: &SampleColumns, mut emit: impl FnMut(usize, Found)) {
        let (ft, fv) = (columns.floats.ts.as_slice(), columns.floats.vs.as_slice());
        let (ht, histograms) = (columns.histograms.ts.as_slice(), &columns.histograms);
        // Samples before these indices are not after the step.
        let (mut f, mut h) = (0, 0);
        for step in 0..self.steps.count {
            let t = self.reference.time(self.steps.time(step));
            while f < ft.len() && ft[f] <= t {
                f += 1;
            }
            while h < ht.len() && ht[h] <= t {
                h += 1;
            }
            let oldest = t.saturating_sub(self.lookback_ms);
            let float = f.checked_sub(1).filter(|i| ft[*i] > oldest);
            let histogram = h.checked_sub(1).filter(|i| ht[*i] > oldest);
            match (float, histogram) {
                (Some(i), Some(j)) if ht[j] > ft[i] => {
                    if !histograms.is_stale(j) {
                        emit(step, Found::Histogram(j));
                    }
                }
                (None, Some(j)) => {
                    if !histograms.is_stale(j) {
                        emit(step, Found::Histogram(j));
                    }
                }
                (Some(i), _) => {
                    if !is_stale(fv[i]) {
                        emit(step, Found::Float(i));
                    }
                }
                (None, None) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Labels, stale_nan};

    fn check(samples: &[(i64, f64)], reference: Reference, want: &[Option<f64>]) {
        let mut columns = SampleColumns::default();
        for (t, v) in samples {
            columns.floats.push(*t, *v);
        }
        let steps = Steps { start_ms: 0, step_ms: 10, count: want.len() };
        let mut block = Block::new(Labels::empty(), want.len());
        Instant { steps, reference, lookback_ms: 15, give: Give::Value }.fill(&columns, &mut block);
        let got: Vec<_> = (0..want.len()).map(|i| block.float(i)).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn the_newest_sample_counts_until_it_is_too_old_or_stale() {
        let now = Reference { at_ms: None, offset_ms: 0 };
        check(&[(0, 1.0)], now, &[Some(1.0), Some(1.0), None]);
        // Exactly as old as the lookback is too old.
        check(&[(5, 1.0)], now, &[None, Some(1.0), None]);
        check(&[(6, 1.0)], now, &[None, Some(1.0), Some(1.0), None]);
        check(&[(0, 1.0), (10, stale_nan()), (20, 2.0)], now, &[Some(1.0), None, Some(2.0)]);
        check(&[(0, 1.0), (3, 2.0), (9, 3.0)], now, &[Some(1.0), Some(3.0), Some(3.0), None]);
    }

    #[test]
    fn modifiers_move_the_time_looked_at() {
        let samples = [(0, 1.0), (10, 2.0), (20, 3.0)];
        let check = |at_ms, offset_ms, want: &[Option<f64>]| {
            check(&samples, Reference { at_ms, offset_ms }, want);
        };
        check(None, 10, &[None, Some(1.0), Some(2.0)]);
        check(None, -10, &[Some(2.0), Some(3.0), Some(3.0)]);
        check(Some(10), 0, &[Some(2.0), Some(2.0), Some(2.0)]);
        check(Some(30), 10, &[Some(3.0), Some(3.0)]);
    }
}
