//! Where a chunk ends and the next one begins.
//!
//! Source: Prometheus `tsdb/head_append.go`; `storage/series.go` for re-encoding.

use crate::model::Interval;

/// Samples of a chunk that is written by compaction.
const SAMPLES: usize = 120;
/// Most samples that the header of a float chunk can say.
const SAMPLES_MAX: usize = u16::MAX as usize;
/// Bytes at which a head's float chunk is full: 1024 without room for one more sample.
const FLOAT_BYTES_MAX: usize = 1005;
/// Bytes that a head's histogram chunk should have.
const HISTOGRAM_BYTES_TARGET: usize = 1024;
/// Samples that a head's histogram chunk has before its size can end it.
const HISTOGRAM_SAMPLES_MIN: usize = 10;

/// When a chunk is full.
///
/// See [`ChunkCutter`](super::ChunkCutter).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutPolicy {
    /// After this many samples: what compaction does, with 120.
    Samples(usize),
    /// As a head does: chunks end at multiples of a range and are of about equal length between.
    Head {
        /// The range in milliseconds, that of a block; not 0.
        range_ms: i64,
        /// Float samples that a chunk should have.
        samples: usize,
    },
}

impl Default for CutPolicy {
    /// What compaction does.
    fn default() -> Self {
        Self::Samples(SAMPLES)
    }
}

/// What decides about the end of the open chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    policy: CutPolicy,
    /// First and last sample of the open chunk.
    pub(super) interval: Interval,
    /// Where the chunk range ends.
    range_end: i64,
    /// Where the chunk should end.
    end: i64,
    predicted: bool,
}

impl Limits {
    pub(super) fn new(policy: CutPolicy) -> Self {
        let interval = Interval::new(0, 0);
        Self { policy, interval, range_end: i64::MAX, end: i64::MAX, predicted: false }
    }

    /// A chunk begins.
    pub(super) fn begin(&mut self, t_ms: i64) {
        self.interval = Interval::new(t_ms, t_ms);
        if let CutPolicy::Head { range_ms, .. } = self.policy {
            let range = range_ms.max(1);
            // Compat: `tsdb/head_append.go`: truncated towards zero for negative times too.
            self.range_end = (t_ms / range * range).saturating_add(range);
            self.end = self.range_end;
            self.predicted = false;
        }
    }

    /// True when a float chunk ends before a sample at `t_ms`.
    pub(super) fn cuts_floats(&mut self, t_ms: i64, count: usize, bytes: usize) -> bool {
        match self.policy {
            CutPolicy::Samples(most) => count >= most.min(SAMPLES_MAX),
            CutPolicy::Head { samples, .. } => {
                if bytes > FLOAT_BYTES_MAX {
                    return true;
                }
                if count == samples / 4 {
                    self.predict(4.0);
                }
                t_ms >= self.end || count >= samples.saturating_mul(2).min(SAMPLES_MAX)
            }
        }
    }

    /// True when a histogram chunk ends before a sample at `t_ms`.
    pub(super) fn cuts_histograms(&mut self, t_ms: i64, count: usize, bytes: usize) -> bool {
        match self.policy {
            CutPolicy::Samples(most) => count >= most,
            CutPolicy::Head { .. } => {
                if !self.predicted && bytes >= HISTOGRAM_BYTES_TARGET / 4 {
                    self.predicted = true;
                    self.predict(HISTOGRAM_BYTES_TARGET as f64 / bytes as f64);
                }
                let full = t_ms >= self.end || bytes >= HISTOGRAM_BYTES_TARGET * 2;
                t_ms >= self.range_end || (full && count >= HISTOGRAM_SAMPLES_MIN)
            }
        }
    }

    /// The samples that may follow before the next question; more than one only where the
    /// answer does not depend on times and sizes.
    pub(super) fn room(&self, count: usize) -> usize {
        match self.policy {
            CutPolicy::Samples(most) => most.min(SAMPLES_MAX).saturating_sub(count).max(1),
            CutPolicy::Head { .. } => 1,
        }
    }

    /// True when a chunk that is cut looks back for its reset header.
    pub(super) fn looks_back(&self) -> bool {
        matches!(self.policy, CutPolicy::Head { .. })
    }

    /// Sets the end so that the chunks up to the end of the range have equal lengths, when the
    /// open one holds the `ratio`th part of what it should.
    fn predict(&mut self, ratio: f64) {
        let Interval { mint: start, maxt: last } = self.interval;
        let left = self.range_end.saturating_sub(start) as f64;
        let chunks = left / ((last.saturating_sub(start) as f64 + 1.0) * ratio);
        self.end = if chunks <= 1.0 { self.range_end } else { (start as f64 + left / chunks.floor()) as i64 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths of the chunks of samples every `step_ms`, of which each takes `bytes`.
    fn check(start: i64, step_ms: i64, n: usize, bytes: usize, histograms: bool, expected: &[usize]) {
        let mut limits = Limits::new(CutPolicy::Head { range_ms: 7_200_000, samples: 120 });
        let mut lengths: Vec<usize> = Vec::new();
        for t in (0..n as i64).map(|i| start + i * step_ms) {
            let cut = match lengths.last() {
                None => true,
                Some(len) if histograms => limits.cuts_histograms(t, *len, len * bytes),
                Some(len) => limits.cuts_floats(t, *len, len * bytes),
            };
            match lengths.last_mut() {
                Some(len) if !cut => *len += 1,
                _ => {
                    lengths.push(1);
                    limits.begin(t);
                }
            }
            limits.interval.maxt = t;
        }
        assert_eq!(lengths, expected);
    }

    #[test]
    fn chunks_of_a_head_are_of_about_equal_length() {
        check(0, 15_000, 480, 2, false, &[120, 120, 120, 120]);
        check(0, 60_000, 130, 2, false, &[120, 10]);
        check(0, 1000, 300, 9, false, &[112, 112, 76]);
        check(0, 15_000, 480, 20, true, &[48, 48, 48, 48, 48, 48, 48, 48, 48, 48]);
        check(7_190_000, 15_000, 3, 2, true, &[1, 2]);
        check(-30_000, 15_000, 5, 2, false, &[5]);
    }
}
