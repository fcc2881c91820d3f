//! The Metadata service.

use thanoslib::apis::{MetadataApi, MetadataRequest};
use tonic::{Request, Response, Status, async_trait};

use super::{
    ApiServer,
    call::{self, Messages},
};
use crate::{
    convert,
    pb::thanos::{self as pb, metadata_server, metric_metadata_response},
    status::from_error,
};

#[async_trait]
impl metadata_server::Metadata for ApiServer<dyn MetadataApi> {
    type MetricMetadataStream = Messages<pb::MetricMetadataResponse>;

    async fn metric_metadata(
        &self,
        request: Request<pb::MetricMetadataRequest>,
    ) -> Result<Response<Self::MetricMetadataStream>, Status> {
        let (ctx, _guard, request): (_, _, MetadataRequest) = self.begin(request)?;
        let partial = request.partial_response;
        let answer = ctx.run(self.api.metadata(&ctx, request)).await.map_err(|e| from_error(&e))?;
        let warning =
            |w| pb::MetricMetadataResponse { result: Some(metric_metadata_response::Result::Warning(w)) };
        let mut all = call::warnings(partial, &answer.warnings, warning)?;
        if self.tells_of_nothing() || !(answer.metrics.is_empty()) {
            all.push(convert::metadata_response(answer));
        }
        Ok(call::messages(all))
    }
}
