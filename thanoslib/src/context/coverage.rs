//! How much of what stores were asked for they answered.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

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

#[derive(Debug, Default)]
struct Counts {
    asked: u64,
    missed: u64,
    /// Milliseconds of all stores together.
    asked_ms: f64,
    missed_ms: f64,
    /// By the name of the store.
    read: BTreeMap<Arc<str>, Read>,
}

/// What was read of one store.
#[derive(Clone, Copy, Debug, Default)]
struct Read {
    streams: usize,
    ended: usize,
    bytes: u64,
}

/// Stores that a message names.
#[cfg(feature = "promql")]
const NAMED_MAX: usize = 3;

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

    /// Notes that a stream of a store is read.
    pub(crate) fn begun(&self, store: &Arc<str>) {
        self.counts().read.entry(Arc::clone(store)).or_default().streams += 1;
    }

    /// Notes what a store sent.
    pub(crate) fn sent(&self, store: &Arc<str>, bytes: usize) {
        if let Some(read) = self.counts().read.get_mut(store) {
            read.bytes = read.bytes.saturating_add(bytes as u64);
        }
    }

    /// Notes that a stream has come to its end.
    pub(crate) fn ended(&self, store: &Arc<str>) {
        if let Some(read) = self.counts().read.get_mut(store) {
            read.ended += 1;
        }
    }

    /// The stores whose streams have not come to their ends, for a message; empty without any.
    #[cfg(feature = "promql")]
    pub(crate) fn unended(&self) -> String {
        let counts = self.counts();
        let names: Vec<&str> =
            counts.read.iter().filter(|(_, r)| r.ended < r.streams).map(|(name, _)| &**name).collect();
        let mut text = names.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
        if let Some(more) = names.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
            text.push_str(&format!(" and {more} more"));
        }
        text
    }

    /// The store that sent most, and how many bytes.
    #[cfg(feature = "promql")]
    pub(crate) fn largest(&self) -> Option<(Arc<str>, u64)> {
        let counts = self.counts();
        let (name, read) = counts.read.iter().max_by_key(|(_, read)| read.bytes)?;
        (read.bytes > 0).then(|| (Arc::clone(name), read.bytes))
    }

    /// True when no store was asked.
    pub fn is_empty(&self) -> bool {
        self.counts().asked == 0
    }

    /// The part of time times stores that was answered, from 0 to 1.
    pub fn part(&self) -> f64 {
        let counts = self.counts();
        if counts.asked_ms > 0.0 { (1.0 - counts.missed_ms / counts.asked_ms).clamp(0.0, 1.0) } else { 1.0 }
    }
}

/// The stores that answered of those asked, and the part of time times stores: rounded down, so that
/// only a whole answer shows 1.
impl std::fmt::Display for Coverage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let part = (self.part() * 10_000.0).floor() / 10_000.0;
        let counts = self.counts();
        let answered = counts.asked.saturating_sub(counts.missed);
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

    #[cfg(feature = "promql")]
    #[test]
    fn who_sent_most_and_who_is_not_done_is_known() {
        let coverage = Coverage::default();
        assert_eq!((coverage.unended(), coverage.largest()), (String::new(), None));
        let names: Vec<Arc<str>> = ["a", "b", "c", "d", "e"].map(Arc::from).to_vec();
        names.iter().for_each(|name| coverage.begun(name));
        coverage.sent(&names[1], 7);
        coverage.sent(&names[2], 5);
        coverage.sent(&names[2], 5);
        assert_eq!(coverage.largest(), Some((Arc::from("c"), 10)));
        assert_eq!(coverage.unended(), "a, b, c and 2 more");
        ["a", "c", "e"].iter().for_each(|name| coverage.ended(&Arc::from(*name)));
        assert_eq!(coverage.unended(), "b, d");
    }
}
