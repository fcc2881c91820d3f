//! Joining the streams of several stores into one.

use std::{cmp::Ordering, collections::VecDeque, pin::pin, sync::Arc, task::Poll};

use futures::{
    StreamExt, poll,
    stream::{self, FuturesUnordered},
};

use super::{Frame, Hints, SeriesStream};
use crate::{
    error::Result,
    model::{Labels, LabelsRef, Warning},
    series::{BatchBuilder, ChunkJoin, LoserTree, SeriesBatch},
};

/// Series in a merged batch.
const BATCH_SERIES: usize = 256;
/// Bytes after which a merged batch is sent.
const BATCH_BYTES: usize = 1 << 20;

/// Series of a batch that is sent on as it is; smaller ones are joined to larger.
const BATCH_WHOLE: usize = 64;

/// Merges streams in label order; equal series become one, equal chunks are kept once.
///
/// Warnings and hints go out before the series that come after them. An error of one stream
/// ends the whole; callers that want the rest turn it into a warning before.
pub(crate) fn merge(mut streams: Vec<SeriesStream>) -> SeriesStream {
    if streams.len() == 1
        && let Some(only) = streams.pop()
    {
        return only;
    }
    let inputs = streams.into_iter().map(Input::new).collect();
    let state = Merge { inputs, ..Merge::default() };
    stream::unfold(state, |mut state| async move {
        match state.next().await {
            Ok(Some(frame)) => Some((Ok(frame), state)),
            Ok(None) => None,
            Err(e) => Some((Err(e), Merge { done: true, ..Merge::default() })),
        }
    })
    .boxed()
}

/// One stream with the batch that is read now.
struct Input {
    stream: SeriesStream,
    batch: Arc<SeriesBatch>,
    at: usize,
    ended: bool,
    /// Frames that are no batches, to be handed out.
    aside: Vec<Frame>,
}

impl Input {
    fn new(stream: SeriesStream) -> Self {
        Self { stream, batch: Arc::default(), at: 0, ended: false, aside: Vec::new() }
    }

    fn head(&self) -> Option<LabelsRef<'_>> {
        self.batch.get(self.at).map(|s| s.labels())
    }

    /// True when only the stream knows what comes next.
    fn is_hungry(&self) -> bool {
        !self.ended && self.at >= self.batch.len()
    }

    /// Awaits the next batch with series; other frames are put aside.
    ///
    /// **Cancel safety**: nothing that came is lost.
    async fn fill(&mut self) -> Result<()> {
        while self.is_hungry() {
            match self.stream.next().await {
                None => self.ended = true,
                Some(Ok(Frame::Batch(batch))) => (self.batch, self.at) = (Arc::new(batch), 0),
                Some(Ok(frame)) => self.aside.push(frame),
                Some(Err(e)) => return Err(e),
            }
        }
        if self.ended {
            self.batch = Arc::default();
        }
        Ok(())
    }
}

/// The order of two inputs by their next series; see [`LoserTree::build`].
fn compare(inputs: &[Input], a: usize, b: usize, from: usize) -> (Ordering, usize) {
    let head = |i: usize| inputs.get(i).and_then(Input::head);
    match (head(a), head(b)) {
        (Some(a), Some(b)) => a.cmp_from(b, from),
        (a, b) => (a.is_none().cmp(&b.is_none()), 0),
    }
}

/// What one input holds of the series that is being joined.
struct Part {
    input: usize,
    batch: Arc<SeriesBatch>,
    at: usize,
}

#[derive(Default)]
struct Merge {
    inputs: Vec<Input>,
    tree: LoserTree,
    /// Flat labels of the series that is being joined, or that was joined last.
    labels: Vec<u8>,
    /// Keep their batches alive until the series is complete.
    parts: Vec<Part>,
    join: ChunkJoin,
    out: BatchBuilder,
    ready: VecDeque<Frame>,
    done: bool,
}

