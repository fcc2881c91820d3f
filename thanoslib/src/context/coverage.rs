//! How much of what stores were asked for they answered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::Interval;

/// Counts, for one request, what stores were asked for and what is missing.
///
/// A store counts once for each of its streams or label calls, and with the time that it was asked for
/// and holds. It has answered when its answer came to its end and told of no gap of its own.
///
/// ```
/// use thanoslib::{Interval, context::Coverage};
/// let coverage = Coverage::default();
/// let day = Interval::new(0, 86_399_999);
/// coverage.asked(day);
/// coverage.asked(day);
/// coverage.missed(day);
/// assert_eq!(coverage.to_string(), "stores=1/2, time=0.5000");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Coverage(Arc<Mutex<Counts>>);

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    asked: u64,
    missed: u64,
    /// Milliseconds of all stores together.
    asked_ms: f64,
    missed_ms: f64,
}

impl Coverage {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a store is asked for this time.
    pub fn asked(&self, time: Interval) {
        let mut counts = self.counts();
        counts.asked += 1;
        counts.asked_ms += length_ms(time);
    }

    /// Notes that something is missing of what a store was asked for; once for each time that it was.
    pub fn missed(&self, time: Interval) {
        let mut counts = self.counts();
        counts.missed += 1;
        counts.missed_ms += length_ms(time);
    }

    /// True when no store was asked.
    pub fn is_empty(&self) -> bool {
        self.counts().asked == 0
    }

    /// The part of time times stores that was answered, from 0 to 1.
    pub fn part(&self) -> f64 {
        let counts = *self.counts();
        if counts.asked_ms > 0.0 { (1.0 - counts.missed_ms / counts.asked_ms).clamp(0.0, 1.0) } else { 1.0 }
    }
}

/// The stores that answered of those asked, and the part of time times stores: rounded down, so that
/// only a whole answer shows 1.
impl std::fmt::Display for Coverage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = *self.counts();
        let answered = counts.asked.saturating_sub(counts.missed);
        let part = (self.part() * 10_000.0).floor() / 10_000.0;
        write!(f, "stores={answered}/{}, time={part:.4}", counts.asked)
    }
}

fn length_ms(time: Interval) -> f64 {
    (time.maxt as f64 - time.mint as f64 + 1.0).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_weighs() {
        let check = |asked: &[(i64, i64)], missed: &[(i64, i64)], want: &str| {
            let coverage = Coverage::default();
            assert!(coverage.is_empty());
            asked.iter().for_each(|(a, b)| coverage.asked(Interval::new(*a, *b)));
            missed.iter().for_each(|(a, b)| coverage.missed(Interval::new(*a, *b)));
            assert_eq!(coverage.to_string(), want);
        };
        check(&[(0, 9), (0, 29)], &[(0, 9)], "stores=1/2, time=0.7500");
        check(&[(0, 9), (0, 29)], &[], "stores=2/2, time=1.0000");
        check(&[(0, 99_999), (5, 5)], &[(5, 5)], "stores=1/2, time=0.9999");
        check(&[(i64::MIN, i64::MAX)], &[(i64::MIN, i64::MAX)], "stores=0/1, time=0.0000");
    }
}
