//! The answer of one Series call.

use std::sync::Arc;

use futures::{StreamExt, future, stream};
use thanoslib::{
    context::{Admitted, Context},
    store::{Frame, LimitCounter, PartialResponse, SeriesRequest, SeriesStream},
};
use tokio_util::sync::DropGuard;
use tonic::{Response, Status};

use super::{
    StoreServer, call,
    metrics::{Pending, ServerMetrics},
    observe::guarded,
    unknown::Empty,
};
use crate::{
    codec::{FrameBuilder, SeriesFrame},
    convert,
    pb::hintspb,
    status::from_error,
};

/// The frames of one Series call, as tonic sends them.
pub type ResponseStream = call::Messages<SeriesFrame>;

/// What a call holds until its answer has ended.
type Held = (Admitted, DropGuard, Pending);

struct Answer {
    source: SeriesStream,
    frames: FrameBuilder,
    abort: bool,
    hints: bool,
    sent: LimitCounter,
    metrics: Arc<ServerMetrics>,
    /// How the answer ends once all frames are sent.
    end: Option<Result<(), Status>>,
    ctx: Context,
    /// Gives its place back, and cancels the work behind the stream, when the client goes away.
    _held: Held,
}

/// Begins an answer; fails when the first frame does, so that the client gets the error at once.
pub(super) async fn answer(
    server: &StoreServer,
    request: SeriesRequest,
    ctx: Context,
    held: Held,
) -> Result<Response<ResponseStream>, Status> {
    let abort = request.partial_response == PartialResponse::Abort;
    let frames = FrameBuilder::new(request.batch_series);
    let batch_series = request.batch_series;
    let source = ctx.run(server.store.series(&ctx, request)).await.map_err(|e| from_error(&e))?;
    let (hints, sent) =
        (server.settings.series_hints, LimitCounter::new(server.settings.limits, batch_series));
    let metrics = Arc::clone(&server.metrics);
    let answer = Answer { source, frames, abort, hints, sent, metrics, end: None, ctx, _held: held };
    let Some((first, rest)) = answer.next().await? else {
        let mut response = Response::new(stream::empty().boxed());
        response.extensions_mut().insert(Empty);
        return Ok(response);
    };
    let first = stream::once(future::ready(Ok(first)));
    let metrics = Arc::clone(&server.metrics);
    let rest = stream::try_unfold(rest, move |a| guarded(Arc::clone(&metrics), a.next()));
    Ok(Response::new(first.chain(rest).boxed()))
}

impl Answer {
    async fn next(mut self) -> Result<Option<(SeriesFrame, Self)>, Status> {
        loop {
            if let Some(frame) = self.frames.pop() {
                return Ok(Some((frame, self)));
            }
            if let Some(end) = self.end.take() {
                self.metrics.answered(self.sent.series(), self.sent.chunks());
                return end.map(|()| None);
            }
            let source = &mut self.source;
            let next = match self.ctx.check() {
                Ok(()) => self.ctx.run(async { source.next().await.transpose() }).await,
                // A store that never waits would not meet its deadline otherwise.
                Err(e) => Err(e),
            };
            self.end = match next.map_err(|e| from_error(&e)) {
                Ok(Some(frame)) => self.absorb(frame).err().map(Err),
                Ok(None) => Some(Ok(())),
                Err(status) => Some(Err(status)),
            };
            if self.end.is_some() {
                // What came before the end is sent before it.
                self.frames.flush();
            }
        }
    }

    fn absorb(&mut self, frame: Frame) -> Result<(), Status> {
        match frame {
            Frame::Batch(batch) => {
                self.sent.count(&batch).map_err(|violated| {
                    self.metrics.dropped(violated.samples);
                    // Compat: the code of Thanos `pkg/store/limiter.go`.
                    Status::unknown(violated.to_string())
                })?;
                self.frames.batch(batch).map_err(|e| from_error(&e))?;
            }
            Frame::Warning(warning) if self.abort => return Err(Status::aborted(warning.to_string())),
            Frame::Warning(warning) => self.frames.warning(warning.to_string()),
            Frame::Hints(hints) => {
                if self.hints {
                    self.frames.hints(convert::any(&hintspb::SeriesResponseHints::from(hints)));
                }
            }
            other => return Err(Status::internal(format!("no message for frame {other:?}"))),
        }
        Ok(())
    }
}