impl Merge {
    async fn next(&mut self) -> Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Ok(Some(frame));
            }
            if self.done {
                return Ok(None);
            }
            // What is joined already does not wait for those that are slow.
            let refilled = {
                let refill = pin!(self.refill());
                poll!(refill)
            };
            match refilled {
                Poll::Ready(refilled) => refilled?,
                Poll::Pending if self.out.is_empty() => self.refill().await?,
                Poll::Pending => {
                    self.send();
                    continue;
                }
            }
            if self.ready.is_empty() {
                self.round();
            }
        }
    }

    /// Makes every input show a series or its end; all wait at the same time.
    async fn refill(&mut self) -> Result<()> {
        let mut pending: FuturesUnordered<_> =
            self.inputs.iter_mut().filter(|i| i.is_hungry()).map(Input::fill).collect();
        if pending.is_empty() && self.tree.winner().is_some() {
            return Ok(());
        }
        while let Some(filled) = pending.next().await {
            filled?;
        }
        drop(pending);
        for input in &mut self.inputs {
            self.ready.extend(input.aside.drain(..));
        }
        let inputs = &self.inputs;
        self.tree.build(inputs.len(), |a, b, from| compare(inputs, a, b, from));
        Ok(())
    }

    /// Joins series until a batch is full, an input must be refilled, or all have ended.
    fn round(&mut self) {
        let mut hungry = 0;
        loop {
            let winner = self.tree.winner().and_then(|i| Some((i, self.inputs.get(i)?.head()?.as_bytes())));
            match winner {
                Some((input, labels)) if !self.parts.is_empty() && labels == self.labels => {
                    hungry += usize::from(self.take(input));
                }
                // What an input that must be refilled holds next is not known.
                _ if hungry > 0 => return,
                _ if !self.parts.is_empty() => {
                    self.close();
                    if self.out.len() >= BATCH_SERIES || self.out.size_bytes() >= BATCH_BYTES {
                        self.send();
                        return;
                    }
                }
                Some((input, labels)) => {
                    self.labels.clear();
                    self.labels.extend_from_slice(labels);
                    if let Some(batch) = self.whole_batch(input) {
                        self.send();
                        self.ready.push_back(Frame::Batch(batch));
                        return;
                    }
                    hungry += usize::from(self.take(input));
                }
                None => {
                    self.done = true;
                    self.send();
                    return;
                }
            }
        }
    }

    /// Takes the next series of the winner as a part; true when it must be refilled then.
    fn take(&mut self, input: usize) -> bool {
        let inputs = &mut self.inputs;
        let Some(i) = inputs.get_mut(input) else { return false };
        self.parts.push(Part { input, batch: Arc::clone(&i.batch), at: i.at });
        i.at += 1;
        let before = LabelsRef::from_flat(&self.labels);
        let shared = i.head().map_or(0, |next| before.cmp_from(next, 0).1);
        let hungry = i.is_hungry();
        self.tree.replay(shared, |a, b, from| compare(inputs, a, b, from));
        hungry
    }

    /// The batch of an input if no other input has anything before its end: it goes on as it is.
    fn whole_batch(&mut self, input: usize) -> Option<SeriesBatch> {
        let of = self.inputs.get(input).filter(|i| i.at == 0 && i.batch.len() >= BATCH_WHOLE)?;
        let last = of.batch.get(of.batch.len().checked_sub(1)?)?.labels();
        let others = self.inputs.iter().enumerate().filter(|(i, _)| *i != input);
        if others.filter_map(|(_, other)| other.head()).any(|head| head <= last) {
            return None;
        }
        self.labels.clear();
        self.labels.extend_from_slice(last.as_bytes());
        let of = self.inputs.get_mut(input)?;
        let batch = std::mem::take(&mut of.batch);
        of.at = 0;
        Some(Arc::try_unwrap(batch).unwrap_or_else(|shared| (*shared).clone()))
    }

    /// Appends the series whose parts were taken to the batch.
    fn close(&mut self) {
        // Stable: the parts of one input stay together and in order.
        if !self.parts.is_sorted_by_key(|p| p.input) {
            self.parts.sort_by_key(|p| p.input);
        }
        let parts = &self.parts;
        let part = |i: usize| parts.get(i).and_then(|p| p.batch.get(p.at));
        self.out.series(LabelsRef::from_flat(&self.labels));
        match parts.as_slice() {
            [_] => part(0).into_iter().for_each(|only| self.out.copy_chunks(only)),
            many => self.join.join(many.len(), part, &mut self.out),
        }
        self.parts.clear();
    }

    fn send(&mut self) {
        if !self.out.is_empty() {
            self.ready.push_back(Frame::Batch(self.out.finish()));
        }
    }
}

/// A stream of frames that are there already.
pub(crate) fn ready(frames: Vec<Frame>) -> SeriesStream {
    stream::iter(frames.into_iter().map(Ok)).boxed()
}

/// A stream that is only a warning.
pub(crate) fn warning(warning: Warning) -> SeriesStream {
    ready(vec![Frame::Warning(warning)])
}

/// A stream that is only hints.
pub(crate) fn hints(hints: Hints) -> SeriesStream {
    ready(vec![Frame::Hints(hints)])
}

/// The first `limit` series of a stream, which ends there.
pub(crate) fn limit(stream: SeriesStream, limit: usize) -> SeriesStream {
    let limited = Limited { stream, left: limit, open: None, full: false };
    stream::unfold(limited, |mut limited| async move {
        if limited.full {
            return None;
        }
        let frame = limited.stream.next().await?.map(|frame| limited.cut(frame));
        Some((frame, limited))
    })
    .boxed()
}

/// A stream that ends after a number of series.
struct Limited {
    stream: SeriesStream,
    left: usize,
    /// The last series, which may go on.
    open: Option<Labels>,
    full: bool,
}

impl Limited {
    fn cut(&mut self, frame: Frame) -> Frame {
        let Frame::Batch(batch) = frame else { return frame };
        // Nothing to cut: the batch goes on as it is.
        if batch.len() <= self.left {
            let view = |i: usize| batch.get(i).map(|s| s.labels());
            let goes_on = self.open.as_ref().is_some_and(|l| Some(l.view()) == view(0));
            self.left -= batch.len() - usize::from(goes_on);
            if let Some(last) = batch.len().checked_sub(1).and_then(view) {
                self.open = Some(last.to_labels());
            }
            return Frame::Batch(batch);
        }
        let mut out = BatchBuilder::default();
        for series in batch.iter() {
            // A series that goes on from the batch before counts once.
            let goes_on = self.open.as_ref().is_some_and(|l| l.view() == series.labels());
            self.full = !goes_on && self.left == 0;
            if self.full {
                break;
            }
            if !goes_on {
                self.left -= 1;
                self.open = Some(series.labels().to_labels());
            }
            out.copy(series);
        }
        Frame::Batch(out.finish())
    }
}
