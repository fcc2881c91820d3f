//! The Targets service.

use thanoslib::apis::{TargetsApi, TargetsRequest};
use tonic::{Request, Response, Status, async_trait};

use super::{
    ApiServer,
    call::{self, Messages},
};
use crate::{
    convert,
    pb::thanos::{self as pb, targets_response, targets_server},
    status::from_error,
};

#[async_trait]
impl targets_server::Targets for ApiServer<dyn TargetsApi> {
    type TargetsStream = Messages<pb::TargetsResponse>;

    async fn targets(
        &self,
        request: Request<pb::TargetsRequest>,
    ) -> Result<Response<Self::TargetsStream>, Status> {
        let (ctx, _guard, request): (_, _, TargetsRequest) = self.begin(request)?;
        let partial = request.partial_response;
        let answer = ctx.run(self.api.targets(&ctx, request)).await.map_err(|e| from_error(&e))?;
        let warning = |w| pb::TargetsResponse { result: Some(targets_response::Result::Warning(w)) };
        let mut all = call::warnings(partial, &answer.warnings, warning)?;
        if self.tells_of_nothing() || !(answer.active.is_empty() && answer.dropped.is_empty()) {
            all.push(convert::targets_response(answer));
        }
        Ok(call::messages(all))
    }
}
