//! Where CPU work runs: jobs that compute and never wait.
//!
//! Invariant: spawns nothing by itself; the embedder gives the threads.

use std::{fmt, sync::Arc, thread};

use futures::channel::oneshot;

use crate::error::{Error, Result};

/// A job that computes and never waits for anything.
pub type Job = Box<dyn FnOnce() + Send + 'static>;

/// Runs jobs: on threads of its own, or at once.
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::runtime::{Compute, Pool, compute};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let on: Arc<dyn Compute> = Arc::new(Pool::new(2)?);
/// assert_eq!(compute(&on, || (1..=10).sum::<i32>()).await?, 55);
/// # Ok(())
/// # }
/// ```
pub trait Compute: fmt::Debug + Send + Sync + 'static {
    /// Takes a job; it may run before this returns.
    fn submit(&self, job: Job);
}

/// Runs a job on `compute` and awaits its result.
///
/// # Errors
/// `Internal` when the job panicked or was dropped unrun.
pub async fn compute<T: Send + 'static>(
    on: &Arc<dyn Compute>,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let (done, result) = oneshot::channel();
    on.submit(Box::new(move || {
        // The receiver is gone when the query was dropped; then nobody wants the result.
        let _ = done.send(job());
    }));
    result.await.map_err(|_| Error::internal("a computation did not finish"))
}

/// Runs every job at once on the calling thread.
///
/// ```
/// use thanoslib::{Engine, EngineOptions, runtime::Inline};
/// let engine = Engine::new(EngineOptions::default(), std::sync::Arc::new(Inline));
/// assert_eq!(engine.options().lookback_ms, 300_000);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Inline;

impl Compute for Inline {
    fn submit(&self, job: Job) {
        job();
    }
}

/// A fixed number of threads that take jobs in order; they end when the pool is dropped.
///
/// See [`Compute`].
pub struct Pool {
    jobs: Option<std::sync::mpsc::Sender<Job>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Pool {
    /// A pool of `threads` threads, at least one.
    ///
    /// # Errors
    /// `Internal` when the system gives no thread.
    pub fn new(threads: usize) -> Result<Self> {
        let (jobs, queue) = std::sync::mpsc::channel::<Job>();
        let queue = Arc::new(std::sync::Mutex::new(queue));
        let threads = (0..threads.max(1))
            .map(|i| {
                let queue = Arc::clone(&queue);
                thread::Builder::new()
                    .name(format!("compute-{i}"))
                    .spawn(move || {
                        loop {
                            let job = match queue.lock() {
                                Ok(queue) => queue.recv(),
                                Err(_) => return,
                            };
                            let Ok(job) = job else { return };
                            // A job that panics drops its result channel, which its owner sees.
                            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
                        }
                    })
                    .map_err(|e| Error::internal("cannot start a compute thread").with_source(e))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { jobs: Some(jobs), threads })
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads.len()).finish()
    }
}

impl Compute for Pool {
    fn submit(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // Threads end only after `jobs` is dropped, so somebody receives.
            let _ = jobs.send(job);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs = None;
        let me = thread::current().id();
        for thread in self.threads.drain(..) {
            // The last owner may be a job of this very pool.
            if thread.thread().id() != me {
                let _ = thread.join();
            }
        }
    }
}
