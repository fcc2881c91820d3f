//! A store whose answers are limited in size.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};

use super::{
    Abilities, Frame, LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, SeriesRequest,
    SeriesStream, Store, StoreInfo,
};
use crate::{
    context::Context,
    error::{Error, Result},
    model::Labels,
    series::SeriesBatch,
};

/// Samples that a chunk counts for.
///
/// Compat: thanos `pkg/store/limiter.go`.
const CHUNK_SAMPLES: u64 = 120;

/// How much one Series call may give; 0 stands for no limit.
///
/// See [`Limited`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreLimits {
    /// Series.
    pub series_max: u64,
    /// Samples; each chunk counts for 120, whatever it holds.
    pub samples_max: u64,
}

/// A store whose Series calls fail when they give too much.
///
/// ```
/// use std::sync::Arc;
/// use futures::TryStreamExt;
/// use thanoslib::{Context, Interval, Labels, Matcher, MemoryStore, SeriesRequest, Store};
/// use thanoslib::store::{Frame, Limited, StoreLimits};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> thanoslib::Result<()> {
/// let store = MemoryStore::new(Labels::empty());
/// for job in ["api", "web"] {
///     store.push(&Labels::from_pairs([("__name__", "up"), ("job", job)]), 15_000, 1.0)?;
/// }
/// let store = Limited::new(Arc::new(store), StoreLimits { series_max: 1, ..StoreLimits::default() });
/// let request = SeriesRequest::new(Interval::ALL, vec![Matcher::equal("__name__", "up")]);
/// let answer: thanoslib::Result<Vec<Frame>> =
///     store.series(&Context::default(), request).await?.try_collect().await;
/// assert!(answer.is_err_and(|e| e.message().contains("limit 1 violated (got 2)")));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Limited {
    inner: Arc<dyn Store>,
    limits: StoreLimits,
    dropped: Arc<Dropped>,
}

/// Calls that were ended.
#[derive(Debug, Default)]
struct Dropped {
    series: AtomicU64,
    chunks: AtomicU64,
}

impl Limited {
    /// The store under limits.
    pub fn new(inner: Arc<dyn Store>, limits: StoreLimits) -> Self {
        Self { inner, limits, dropped: Arc::default() }
    }

    /// Calls that gave too many series, and too many samples.
    pub fn dropped(&self) -> (u64, u64) {
        (self.dropped.series.load(Ordering::Relaxed), self.dropped.chunks.load(Ordering::Relaxed))
    }
}

/// What one Series call has given so far, counted against its limits.
///
/// See [`Limited`].
#[derive(Debug)]
pub struct LimitCounter {
    limits: StoreLimits,
    /// Series that are counted before the limits are looked at.
    frame_series: usize,
    series: u64,
    chunks: u64,
    /// The series that may go on in the next batch.
    last: Option<Labels>,
}

/// Which limit a call went beyond.
///
/// Its text is that of upstream.
///
/// ```
/// use thanoslib::store::LimitViolated;
/// let violated = LimitViolated { samples: false, limit: 3, got: 4 };
/// assert_eq!(violated.to_string(), "failed to send series: limit 3 violated (got 4)");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitViolated {
    /// True for that of samples, false for that of series.
    pub samples: bool,
    /// The limit.
    pub limit: u64,
    /// What was counted.
    pub got: u64,
}

impl fmt::Display for LimitViolated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.samples { "samples" } else { "series" };
        // Compat: thanos `pkg/store/limiter.go`.
        write!(f, "failed to send {what}: limit {} violated (got {})", self.limit, self.got)
    }
}

impl LimitCounter {
    /// Nothing given yet; the answer travels in frames of so many series, 0 or 1 for single ones.
    pub fn new(limits: StoreLimits, frame_series: usize) -> Self {
        Self { limits, frame_series: frame_series.max(1), series: 0, chunks: 0, last: None }
    }

    /// Series counted so far.
    pub fn series(&self) -> u64 {
        self.series
    }

    /// Chunks counted so far; the aggregates of one time span count once.
    pub fn chunks(&self) -> u64 {
        self.chunks
    }

