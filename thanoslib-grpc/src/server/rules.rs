//! The Rules service.

use std::sync::Arc;

use thanoslib::{
    apis::{RulesApi, RulesRequest},
    context::Context,
};
use tonic::{Request, Response, Status, async_trait};

use super::call::{self, Messages};
use crate::{
    MESSAGE_MAX_BYTES,
    pb::thanos::{self as pb, rules_response, rules_server},
    status::from_error,
};

/// Serves the rules of an API.
#[derive(Clone, Debug)]
pub struct RulesServer {
    api: Arc<dyn RulesApi>,
    base: Context,
}

impl RulesServer {
    /// A server whose calls draw on the budget of `base` and end with it.
    pub fn new(api: Arc<dyn RulesApi>, base: Context) -> Self {
        Self { api, base }
    }

    /// The service with the message limits of Thanos.
    pub fn into_service(self) -> rules_server::RulesServer<Self> {
        rules_server::RulesServer::new(self)
            .max_decoding_message_size(MESSAGE_MAX_BYTES)
            .max_encoding_message_size(MESSAGE_MAX_BYTES)
    }
}

#[async_trait]
impl rules_server::Rules for RulesServer {
    type RulesStream = Messages<pb::RulesResponse>;

    async fn rules(&self, request: Request<pb::RulesRequest>) -> Result<Response<Self::RulesStream>, Status> {
        let (ctx, _guard) = call::context(&self.base, request.metadata());
        let request = RulesRequest::try_from(request.into_inner()).map_err(|e| from_error(&e))?;
        let partial = request.partial_response;
        let answer = ctx.run(self.api.rules(&ctx, request)).await.map_err(|e| from_error(&e))?;
        let warning = |w| pb::RulesResponse { result: Some(rules_response::Result::Warning(w)) };
        let mut all = call::warnings(partial, &answer.warnings, warning)?;
        all.extend(answer.groups.into_iter().map(pb::RulesResponse::from));
        Ok(call::messages(all))
    }
}
