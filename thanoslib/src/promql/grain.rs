//! What the samples of a series stand for: single scrapes, or windows of downsampled data.

use crate::model::Warning;

/// A run of samples of one resolution.
///
/// See [`Grain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Time of its last sample.
    pub until_ms: i64,
    /// Usual distance of its samples.
    pub interval_ms: i64,
    /// Length of the windows that its samples stand for; 0 for scraped samples.
    pub window_ms: i64,
    /// How long before the end of a window its last scrape was.
    pub lag_ms: i64,
}

impl Stretch {
    /// True for a sample that carries the end of its window instead of the time of a scrape.
    pub fn ends_window(&self, t_ms: i64) -> bool {
        self.window_ms > 0 && t_ms.saturating_add(1).rem_euclid(self.window_ms) == 0
    }

    /// The time of the scrape that a sample tells of last.
    pub fn scrape_ms(&self, t_ms: i64) -> i64 {
        if self.ends_window(t_ms) { t_ms.saturating_sub(self.lag_ms) } else { t_ms }
    }
}

/// What is known of the samples of a series with downsampled data, beside times and values.
///
/// A sample of downsampled data stands for all of its window, which ends at its time. So functions
/// that extrapolate do not guess where a window of the query cuts one of the data: they take
/// its part. An empty grain says that all samples are scraped ones, and that none is missing.
///
/// ```
/// use thanoslib::promql::{Grain, Stretch};
/// let downsampled =
///     Stretch { until_ms: 599_999, interval_ms: 300_000, window_ms: 300_000, lag_ms: 20_000 };
/// let scraped = Stretch { until_ms: 900_000, interval_ms: 60_000, window_ms: 0, lag_ms: 0 };
/// let grain = Grain { stretches: vec![downsampled, scraped], ..Grain::default() };
/// assert_eq!(grain.at(299_999), Some(downsampled));
/// assert_eq!(grain.at(600_000), Some(scraped));
/// assert_eq!(downsampled.scrape_ms(299_999), 279_999);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grain {
    /// Runs of like resolution in order of time; the last one reaches beyond its end.
    pub stretches: Vec<Stretch>,
    /// How many scrapes each float stands for, under functions that need it; else empty.
    pub float_counts: Vec<f64>,
    /// How many scrapes each histogram stands for, under functions that need it; else empty.
    pub histogram_counts: Vec<f64>,
    /// What could not be read, where the query goes on without it.
    pub gaps: Vec<Warning>,
}

impl Grain {
    /// Makes it empty and keeps its memory.
    pub fn clear(&mut self) {
        self.stretches.clear();
        self.float_counts.clear();
        self.histogram_counts.clear();
        self.gaps.clear();
    }

    /// The stretch that a sample at `t_ms` belongs to; `None` when all samples are scraped.
    pub fn at(&self, t_ms: i64) -> Option<Stretch> {
        let i = self.stretches.partition_point(|s| s.until_ms < t_ms);
        self.stretches.get(i).or(self.stretches.last()).copied()
    }
}
