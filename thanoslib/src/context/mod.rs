//! What accompanies a request: deadline, cancellation, tenant, budget, trace.
//!
//! Invariant: says when to start and when to stop, never what to do.

mod admission;
mod coverage;
mod tally;
mod trace;

use std::{future::Future, sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    budget::Budget,
    error::{Error, Result},
};

pub use admission::{Admission, AdmissionSettings, Admitted};
pub use coverage::Coverage;
pub use tally::{StoreCost, Tally};
pub use trace::{EndedSpan, Span, SpanId, SpanKind, SpanSink};

/// Tenant of requests that name none.
pub const DEFAULT_TENANT: &str = "default-tenant";

/// What accompanies a request through all parts; cheap to clone.
///
/// ```
/// use std::time::Duration;
/// use thanoslib::{Budget, Context, ErrorKind};
/// let ctx = Context::new(Budget::new("query", 1 << 20)).with_timeout(Duration::from_secs(30));
/// assert!(ctx.check().is_ok());
/// ctx.cancel();
/// assert_eq!(ctx.check().map_err(|e| e.kind()), Err(ErrorKind::Cancelled));
/// ```
#[derive(Clone, Debug)]
pub struct Context {
    cancel: CancellationToken,
    deadline: Option<Instant>,
    tenant: Arc<str>,
    request_id: Option<Arc<str>>,
    budget: Arc<Budget>,
    tally: Option<Tally>,
    coverage: Coverage,
    trace: Option<trace::Trace>,
}

impl Default for Context {
    fn default() -> Self {
        Self::new(Budget::unlimited())
    }
}

impl Context {
    /// A context without deadline for the default tenant.
    pub fn new(budget: Arc<Budget>) -> Self {
        let (cancel, tenant) = (CancellationToken::new(), Arc::from(DEFAULT_TENANT));
        let coverage = Coverage::default();
        Self { cancel, deadline: None, tenant, request_id: None, budget, tally: None, coverage, trace: None }
    }

    /// A context that is cancelled with this one and ends `timeout` from now at the latest.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        let end = Instant::now().checked_add(timeout);
        let deadline = match (self.deadline, end) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self { cancel: self.cancel.child_token(), deadline, ..self.clone() }
    }

    /// The same context for another tenant.
    #[must_use]
    pub fn with_tenant(&self, tenant: &str) -> Self {
        Self { tenant: Arc::from(tenant), ..self.clone() }
    }

    /// The same context for a request that goes by this name in logs, here and at peers.
    #[must_use]
    pub fn with_request_id(&self, id: &str) -> Self {
        Self { request_id: Some(Arc::from(id)), ..self.clone() }
    }

    /// The same context that draws on another budget.
    #[must_use]
    pub fn with_budget(&self, budget: Arc<Budget>) -> Self {
        Self { budget, ..self.clone() }
    }

    /// The same context with a tally of the stores that answer, or with none.
    #[must_use]
    pub fn with_tally(&self, tally: Option<Tally>) -> Self {
        Self { tally, ..self.clone() }
    }

    /// Where to tell what each of several stores cost, if somebody wants to know.
    pub fn tally(&self) -> Option<&Tally> {
        self.tally.as_ref()
    }

    /// Where to tell which stores were asked and which answered; that of all contexts made of one.
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// A context that can be cancelled alone; it is when the guard is dropped.
    pub fn child(&self) -> (Self, DropGuard) {
        let cancel = self.cancel.child_token();
        (Self { cancel: cancel.clone(), ..self.clone() }, cancel.drop_guard())
    }

    /// Stops everything that works for this context.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// The tenant on whose behalf the work is done.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The name of the request in logs, if it has one.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// The budget that the work draws on.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// When the work must end.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Fails when the work must stop; for loops that do not await.
    ///
    /// # Errors
    /// `Cancelled` or `Timeout`.
    pub fn check(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(Error::cancelled("request was cancelled"));
        }
        if self.deadline.is_some_and(|d| Instant::now() >= d) {
            return Err(Error::timeout("request timed out"));
        }
        Ok(())
    }

    /// Awaits `work`, or fails as soon as the context ends; `work` is dropped then.
    ///
    /// # Errors
    /// `Cancelled` or `Timeout` in place of the answer, else what `work` gives.
    pub async fn run<T>(&self, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let deadline = async {
            match self.deadline {
                Some(d) => tokio::time::sleep_until(d).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Error::cancelled("request was cancelled")),
            () = deadline => Err(Error::timeout("request timed out")),
            out = work => out,
        }
    }
}
