//! One endpoint with all its APIs over one link.

use std::sync::Arc;

use async_trait::async_trait;
use thanoslib::{
    ErrorKind, Result,
    apis::Apis,
    context::Context,
    query::{EndpointInfo, Peer},
};

use super::{ApisClient, Link, QueryClient, StoreClient, store::INFO_TIMEOUT};

/// An endpoint behind a [`Link`].
#[derive(Clone, Debug)]
pub struct GrpcPeer {
    store: Arc<StoreClient>,
    apis: Arc<ApisClient>,
    query: Arc<QueryClient>,
}

impl GrpcPeer {
    /// The endpoint at the other end of a link; nothing is asked yet.
    pub fn new(link: impl Into<Link>) -> Self {
        let link = link.into();
        Self {
            store: Arc::new(StoreClient::unasked(link.clone())),
            apis: Arc::new(ApisClient::new(link.clone())),
            query: Arc::new(QueryClient::new(link)),
        }
    }

    /// Its store.
    pub fn store(&self) -> Arc<StoreClient> {
        Arc::clone(&self.store)
    }
}

#[async_trait]
impl Peer for GrpcPeer {
    async fn info(&self, ctx: &Context) -> Result<EndpointInfo> {
        let asked = self.store.ask(&ctx.with_timeout(INFO_TIMEOUT)).await;
        asked.map_err(|e| match e.kind() {
            // Compat: the words of Thanos `pkg/query/endpointset.go`.
            ErrorKind::Unsupported => {
                e.context("cannot obtain metadata: neither info nor store client found")
            }
            _ => e,
        })
    }

    fn apis(&self) -> Apis {
        Apis {
            store: Some(Arc::clone(&self.store) as _),
            rules: Some(Arc::clone(&self.apis) as _),
            targets: Some(Arc::clone(&self.apis) as _),
            metadata: Some(Arc::clone(&self.apis) as _),
            exemplars: Some(Arc::clone(&self.apis) as _),
            status: Some(Arc::clone(&self.apis) as _),
            query: Some(Arc::clone(&self.query) as _),
        }
    }
}
