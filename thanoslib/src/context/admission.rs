//! Admission: how many queries run, how many wait, and for how much memory.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::sync::{Mutex, Semaphore, SemaphorePermit};

use super::error::ApiError;
use crate::{
    context::Context,
    error::{Error, Result},
};

/// How often memory that is not free is asked for again.
const AGAIN: Duration = Duration::from_millis(10);

/// Lets a fixed number of queries run, each with a floor of memory; the others wait in order,
/// up to a limit.
///
/// Only here is memory waited for: a query that runs gets what it needs at once or fails.
#[derive(Debug)]
pub(super) struct Gate {
    running: Semaphore,
    floor_bytes: u64,
    /// Held by the query that is next to get its floor.
    next: Mutex<()>,
    waiting: AtomicUsize,
    waiting_max: usize,
}

impl Gate {
    pub(super) fn new(running_max: usize, waiting_max: usize, floor_bytes: u64) -> Self {
        Self {
            running: Semaphore::new(running_max.max(1)),
            floor_bytes,
            next: Mutex::new(()),
            waiting: AtomicUsize::new(0),
            waiting_max,
        }
    }

    /// Waits for a place, which is given back when the permit is dropped, and for the floor of
    /// the context's budget, which is given back with the budget.
    pub(super) async fn enter(&self, ctx: &Context) -> Result<SemaphorePermit<'_>, ApiError> {
        if self.waiting.load(Ordering::Relaxed) == 0
            && let Ok(permit) = self.running.try_acquire()
            && let Ok(()) = ctx.budget().reserve_floor(self.floor_bytes)
        {
            return Ok(permit);
        }
        let waiting = Waiting::new(&self.waiting);
        if waiting.place > self.waiting_max {
            return Err(ApiError::unavailable(format!(
                "too many queries: {} wait already",
                self.waiting_max
            )));
        }
        let admitted = async {
            let permit = self.running.acquire().await.map_err(|_| Error::cancelled("server stops"))?;
            self.floor(ctx).await?;
            Ok(permit)
        };
        ctx.run(admitted).await.map_err(|e| ApiError::execution(&e))
    }

    /// Waits until the floor is free; who came first is served first.
    async fn floor(&self, ctx: &Context) -> Result<()> {
        let _next = self.next.lock().await;
        loop {
            let Err(e) = ctx.budget().reserve_floor(self.floor_bytes) else { return Ok(()) };
            let limit = ctx.budget().parent().map_or(u64::MAX, |parent| parent.limit());
            if self.floor_bytes.min(ctx.budget().limit()) > limit {
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
    use crate::budget::Budget;

    #[tokio::test(start_paused = true)]
    async fn memory_is_waited_for_at_admission_only() {
        let process = Budget::new("process", 100);
        let gate = Gate::new(4, 10, 40);
        let query =
            |timeout| Context::new(process.child("query", 80)).with_timeout(Duration::from_secs(timeout));
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
        let big = Gate::new(1, 1, 1000);
        let small = Context::new(Budget::new("process", 100).child("query", 1000));
        big.enter(&small).await.map(drop).expect_err("a floor that never fits");
    }
}
