//! Admission: how many queries run, how many wait.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::error::ApiError;
use crate::{context::Context, error::Error};

/// Lets a fixed number of queries run; the others wait in order, up to a limit.
#[derive(Debug)]
pub(super) struct Gate {
    running: Semaphore,
    waiting: AtomicUsize,
    waiting_max: usize,
}

impl Gate {
    pub(super) fn new(running_max: usize, waiting_max: usize) -> Self {
        Self { running: Semaphore::new(running_max.max(1)), waiting: AtomicUsize::new(0), waiting_max }
    }

    /// Waits for a place; it is given back when the permit is dropped.
    pub(super) async fn enter(&self, ctx: &Context) -> Result<SemaphorePermit<'_>, ApiError> {
        if let Ok(permit) = self.running.try_acquire() {
            return Ok(permit);
        }
        let waiting = Waiting::new(&self.waiting);
        if waiting.place > self.waiting_max {
            return Err(ApiError::unavailable(format!(
                "too many queries: {} wait already",
                self.waiting_max
            )));
        }
        let permit = async { self.running.acquire().await.map_err(|_| Error::cancelled("server stops")) };
        ctx.run(permit).await.map_err(|e| ApiError::execution(&e))
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
