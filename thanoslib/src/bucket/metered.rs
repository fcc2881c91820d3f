//! Counts and times what is asked of a bucket.
//!
//! The sink is a trait, so that the library depends on no metrics server. Its numbers are
//! those of Thanos' families `thanos_objstore_bucket_…`:
//!
//! | family | from |
//! |---|---|
//! | `operations_total{bucket,operation}` | [`OperationCounts::operations`] |
//! | `operation_failures_total` | [`OperationCounts::failures`] |
//! | `operation_fetched_bytes_total` | [`OperationCounts::fetched_bytes`] |
//! | `operation_transferred_bytes` (histogram) | [`Observation::transferred_bytes`] |
//! | `operation_duration_seconds` (histogram) | [`Observation::duration`] |
//! | `last_successful_upload_time{bucket}` | a successful [`Operation::Upload`] |
//!
//! Invariant: changes no answer; an object that is absent is no failure.

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
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
    path::Path,
};
use tokio::time::Instant;

/// What was asked of a bucket.
///
/// See [`CountingMetrics`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// A listing.
    Iter,
    /// Reading a whole object.
    Get,
    /// Reading a range of an object.
    GetRange,
    /// Asking whether an object exists.
    Exists,
    /// Writing an object.
    Upload,
    /// Deleting an object.
    Delete,
    /// Asking for size and time of an object.
    Attributes,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Operation; 7] = [
        Operation::Iter,
        Operation::Get,
        Operation::GetRange,
        Operation::Exists,
        Operation::Upload,
        Operation::Delete,
        Operation::Attributes,
    ];

    /// The value of the label `operation`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Operation::Iter => "iter",
            Operation::Get => "get",
            Operation::GetRange => "get_range",
            Operation::Exists => "exists",
            Operation::Upload => "upload",
            Operation::Delete => "delete",
            Operation::Attributes => "attributes",
        }
    }

    /// The operation that asks a store with these options.
    pub(crate) fn of(options: &GetOptions) -> Self {
        match (options.extensions.get::<Operation>(), options.head, &options.range) {
            (Some(asked), ..) => *asked,
            (None, true, _) => Operation::Attributes,
            (None, false, Some(_)) => Operation::GetRange,
            (None, false, None) => Operation::Get,
        }
    }
}

/// One finished operation.
///
/// See [`CountingMetrics`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// What was asked.
    pub operation: Operation,
    /// True unless it failed; absence is no failure.
    pub success: bool,
    /// From the call to the last byte.
    pub duration: Duration,
    /// Bytes read or written.
    pub transferred_bytes: u64,
}

/// Takes note of operations. Every component that hands in its own sees its own numbers.
///
/// See [`CountingMetrics`].
pub trait BucketMetrics: fmt::Debug + Send + Sync + 'static {
    /// An operation begins.
    fn begun(&self, operation: Operation);
    /// An operation ended; a read whose body is dropped unread ends then.
    fn ended(&self, observation: &Observation);
}

/// Sums of one operation.
///
/// See [`CountingMetrics`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperationCounts {
    /// Operations begun.
    pub operations: u64,
    /// Operations failed.
    pub failures: u64,
    /// Bytes read by it.
    pub fetched_bytes: u64,
    /// Time spent, in nanoseconds.
    pub duration_ns: u64,
}

/// Metrics that only add up.
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::bucket::{Bucket, CountingMetrics, Operation};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let metrics = Arc::new(CountingMetrics::default());
/// let bucket = Bucket::memory("demo").with_metrics(Arc::clone(&metrics) as _);
/// bucket.put("a", "text").await?;
/// bucket.get("a").await?;
/// assert_eq!(metrics.counts(Operation::Get).fetched_bytes, 4);
/// assert_eq!(metrics.counts(Operation::Upload).operations, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct CountingMetrics {
    sums: [[AtomicU64; 4]; Operation::ALL.len()],
}

impl CountingMetrics {
    /// The sums of one operation so far.
    pub fn counts(&self, operation: Operation) -> OperationCounts {
        let [operations, failures, fetched_bytes, duration_ns] =
            std::array::from_fn(|i| self.sums[operation as usize][i].load(Ordering::Relaxed));
        OperationCounts { operations, failures, fetched_bytes, duration_ns }
    }
}

impl BucketMetrics for CountingMetrics {
    fn begun(&self, operation: Operation) {
        self.sums[operation as usize][0].fetch_add(1, Ordering::Relaxed);
    }

    fn ended(&self, o: &Observation) {
        let [_, failures, fetched, duration] = &self.sums[o.operation as usize];
        failures.fetch_add(u64::from(!o.success), Ordering::Relaxed);
        if matches!(o.operation, Operation::Get | Operation::GetRange) {
            fetched.fetch_add(o.transferred_bytes, Ordering::Relaxed);
        }
        let ns = u64::try_from(o.duration.as_nanos()).unwrap_or(u64::MAX);
        duration.fetch_add(ns, Ordering::Relaxed);
    }
}

/// An [`ObjectStore`] that tells every operation of another to a [`BucketMetrics`].
#[derive(Debug)]
pub(crate) struct Metered {
    inner: Arc<dyn ObjectStore>,
    metrics: Arc<dyn BucketMetrics>,
}

impl Metered {
    /// The operations of `inner`, told to `metrics`.
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, metrics: Arc<dyn BucketMetrics>) -> Self {
        Self { inner, metrics }
    }

    fn begin(&self, operation: Operation) -> Watch {
        self.metrics.begun(operation);
        Watch {
            metrics: Arc::clone(&self.metrics),
            operation,
            begin: Instant::now(),
            success: true,
            transferred_bytes: 0,
        }
    }
}

