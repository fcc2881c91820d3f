//! The Query service.

use std::{collections::VecDeque, sync::Arc};

use futures::{StreamExt, TryStreamExt, future, stream};
use thanoslib::{
    Error, ErrorKind,
    apis::{QueryApi, QueryFrame, QueryStream, QueryTime, RemoteQuery},
    context::Context,
};
use tokio_util::sync::DropGuard;
use tonic::{Request, Response, Status, async_trait};

use super::{
    call::{self, Messages},
    unknown::Empty,
};
use crate::{
    MESSAGE_MAX_BYTES,
    convert::QueryPart,
    pb::{
        prometheus_copy::TimeSeries,
        thanos::{self as pb, query_server},
    },
    status::from_error,
};

/// Serves the queries of an API.
#[derive(Clone, Debug)]
pub struct QueryServer {
    api: Arc<dyn QueryApi>,
    base: Context,
}

impl QueryServer {
    /// A server whose calls draw on the budget of `base` and end with it.
    pub fn new(api: Arc<dyn QueryApi>, base: Context) -> Self {
        Self { api, base }
    }

    /// The service with the message limits of Thanos.
    pub fn into_service(self) -> query_server::QueryServer<Self> {
        query_server::QueryServer::new(self)
            .max_decoding_message_size(MESSAGE_MAX_BYTES)
            .max_encoding_message_size(MESSAGE_MAX_BYTES)
    }

    async fn answer<M: From<QueryPart> + Send + 'static>(
        &self,
        (mut ctx, guard): (Context, DropGuard),
        query: RemoteQuery,
    ) -> Result<Response<Messages<M>>, Status> {
        if let Some(timeout) = query.timeout {
            ctx = ctx.with_timeout(timeout);
        }
        // Compat: failures of an instant query are told as warnings if those are welcome, of a
        // range query never (Thanos `pkg/api/query/grpc.go`).
        let lenient = query.partial_response && matches!(query.time, QueryTime::Instant { .. });
        let per_message = query.batch_series;
        let source = match ctx.run(self.api.query(&ctx, query)).await {
            Ok(source) => source,
            Err(e) if e.kind() == ErrorKind::Invalid => {
                return Err(Status::unknown(from_error(&e).message()));
            }
            Err(e) => stream::once(future::ready(Err(e))).boxed(),
        };
        let answer = Answer {
            source,
            lenient,
            per_message,
            warnings: Vec::new(),
            waiting: Vec::new(),
            ready: VecDeque::new(),
            ended: false,
            ctx,
            _guard: guard,
        };
        let Some((first, rest)) = answer.next().await? else {
            let mut response = Response::new(stream::empty().boxed());
            response.extensions_mut().insert(Empty);
            return Ok(response);
        };
        let rest = stream::try_unfold(rest, Answer::next);
        let parts = stream::once(future::ready(Ok(first))).chain(rest);
        Ok(Response::new(parts.map_ok(M::from).boxed()))
    }
}

#[async_trait]
impl query_server::Query for QueryServer {
    type QueryStream = Messages<pb::QueryResponse>;
    type QueryRangeStream = Messages<pb::QueryRangeResponse>;

    async fn query(&self, request: Request<pb::QueryRequest>) -> Result<Response<Self::QueryStream>, Status> {
        let ctx = call::context(&self.base, request.metadata());
        let query = RemoteQuery::try_from(request.into_inner()).map_err(|e| from_error(&e))?;
        self.answer(ctx, query).await
    }

    async fn query_range(
        &self,
        request: Request<pb::QueryRangeRequest>,
    ) -> Result<Response<Self::QueryRangeStream>, Status> {
        let ctx = call::context(&self.base, request.metadata());
        let query = RemoteQuery::try_from(request.into_inner()).map_err(|e| from_error(&e))?;
        self.answer(ctx, query).await
    }
}

/// The answer of one query: warnings, then series, then what it cost.
struct Answer {
    source: QueryStream,
    lenient: bool,
    /// Series in one message.
    per_message: usize,
    warnings: Vec<String>,
    waiting: Vec<TimeSeries>,
    ready: VecDeque<QueryPart>,
    ended: bool,
    ctx: Context,
    _guard: DropGuard,
}

impl Answer {
    async fn next(mut self) -> Result<Option<(QueryPart, Self)>, Status> {
        loop {
            if let Some(part) = self.ready.pop_front() {
                return Ok(Some((part, self)));
            }
            if self.ended {
                return Ok(None);
            }
            let source = &mut self.source;
            match self.ctx.run(async { source.next().await.transpose() }).await {
                Ok(Some(frame)) => self.absorb(frame)?,
                Ok(None) => self.end(),
                Err(e) if self.lenient => {
                    self.warnings.push(from_error(&e).message().to_owned());
                    self.end();
                }
                Err(e) => return Err(failed(&e)),
            }
        }
    }

    fn absorb(&mut self, frame: QueryFrame) -> Result<(), Status> {
        match frame {
            QueryFrame::Warning(warning) => self.warnings.push(warning.to_string()),
            QueryFrame::Series(series) => {
                self.tell();
                for series in series.iter().map(TimeSeries::from) {
                    if self.per_message <= 1 {
                        self.ready.push_back(QueryPart::Series(series));
                        continue;
                    }
                    self.waiting.push(series);
                    if self.waiting.len() >= self.per_message {
                        self.flush();
                    }
                }
            }
            QueryFrame::Stats { samples_total, samples_peak } => {
                self.flush();
                self.tell();
                let stats = pb::QueryStats { samples_total, peak_samples: samples_peak };
                self.ready.push_back(QueryPart::Stats(stats));
            }
            other => return Err(Status::internal(format!("no message for frame {other:?}"))),
        }
        Ok(())
    }

    fn end(&mut self) {
        self.ended = true;
        self.flush();
        self.tell();
    }

    /// Compat: all warnings in one message.
    fn tell(&mut self) {
        if !self.warnings.is_empty() {
            let warnings = std::mem::take(&mut self.warnings);
            self.ready.push_back(QueryPart::Warnings(warnings.join(", ")));
        }
    }

    fn flush(&mut self) {
        if !self.waiting.is_empty() {
            self.ready.push_back(QueryPart::Batch(std::mem::take(&mut self.waiting)));
        }
    }
}

/// Compat: whatever fails a query is answered `Aborted` (Thanos `pkg/api/query/grpc.go`); here
/// those keep their code that tell a caller to ask again otherwise.
fn failed(error: &Error) -> Status {
    let status = from_error(error);
    match error.kind() {
        ErrorKind::Cancelled | ErrorKind::Timeout | ErrorKind::Limit => status,
        _ => Status::aborted(status.message()),
    }
}
