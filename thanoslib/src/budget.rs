//! Memory budget: bytes are reserved before they are held.
//!
//! Invariant: never waits; a reservation succeeds at once or fails with `Limit`.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::error::{Error, Result};

/// A number of bytes that may be held at a time, shared by everything that draws on it.
///
/// A child budget (a query) also draws on its parent (the process).
///
/// ```
/// use thanoslib::{Budget, ErrorKind};
/// let process = Budget::new("process", 1_000);
/// let query = process.child("query", 600);
/// let lease = query.reserve(500)?;
/// assert_eq!(query.reserve(200).map_err(|e| e.kind()).err(), Some(ErrorKind::Limit));
/// drop(lease);
/// assert_eq!((process.used(), process.peak()), (0, 500));
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Debug)]
pub struct Budget {
    name: &'static str,
    limit: u64,
    state: Mutex<State>,
    peak: AtomicU64,
    parent: Option<Arc<Budget>>,
}

/// The cause of an error that tells a lack of memory from other limits.
#[derive(Debug)]
struct UsedUp;

impl fmt::Display for UsedUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no memory is left")
    }
}

impl std::error::Error for UsedUp {}

/// True when a budget had too little left.
#[cfg(feature = "promql")]
pub(crate) fn is_used_up(e: &Error) -> bool {
    std::error::Error::source(e).is_some_and(|cause| cause.is::<UsedUp>())
}

#[derive(Debug, Default)]
struct State {
    used: u64,
    /// Bytes of the parent that are reserved whether they are used or not.
    floor: u64,
}

impl Budget {
    /// A budget of `limit` bytes; `name` stands in the error when it is used up.
    pub fn new(name: &'static str, limit_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            name,
            limit: limit_bytes,
            state: Mutex::default(),
            peak: AtomicU64::new(0),
            parent: None,
        })
    }

    /// A budget without a limit.
    pub fn unlimited() -> Arc<Self> {
        Self::new("memory", u64::MAX)
    }

    /// A budget of `limit` bytes inside this one.
    pub fn child(self: &Arc<Self>, name: &'static str, limit_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            name,
            limit: limit_bytes,
            state: Mutex::default(),
            peak: AtomicU64::new(0),
            parent: Some(Arc::clone(self)),
        })
    }

    /// Reserves bytes until the lease is dropped.
    ///
    /// # Errors
    /// `Limit` when the budget or its parent has too little left.
    pub fn reserve(self: &Arc<Self>, bytes: u64) -> Result<Lease> {
        let mut lease = Lease { budget: Arc::clone(self), bytes: 0 };
        lease.grow(bytes)?;
        Ok(lease)
    }

    /// Reserves bytes of the parent for as long as this budget lives, to be drawn on first.
    ///
    /// What is admitted with a floor gets that much for sure. A budget without a parent has
    /// all its bytes for itself.
    ///
    /// # Errors
    /// `Limit` when the parent has too little left; the floor stays as it was.
    pub fn reserve_floor(&self, bytes: u64) -> Result<()> {
        let Some(parent) = &self.parent else { return Ok(()) };
        let mut state = self.state();
        let floor = state.floor.max(bytes.min(self.limit));
        parent.take(state.used.max(floor) - state.used.max(state.floor))?;
        state.floor = floor;
        Ok(())
    }

    /// The budget that this one draws on.
    pub fn parent(&self) -> Option<&Arc<Budget>> {
        self.parent.as_ref()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is locked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes reserved now.
    pub fn used(&self) -> u64 {
        self.state().used
    }

    /// The most bytes that were reserved at a time.
    pub fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// The limit in bytes.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    fn take(&self, bytes: u64) -> Result<()> {
        let mut state = self.state();
        let Some(used) = state.used.checked_add(bytes).filter(|used| *used <= self.limit) else {
            let text = format!(
                "{} budget used up: {} of {} bytes held, {bytes} more needed",
                self.name, state.used, self.limit
            );
            return Err(Error::limit(text).with_source(UsedUp));
        };
        if let Some(parent) = &self.parent {
            parent.take(used.max(state.floor) - state.used.max(state.floor))?;
        }
        state.used = used;
        drop(state);
        self.peak.fetch_max(used, Ordering::Relaxed);
        Ok(())
    }

    fn give(&self, bytes: u64) {
        let mut state = self.state();
        let used = state.used.saturating_sub(bytes);
        let back = state.used.max(state.floor) - used.max(state.floor);
        state.used = used;
        drop(state);
        if let Some(parent) = &self.parent {
            parent.give(back);
        }
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        // All leases are gone, since each keeps its budget.
        if let Some(parent) = &self.parent {
            parent.give(self.state().floor);
        }
    }
}

/// Bytes reserved from a [`Budget`]; given back when dropped.
///
/// ```
/// use thanoslib::Budget;
/// let budget = Budget::new("query", 1_000);
/// let mut lease = budget.reserve(100)?;
/// lease.grow(50)?;
/// let part = lease.split(30);
/// assert_eq!((lease.bytes(), part.bytes(), budget.used()), (120, 30, 150));
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Debug)]
pub struct Lease {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Lease {
    /// Reserves more bytes.
    ///
    /// # Errors
    /// `Limit` when the budget has too little left; the lease stays as it was.
    pub fn grow(&mut self, bytes: u64) -> Result<()> {
        self.budget.take(bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Gives back all but `bytes`.
    pub fn shrink_to(&mut self, bytes: u64) {
        let excess = self.bytes.saturating_sub(bytes);
        self.budget.give(excess);
        self.bytes -= excess;
    }

    /// Moves bytes, at most all that are held, to a lease of their own.
    #[must_use]
    pub fn split(&mut self, bytes: u64) -> Lease {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Lease { budget: Arc::clone(&self.budget), bytes }
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget.give(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_floor_is_reserved_before_it_is_used() {
        let process = Budget::new("process", 100);
        let query = process.child("query", 80);
        query.reserve_floor(30).expect("fits");
        assert_eq!((query.used(), process.used()), (0, 30));
        let other = process.reserve(70).expect("fits");
        let mut lease = query.reserve(20).expect("below the floor");
        lease.grow(10).expect("at the floor");
        let error = lease.grow(1).expect_err("the process has no more");
        assert_eq!(error.message(), "process budget used up: 100 of 100 bytes held, 1 more needed");
        drop(other);
        lease.grow(15).expect("fits");
        assert_eq!((query.used(), process.used()), (45, 45));
        lease.shrink_to(5);
        assert_eq!((query.used(), process.used()), (5, 30));
        assert!(process.child("second", 80).reserve_floor(71).is_err());
        drop((lease, query));
        assert_eq!(process.used(), 0);
    }

    #[test]
    fn a_child_draws_on_its_parent_and_gives_back() {
        let process = Budget::new("process", 100);
        let query = process.child("query", 80);
        let mut lease = query.reserve(60).expect("fits");
        assert_eq!(query.reserve(30).expect_err("query limit").kind(), ErrorKind::Limit);
        let other = process.reserve(30).expect("fits");
        assert!(lease.grow(15).is_err(), "process limit");
        assert_eq!((query.used(), process.used()), (60, 90));
        let part = lease.split(20);
        assert_eq!((part.bytes(), lease.bytes(), query.used()), (20, 40, 60));
        drop(part);
        lease.shrink_to(10);
        drop(other);
        assert_eq!((query.used(), process.used(), process.peak()), (10, 10, 90));
        drop(lease);
        assert_eq!(process.used(), 0);
    }
}
