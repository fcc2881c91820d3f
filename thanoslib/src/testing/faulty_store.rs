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
use futures::{Stream, StreamExt, stream};

use crate::{
    chunk::{Encoding, XorAppender},
    context::Context,
    error::{Error, ErrorKind, Result},
    model::{Aggr, Interval, Labels, LabelsBuilder, Warning},
    series::{BatchBuilder, SeriesBatch, SeriesView},
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
    /// Every series comes twice.
    Doubled,
    /// Every series has two chunks more, long before and after all others.
    Far,
    /// Every chunk says that it holds samples of all time.
    Widened,
    /// Every chunk has these bytes.
    Broken(&'static [u8]),
    /// Every series has a chunk of so many bytes.
    Giant(usize),
    /// Every series has a label that is not UTF-8.
    BadText,
    /// After all others come more and more series, without an end.
    Endless,
    /// The last series has more and more chunks, without an end.
    EndlessChunks,
    /// Streams are warnings of this text so many times over, without an end.
    EndlessWarnings(&'static str, usize),
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
            StoreFault::Inverted => changed(frames, |out, series| {
                out.series(series.labels());
                chunk(out, Interval { mint: 9, maxt: 0 }, Bytes::from_static(&[0, 0]));
            }),
            StoreFault::Doubled => changed(frames, |out, series| {
                out.copy(series);
                out.copy(series);
            }),
            StoreFault::Far => changed(frames, |out, series| {
                out.series(series.labels());
                sample(out, -FAR_MS);
                out.copy_chunks(series);
                sample(out, FAR_MS);
            }),
            StoreFault::Widened => changed(frames, |out, series| {
                out.series(series.labels());
                series.chunks().for_each(|c| chunk(out, Interval::ALL, c.bytes()));
            }),
            StoreFault::Broken(bytes) => changed(frames, move |out, series| {
                out.series(series.labels());
                series.chunks().for_each(|c| chunk(out, c.meta.interval, Bytes::from_static(bytes)));
            }),
            StoreFault::Giant(size) => changed(frames, move |out, series| {
                out.series(series.labels());
                series.chunks().for_each(|c| chunk(out, c.meta.interval, Bytes::from(vec![0; size])));
            }),
            StoreFault::BadText => changed(frames, |out, series| {
                let mut labels = LabelsBuilder::from_labels(series.labels());
                labels.set(*b"z\xff", *b"\xfe\xff");
                out.series(labels.labels().view());
                out.copy_chunks(series);
            }),
            StoreFault::Endless => {
                let more = (0_u64..).map(|n| {
                    let mut out = BatchBuilder::default();
                    let number = format!("{n:020}");
                    out.series(Labels::from_pairs([("__name__", "up"), ("zz", &number)]).view());
                    sample(&mut out, 0);
                    Ok(Frame::Batch(out.finish()))
                });
                frames.chain(stream::iter(more)).boxed()
            }
            StoreFault::EndlessChunks => {
                let all: Vec<Result<Frame>> = frames.collect().await;
                let last = all.iter().rev().find_map(|f| match f {
                    Ok(Frame::Batch(batch)) => batch.get(0).map(|s| s.labels().to_labels()),
                    _ => None,
                });
                let more = (0_i64..).map(move |n| {
                    let mut out = BatchBuilder::default();
                    out.series(last.clone().unwrap_or_default().view());
                    sample(&mut out, n);
                    Ok(Frame::Batch(out.finish()))
                });
                stream::iter(all).chain(stream::iter(more)).boxed()
            }
            StoreFault::EndlessWarnings(text, times) => {
                let warnings = (0_u64..).map(move |n| {
                    let text = format!("{n} {}", text.repeat(times));
                    Ok(Frame::Warning(Warning::new(text)))
                });
                stream::iter(warnings).boxed()
            }
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

/// How far away the chunks of [`StoreFault::Far`] are.
const FAR_MS: i64 = 1 << 50;

/// The frames with the series of each batch written anew.
fn changed(
    frames: impl Stream<Item = Result<Frame>> + Send + 'static,
    change: impl Fn(&mut BatchBuilder, SeriesView<'_>) + Send + 'static,
) -> SeriesStream {
    let change = move |frame| match frame {
        Frame::Batch(batch) => {
            let mut out = BatchBuilder::default();
            batch.iter().for_each(|series| change(&mut out, series));
            Frame::Batch(out.finish())
        }
        other => other,
    };
    frames.map(move |frame| frame.map(&change)).boxed()
}

fn chunk(out: &mut BatchBuilder, at: Interval, data: Bytes) {
    out.chunk(at, Aggr::Raw, Encoding::Xor, true, data);
}

/// A chunk of one sample.
fn sample(out: &mut BatchBuilder, t_ms: i64) {
    let mut appender = XorAppender::new();
    // The first sample always has room.
    if appender.append(t_ms, 1.0).is_ok() {
        chunk(out, Interval::new(t_ms, t_ms), Bytes::from(appender.into_bytes()));
    }
}
