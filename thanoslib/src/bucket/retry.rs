//! Tries idempotent operations again when they fail in a way that may pass.
//!
//! Reads, listings, deletes and overwriting writes are repeated; conditional writes and
//! multipart uploads are not, because a first try may have succeeded unseen. A body that
//! breaks off and a listing that fails midway are left to the caller.
//!
//! Invariant: the number of tries and the time they take are bounded.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
    path::Path,
};
use tokio::time::Instant;

/// Objects that are deleted, and if need be deleted again, together.
const DELETE_BATCH: usize = 1000;

/// How often and how long a bucket tries what may fail for a while.
///
/// ```
/// use thanoslib::bucket::{Bucket, RetryPolicy};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let policy = RetryPolicy { tries_max: 3, ..RetryPolicy::default() };
/// let bucket = Bucket::memory("demo").with_retries(policy);
/// bucket.put("a", "text").await?;
/// assert!(bucket.exists("a").await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Tries of one operation, the first included. Default: 4.
    pub tries_max: u32,
    /// Wait before the second try; it doubles from try to try. Default: 100 ms.
    pub backoff_first: Duration,
    /// The longest wait. Default: 10 s.
    pub backoff_max: Duration,
    /// Time for all tries of one operation: a try that runs longer ends, and no wait goes
    /// beyond it. Default: 3 minutes. A request's own deadline is shorter and ends an
    /// operation by dropping it.
    pub timeout: Duration,
    /// Start of the random numbers that spread the waits. Default: 1.
    pub seed: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            tries_max: 4,
            backoff_first: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
            timeout: Duration::from_secs(180),
            seed: 1,
        }
    }
}

/// The policy with the generator that spreads its waits.
#[derive(Debug)]
struct Policy {
    settings: RetryPolicy,
    random: AtomicU64,
}

/// An [`ObjectStore`] that tries idempotent operations of another several times.
#[derive(Debug)]
pub(crate) struct Retrying {
    inner: Arc<dyn ObjectStore>,
    policy: Arc<Policy>,
}

impl Retrying {
    /// The operations of `inner`, repeated under `policy`.
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, policy: RetryPolicy) -> Self {
        let random = AtomicU64::new(policy.seed);
        Self { inner, policy: Arc::new(Policy { settings: policy, random }) }
    }
}

/// What the tries of one operation have used up.
struct Tries<'a> {
    policy: &'a Policy,
    made: u32,
    end: Instant,
}

impl Policy {
    fn begin(&self) -> Tries<'_> {
        let now = Instant::now();
        // A timeout beyond what the clock can count is none: thirty years.
        let far = Duration::from_secs(30 * 365 * 24 * 3600);
        Tries { policy: self, made: 0, end: now + self.settings.timeout.min(far) }
    }

    async fn run<T, F>(&self, mut attempt: impl FnMut() -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let mut tries = self.begin();
        loop {
            let done = match tokio::time::timeout_at(tries.end, attempt()).await {
                Ok(done) => done,
                Err(_) => return Err(timed_out(self.settings.timeout)),
            };
            match done {
                Err(e) if may_pass(&e) && tries.wait().await => {
                    tracing::debug!(error = %e, tries = tries.made, "bucket operation failed, tried again");
                }
                done => return done,
            }
        }
    }

    /// A wait between half and all of the doubled backoff.
    fn backoff(&self, made: u32) -> Duration {
        let first = u64::try_from(self.settings.backoff_first.as_nanos()).unwrap_or(u64::MAX);
        let most = u64::try_from(self.settings.backoff_max.as_nanos()).unwrap_or(u64::MAX);
        let doubled = first.saturating_mul(1_u64.checked_shl(made.saturating_sub(1)).unwrap_or(u64::MAX));
        let full = doubled.min(most);
        let half = full / 2;
        Duration::from_nanos(half + self.next_random() % (full - half + 1).max(1))
    }

    /// SplitMix64: a sequence that depends on the seed alone.
    fn next_random(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut z = self.random.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl Tries<'_> {
    /// Counts a failed try and waits for the next; false when there is none.
    async fn wait(&mut self) -> bool {
        self.made += 1;
        if self.made >= self.policy.settings.tries_max {
            return false;
        }
        let until = Instant::now() + self.policy.backoff(self.made);
        if until >= self.end {
            return false;
        }
        tokio::time::sleep_until(until).await;
        true
    }
}

/// True for failures that another try may not meet.
fn may_pass(e: &Error) -> bool {
    matches!(e, Error::Generic { .. })
}

fn timed_out(timeout: Duration) -> Error {
    let source = std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no success within {timeout:?}"));
    Error::Generic { store: "retry", source: source.into() }
}

