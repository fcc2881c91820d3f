//! The Status service.

use thanoslib::apis::{TsdbStatusApi, TsdbStatusRequest};
use tonic::{Request, Response, Status, async_trait};

use super::{
    ApiServer,
    call::{self, Messages},
};
use crate::{
    convert,
    pb::thanos::{self as pb, status_server, tsdb_statistics_response},
    status::from_error,
};

#[async_trait]
impl status_server::Status for ApiServer<dyn TsdbStatusApi> {
    type TSDBStatisticsStream = Messages<pb::TsdbStatisticsResponse>;

    async fn tsdb_statistics(
        &self,
        request: Request<pb::TsdbStatisticsRequest>,
    ) -> Result<Response<Self::TSDBStatisticsStream>, Status> {
        let (ctx, _guard, request): (_, _, TsdbStatusRequest) = self.begin(request)?;
        let partial = request.partial_response;
        let answer = ctx.run(self.api.tsdb_status(&ctx, request)).await.map_err(|e| from_error(&e))?;
        let warning =
            |w| pb::TsdbStatisticsResponse { result: Some(tsdb_statistics_response::Result::Warning(w)) };
        let mut all = call::warnings(partial, &answer.warnings, warning)?;
        if self.tells_of_nothing() || !(answer.tenants.is_empty()) {
            all.push(convert::status_response(answer));
        }
        Ok(call::messages(all))
    }
}
