//! What stores were asked for a request, and what came.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// What one store answered.
///
/// See [`FetchLog`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetch {
    /// Host and port, or a name for what has none.
    pub address: String,
    /// From the request to the end of the answer.
    pub duration: Duration,
    /// Frames.
    pub responses: u64,
    /// Series; one that came in several pieces counts once.
    pub series: u64,
    /// Chunks; each aggregate counts.
    pub chunks: u64,
    /// Samples, as chunks count them.
    pub samples: u64,
    /// Bytes of labels and chunks.
    pub bytes: u64,
}

/// Notes what stores answered; an analysis of a query shows it.
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::{Context, context::{Fetch, FetchLog}};
/// let log = Arc::new(FetchLog::default());
/// let ctx = Context::default().with_fetches(Arc::clone(&log));
/// if let Some(log) = ctx.fetches() {
///     log.push(Fetch { address: "10.0.0.1:10901".to_owned(), ..Fetch::default() });
/// }
/// assert_eq!(log.take().len(), 1);
/// ```
#[derive(Debug, Default)]
pub struct FetchLog(Mutex<Vec<Fetch>>);

impl FetchLog {
    /// Notes an answer.
    pub fn push(&self, fetch: Fetch) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(fetch);
    }

    /// The answers so far, by address; the log is empty then.
    pub fn take(&self) -> Vec<Fetch> {
        let mut list = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        list.sort_by(|a, b| a.address.cmp(&b.address));
        list
    }
}
