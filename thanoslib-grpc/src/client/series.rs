//! The frames of a peer as batches.

use std::{collections::VecDeque, sync::Arc};

use futures::{
    StreamExt,
    stream::{self, ReadyChunks},
};
use thanoslib::{
    Result,
    context::Context,
    model::Warning,
    series::SeriesBatch,
    store::{Frame, Hints, SeriesStream},
};
use tonic::{Status, Streaming};

use crate::{
    convert,
    pb::thanos::{SeriesResponse, series_response::Result as Wire},
    status::to_error,
};

/// Frames that are made into one batch when they have arrived together.
const FRAMES_PER_BATCH: usize = 64;

struct Answer {
    frames: ReadyChunks<Streaming<SeriesResponse>>,
    decoder: convert::Decoder,
    ready: VecDeque<Result<Frame>>,
    ctx: Context,
    done: bool,
}

/// The answer of a peer; it ends with an error when the context does.
pub(super) fn stream(frames: Streaming<SeriesResponse>, ctx: Context) -> SeriesStream {
    let frames = frames.ready_chunks(FRAMES_PER_BATCH);
    let ready = VecDeque::new();
    let answer = Answer { frames, decoder: convert::Decoder::default(), ready, ctx, done: false };
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
            let absorbed = self.absorb(frames);
            let flushed = self.flush();
            match absorbed.and(flushed) {
                Ok(()) => self.done = false,
                Err(e) => self.ready.push_back(Err(e)),
            }
        }
    }

    fn absorb(&mut self, frames: Vec<Result<SeriesResponse, Status>>) -> Result<()> {
        for frame in frames {
            match frame.map_err(|s| to_error(&s))?.result {
                Some(Wire::Series(series)) => self.decoder.push(&series)?,
                Some(Wire::Batch(batch)) => {
                    for series in &batch.series {
                        self.decoder.push(series)?;
                    }
                }
                Some(Wire::Warning(text)) => {
                    self.flush()?;
                    self.ready.push_back(Ok(Frame::Warning(Warning::new(convert::text(&text)))));
                }
                Some(Wire::Hints(any)) => {
                    self.flush()?;
                    let mut hints = Hints::default();
                    hints.queried_blocks = convert::queried_blocks(&any);
                    self.ready.push_back(Ok(Frame::Hints(hints)));
                }
                // A kind of frame that is newer than this client.
                None => {}
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if let Some(batch) = self.decoder.finish() {
            let batch = charge(&self.ctx, batch)?;
            self.ready.push_back(Ok(Frame::Batch(batch)));
        }
        Ok(())
    }
}

/// Takes what the batch holds from the budget for as long as it lives.
fn charge(ctx: &Context, batch: SeriesBatch) -> Result<SeriesBatch> {
    let lease = ctx.budget().reserve(batch.size_bytes() as u64)?;
    Ok(batch.with_lease(Arc::new(lease)))
}
