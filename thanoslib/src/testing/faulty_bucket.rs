//! A bucket that fails when a test says so.
//!
//! Faults are chosen by operation, object name and number of the call; nothing is random,
//! so that a failing test fails again.
//!
//! Invariant: a call that no fault chooses reaches the store below unchanged.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, TryStreamExt, stream, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
    path::Path,
};

use crate::bucket::{Bucket, Operation};

/// Which of the calls that match a fault meet it; they count from 1.
///
/// See [`FaultyBucket`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Every call.
    Always,
    /// This call alone.
    Nth(u64),
    /// This call and all later ones, as after a crash.
    From(u64),
    /// Calls up to and including this one.
    UpTo(u64),
}

impl When {
    fn holds(self, call: u64) -> bool {
        match self {
            When::Always => true,
            When::Nth(n) => call == n,
            When::From(n) => call >= n,
            When::UpTo(n) => call <= n,
        }
    }
}

/// What happens to a call.
///
/// See [`FaultyBucket`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It fails in a way that may pass, without having done anything.
    Fail,
    /// It is done, and fails nevertheless, as when the answer gets lost.
    FailAfter,
    /// It fails because the credentials do not suffice.
    Deny,
    /// It starts after this time (tokio's clock).
    Delay(Duration),
    /// A read ends after this many bytes without an error.
    Short(u64),
}

/// A fault of a [`FaultyBucket`].
///
/// See [`FaultyBucket`].
#[derive(Debug)]
pub struct Fault {
    operations: Vec<Operation>,
    pattern: String,
    when: When,
    effect: Effect,
    calls: AtomicU64,
}

impl Fault {
    /// A fault of all operations on all objects.
    pub fn new(when: When, effect: Effect) -> Self {
        Self { operations: Vec::new(), pattern: "*".to_owned(), when, effect, calls: AtomicU64::new(0) }
    }

    /// Only for this operation; more than one may be named.
    #[must_use]
    pub fn on(mut self, operation: Operation) -> Self {
        self.operations.push(operation);
        self
    }

    /// Only for objects whose name matches; `*` stands for any text.
    #[must_use]
    pub fn at(mut self, pattern: &str) -> Self {
        pattern.clone_into(&mut self.pattern);
        self
    }

    fn strikes(&self, operation: Operation, name: &str) -> Option<Effect> {
        let chosen = (self.operations.is_empty() || self.operations.contains(&operation))
            && matches(&self.pattern, name);
        let strikes = chosen && self.when.holds(self.calls.fetch_add(1, Ordering::Relaxed) + 1);
        strikes.then_some(self.effect)
    }
}

/// True when the text is the pattern, with any text for each `*`.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// An [`ObjectStore`] that meets faults on the way to another.
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::object_store::memory::InMemory;
/// use thanoslib::testing::{Effect, Fault, FaultyBucket, When};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let faults = FaultyBucket::new(Arc::new(InMemory::new()));
/// let bucket = faults.bucket();
/// bucket.put("a/index", "text").await?;
/// faults.inject(Fault::new(When::Always, Effect::Deny).at("*/index"));
/// assert!(bucket.get("a/index").await.is_err());
/// faults.heal();
/// assert_eq!(bucket.get("a/index").await?, "text");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FaultyBucket {
    inner: Arc<dyn ObjectStore>,
    plan: Arc<Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    faults: Mutex<Vec<Arc<Fault>>>,
    calls: AtomicU64,
}

impl FaultyBucket {
    /// The objects of `inner`, without faults yet.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(Self { inner, plan: Arc::default() })
    }

    /// A bucket over this store.
    pub fn bucket(self: &Arc<Self>) -> Bucket {
        Bucket::new(Arc::clone(self) as Arc<dyn ObjectStore>, "faulty", crate::bucket::Provider::Custom)
    }

    /// Adds a fault; its calls count from now on.
    pub fn inject(&self, fault: Fault) {
        self.plan.faults.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(fault));
    }

    /// Removes all faults.
    pub fn heal(&self) {
        self.plan.faults.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Calls seen so far, faulty or not.
    pub fn calls(&self) -> u64 {
        self.plan.calls.load(Ordering::Relaxed)
    }
}

/// What is left to do after the faults before a call.
#[derive(Clone, Copy, Debug, Default)]
struct After {
    fail: bool,
    short: Option<u64>,
}

