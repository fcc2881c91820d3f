//! The frames of a peer as batches.

use std::collections::VecDeque;

use futures::{
    StreamExt,
    stream::{self, ReadyChunks},
};
use thanoslib::{
    Error, Result,
    context::Context,
    model::Warning,
    store::{Frame, Hints, SeriesStream},
};
use tonic::{Status, Streaming};

use crate::{
    codec::{FrameReader, Received, SeriesFrame},
    convert,
    status::to_error,
};

/// Frames that are made into one batch when they have arrived together.
const FRAMES_PER_BATCH: usize = 64;

/// Frames that say nothing which may follow each other.
const EMPTY_FRAMES_MAX: usize = 10_000;

/// Bytes after which a batch is made in any case.
const BATCH_BYTES: usize = 4 << 20;

struct Answer {
    frames: ReadyChunks<Streaming<SeriesFrame>>,
    reader: FrameReader,
    ready: VecDeque<Result<Frame>>,
    ctx: Context,
    /// Frames without anything since the last one with something.
    empty: usize,
    done: bool,
}

/// The answer of a peer; it ends with an error when the context does.
pub(super) fn stream(frames: Streaming<SeriesFrame>, ctx: Context) -> SeriesStream {
    let frames = frames.ready_chunks(FRAMES_PER_BATCH);
    let ready = VecDeque::new();
    let answer = Answer { frames, reader: FrameReader::default(), ready, ctx, empty: 0, done: false };
    stream::unfold(answer, |mut answer| async move {
        let next = answer.next().await.transpose()?;
        Some((next, answer))
    })
    .boxed()
}

impl Answer {
    async fn next(&mut self) -> Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return frame.map(Some);
            }
            if self.done {
                return Ok(None);
            }
            // An error ends the stream; it is set back when there is more to come.
            self.done = true;
            let frames = &mut self.frames;
            let Some(frames) = self.ctx.run(async { Ok(frames.next().await) }).await? else {
                return Ok(None);
            };
            // What came before an error is handed out before it.
            let came = frames.len();
            let absorbed = self.absorb(frames);
            let flushed = self.flush();
            self.empty = if self.ready.is_empty() { self.empty + came } else { 0 };
            if self.empty > EMPTY_FRAMES_MAX {
                return Err(Error::corrupt(format!("{EMPTY_FRAMES_MAX} frames without a series")));
            }
            match absorbed.and(flushed) {
                Ok(()) => self.done = false,
                Err(e) => self.ready.push_back(Err(e)),
            }
        }
    }

    fn absorb(&mut self, frames: Vec<Result<SeriesFrame, Status>>) -> Result<()> {
        for frame in frames {
            match self.reader.read(frame.map_err(|s| to_error(&s))?.encoded())? {
                Received::Series if self.reader.held_bytes() >= BATCH_BYTES => self.flush()?,
                Received::Series => {}
                Received::Warning(text) => {
                    self.flush()?;
                    self.ready.push_back(Ok(Frame::Warning(Warning::new(convert::text(&text)))));
                }
                Received::Hints(any) => {
                    self.flush()?;
                    let mut hints = Hints::default();
                    hints.queried_blocks = convert::queried_blocks(&any);
                    self.ready.push_back(Ok(Frame::Hints(hints)));
                }
            }
        }
        Ok(())
    }

    /// Makes a batch of the series so far, which takes what it holds from the budget.
    fn flush(&mut self) -> Result<()> {
        if let Some(batch) = self.reader.finish_charged(&self.ctx)? {
            self.ready.push_back(Ok(Frame::Batch(batch)));
        }
        Ok(())
    }
}
