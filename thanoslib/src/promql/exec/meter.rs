//! Counts the samples that a query holds and, while it runs, those that it looked at.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    error::{Error, Result},
    promql::Block,
};

/// Samples of one query: held now, at most, and looked at so far.
#[derive(Debug)]
pub(crate) struct Meter {
    max: u64,
    held: AtomicU64,
    peak: AtomicU64,
    total: AtomicU64,
}

impl Meter {
    /// A meter that refuses to hold more than `max` samples.
    pub(crate) fn new(max: u64) -> Self {
        Self { max, held: AtomicU64::new(0), peak: AtomicU64::new(0), total: AtomicU64::new(0) }
    }

    /// Notes samples that are held from now on.
    ///
    /// # Errors
    /// `Limit` when the query holds too many.
    pub(crate) fn hold(&self, samples: u64) -> Result<()> {
        let held = self.held.fetch_add(samples, Ordering::Relaxed).saturating_add(samples);
        self.peak.fetch_max(held, Ordering::Relaxed);
        if held > self.max {
            return Err(Error::limit(
                "query processing would load too many samples into memory in query execution",
            ));
        }
        Ok(())
    }

    /// Notes that samples are no longer held.
    pub(crate) fn release(&self, samples: u64) {
        // More than is held is never released: callers release what they hold.
        self.held.fetch_sub(samples, Ordering::Relaxed);
    }

    /// Notes samples that an operator looked at.
    pub(crate) fn look(&self, samples: u64) {
        self.total.fetch_add(samples, Ordering::Relaxed);
    }

    /// True when a query may hold so many samples more.
    pub(crate) fn has_room(&self, samples: u64) -> bool {
        self.held().saturating_add(samples) <= self.max
    }

    /// Samples held now.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Samples looked at so far.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Most samples held at a time so far.
    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

/// Weight of a block in samples: a histogram counts by its size.
pub(crate) fn block_samples(block: &Block) -> u64 {
    let histograms: u64 = block.histograms.iter().map(|(_, h)| histogram_samples(h)).sum();
    block.present.count() as u64 + histograms
}

/// Weight of a histogram with its time, in samples of 16 bytes.
///
/// Compat: `HPoint.size` in promql/value.go.
pub(crate) fn histogram_samples(h: &crate::model::FloatHistogram) -> u64 {
    (histogram_bytes(h) + 8) / 16
}

/// Bytes that the values of a block take.
pub(crate) fn block_bytes(block: &Block) -> u64 {
    let histograms: u64 = block.histograms.iter().map(|(_, h)| 16 + histogram_bytes(h)).sum();
    (block.floats.len() * 8 + block.present.words().len() * 8 + block.labels.as_bytes().len()) as u64
        + histograms
}

/// Bytes of a histogram as the sample limit counts them.
pub(crate) fn histogram_bytes(h: &crate::model::FloatHistogram) -> u64 {
    let parts = h.positive_spans.len()
        + h.negative_spans.len()
        + h.positive_buckets.len()
        + h.negative_buckets.len()
        + h.custom_values.len();
    168 + 8 * parts as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holding_too_many_samples_fails() {
        let meter = Meter::new(10);
        meter.hold(6).expect("fits");
        meter.release(2);
        meter.hold(6).expect("fits");
        assert!(meter.hold(1).is_err());
        assert_eq!((meter.peak(), meter.total()), (11, 0));
    }
}
