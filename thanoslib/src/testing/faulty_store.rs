//! A store that does something wrong, or takes its time, around a sound one.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};

use crate::{
    chunk::Encoding,
    context::Context,
    error::{Error, ErrorKind, Result},
    model::{Aggr, Interval, Labels, Warning},
    series::{BatchBuilder, SeriesBatch},
    store::{
        Abilities, Frame, LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, SeriesRequest,
        SeriesStream, Store, StoreInfo,
    },
};

/// What a [`FaultyStore`] does wrong.
///
/// See [`FaultyStore`].
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum StoreFault {
    /// Nothing.
    #[default]
    None,
    /// Every call fails.
    Fails(ErrorKind, &'static str),
    /// No call is ever answered.
    Hangs,
    /// Calls are answered after a time.
    Slow(Duration),
    /// Each frame comes after a time.
    SlowFrames(Duration),
    /// Streams fail after so many frames.
    Breaks(usize, ErrorKind, &'static str),
    /// Streams stop after so many frames, without an end.
    Stops(usize),
    /// Streams begin with a warning.
    Warns(&'static str),
    /// Series come in descending order.
    OutOfOrder,
    /// The last series comes again and again, without an end.
    Repeats,
    /// Empty frames come without an end.
    Empty,
    /// Every series has a chunk that ends before it begins.
    Inverted,
    /// The call panics: nobody should make it.
    Unasked,
}

/// A store that does something wrong around a sound one; its frames have one series each.
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::{Context, ErrorKind, Interval, Labels, MemoryStore, SeriesRequest, Store};
/// use thanoslib::testing::{FaultyStore, StoreFault};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let sound = Arc::new(MemoryStore::new(Labels::empty()));
/// let store = FaultyStore::new(sound, StoreFault::Fails(ErrorKind::Unavailable, "gone"));
/// let request = SeriesRequest::new(Interval::ALL, Vec::new());
/// assert!(store.series(&Context::default(), request).await.is_err());
/// assert_eq!(store.calls(), 1);
/// # }
/// ```
#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    fault: Mutex<StoreFault>,
    calls: AtomicU64,
    open: Arc<AtomicUsize>,
}

impl FaultyStore {
    /// A store that does this wrong.
    pub fn new(inner: Arc<dyn Store>, fault: StoreFault) -> Self {
        Self { inner, fault: Mutex::new(fault), calls: AtomicU64::new(0), open: Arc::default() }
    }

    /// Sets what it does wrong from now on.
    pub fn set(&self, fault: StoreFault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Streams that were given and not dropped yet.
    pub fn open_streams(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    async fn meet(&self) -> Result<StoreFault> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match &fault {
            StoreFault::Fails(kind, message) => return Err(Error::new(*kind, *message)),
            StoreFault::Hangs => std::future::pending().await,
            StoreFault::Slow(time) => tokio::time::sleep(*time).await,
            StoreFault::Unasked => panic!("this store should not be asked"),
            _ => {}
        }
        Ok(fault)
    }
}

/// Counts a stream for as long as it lives.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Store for FaultyStore {
    fn info(&self) -> StoreInfo {
        self.inner.info()
    }

    fn abilities(&self) -> Abilities {
        self.inner.abilities()
    }

    async fn series(&self, ctx: &Context, request: SeriesRequest) -> Result<SeriesStream> {
        let fault = self.meet().await?;
        let mut sound = self.inner.series(ctx, request).await?;
        let mut frames: Vec<Frame> = Vec::new();
        while let Some(frame) = sound.next().await {
            match frame? {
                Frame::Batch(batch) => frames.extend((0..batch.len()).map(|i| Frame::Batch(one(&batch, i)))),
                other => frames.push(other),
            }
        }
        let open = Open::new(&self.open);
        let frames = stream::iter(frames.into_iter().map(Ok));
        let frames: SeriesStream = match fault {
            StoreFault::SlowFrames(time) => frames
                .then(move |frame| async move {
                    tokio::time::sleep(time).await;
                    frame
                })
                .boxed(),
            StoreFault::Breaks(after, kind, message) => {
                frames.take(after).chain(stream::iter([Err(Error::new(kind, message))])).boxed()
            }
            StoreFault::Stops(after) => frames.take(after).chain(stream::pending()).boxed(),
            StoreFault::Warns(text) => {
                stream::iter([Ok(Frame::Warning(Warning::new(text)))]).chain(frames).boxed()
            }
            StoreFault::OutOfOrder => {
                let mut all: Vec<_> = frames.collect().await;
                all.reverse();
                stream::iter(all).boxed()
            }
            StoreFault::Repeats => {
                let all: Vec<Result<Frame>> = frames.collect().await;
                let last = all.iter().rev().find_map(|f| match f {
                    Ok(Frame::Batch(batch)) => Some(batch.clone()),
                    _ => None,
                });
                stream::iter(all).chain(stream::repeat_with(move || Ok(again(last.as_ref())))).boxed()
            }
            StoreFault::Empty => {
                frames.chain(stream::repeat_with(|| Ok(Frame::Batch(SeriesBatch::default())))).boxed()
            }
            StoreFault::Inverted => frames.map(|frame| frame.map(inverted)).boxed(),
            _ => frames.boxed(),
        };
        Ok(frames
            .map(move |frame| {
                let _held = &open;
                frame
            })
            .boxed())
    }

    async fn label_names(&self, ctx: &Context, request: LabelNamesRequest) -> Result<LabelNames> {
        self.meet().await?;
        self.inner.label_names(ctx, request).await
    }

    async fn label_values(&self, ctx: &Context, request: LabelValuesRequest) -> Result<LabelValues> {
        self.meet().await?;
        self.inner.label_values(ctx, request).await
    }
}

fn one(batch: &SeriesBatch, i: usize) -> SeriesBatch {
    let mut out = BatchBuilder::default();
    batch.get(i).into_iter().for_each(|series| out.copy(series));
    out.finish()
}

fn again(last: Option<&SeriesBatch>) -> Frame {
    Frame::Batch(last.cloned().unwrap_or_default())
}

fn inverted(frame: Frame) -> Frame {
    let Frame::Batch(batch) = frame else { return frame };
    let mut out = BatchBuilder::default();
    for series in batch.iter() {
        let labels: Labels = series.labels().to_labels();
        out.series(labels.view());
        out.chunk(Interval { mint: 9, maxt: 0 }, Aggr::Raw, Encoding::Xor, true, Bytes::from_static(&[0, 0]));
    }
    Frame::Batch(out.finish())
}
