//! The queries that wait and run, and how to end one.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio_util::sync::DropGuard;

use crate::context::Context;

use super::exec::Query;

/// The queries of an engine that wait or run now.
#[derive(Debug, Default)]
pub(super) struct ActiveQueries {
    last_id: AtomicU64,
    listed: Mutex<BTreeMap<u64, Listed>>,
}

#[derive(Debug)]
struct Listed {
    asked: Listing,
    ctx: Context,
    arrived: Instant,
    /// What runs, and since when.
    running: Option<(Arc<Query>, Instant)>,
}

/// What a list says of a query that it need not look for.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    pub(super) text: Arc<str>,
    pub(super) start_ms: i64,
    pub(super) steps: usize,
}

/// What a listed query does.
///
/// See [`ActiveQuery`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueryState {
    /// It waits for its turn.
    Queued,
    /// It is evaluated.
    Running,
}

impl QueryState {
    /// `queued` or `running`.
    pub fn as_str(self) -> &'static str {
        match self {
            QueryState::Queued => "queued",
            QueryState::Running => "running",
        }
    }
}

/// A query that waits or runs, as it is now.
///
/// See [`Engine::active_queries`](super::Engine::active_queries).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ActiveQuery {
    /// Its number, of which the engine gives each only once.
    pub id: u64,
    /// What it does.
    pub state: QueryState,
    /// Its text.
    pub text: Arc<str>,
    /// On whose behalf it runs.
    pub tenant: String,
    /// How long it waits or has waited for its turn.
    pub queued: Duration,
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
    /// Lists a query as one that waits, until the guard is dropped.
    pub(super) fn queue(self: &Arc<Self>, asked: Listing, ctx: &Context) -> Active {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let listed = Listed { asked, ctx: ctx.clone(), arrived: Instant::now(), running: None };
        self.listed().insert(id, listed);
        Active { id, list: Arc::clone(self) }
    }

    /// The queries, oldest first.
    pub(super) fn list(&self) -> Vec<ActiveQuery> {
        self.listed().iter().map(|(id, listed)| listed.now(*id)).collect()
    }

    /// Ends a query; false when there is none of that number.
    pub(super) fn kill(&self, id: u64) -> bool {
        let ctx = self.listed().get(&id).map(|listed| listed.ctx.clone());
        ctx.as_ref().inspect(|ctx| ctx.cancel()).is_some()
    }

    fn listed(&self) -> MutexGuard<'_, BTreeMap<u64, Listed>> {
        // Nothing panics while it is locked.
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listed {
    fn now(&self, id: u64) -> ActiveQuery {
        let running = self.running.as_ref();
        let (total_samples, peak_samples) =
            running.map(|(query, _)| query.shared.samples()).unwrap_or_default();
        let begun = running.map(|(_, begun)| *begun);
        let budget = self.ctx.budget();
        ActiveQuery {
            id,
            state: if begun.is_some() { QueryState::Running } else { QueryState::Queued },
            text: Arc::clone(&self.asked.text),
            tenant: self.ctx.tenant().to_owned(),
            queued: begun.unwrap_or_else(Instant::now).saturating_duration_since(self.arrived),
            running: begun.map(|begun| begun.elapsed()).unwrap_or_default(),
            start_ms: self.asked.start_ms,
            steps: self.asked.steps,
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

impl Active {
    /// The query runs from now on; gives how long it has waited.
    pub(super) fn start(&self, query: &Arc<Query>) -> Duration {
        let mut all = self.list.listed();
        let Some(listed) = all.get_mut(&self.id) else { return Duration::ZERO };
        let now = Instant::now();
        listed.running = Some((Arc::clone(query), now));
        now.saturating_duration_since(listed.arrived)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let gone = self.list.listed().remove(&self.id);
        // What it holds goes when the list is unlocked.
        drop(gone);
    }
}

/// A query that waits for its turn; it leaves the list of its engine when this is dropped.
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::context::{Admission, AdmissionSettings};
/// use thanoslib::promql::{InstantQuery, QueryState, parse};
/// use thanoslib::{Context, Engine, EngineOptions, runtime::Inline, testing::MemoryQueryable};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let engine = Engine::new(EngineOptions::default(), Arc::new(Inline));
/// let expr = parse("1 + 1", engine.options())?;
/// let query = InstantQuery { expr, text: "1 + 1".into(), time_ms: 0, lookback_ms: None };
/// let queued = engine.queue_instant(&Context::default(), &query);
/// assert_eq!(engine.active_queries()[0].state, QueryState::Queued);
/// let admission = Admission::new(AdmissionSettings::default());
/// let ctx = queued.context().clone();
/// let place = admission.enter(&ctx).await?;
/// engine.after(queued).instant(&ctx, Arc::new(MemoryQueryable::default()), query).await?;
/// assert_eq!(engine.active_queries(), []);
/// # drop(place);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Queued {
    pub(super) active: Active,
    pub(super) ctx: Context,
    pub(super) _guard: DropGuard,
}

impl Queued {
    /// The context to wait and to run with: it ends when the query is killed.
    pub fn context(&self) -> &Context {
        &self.ctx
    }
}
