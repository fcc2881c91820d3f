//! The Targets service.

use std::sync::Arc;

use thanoslib::{
    apis::{TargetsApi, TargetsRequest},
    context::Context,
};
use tonic::{Request, Response, Status, async_trait};

use super::call::{self, Messages};
use crate::{
    MESSAGE_MAX_BYTES, convert,
    pb::thanos::{self as pb, targets_response, targets_server},
    status::from_error,
};

/// Serves the targets of an API.
#[derive(Clone, Debug)]
pub struct TargetsServer {
    api: Arc<dyn TargetsApi>,
    component: &'static str,
    base: Context,
}

impl TargetsServer {
    /// A server whose calls draw on the budget of `base` and end with it.
    pub fn new(api: Arc<dyn TargetsApi>, component: &'static str, base: Context) -> Self {
        Self { api, component, base }
    }

    /// The service with the message limits of Thanos.
    pub fn into_service(self) -> targets_server::TargetsServer<Self> {
        targets_server::TargetsServer::new(self)
            .max_decoding_message_size(MESSAGE_MAX_BYTES)
            .max_encoding_message_size(MESSAGE_MAX_BYTES)
    }
}

#[async_trait]
impl targets_server::Targets for TargetsServer {
    type TargetsStream = Messages<pb::TargetsResponse>;

    async fn targets(
        &self,
        request: Request<pb::TargetsRequest>,
    ) -> Result<Response<Self::TargetsStream>, Status> {
        let (ctx, _guard) = call::context(&self.base, request.metadata());
        let request = TargetsRequest::try_from(request.into_inner()).map_err(|e| from_error(&e))?;
        let partial = request.partial_response;
        let answer = ctx.run(self.api.targets(&ctx, request)).await.map_err(|e| from_error(&e))?;
        let warning = |w| pb::TargetsResponse { result: Some(targets_response::Result::Warning(w)) };
        let mut all = call::warnings(partial, &answer.warnings, warning)?;
        // Compat: who has nothing to tell says so in one message; a querier hands on no message.
        if self.component != "query" || !(answer.active.is_empty() && answer.dropped.is_empty()) {
            all.push(convert::targets_response(answer));
        }
        Ok(call::messages(all))
    }
}
