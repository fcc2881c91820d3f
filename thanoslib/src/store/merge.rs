//! Joining the streams of several stores into one.

use std::{cmp::Ordering, collections::VecDeque, sync::Arc};

use futures::{
    StreamExt,
    stream::{self, FuturesUnordered},
};

use super::{Frame, Hints, SeriesStream};
use crate::{
    error::Result,
    model::{Labels, LabelsRef, Warning},
    series::{BatchBuilder, ChunkJoin, SeriesBatch},
};

/// Series in a merged batch.
const BATCH_SERIES: usize = 256;
/// Bytes after which a merged batch is sent.
const BATCH_BYTES: usize = 1 << 20;

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
    let state =
        Merge { inputs: streams.into_iter().map(Input::new).collect(), ready: VecDeque::new(), done: false };
    stream::unfold(state, |mut state| async move {
        match state.next().await {
            Ok(Some(frame)) => Some((Ok(frame), state)),
            Ok(None) => None,
            Err(e) => {
                state.inputs.clear();
                state.ready.clear();
                state.done = true;
                Some((Err(e), state))
            }
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
}

impl Input {
    fn new(stream: SeriesStream) -> Self {
        Self { stream, batch: Arc::default(), at: 0, ended: false }
    }

    fn head(&self) -> Option<LabelsRef<'_>> {
        self.batch.get(self.at).map(|s| s.labels())
    }

    /// Awaits the next batch with series; other frames are collected.
    async fn fill(&mut self) -> Result<Vec<Frame>> {
        let mut aside = Vec::new();
        while !self.ended && self.at >= self.batch.len() {
            match self.stream.next().await {
                None => self.ended = true,
                Some(Ok(Frame::Batch(batch))) => (self.batch, self.at) = (Arc::new(batch), 0),
                Some(Ok(frame)) => aside.push(frame),
                Some(Err(e)) => return Err(e),
            }
        }
        if self.ended {
            self.batch = Arc::default();
        }
        Ok(aside)
    }
}

struct Merge {
    inputs: Vec<Input>,
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
            self.refill().await?;
            if !self.ready.is_empty() {
                continue;
            }
            self.round().await?;
        }
    }

    /// Makes every input show a series or its end; all wait at the same time.
    async fn refill(&mut self) -> Result<()> {
        let mut pending: FuturesUnordered<_> =
            self.inputs.iter_mut().filter(|i| !i.ended && i.head().is_none()).map(Input::fill).collect();
        while let Some(aside) = pending.next().await {
            self.ready.extend(aside?);
        }
        Ok(())
    }

    /// Fills one batch.
    async fn round(&mut self) -> Result<()> {
        let mut out = BatchBuilder::default();
        while out.len() < BATCH_SERIES && out.size_bytes() < BATCH_BYTES {
            self.refill().await?;
            let Some(labels) = self.smallest() else {
                self.done = true;
                break;
            };
            self.take_series(&labels, &mut out).await?;
        }
        if !out.is_empty() {
            self.ready.push_back(Frame::Batch(out.finish()));
        }
        Ok(())
    }

    fn smallest(&self) -> Option<Labels> {
        self.inputs.iter().filter_map(Input::head).min().map(LabelsRef::to_labels)
    }

    /// Moves one series from all inputs that hold it; it may go on in their next batches.
    async fn take_series(&mut self, labels: &Labels, out: &mut BatchBuilder) -> Result<()> {
        // The parts keep their batches alive until the series is complete.
        let mut parts: Vec<(usize, Arc<SeriesBatch>, usize)> = Vec::new();
        loop {
            for (i, input) in self.inputs.iter_mut().enumerate() {
                while input.head().map(|h| h.cmp(&labels.view())) == Some(Ordering::Equal) {
                    parts.push((i, Arc::clone(&input.batch), input.at));
                    input.at += 1;
                }
            }
            // The last series of a batch may go on in the next one; all inputs that are
            // there wait at the same time.
            if self.inputs.iter().all(|i| i.ended || i.head().is_some()) {
                break;
            }
            self.refill().await?;
        }
        // Stable: the parts of one input stay together and in order.
        parts.sort_by_key(|(input, ..)| *input);
        out.series(labels.view());
        let mut series = parts.iter().filter_map(|(_, batch, at)| batch.get(*at));
        if parts.len() == 1 {
            series.by_ref().for_each(|only| out.copy_chunks(only));
        }
        let mut join = ChunkJoin::default();
        series.for_each(|s| join.add(s.chunks()));
        join.finish(out);
        Ok(())
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
    let mut left = limit;
    let mut open: Option<Labels> = None;
    let mut full = false;
    stream
        .scan((), move |(), frame| {
            if full {
                return futures::future::ready(None);
            }
            let frame = match frame {
                Ok(Frame::Batch(batch)) => {
                    let mut out = BatchBuilder::default();
                    for series in batch.iter() {
                        // A series that goes on from the batch before counts once.
                        let goes_on = open.as_ref().is_some_and(|l| l.view() == series.labels());
                        full = !goes_on && left == 0;
                        if full {
                            break;
                        }
                        if !goes_on {
                            left -= 1;
                            open = Some(series.labels().to_labels());
                        }
                        out.copy(series);
                    }
                    Ok(Frame::Batch(out.finish()))
                }
                other => other,
            };
            futures::future::ready(Some(frame))
        })
        .boxed()
}
