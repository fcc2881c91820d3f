//! The Metadata service.

use std::sync::Arc;

use thanoslib::{
    apis::{MetadataApi, MetadataRequest},
    context::Context,
};
use tonic::{Request, Response, Status, async_trait};

use super::call::{self, Messages};
use crate::{
    MESSAGE_MAX_BYTES, convert,
    pb::thanos::{self as pb, metadata_server, metric_metadata_response},
    status::from_error,
};

/// Serves the metadata of an API.
#[derive(Clone, Debug)]
pub struct MetadataServer {
    api: Arc<dyn MetadataApi>,
    component: &'static str,
    base: Context,
}

impl MetadataServer {
    /// A server whose calls draw on the budget of `base` and end with it.
    pub fn new(api: Arc<dyn MetadataApi>, component: &'static str, base: Context) -> Self {
        Self { api, component, base }
    }

    /// The service with the message limits of Thanos.
    pub fn into_service(self) -> metadata_server::MetadataServer<Self> {
        metadata_server::MetadataServer::new(self)
            .max_decoding_message_size(MESSAGE_MAX_BYTES)
            .max_encoding_message_size(MESSAGE_MAX_BYTES)
    }
}

#[async_trait]
impl metadata_server::Metadata for MetadataServer {
    type MetricMetadataStream = Messages<pb::MetricMetadataResponse>;

    async fn metric_metadata(
        &self,
        request: Request<pb::MetricMetadataRequest>,
    ) -> Result<Response<Self::MetricMetadataStream>, Status> {
        let (ctx, _guard) = call::context(&self.base, request.metadata());
        let request = MetadataRequest::try_from(request.into_inner()).map_err(|e| from_error(&e))?;
        let partial = request.partial_response;
        let answer = ctx.run(self.api.metadata(&ctx, request)).await.map_err(|e| from_error(&e))?;
        let warning =
            |w| pb::MetricMetadataResponse { result: Some(metric_metadata_response::Result::Warning(w)) };
        let mut all = call::warnings(partial, &answer.warnings, warning)?;
        // Compat: who has nothing to tell says so in one message; a querier hands on no message.
        if self.component != "query" || !(answer.metrics.is_empty()) {
            all.push(convert::metadata_response(answer));
        }
        Ok(call::messages(all))
    }
}
