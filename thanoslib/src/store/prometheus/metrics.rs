//! What was read, as numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds of the buckets of received frames.
const FRAME_BOUNDS: [u64; 5] = [10, 100, 1_000, 10_000, 100_000];

/// How many frames remote reads gave, as a histogram.
///
/// ```
/// use thanoslib::store::prometheus::ReadMetrics;
/// assert_eq!(ReadMetrics::default().frames().count, 0);
/// ```
#[derive(Debug, Default)]
pub struct ReadMetrics {
    buckets: [AtomicU64; FRAME_BOUNDS.len()],
    sum: AtomicU64,
    count: AtomicU64,
}

/// A histogram as of now.
///
/// See [`ReadMetrics`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameHistogram {
    /// Upper bounds with the number of reads that gave at most so many frames.
    pub buckets: Vec<(u64, u64)>,
    /// All frames.
    pub sum: u64,
    /// All reads.
    pub count: u64,
}

impl ReadMetrics {
    /// Notes a streamed answer that has ended.
    pub(super) fn observe(&self, frames: u64) {
        for (bucket, bound) in self.buckets.iter().zip(FRAME_BOUNDS) {
            if frames <= bound {
                bucket.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.sum.fetch_add(frames, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Frames of streamed answers.
    pub fn frames(&self) -> FrameHistogram {
        let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
        FrameHistogram {
            buckets: FRAME_BOUNDS.into_iter().zip(self.buckets.iter().map(read)).collect(),
            sum: read(&self.sum),
            count: read(&self.count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_counted_in_every_bucket_that_holds_them() {
        let metrics = ReadMetrics::default();
        [3, 10, 11, 1_000_000].into_iter().for_each(|n| metrics.observe(n));
        let frames = metrics.frames();
        assert_eq!(frames.buckets.iter().map(|b| b.1).collect::<Vec<_>>(), [2, 3, 3, 3, 3]);
        assert_eq!((frames.sum, frames.count), (1_000_024, 4));
    }
}
