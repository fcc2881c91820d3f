//! The Info service.

use thanoslib::{apis::Apis, model::Labels};
use tonic::{Request, Response, Status, async_trait};

use super::Readiness;
use crate::{
    MESSAGE_MAX_BYTES, convert,
    pb::thanos::{
        ZLabelSet,
        info::{InfoRequest, InfoResponse, info_server},
    },
};

/// What an endpoint without a store says of itself; with one, the store says it.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// What it is: `rule`, `query`, …
    pub component: &'static str,
    /// One label set for each producer.
    pub label_sets: Vec<Labels>,
}

/// Serves the Info service of one endpoint.
#[derive(Clone, Debug)]
pub struct InfoServer {
    apis: Apis,
    about: About,
    projections: bool,
    readiness: Readiness,
}

impl InfoServer {
    /// A server that refuses to answer until the readiness is set; `projections` says whether the
    /// Store service honours them.
    pub fn new(apis: Apis, about: About, projections: bool, readiness: Readiness) -> Self {
        Self { apis, about, projections, readiness }
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
        let mut info = match &self.apis.store {
            Some(store) => InfoResponse::from(&store.info()),
            None => InfoResponse {
                label_sets: self.about.label_sets.iter().map(ZLabelSet::from).collect(),
                component_type: self.about.component.to_owned(),
                ..InfoResponse::default()
            },
        };
        if let Some(store) = &mut info.store {
            store.supports_projections &= self.projections;
        }
        Ok(Response::new(convert::advertised(info, &self.apis)))
    }
}
