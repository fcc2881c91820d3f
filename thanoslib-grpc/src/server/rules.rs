//! The Rules service.

use thanoslib::apis::{RulesApi, RulesRequest};
use tonic::{Request, Response, Status, async_trait};

use super::{
    ApiServer,
    call::{self, Messages},
};
use crate::{
    pb::thanos::{self as pb, rules_response, rules_server},
    status::from_error,
};

#[async_trait]
impl rules_server::Rules for ApiServer<dyn RulesApi> {
    type RulesStream = Messages<pb::RulesResponse>;

    async fn rules(&self, request: Request<pb::RulesRequest>) -> Result<Response<Self::RulesStream>, Status> {
        let (ctx, _guard, request): (_, _, RulesRequest) = self.begin(request)?;
        let partial = request.partial_response;
        let answer = ctx.run(self.api.rules(&ctx, request)).await.map_err(|e| from_error(&e))?;
        let warning = |w| pb::RulesResponse { result: Some(rules_response::Result::Warning(w)) };
        let mut all = call::warnings(partial, &answer.warnings, warning)?;
        all.extend(answer.groups.into_iter().map(pb::RulesResponse::from));
        Ok(call::messages(all))
    }
}
