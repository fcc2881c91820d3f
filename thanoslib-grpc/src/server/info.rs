//! The Info service.

use std::sync::Arc;

use thanoslib::store::Store;
use tonic::{Request, Response, Status, async_trait};

use super::Readiness;
use crate::{
    MESSAGE_MAX_BYTES,
    pb::thanos::info::{InfoRequest, InfoResponse, info_server},
};

/// Serves the Info service of one store.
#[derive(Clone, Debug)]
pub struct InfoServer {
    store: Arc<dyn Store>,
    readiness: Readiness,
}

impl InfoServer {
    /// A server that refuses to answer until the readiness is set.
    pub fn new(store: Arc<dyn Store>, readiness: Readiness) -> Self {
        Self { store, readiness }
    }

    /// The service with the message limits of Thanos.
    pub fn into_service(self) -> info_server::InfoServer<Self> {
        info_server::InfoServer::new(self)
            .max_decoding_message_size(MESSAGE_MAX_BYTES)
            .max_encoding_message_size(MESSAGE_MAX_BYTES)
    }
}

#[async_trait]
impl info_server::Info for InfoServer {
    async fn info(&self, _request: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        if !self.readiness.get() {
            // Compat: text and code of Thanos `pkg/info/info.go`; queriers take it for unhealthy.
            return Err(Status::unknown("Not ready"));
        }
        Ok(Response::new(InfoResponse::from(&self.store.info())))
    }
}
