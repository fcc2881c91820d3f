//! What the stores that answer a request cost, told by those that ask several.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// What one of several stores gave, and how long it was waited for.
///
/// See [`Tally`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreCost {
    /// Name of the store: a block, a bucket, an address.
    pub name: String,
    /// Time that its answers were waited for.
    pub time: Duration,
    /// Frames.
    pub responses: u64,
    /// Series; one that goes on in the next batch counts once more.
    pub series: u64,
    /// Chunks; each aggregate counts.
    pub chunks: u64,
    /// Samples, as many as its chunks say.
    pub samples: u64,
    /// Bytes of its batches.
    pub bytes: u64,
    /// Gaps that it told of, failures among them.
    pub warnings: u64,
}

impl StoreCost {
    fn add(&mut self, more: &Self) {
        self.time = self.time.saturating_add(more.time);
        self.responses = self.responses.saturating_add(more.responses);
        self.chunks = self.chunks.saturating_add(more.chunks);
        self.series = self.series.saturating_add(more.series);
        self.samples = self.samples.saturating_add(more.samples);
        self.bytes = self.bytes.saturating_add(more.bytes);
        self.warnings = self.warnings.saturating_add(more.warnings);
    }
}

/// Where a store that asks several others tells what each of them cost.
///
/// A context carries it where somebody wants to know; the stores that are asked get a context without.
///
/// ```
/// use std::time::Duration;
/// use thanoslib::context::{StoreCost, Tally};
/// let tally = Tally::default();
/// let (one, two) = (tally.store("one"), tally.store("two"));
/// tally.add(two, &StoreCost { series: 3, time: Duration::from_millis(5), ..StoreCost::default() });
/// tally.add(one, &StoreCost { warnings: 1, ..StoreCost::default() });
/// let costs = tally.costs();
/// assert_eq!((costs[0].name.as_str(), costs[0].warnings, costs[1].series), ("one", 1, 3));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Mutex<Vec<StoreCost>>>);

impl Tally {
    /// The number of one more store.
    pub fn store(&self, name: &str) -> usize {
        let mut all = self.all();
        all.push(StoreCost { name: name.to_owned(), ..StoreCost::default() });
        all.len() - 1
    }

    /// Adds to the cost of a store; the name stays.
    pub fn add(&self, store: usize, cost: &StoreCost) {
        if let Some(own) = self.all().get_mut(store) {
            own.add(cost);
        }
    }

    /// The costs so far, in order of numbers.
    pub fn costs(&self) -> Vec<StoreCost> {
        self.all().clone()
    }

    fn all(&self) -> MutexGuard<'_, Vec<StoreCost>> {
        // Nothing panics while it is locked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