impl fmt::Display for Retrying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with retries", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Retrying {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if options.mode != PutMode::Overwrite {
            return self.inner.put_opts(location, payload, options).await;
        }
        self.policy.run(|| self.inner.put_opts(location, payload.clone(), options.clone())).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.policy.run(|| self.inner.get_opts(location, options.clone())).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.policy.run(|| self.inner.get_ranges(location, ranges)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, policy) = (Arc::clone(&self.inner), Arc::clone(&self.policy));
        locations
            .chunks(DELETE_BATCH)
            .then(move |batch| {
                let (inner, policy) = (Arc::clone(&inner), Arc::clone(&policy));
                async move { stream::iter(delete_batch(&inner, &policy, batch).await) }
            })
            .flatten()
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (inner, prefix) = (Arc::clone(&self.inner), prefix.cloned());
        list_again(Arc::clone(&self.policy), move || inner.list(prefix.as_ref()))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (inner, prefix, offset) = (Arc::clone(&self.inner), prefix.cloned(), offset.clone());
        list_again(Arc::clone(&self.policy), move || inner.list_with_offset(prefix.as_ref(), &offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.policy.run(|| self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        if options.mode != CopyMode::Overwrite {
            return self.inner.copy_opts(from, to, options).await;
        }
        self.policy.run(|| self.inner.copy_opts(from, to, options.clone())).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

/// Deletes a batch until it succeeds; what an earlier try deleted counts as deleted.
async fn delete_batch(
    inner: &Arc<dyn ObjectStore>,
    policy: &Policy,
    batch: Vec<Result<Path>>,
) -> Vec<Result<Path>> {
    let mut failed = Vec::new();
    let mut paths = Vec::with_capacity(batch.len());
    for item in batch {
        match item {
            Ok(path) => paths.push(path),
            Err(e) => failed.push(Err(e)),
        }
    }
    let mut tries = policy.begin();
    loop {
        let locations = stream::iter(paths.clone().into_iter().map(Ok)).boxed();
        let all = inner.delete_stream(locations).collect::<Vec<_>>();
        let Ok(mut results) = tokio::time::timeout_at(tries.end, all).await else {
            failed.push(Err(timed_out(policy.settings.timeout)));
            return failed;
        };
        if tries.made > 0 {
            for result in &mut results {
                if let Err(Error::NotFound { path, .. }) = result
                    && let Ok(path) = Path::parse(path.as_str())
                {
                    *result = Ok(path);
                }
            }
        }
        let again = results.iter().any(|r| r.as_ref().is_err_and(may_pass));
        if !again || !tries.wait().await {
            failed.extend(results);
            return failed;
        }
    }
}

/// A listing that starts anew while it has failed before its first item.
fn list_again(
    policy: Arc<Policy>,
    list: impl Fn() -> BoxStream<'static, Result<ObjectMeta>> + Send + Sync + 'static,
) -> BoxStream<'static, Result<ObjectMeta>> {
    let opened = async move {
        let list = &list;
        let first = policy
            .run(|| async move {
                let mut items = list();
                match items.next().await {
                    Some(Ok(first)) => Ok(Some((first, items))),
                    Some(Err(e)) => Err(e),
                    None => Ok(None),
                }
            })
            .await;
        match first {
            Ok(Some((first, rest))) => stream::once(async move { Ok(first) }).chain(rest).boxed(),
            Ok(None) => stream::empty().boxed(),
            Err(e) => stream::once(async move { Err(e) }).boxed(),
        }
    };
    stream::once(opened).flatten().boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(settings: RetryPolicy) -> Policy {
        Policy { random: AtomicU64::new(settings.seed), settings }
    }

    #[test]
    fn waits_double_to_a_bound_and_repeat_under_one_seed() {
        let one = policy(RetryPolicy::default());
        let two = policy(RetryPolicy::default());
        let check = |made: u32, full_ms: u64| {
            let wait = one.backoff(made);
            assert!(wait >= Duration::from_millis(full_ms / 2) && wait <= Duration::from_millis(full_ms));
            assert_eq!(wait, two.backoff(made));
        };
        check(1, 100);
        check(2, 200);
        check(5, 1600);
        check(20, 10_000);
        check(200, 10_000);
    }

    #[tokio::test(start_paused = true)]
    async fn tries_end_by_number_by_time_and_by_kind() {
        async fn tries(settings: RetryPolicy, error: fn() -> Error) -> (u32, bool) {
            let count = std::sync::atomic::AtomicU32::new(0);
            let policy = policy(settings);
            let done: Result<()> = policy
                .run(|| {
                    count.fetch_add(1, Ordering::Relaxed);
                    async { Err(error()) }
                })
                .await;
            (count.load(Ordering::Relaxed), done.is_err())
        }
        let passing = || Error::Generic { store: "S", source: "reset".into() };
        let lasting = || Error::NotFound { path: "x".into(), source: "gone".into() };
        assert_eq!(tries(RetryPolicy::default(), passing).await, (4, true));
        assert_eq!(tries(RetryPolicy::default(), lasting).await, (1, true));
        let short = RetryPolicy { timeout: Duration::from_millis(120), ..RetryPolicy::default() };
        assert_eq!(tries(short, passing).await, (2, true));
    }
}
