//! What the services of the APIs beside Store have in common.

use std::sync::Arc;

use thanoslib::{Error, context::Context};
use tokio_util::sync::DropGuard;
use tonic::{Request, Status};

use super::call;
use crate::status::from_error;

/// Serves one API of an endpoint, such as `dyn RulesApi`; it is the service of that API.
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::{Context, apis::RulesApi};
/// use thanoslib_grpc::{pb::thanos::rules_server::RulesServer, server::ApiServer};
/// fn service(api: Arc<dyn RulesApi>) -> RulesServer<ApiServer<dyn RulesApi>> {
///     RulesServer::new(ApiServer::new(api, "rule", Context::default()))
/// }
/// ```
#[derive(Debug)]
pub struct ApiServer<A: ?Sized> {
    pub(super) api: Arc<A>,
    pub(super) component: &'static str,
    base: Context,
}

impl<A: ?Sized> ApiServer<A> {
    /// A server of a component whose calls draw on the budget of `base` and end with it.
    pub fn new(api: Arc<A>, component: &'static str, base: Context) -> Self {
        Self { api, component, base }
    }

    /// The context of a call, what ends it, and what it asks.
    pub(super) fn begin<M, Q>(&self, request: Request<M>) -> Result<(Context, DropGuard, Q), Status>
    where
        Q: TryFrom<M, Error = Error>,
    {
        let (ctx, guard) = call::context(&self.base, request.metadata());
        let asked = Q::try_from(request.into_inner()).map_err(|e| from_error(&e))?;
        Ok((ctx, guard, asked))
    }

    /// Whether an answer with nothing in it is a message all the same.
    ///
    /// Compat: who has nothing to tell says so in one message; a querier hands on no message.
    pub(super) fn tells_of_nothing(&self) -> bool {
        self.component != "query"
    }
}
