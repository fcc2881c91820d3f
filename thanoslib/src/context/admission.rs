//! Admission: how many requests run, how many wait, and for how much memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use super::Context;
use crate::{
    budget::Budget,
    error::{Error, Result},
};

/// How often memory that is not free is asked for again.
const AGAIN: Duration = Duration::from_millis(10);

/// How many requests run and wait, and for how much memory.
///
/// See [`Admission`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionSettings {
    /// Requests that run at a time.
    pub running_max: usize,
    /// Requests that wait for a place; more are refused.
    pub waiting_max: usize,
    /// Most bytes that one request may hold.
    pub bytes_max: u64,
    /// Bytes that a request gets for sure.
    pub floor_bytes: u64,
}

impl Default for AdmissionSettings {
    fn default() -> Self {
        Self { running_max: 20, waiting_max: 1000, bytes_max: 2 << 30, floor_bytes: 1 << 20 }
    }
}

/// Lets a fixed number of requests run, each with a floor of memory; the others wait in order,
/// up to a limit.
///
/// Only here is memory waited for: a request that runs gets what it needs at once or fails.
///
/// ```
/// use thanoslib::{
///     budget::Budget,
///     context::{Admission, AdmissionSettings, Context},
/// };
///
/// # fn main() -> thanoslib::Result<()> {
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let process = Budget::new("process", 64 << 20);
/// let admission = Admission::new(AdmissionSettings { floor_bytes: 4 << 20, ..Default::default() });
/// let ctx = Context::new(admission.budget("query", &process));
/// let place = admission.enter(&ctx).await?;
/// assert_eq!(process.used(), 4 << 20);
/// drop((place, ctx));
/// assert_eq!(process.used(), 0);
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Debug)]
pub struct Admission {
    settings: AdmissionSettings,
    running: Arc<Semaphore>,
    /// Held by the request that is next to get its floor.
    next: Mutex<()>,
    waiting: AtomicUsize,
}

/// The place of a request that runs; given back when dropped.
///
/// See [`Admission`].
#[derive(Debug)]
pub struct Admitted(#[expect(dead_code, reason = "held, not looked at")] OwnedSemaphorePermit);

impl Admission {
    /// An admission where nothing runs yet.
    pub fn new(settings: AdmissionSettings) -> Self {
        let running = Arc::new(Semaphore::new(settings.running_max.clamp(1, Semaphore::MAX_PERMITS)));
        Self { settings, running, next: Mutex::new(()), waiting: AtomicUsize::new(0) }
    }

    /// The part of a budget that one request may hold.
    pub fn budget(&self, name: &'static str, of: &Arc<Budget>) -> Arc<Budget> {
        of.child(name, self.settings.bytes_max)
    }

    /// Waits for a place, and for the floor of the context's budget, which is given back with
    /// the budget.
    ///
    /// # Errors
    /// `Unavailable` when too many wait already; `Limit` when the floor never fits; `Cancelled`
    /// or `Timeout` when the context ends first.
    pub async fn enter(&self, ctx: &Context) -> Result<Admitted> {
        if self.waiting.load(Ordering::Relaxed) == 0
            && let Ok(permit) = Arc::clone(&self.running).try_acquire_owned()
            && let Ok(()) = ctx.budget().reserve_floor(self.settings.floor_bytes)
        {
            return Ok(Admitted(permit));
        }
        let waiting = Waiting::new(&self.waiting);
        let waiting_max = self.settings.waiting_max;
        if waiting.place > waiting_max {
            return Err(Error::unavailable(format!("too many queries: {waiting_max} wait already")));
        }
        ctx.run(async {
            let permit = Arc::clone(&self.running).acquire_owned().await;
            let permit = permit.map_err(|_| Error::cancelled("server stops"))?;
            self.floor(ctx).await?;
            Ok(Admitted(permit))
        })
        .await
    }

    /// Waits until the floor is free; who came first is served first.
    async fn floor(&self, ctx: &Context) -> Result<()> {
        let _next = self.next.lock().await;
        loop {
            let Err(e) = ctx.budget().reserve_floor(self.settings.floor_bytes) else { return Ok(()) };
            let limit = ctx.budget().parent().map_or(u64::MAX, |parent| parent.limit());
            if self.settings.floor_bytes.min(ctx.budget().limit()) > limit {
                return Err(e.context("admission"));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

struct Waiting<'a> {
    count: &'a AtomicUsize,
    place: usize,
}

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        Self { place: count.fetch_add(1, Ordering::Relaxed) + 1, count }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn memory_is_waited_for_at_admission_only() {
        let process = Budget::new("process", 100);
        let settings = AdmissionSettings { running_max: 4, waiting_max: 10, bytes_max: 80, floor_bytes: 40 };
        let gate = Admission::new(settings);
        let query =
            |timeout| Context::new(gate.budget("query", &process)).with_timeout(Duration::from_secs(timeout));
        let (one, two, three) = (query(1000), query(1000), query(1000));
        let first = gate.enter(&one).await.expect("free");
        let _second = gate.enter(&two).await.expect("free");
        assert_eq!(process.used(), 80);
        let held = one.budget().reserve(50).expect("10 above the floor");
        let late = query(5);
        gate.enter(&late).await.map(drop).expect_err("no floor is free in time");
        drop(late);
        let end = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            drop((first, held, one));
        };
        let (third, ()) = tokio::join!(gate.enter(&three), end);
        third.map(drop).expect("the floor of the first is free");
        assert_eq!(process.used(), 80);
        let big = Admission::new(AdmissionSettings { floor_bytes: 1000, bytes_max: 1000, ..settings });
        let small = Context::new(big.budget("query", &Budget::new("process", 100)));
        big.enter(&small).await.map(drop).expect_err("a floor that never fits");
    }

    #[tokio::test(start_paused = true)]
    async fn who_came_first_is_served_first_and_waiting_counts() {
        let process = Budget::new("process", u64::MAX);
        let settings = AdmissionSettings { running_max: 1, waiting_max: 3, bytes_max: 80, floor_bytes: 0 };
        let gate = Arc::new(Admission::new(settings));
        let first = gate.enter(&Context::new(gate.budget("query", &process))).await.expect("free");
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for (i, timeout) in [(0, 100), (1, 5), (2, 100), (3, 100)] {
            // The time of a query begins when it arrives.
            let ctx = Context::new(gate.budget("query", &process)).with_timeout(Duration::from_secs(timeout));
            let (gate, order) = (Arc::clone(&gate), Arc::clone(&order));
            waiting.push(tokio::spawn(async move {
                let place = gate.enter(&ctx).await;
                order.lock().expect("not poisoned").push((i, place.as_ref().err().map(Error::kind)));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }));
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        drop(first);
        futures::future::join_all(waiting).await;
        use crate::error::ErrorKind::{Timeout, Unavailable};
        // The fourth found the queue full, the second waited too long.
        let want = [(3, Some(Unavailable)), (1, Some(Timeout)), (0, None), (2, None)];
        assert_eq!(*order.lock().expect("not poisoned"), want);
    }
}
