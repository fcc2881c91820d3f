//! The Store service.

use std::sync::Arc;

use thanoslib::{
    Error, Result,
    context::{Admission, Context},
    store::{LabelNamesRequest, LabelValuesRequest, SeriesRequest, Store},
};
use tokio_util::sync::DropGuard;
use tonic::{Request, Response, Status, async_trait, metadata::MetadataMap};

use super::{
    ServerMetrics, Settings, call,
    series::{self, ResponseStream},
};
use crate::{
    MESSAGE_MAX_BYTES,
    codec::LabelValuesFrame,
    pb::thanos::{self as pb, store_server},
    status::from_error,
};

/// Serves the Store service of one store.
#[derive(Clone, Debug)]
pub struct StoreServer {
    pub(super) store: Arc<dyn Store>,
    pub(super) settings: Settings,
    pub(super) metrics: Arc<ServerMetrics>,
    admission: Arc<Admission>,
    base: Context,
}

impl StoreServer {
    /// A server whose calls draw on the budget of `base` and end with it.
    pub fn new(
        store: Arc<dyn Store>,
        settings: Settings,
        base: Context,
        metrics: Arc<ServerMetrics>,
    ) -> Self {
        let admission = Arc::new(Admission::new(settings.admission));
        Self { store, settings, metrics, admission, base }
    }

    /// The service with the message limits of Thanos.
    pub fn into_service(self) -> store_server::StoreServer<Self> {
        store_server::StoreServer::new(self)
            .max_decoding_message_size(MESSAGE_MAX_BYTES)
            .max_encoding_message_size(MESSAGE_MAX_BYTES)
    }

    /// The context of one call with its own part of the budget.
    fn context(&self, metadata: &MetadataMap) -> (Context, DropGuard) {
        let (ctx, guard) = call::context(&self.base, metadata);
        let budget = self.admission.budget("call", self.base.budget());
        (ctx.with_budget(budget), guard)
    }

    /// Store gateways differ from other components in a few answers.
    fn is_gateway(&self) -> bool {
        self.store.info().component == "store"
    }

    /// Compat: only the store gateway says what it was doing (Thanos `pkg/store/bucket.go`).
    fn refused(&self, error: Error) -> Status {
        let hints = error.message().starts_with("unmarshal ") || error.message().starts_with("translate ");
        if self.is_gateway() && !hints {
            from_error(&error.context("translate request labels matchers"))
        } else {
            from_error(&error)
        }
    }
}

#[async_trait]
impl store_server::Store for StoreServer {
    type SeriesStream = ResponseStream;

    async fn series(&self, request: Request<pb::SeriesRequest>) -> Result<Response<ResponseStream>, Status> {
        let (ctx, guard) = self.context(request.metadata());
        let mut request = SeriesRequest::try_from(request.into_inner()).map_err(|e| from_error(&e))?;
        if !self.settings.projections {
            // It was not offered; Thanos leaves it out of account as well.
            request.projection = None;
        }
        let pending = self.metrics.pending();
        let place = self.admission.enter(&ctx).await.map_err(|e| from_error(&e))?;
        series::answer(self, request, ctx, (place, guard, pending)).await
    }

    async fn label_names(
        &self,
        request: Request<pb::LabelNamesRequest>,
    ) -> Result<Response<pb::LabelNamesResponse>, Status> {
        let (ctx, _guard) = self.context(request.metadata());
        let request = LabelNamesRequest::try_from(request.into_inner()).map_err(|e| self.refused(e))?;
        let partial = request.partial_response;
        let _place = self.admission.enter(&ctx).await.map_err(|e| from_error(&e))?;
        let work = self.store.label_names(&ctx, request);
        let answer = ctx.run(work).await.map_err(|e| from_error(&e))?;
        call::complete(partial, &answer.warnings)?;
        Ok(Response::new(answer.into()))
    }

    async fn label_values(
        &self,
        request: Request<pb::LabelValuesRequest>,
    ) -> Result<Response<LabelValuesFrame>, Status> {
        let (ctx, _guard) = self.context(request.metadata());
        let request = LabelValuesRequest::try_from(request.into_inner()).map_err(|e| self.refused(e))?;
        let empty_name = request.label.is_empty();
        if empty_name && !self.is_gateway() {
            return Err(Status::invalid_argument("label name parameter cannot be empty"));
        }
        let all = request.matchers.is_empty();
        let partial = request.partial_response;
        let _place = self.admission.enter(&ctx).await.map_err(|e| from_error(&e))?;
        let work = self.store.label_values(&ctx, request);
        let mut answer = ctx.run(work).await.map_err(|e| from_error(&e))?;
        call::complete(partial, &answer.warnings)?;
        // Compat: in the index of a block the empty name has one value, the empty one; only
        // the store gateway shows it (Thanos `pkg/store/bucket.go`).
        if empty_name && all && !answer.queried_blocks.is_empty() {
            answer.values = [""].into_iter().collect();
        }
        Ok(Response::new(answer.into()))
    }
}
