//! The queries that run, and how to end one.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::context::Context;

use super::exec::Query;

/// The queries of an engine that run now.
#[derive(Debug, Default)]
pub(super) struct ActiveQueries {
    last_id: AtomicU64,
    running: Mutex<BTreeMap<u64, Running>>,
}

#[derive(Debug)]
struct Running {
    query: Arc<Query>,
    ctx: Context,
    begun: Instant,
}

/// A query that runs, as it is now.
///
/// See [`Engine::active_queries`](super::Engine::active_queries).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ActiveQuery {
    /// Its number, of which the engine gives each only once.
    pub id: u64,
    /// Its text.
    pub text: Arc<str>,
    /// On whose behalf it runs.
    pub tenant: String,
    /// Since when it runs; waiting before does not count.
    pub running: Duration,
    /// First step in ms.
    pub start_ms: i64,
    /// Steps.
    pub steps: usize,
    /// Samples looked at so far.
    pub total_samples: u64,
    /// Most samples held at a time so far.
    pub peak_samples: u64,
    /// Bytes reserved now.
    pub bytes: u64,
    /// Most bytes reserved at a time so far.
    pub peak_bytes: u64,
}

impl ActiveQueries {
    /// Lists a query until the guard is dropped.
    pub(super) fn enter(self: &Arc<Self>, query: &Arc<Query>, ctx: &Context) -> Active {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let running = Running { query: Arc::clone(query), ctx: ctx.clone(), begun: Instant::now() };
        self.running().insert(id, running);
        Active { id, list: Arc::clone(self) }
    }

    /// The queries that run, oldest first.
    pub(super) fn list(&self) -> Vec<ActiveQuery> {
        self.running().iter().map(|(id, running)| running.now(*id)).collect()
    }

    /// Ends a query; false when it does not run.
    pub(super) fn kill(&self, id: u64) -> bool {
        let ctx = self.running().get(&id).map(|running| running.ctx.clone());
        ctx.as_ref().inspect(|ctx| ctx.cancel()).is_some()
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<u64, Running>> {
        // Nothing panics while it is locked.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    fn now(&self, id: u64) -> ActiveQuery {
        let (total_samples, peak_samples) = self.query.shared.samples();
        let budget = self.ctx.budget();
        ActiveQuery {
            id,
            text: self.query.shared.text(),
            tenant: self.ctx.tenant().to_owned(),
            running: self.begun.elapsed(),
            start_ms: self.query.steps.start_ms,
            steps: self.query.steps.count,
            total_samples,
            peak_samples,
            bytes: budget.used(),
            peak_bytes: budget.peak(),
        }
    }
}

/// Keeps a query on the list.
#[derive(Debug)]
pub(super) struct Active {
    id: u64,
    list: Arc<ActiveQueries>,
}

impl Drop for Active {
    fn drop(&mut self) {
        let gone = self.list.running().remove(&self.id);
        // What it holds goes when the list is unlocked.
        drop(gone);
    }
}