/// An operation under way; dropping it ends it.
#[derive(Debug)]
struct Watch {
    metrics: Arc<dyn BucketMetrics>,
    operation: Operation,
    begin: Instant,
    success: bool,
    transferred_bytes: u64,
}

impl Watch {
    fn saw<T>(&mut self, result: &Result<T>) {
        self.success &= !matches!(result, Err(e) if !matches!(e, Error::NotFound { .. }));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.metrics.ended(&Observation {
            operation: self.operation,
            success: self.success,
            duration: self.begin.elapsed(),
            transferred_bytes: self.transferred_bytes,
        });
    }
}

/// Tells the items of a stream to the watch, which ends with the stream.
fn watched<T: Send + 'static>(
    mut watch: Watch,
    items: BoxStream<'static, Result<T>>,
    size: impl Fn(&T) -> u64 + Send + 'static,
) -> BoxStream<'static, Result<T>> {
    items
        .inspect(move |item| {
            watch.saw(item);
            watch.transferred_bytes += item.as_ref().map_or(0, &size);
        })
        .boxed()
}

impl fmt::Display for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with metrics", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Metered {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let mut watch = self.begin(Operation::Upload);
        watch.transferred_bytes = payload.content_length() as u64;
        let done = self.inner.put_opts(location, payload, options).await;
        watch.saw(&done);
        done
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let mut watch = self.begin(Operation::Upload);
        let begun = self.inner.put_multipart_opts(location, options).await;
        watch.saw(&begun);
        Ok(Box::new(MeteredUpload { inner: begun?, watch }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let head = options.head;
        let mut watch = self.begin(Operation::of(&options));
        let got = self.inner.get_opts(location, options).await;
        watch.saw(&got);
        let got = got?;
        if head {
            return Ok(got);
        }
        let (meta, range, attributes, extensions) =
            (got.meta.clone(), got.range.clone(), got.attributes.clone(), got.extensions.clone());
        let body = watched(watch, got.into_stream(), |bytes: &Bytes| bytes.len() as u64);
        Ok(GetResult { payload: GetResultPayload::Stream(body), meta, range, attributes, extensions })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let mut watch = self.begin(Operation::GetRange);
        let got = self.inner.get_ranges(location, ranges).await;
        watch.saw(&got);
        watch.transferred_bytes = got.iter().flatten().map(|b| b.len() as u64).sum();
        got
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let metrics = Arc::clone(&self.metrics);
        let locations = locations.inspect(move |_| metrics.begun(Operation::Delete)).boxed();
        let metrics = Arc::clone(&self.metrics);
        let mut begin = Instant::now();
        self.inner
            .delete_stream(locations)
            .inspect(move |done| {
                let success = !matches!(done, Err(e) if !matches!(e, Error::NotFound { .. }));
                let duration = begin.elapsed();
                begin = Instant::now();
                let operation = Operation::Delete;
                metrics.ended(&Observation { operation, success, duration, transferred_bytes: 0 });
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        watched(self.begin(Operation::Iter), self.inner.list(prefix), |_| 0)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        watched(self.begin(Operation::Iter), self.inner.list_with_offset(prefix, offset), |_| 0)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut watch = self.begin(Operation::Iter);
        let listed = self.inner.list_with_delimiter(prefix).await;
        watch.saw(&listed);
        listed
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let mut watch = self.begin(Operation::Upload);
        let done = self.inner.copy_opts(from, to, options).await;
        watch.saw(&done);
        done
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let mut watch = self.begin(Operation::Upload);
        let done = self.inner.rename_opts(from, to, options).await;
        watch.saw(&done);
        done
    }
}

/// One upload of several parts; it is one operation.
#[derive(Debug)]
struct MeteredUpload {
    inner: Box<dyn MultipartUpload>,
    watch: Watch,
}

#[async_trait]
impl MultipartUpload for MeteredUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.watch.transferred_bytes += data.content_length() as u64;
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let done = self.inner.complete().await;
        self.watch.saw(&done);
        done
    }

    async fn abort(&mut self) -> Result<()> {
        self.watch.success = false;
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::Bucket;

    #[tokio::test]
    async fn operations_are_counted_by_what_was_asked() {
        let metrics = Arc::new(CountingMetrics::default());
        let sink: Arc<dyn BucketMetrics> = Arc::clone(&metrics) as _;
        let bucket = Bucket::memory("b").with_metrics(sink);
        bucket.put("a", "12345").await.expect("put");
        bucket.get("a").await.expect("get");
        bucket.get_range("a", 1..3).await.expect("range");
        bucket.get_ranges("a", &[0..1, 4..5]).await.expect("ranges");
        assert!(!bucket.exists("b").await.expect("exists"));
        bucket.attributes("a").await.expect("attributes");
        assert!(bucket.get("b").await.is_err());
        bucket.list("").await.expect("list");
        bucket.delete("a").await.expect("delete");
        let check = |operation: Operation, operations: u64, fetched_bytes: u64| {
            let got = metrics.counts(operation);
            assert_eq!((got.operations, got.failures), (operations, 0), "{operation:?}");
            assert_eq!(got.fetched_bytes, fetched_bytes, "{operation:?}");
        };
        check(Operation::Upload, 1, 0);
        check(Operation::Get, 2, 5);
        check(Operation::GetRange, 2, 7);
        check(Operation::Exists, 1, 0);
        check(Operation::Attributes, 1, 0);
        check(Operation::Iter, 1, 0);
        check(Operation::Delete, 1, 0);
    }
}
