//! Reading members ahead, all at the same time, in step with the one who joins them.
//!
//! Nothing is spawned: whoever polls the joined stream drives the readers as well, so that
//! dropping it ends them all.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context as Task, Poll},
};

use futures::{
    FutureExt, Stream, StreamExt,
    future::BoxFuture,
    stream::{self, FuturesUnordered},
};
use tokio::time::Instant;

use super::{ProxySettings, ProxyStatistics, buffer::Buffer, member::ProxyMember, watched::Watched};
use crate::{
    chunk::Encoding,
    context::{Context, StoreCost, Tally},
    error::Result,
    model::Labels,
    series::SeriesBatch,
    store::{Conform, Frame, SeriesRequest, SeriesStream, Store, conform::charged},
};

/// A reader of a member, and what it has read.
pub(super) fn retrieve(
    ctx: &Context,
    watched: Watched,
    request: SeriesRequest,
    settings: &ProxySettings,
) -> (BoxFuture<'static, ()>, SeriesStream) {
    let buffer = Arc::new(Buffer::new(settings.retrieval, settings.buffered_frames, ctx.budget()));
    let reader = Reader {
        ctx: ctx.clone(),
        statistics: Arc::clone(&watched.statistics),
        notes: Notes::new(ctx, watched.face()),
    };
    let read = reader.run(Conform::new(Arc::new(watched), Labels::empty()), request, Arc::clone(&buffer));
    (read.boxed(), stream::poll_fn(move |task| buffer.poll_next(task)).boxed())
}

/// Reads one member.
struct Reader {
    ctx: Context,
    statistics: Arc<ProxyStatistics>,
    notes: Notes,
}

impl Reader {
    async fn run(mut self, store: Conform, request: SeriesRequest, buffer: Arc<Buffer>) {
        if let Err(e) = self.read(store, request, &buffer).await {
            buffer.push(Err(e));
        }
        if !self.notes.any_series {
            self.statistics.empty_streams.fetch_add(1, Ordering::Relaxed);
        }
        buffer.end();
    }

    async fn read(&mut self, store: Conform, request: SeriesRequest, buffer: &Buffer) -> Result<()> {
        let mut stream = store.series(&self.ctx, request).await?;
        loop {
            buffer.room().await;
            let Some(frame) = stream.next().await else { return Ok(()) };
            self.notes.cost.responses += 1;
            let frame = match frame? {
                Frame::Batch(batch) if batch.is_empty() => continue,
                Frame::Batch(batch) => {
                    self.notes.batch(&batch);
                    Frame::Batch(charged(&self.ctx, batch)?)
                }
                other => other,
            };
            buffer.push(Ok(frame));
            yield_now().await;
        }
    }
}

/// Lets the other readers, and the one who joins, have their turn.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|task| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        task.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What is noted of an answer; handed in at its end, however it ends.
struct Notes {
    told: Option<(Tally, usize)>,
    begin: Instant,
    cost: StoreCost,
    any_series: bool,
    last: Option<Labels>,
}

impl Notes {
    fn new(ctx: &Context, member: &ProxyMember) -> Self {
        Self {
            told: ctx.tally().map(|tally| (tally.clone(), tally.store(&member.address))),
            begin: Instant::now(),
            cost: StoreCost::default(),
            any_series: false,
            last: None,
        }
    }

    fn batch(&mut self, batch: &SeriesBatch) {
        self.any_series = true;
        if self.told.is_none() {
            return;
        }
        let view = |i: usize| batch.get(i).map(|s| s.labels());
        let goes_on = self.last.as_ref().is_some_and(|last| Some(last.view()) == view(0));
        self.last = batch.len().checked_sub(1).and_then(view).map(|l| l.to_labels());
        let cost = &mut self.cost;
        cost.series += (batch.len() - usize::from(goes_on)) as u64;
        for series in batch.iter() {
            cost.bytes += series.labels().as_bytes().len() as u64;
            for chunk in series.chunks().filter(|c| c.meta.encoding != Encoding::None) {
                let data = chunk.data();
                cost.chunks += 1;
                cost.bytes += data.len() as u64;
                // Every encoding begins with the number of samples.
                if let [high, low, ..] = data {
                    cost.samples += u64::from(u16::from_be_bytes([*high, *low]));
                }
            }
        }
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        if let Some((tally, store)) = &self.told {
            self.cost.time = self.begin.elapsed();
            tally.add(*store, &self.cost);
        }
    }
}

/// A joined stream with the readers behind it.
pub(super) fn driven(merged: SeriesStream, readers: Vec<BoxFuture<'static, ()>>) -> SeriesStream {
    Driven { merged: Some(merged), readers: readers.into_iter().collect() }.boxed()
}

struct Driven {
    /// `None` after its end.
    merged: Option<SeriesStream>,
    readers: FuturesUnordered<BoxFuture<'static, ()>>,
}

impl Stream for Driven {
    type Item = Result<Frame>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(merged) = &mut this.merged else { return Poll::Ready(None) };
        while let Poll::Ready(Some(())) = this.readers.poll_next_unpin(task) {}
        let next = merged.poll_next_unpin(task);
        if let Poll::Ready(None | Some(Err(_))) = &next {
            this.readers = FuturesUnordered::new();
            if let Poll::Ready(None) = &next {
                this.merged = None;
            }
        }
        next
    }
}
