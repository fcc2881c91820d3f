//! How much one Series call may send.

use thanoslib::{
    model::Labels,
    series::{SeriesBatch, SeriesView},
};
use tonic::Status;

/// Samples that a chunk counts for.
///
/// Source: Thanos `pkg/store/limiter.go`.
const CHUNK_SAMPLES: u64 = 120;

/// How much one Series call may send; 0 stands for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeriesLimits {
    /// Series.
    pub series_max: u64,
    /// Samples; each chunk counts for 120, whatever it holds.
    pub samples_max: u64,
}

/// Why a call was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Violated {
    Series,
    Samples,
}

/// What one call has sent so far.
#[derive(Debug)]
pub(super) struct Sent {
    limits: SeriesLimits,
    pub(super) series: u64,
    pub(super) chunks: u64,
    /// Labels of the series that may go on in the next batch.
    last: Option<Labels>,
}

impl Sent {
    pub(super) fn new(limits: SeriesLimits) -> Self {
        Self { limits, series: 0, chunks: 0, last: None }
    }

    /// Counts a batch that is to be sent.
    pub(super) fn count(&mut self, batch: &SeriesBatch) -> Result<(), (Violated, Status)> {
        for (i, series) in batch.iter().enumerate() {
            let goes_on = i == 0 && self.last.as_ref().is_some_and(|l| l.view() == series.labels());
            self.series += u64::from(!goes_on);
            self.chunks += windows(series);
            check("series", self.series, self.limits.series_max).map_err(|s| (Violated::Series, s))?;
            let samples = self.chunks.saturating_mul(CHUNK_SAMPLES);
            check("samples", samples, self.limits.samples_max).map_err(|s| (Violated::Samples, s))?;
        }
        if let Some(last) = batch.len().checked_sub(1).and_then(|i| batch.get(i)) {
            self.last = Some(last.labels().to_labels());
        }
        Ok(())
    }
}

/// Compat: text and code of Thanos `pkg/store/limiter.go`.
fn check(what: &str, got: u64, max: u64) -> Result<(), Status> {
    if max == 0 || got <= max {
        return Ok(());
    }
    Err(Status::unknown(format!("failed to send {what}: limit {max} violated (got {got})")))
}

/// Aggregates of one time span count once.
fn windows(series: SeriesView<'_>) -> u64 {
    series.chunks().filter(|c| c.meta.first).count() as u64
}

#[cfg(test)]
mod tests {
    use thanoslib::{
        chunk::Encoding,
        model::{Aggr, Interval},
        series::BatchBuilder,
    };

    use super::*;

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
        let check = |series_max, samples_max, want: Result<(), (Violated, &str)>| {
            let mut sent = Sent::new(SeriesLimits { series_max, samples_max });
            let all = [batch(&[("1", 1), ("2", 1)]), batch(&[("2", 1), ("3", 0)])];
            let got = all.iter().try_for_each(|b| sent.count(b));
            let got = got.map_err(|(v, s)| (v, s.message().to_owned()));
            assert_eq!(got, want.map_err(|(v, m)| (v, m.to_owned())));
        };
        check(0, 0, Ok(()));
        check(3, 360, Ok(()));
        check(2, 0, Err((Violated::Series, "failed to send series: limit 2 violated (got 3)")));
        check(0, 359, Err((Violated::Samples, "failed to send samples: limit 359 violated (got 360)")));
    }
}