impl Plan {
    async fn meet(&self, operation: Operation, name: &str) -> Result<After> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let effects: Vec<Effect> = {
            let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
            faults.iter().filter_map(|fault| fault.strikes(operation, name)).collect()
        };
        let mut after = After::default();
        for effect in effects {
            match effect {
                Effect::Fail => return Err(failure(operation, name)),
                Effect::FailAfter => after.fail = true,
                Effect::Deny => {
                    let source = "fault of a test".into();
                    return Err(Error::PermissionDenied { path: name.to_owned(), source });
                }
                Effect::Delay(time) => tokio::time::sleep(time).await,
                Effect::Short(bytes) => after.short = Some(bytes),
            }
        }
        Ok(after)
    }
}

impl After {
    fn judge<T>(self, operation: Operation, name: &str, done: Result<T>) -> Result<T> {
        if self.fail { Err(failure(operation, name)) } else { done }
    }
}

fn failure(operation: Operation, name: &str) -> Error {
    let source = format!("fault of a test: {} {name}", operation.as_str()).into();
    Error::Generic { store: "faulty", source }
}

/// The first `bytes` of a stream.
fn shortened(body: BoxStream<'static, Result<Bytes>>, bytes: u64) -> BoxStream<'static, Result<Bytes>> {
    let cut = body.scan(bytes, |left, item| {
        let item = match item {
            Ok(_) if *left == 0 => None,
            Ok(part) => {
                let keep = part.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= keep as u64;
                Some(Ok(part.slice(..keep)))
            }
            Err(e) => Some(Err(e)),
        };
        std::future::ready(item)
    });
    cut.boxed()
}

impl fmt::Display for FaultyBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with faults", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for FaultyBucket {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let after = self.plan.meet(Operation::Upload, location.as_ref()).await?;
        let done = self.inner.put_opts(location, payload, options).await;
        after.judge(Operation::Upload, location.as_ref(), done)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let after = self.plan.meet(Operation::Upload, location.as_ref()).await?;
        let begun = self.inner.put_multipart_opts(location, options).await;
        let inner = after.judge(Operation::Upload, location.as_ref(), begun)?;
        Ok(Box::new(FaultyUpload { inner, name: location.to_string(), plan: Arc::clone(&self.plan) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = Operation::of(&options);
        let after = self.plan.meet(operation, location.as_ref()).await?;
        let got = self.inner.get_opts(location, options).await;
        let mut got = after.judge(operation, location.as_ref(), got)?;
        if let Some(bytes) = after.short {
            let (meta, range, attributes, extensions) =
                (got.meta.clone(), got.range.clone(), got.attributes.clone(), got.extensions.clone());
            let payload = GetResultPayload::Stream(shortened(got.into_stream(), bytes));
            got = GetResult { payload, meta, range, attributes, extensions };
        }
        Ok(got)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let after = self.plan.meet(Operation::GetRange, location.as_ref()).await?;
        let got = self.inner.get_ranges(location, ranges).await;
        let mut got = after.judge(Operation::GetRange, location.as_ref(), got)?;
        if let Some(bytes) = after.short {
            let keep = usize::try_from(bytes).unwrap_or(usize::MAX);
            got.iter_mut().for_each(|part| part.truncate(keep));
        }
        Ok(got)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, plan) = (Arc::clone(&self.inner), Arc::clone(&self.plan));
        locations
            .and_then(move |path| {
                let (inner, plan) = (Arc::clone(&inner), Arc::clone(&plan));
                async move {
                    let after = plan.meet(Operation::Delete, path.as_ref()).await?;
                    let one = stream::iter([Ok(path.clone())]).boxed();
                    let done: Result<Vec<Path>> = inner.delete_stream(one).try_collect().await;
                    after.judge(Operation::Delete, path.as_ref(), done).map(|_| path)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (plan, items) = (Arc::clone(&self.plan), self.inner.list(prefix));
        listed(plan, prefix, items)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (plan, items) = (Arc::clone(&self.plan), self.inner.list_with_offset(prefix, offset));
        listed(plan, prefix, items)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let name = prefix.map_or("", Path::as_ref);
        let after = self.plan.meet(Operation::Iter, name).await?;
        after.judge(Operation::Iter, name, self.inner.list_with_delimiter(prefix).await)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let after = self.plan.meet(Operation::Upload, to.as_ref()).await?;
        after.judge(Operation::Upload, to.as_ref(), self.inner.copy_opts(from, to, options).await)
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let after = self.plan.meet(Operation::Upload, to.as_ref()).await?;
        after.judge(Operation::Upload, to.as_ref(), self.inner.rename_opts(from, to, options).await)
    }
}

/// A listing fails before its first item, or after its last.
fn listed(
    plan: Arc<Plan>,
    prefix: Option<&Path>,
    items: BoxStream<'static, Result<ObjectMeta>>,
) -> BoxStream<'static, Result<ObjectMeta>> {
    let name = prefix.map_or_else(String::new, Path::to_string);
    let begun = async move {
        match plan.meet(Operation::Iter, &name).await {
            Err(e) => stream::iter([Err(e)]).boxed(),
            Ok(After { fail: true, .. }) => {
                items.chain(stream::iter([Err(failure(Operation::Iter, &name))])).boxed()
            }
            Ok(_) => items,
        }
    };
    begun.flatten_stream().boxed()
}

/// An upload in parts; each part and the end are calls of their own.
#[derive(Debug)]
struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    name: String,
    plan: Arc<Plan>,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (plan, name, part) = (Arc::clone(&self.plan), self.name.clone(), self.inner.put_part(data));
        async move {
            let after = plan.meet(Operation::Upload, &name).await?;
            after.judge(Operation::Upload, &name, part.await)
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let after = self.plan.meet(Operation::Upload, &self.name).await?;
        after.judge(Operation::Upload, &self.name, self.inner.complete().await)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;
    use crate::{bucket::RetryPolicy, error::ErrorKind};

    #[test]
    fn patterns_match_whole_names() {
        let check = |pattern: &str, text: &str, want: bool| {
            assert_eq!(matches(pattern, text), want, "{pattern} {text}");
        };
        check("*", "", true);
        check("a/meta.json", "a/meta.json", true);
        check("a/meta.json", "a/meta.json2", false);
        check("*/meta.json", "a/b/meta.json", true);
        check("a/*/0001", "a/chunks/0001", true);
        check("a/*/0001", "a/chunks/0002", false);
        check("*x*y*", "axbyc", true);
        check("*x*y*", "aybxc", false);
    }

    #[tokio::test(start_paused = true)]
    async fn faults_strike_the_calls_they_name() {
        let faulty = FaultyBucket::new(Arc::new(InMemory::new()));
        let bucket = faulty.bucket();
        bucket.put("a", "12345").await.expect("put");
        faulty.inject(Fault::new(When::Nth(2), Effect::Fail).on(Operation::Get).at("a"));
        assert!(bucket.get("a").await.is_ok());
        assert_eq!(bucket.get("a").await.expect_err("second").kind(), ErrorKind::Unavailable);
        assert!(bucket.get("a").await.is_ok());

        faulty.heal();
        faulty.inject(Fault::new(When::Always, Effect::Short(3)));
        assert_eq!(bucket.get("a").await.expect_err("short").kind(), ErrorKind::Unavailable);
        assert_eq!(bucket.get_range("a", 0..5).await.expect_err("short").kind(), ErrorKind::Unavailable);

        faulty.heal();
        faulty.inject(Fault::new(When::Always, Effect::Deny).on(Operation::Iter));
        assert_eq!(bucket.list("").await.expect_err("denied").kind(), ErrorKind::Denied);

        faulty.heal();
        faulty.inject(Fault::new(When::UpTo(1), Effect::FailAfter).on(Operation::Delete));
        assert!(bucket.delete("a").await.is_err());
        assert!(!bucket.exists("a").await.expect("exists"), "it was deleted nevertheless");
    }

    #[tokio::test(start_paused = true)]
    async fn retries_get_over_faults_that_pass() {
        let faulty = FaultyBucket::new(Arc::new(InMemory::new()));
        let bucket = faulty.bucket().with_retries(RetryPolicy::default());
        let strike = |when| {
            faulty.heal();
            faulty.inject(Fault::new(when, Effect::FailAfter));
        };
        strike(When::UpTo(3));
        bucket.put("a", "1").await.expect("put");
        strike(When::UpTo(3));
        assert_eq!(bucket.get("a").await.expect("get"), "1");
        strike(When::UpTo(3));
        assert_eq!(bucket.list("").await.expect("list").len(), 1);
        strike(When::UpTo(3));
        bucket.delete("a").await.expect("delete");
        strike(When::UpTo(4));
        assert!(bucket.list("").await.is_err(), "four tries are all");
        faulty.heal();
        faulty.inject(Fault::new(When::UpTo(1), Effect::Delay(Duration::from_secs(600))));
        assert_eq!(bucket.list("").await.expect_err("too slow").kind(), ErrorKind::Timeout);
    }
}
