//! What was read, as numbers.

use crate::metrics::Histogram;

/// What remote reads gave.
///
/// ```
/// use thanoslib::store::prometheus::ReadMetrics;
/// assert_eq!(ReadMetrics::default().frames.sum(), 0.0);
/// ```
#[derive(Debug)]
pub struct ReadMetrics {
    /// Frames of each streamed answer.
    pub frames: Histogram,
}

impl Default for ReadMetrics {
    /// Buckets as Thanos has them.
    fn default() -> Self {
        Self { frames: Histogram::new(&[10.0, 100.0, 1e3, 1e4, 1e5]) }
    }
}
