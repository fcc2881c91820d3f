//! The Exemplars service.

use thanoslib::{
    Error, ErrorKind,
    apis::{ExemplarsApi, ExemplarsRequest},
};
use tonic::{Request, Response, Status, async_trait};

use super::{
    ApiServer,
    call::{self, Messages},
};
use crate::{
    pb::thanos::{self as pb, exemplars_response, exemplars_server},
    status::from_error,
};

impl ApiServer<dyn ExemplarsApi> {
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
impl exemplars_server::Exemplars for ApiServer<dyn ExemplarsApi> {
    type ExemplarsStream = Messages<pb::ExemplarsResponse>;

    async fn exemplars(
        &self,
        request: Request<pb::ExemplarsRequest>,
    ) -> Result<Response<Self::ExemplarsStream>, Status> {
        let (ctx, _guard, request): (_, _, ExemplarsRequest) = self.begin(request)?;
        let partial = request.partial_response;
        let answer = ctx.run(self.api.exemplars(&ctx, request)).await.map_err(|e| self.refused(&e))?;
        let warning = |w| pb::ExemplarsResponse { result: Some(exemplars_response::Result::Warning(w)) };
        let mut all = call::warnings(partial, &answer.warnings, warning)?;
        all.extend(answer.series.into_iter().map(pb::ExemplarsResponse::from));
        Ok(call::messages(all))
    }
}