    /// Counts a batch.
    ///
    /// # Errors
    /// The limit that it goes beyond.
    pub fn count(&mut self, batch: &SeriesBatch) -> std::result::Result<(), LimitViolated> {
        for (i, series) in batch.iter().enumerate() {
            let goes_on = i == 0 && self.last.as_ref().is_some_and(|l| l.view() == series.labels());
            self.series += u64::from(!goes_on);
            self.chunks += series.chunks().filter(|c| c.meta.first).count() as u64;
            // Compat: upstream counts whole frames before it looks.
            if (i + 1) % self.frame_series == 0 || i + 1 == batch.len() {
                check(false, self.series, self.limits.series_max)?;
                check(true, self.chunks.saturating_mul(CHUNK_SAMPLES), self.limits.samples_max)?;
            }
        }
        if let Some(last) = batch.len().checked_sub(1).and_then(|i| batch.get(i)) {
            self.last = Some(last.labels().to_labels());
        }
        Ok(())
    }
}

fn check(samples: bool, got: u64, limit: u64) -> std::result::Result<(), LimitViolated> {
    if limit == 0 || got <= limit { Ok(()) } else { Err(LimitViolated { samples, limit, got }) }
}

#[async_trait]
impl Store for Limited {
    fn info(&self) -> StoreInfo {
        self.inner.info()
    }

    fn abilities(&self) -> Abilities {
        self.inner.abilities()
    }

    async fn series(&self, ctx: &Context, request: SeriesRequest) -> Result<SeriesStream> {
        if self.limits == StoreLimits::default() {
            return self.inner.series(ctx, request).await;
        }
        let counter = LimitCounter::new(self.limits, request.batch_series);
        let stream = self.inner.series(ctx, request).await?;
        let state = (stream, counter, Arc::clone(&self.dropped));
        let counted = stream::try_unfold(state, |(mut stream, mut given, dropped)| async move {
            let Some(frame) = stream.try_next().await? else { return Ok(None) };
            if let Frame::Batch(batch) = &frame {
                given.count(batch).map_err(|violated| {
                    let count = if violated.samples { &dropped.chunks } else { &dropped.series };
                    count.fetch_add(1, Ordering::Relaxed);
                    Error::limit(violated.to_string())
                })?;
            }
            Ok(Some((frame, (stream, given, dropped))))
        });
        Ok(counted.boxed())
    }

    async fn label_names(&self, ctx: &Context, request: LabelNamesRequest) -> Result<LabelNames> {
        self.inner.label_names(ctx, request).await
    }

    async fn label_values(&self, ctx: &Context, request: LabelValuesRequest) -> Result<LabelValues> {
        self.inner.label_values(ctx, request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chunk::Encoding,
        model::{Aggr, Interval},
        series::BatchBuilder,
    };

    fn batch(names: &[(&str, usize)]) -> SeriesBatch {
        let mut builder = BatchBuilder::default();
        for (name, chunks) in names {
            builder.series(Labels::from_pairs([("a", name)]).view());
            for _ in 0..*chunks {
                builder.chunk_copied(Interval::new(0, 1), Aggr::Count, Encoding::Xor, true, b"x");
                builder.chunk_copied(Interval::new(0, 1), Aggr::Sum, Encoding::Xor, false, b"x");
            }
        }
        builder.finish()
    }

    #[test]
    fn the_boundary_passes_and_one_more_fails() {
        let check = |series_max, samples_max, want: Option<&str>| {
            let mut counter = LimitCounter::new(StoreLimits { series_max, samples_max }, 1);
            let all = [batch(&[("1", 1), ("2", 1)]), batch(&[("2", 1), ("3", 0)])];
            let got = all.iter().try_for_each(|b| counter.count(b)).err().map(|v| v.to_string());
            assert_eq!(got.as_deref(), want);
        };
        check(0, 0, None);
        check(3, 360, None);
        check(2, 0, Some("failed to send series: limit 2 violated (got 3)"));
        check(0, 359, Some("failed to send samples: limit 359 violated (got 360)"));
    }
}
