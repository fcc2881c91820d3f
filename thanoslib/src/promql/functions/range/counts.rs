//! Counts the samples in the windows of one series.

use std::ops::Range;

use crate::promql::exec::{Count, Looked, histogram_samples};

use super::{RangeCall, window::Samples};

impl RangeCall {
    /// Counts the samples of all windows; of scraped floats alone the walk has told their number.
    ///
    /// A sample is read once, however many windows hold it.
    ///
    /// Compat: `samplesRead` of promql/engine.go.
    pub(super) fn count(&self, samples: &Samples<'_>, floats_in_windows: Option<u64>, looked: &mut Looked) {
        match floats_in_windows {
            Some(total) if !looked.per_step() => {
                // Windows that touch hold all samples from the first start to the last end.
                let touching = self.range_ms >= self.steps.step_ms || self.reference.at_ms.is_some();
                let read = if touching { self.floats_between(samples) } else { total };
                looked.add_sum(Count { total, read });
            }
            _ => {
                let weights = samples.hv.iter().map(|h| histogram_samples(h));
                self.count_each(samples.ft, samples.ht, weights, looked);
            }
        }
    }

    /// Weight of the samples in all windows.
    #[cfg(test)]
    pub(super) fn weight(&self, samples: &Samples<'_>) -> u64 {
        let mut looked = Looked::default();
        self.count_each(samples.ft, samples.ht, samples.hv.iter().map(|h| histogram_samples(h)), &mut looked);
        looked.sum().total
    }

    /// Floats after the start of the first window up to the end of the last.
    fn floats_between(&self, samples: &Samples<'_>) -> u64 {
        let Some(last) = self.steps.count.checked_sub(1) else { return 0 };
        let start_ms = self.reference.time(self.steps.time(0)).saturating_sub(self.range_ms);
        let end_ms = self.reference.time(self.steps.time(last));
        let until = |t_ms| samples.ft.partition_point(|t| *t <= t_ms);
        until(end_ms).saturating_sub(until(start_ms)) as u64
    }

    /// Counts window by window, with the weight of each histogram, which is its size.
    fn count_each(&self, ft: &[i64], ht: &[i64], weights: impl Iterator<Item = u64>, looked: &mut Looked) {
        let mut sum = 0u64;
        let mut before = Vec::with_capacity(ht.len() + 1);
        before.push(0);
        for weight in weights {
            sum += weight;
            before.push(sum);
        }
        let weight = |f: &Range<usize>, h: &Range<usize>| f.len() as u64 + before[h.end] - before[h.start];
        let (mut f, mut h) = (0..0, 0..0);
        for (step, t_ms) in self.steps.iter().enumerate() {
            let (f_read, h_read) = (f.end, h.end);
            let end_ms = self.reference.time(t_ms);
            self.advance(ft, end_ms, &mut f);
            self.advance(ht, end_ms, &mut h);
            let read = weight(&(f_read.max(f.start)..f.end), &(h_read.max(h.start)..h.end));
            looked.add_at(step, Count { total: weight(&f, &h), read });
        }
    }
}
