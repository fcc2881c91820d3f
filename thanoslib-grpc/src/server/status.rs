//! The Status service.

use std::sync::Arc;

use thanoslib::{
    apis::{TsdbStatusApi, TsdbStatusRequest},
    context::Context,
};
use tonic::{Request, Response, Status, async_trait};

use super::call::{self, Messages};
use crate::{
    MESSAGE_MAX_BYTES, convert,
    pb::thanos::{self as pb, status_server, tsdb_statistics_response},
    status::from_error,
};

/// Serves the statistics of an API.
#[derive(Clone, Debug)]
pub struct StatusServer {
    api: Arc<dyn TsdbStatusApi>,
    component: &'static str,
    base: Context,
}

impl StatusServer {
    /// A server whose calls draw on the budget of `base` and end with it.
    pub fn new(api: Arc<dyn TsdbStatusApi>, component: &'static str, base: Context) -> Self {
        Self { api, component, base }
    }

    /// The service with the message limits of Thanos.
    pub fn into_service(self) -> status_server::StatusServer<Self> {
        status_server::StatusServer::new(self)
            .max_decoding_message_size(MESSAGE_MAX_BYTES)
            .max_encoding_message_size(MESSAGE_MAX_BYTES)
    }
}

#[async_trait]
impl status_server::Status for StatusServer {
    type TSDBStatisticsStream = Messages<pb::TsdbStatisticsResponse>;

    async fn tsdb_statistics(
        &self,
        request: Request<pb::TsdbStatisticsRequest>,
    ) -> Result<Response<Self::TSDBStatisticsStream>, Status> {
        let (ctx, _guard) = call::context(&self.base, request.metadata());
        let request = TsdbStatusRequest::try_from(request.into_inner()).map_err(|e| from_error(&e))?;
        let partial = request.partial_response;
        let answer = ctx.run(self.api.tsdb_status(&ctx, request)).await.map_err(|e| from_error(&e))?;
        let warning =
            |w| pb::TsdbStatisticsResponse { result: Some(tsdb_statistics_response::Result::Warning(w)) };
        let mut all = call::warnings(partial, &answer.warnings, warning)?;
        // Compat: who has nothing to tell says so in one message; a querier hands on no message.
        if self.component != "query" || !(answer.tenants.is_empty()) {
            all.push(convert::status_response(answer));
        }
        Ok(call::messages(all))
    }
}
