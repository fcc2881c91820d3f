//! The answer of one Series call.

use futures::{StreamExt, TryStreamExt, stream};
use thanoslib::{
    context::Context,
    series::SeriesBatch,
    store::{Frame, PartialResponse, SeriesRequest, SeriesStream, Store},
};
use tokio_util::sync::DropGuard;
use tonic::Status;

use super::{Settings, call, frames::Frames};
use crate::{
    convert,
    pb::{hintspb, thanos::SeriesResponse},
    status::from_error,
};

/// The frames of one Series call, as tonic sends them.
pub type ResponseStream = stream::BoxStream<'static, Result<SeriesResponse, Status>>;

struct Answer {
    source: SeriesStream,
    frames: Frames,
    /// The batch behind the frames that are ready; it holds their budget.
    batch: Option<SeriesBatch>,
    abort: bool,
    settings: Settings,
    done: bool,
    ctx: Context,
    /// Cancels the work behind the stream when the client goes away.
    _guard: DropGuard,
}

/// Begins an answer; fails when the first frame does, so that the client gets the error at once.
pub(super) async fn answer(
    store: &dyn Store,
    settings: Settings,
    request: SeriesRequest,
    ctx: Context,
    guard: DropGuard,
) -> Result<ResponseStream, Status> {
    let abort = request.partial_response == PartialResponse::Abort;
    let frames = Frames::new(request.batch_series);
    let source = ctx.run(store.series(&ctx, request)).await.map_err(|e| from_error(&e))?;
    let answer = Answer { source, frames, batch: None, abort, settings, done: false, ctx, _guard: guard };
    let (first, rest) = match answer.next().await? {
        Some((frame, answer)) => (Some(frame), Some(answer)),
        None => (None, None),
    };
    let first = stream::iter(first.map(Ok));
    let Some(rest) = rest else { return Ok(first.boxed()) };
    Ok(first.chain(stream::try_unfold(rest, |a| call::guarded(a.next())).into_stream()).boxed())
}

impl Answer {
    async fn next(mut self) -> Result<Option<(SeriesResponse, Self)>, Status> {
        loop {
            if let Some(frame) = self.frames.pop() {
                return Ok(Some((frame, self)));
            }
            if self.done {
                return Ok(None);
            }
            self.batch = None;
            let source = &mut self.source;
            let next = self.ctx.run(async { source.next().await.transpose() }).await;
            match next.map_err(|e| from_error(&e))? {
                Some(Frame::Batch(batch)) => {
                    self.frames.batch(&batch).map_err(|e| from_error(&e))?;
                    self.batch = Some(batch);
                }
                Some(Frame::Warning(warning)) if self.abort => {
                    return Err(Status::aborted(warning.to_string()));
                }
                Some(Frame::Warning(warning)) => self.frames.warning(warning.to_string()),
                Some(Frame::Hints(hints)) => {
                    if self.settings.series_hints {
                        self.frames.hints(convert::any(&hintspb::SeriesResponseHints::from(hints)));
                    }
                }
                Some(other) => return Err(Status::internal(format!("no message for frame {other:?}"))),
                None => {
                    self.frames.flush();
                    self.done = true;
                }
            }
        }
    }
}
