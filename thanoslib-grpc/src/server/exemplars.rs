//! The Exemplars service.

use std::sync::Arc;

use thanoslib::{
    Error, ErrorKind,
    apis::{ExemplarsApi, ExemplarsRequest},
    context::Context,
};
use tonic::{Request, Response, Status, async_trait};

use super::call::{self, Messages};
use crate::{
    MESSAGE_MAX_BYTES,
    pb::thanos::{self as pb, exemplars_response, exemplars_server},
    status::from_error,
};

/// Serves the exemplars of an API.
#[derive(Clone, Debug)]
pub struct ExemplarsServer {
    api: Arc<dyn ExemplarsApi>,
    component: &'static str,
    base: Context,
}

impl ExemplarsServer {
    /// A server whose calls draw on the budget of `base` and end with it.
    pub fn new(api: Arc<dyn ExemplarsApi>, component: &'static str, base: Context) -> Self {
        Self { api, component, base }
    }

    /// The service with the message limits of Thanos.
    pub fn into_service(self) -> exemplars_server::ExemplarsServer<Self> {
        exemplars_server::ExemplarsServer::new(self)
            .max_decoding_message_size(MESSAGE_MAX_BYTES)
            .max_encoding_message_size(MESSAGE_MAX_BYTES)
    }

    /// Compat: a querier answers a bad query with a plain error (Thanos `pkg/exemplars/proxy.go`).
    fn refused(&self, error: &Error) -> Status {
        let status = from_error(error);
        match (self.component, error.kind()) {
            ("query", ErrorKind::Invalid) => Status::unknown(status.message()),
            _ => status,
        }
    }
}

#[async_trait]
impl exemplars_server::Exemplars for ExemplarsServer {
    type ExemplarsStream = Messages<pb::ExemplarsResponse>;

    async fn exemplars(
        &self,
        request: Request<pb::ExemplarsRequest>,
    ) -> Result<Response<Self::ExemplarsStream>, Status> {
        let (ctx, _guard) = call::context(&self.base, request.metadata());
        let request = ExemplarsRequest::try_from(request.into_inner()).map_err(|e| from_error(&e))?;
        let partial = request.partial_response;
        let answer = ctx.run(self.api.exemplars(&ctx, request)).await.map_err(|e| self.refused(&e))?;
        let warning = |w| pb::ExemplarsResponse { result: Some(exemplars_response::Result::Warning(w)) };
        let mut all = call::warnings(partial, &answer.warnings, warning)?;
        all.extend(answer.series.into_iter().map(pb::ExemplarsResponse::from));
        Ok(call::messages(all))
    }
}
