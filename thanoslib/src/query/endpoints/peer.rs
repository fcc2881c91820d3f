//! One endpoint at the other end of a wire.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use crate::{
    apis::Apis,
    context::Context,
    error::Result,
    model::{Interval, Labels},
    store::StoreInfo,
};

/// Makes connections to endpoints.
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::{Context, Result, apis::Apis, query::{Connect, EndpointInfo, EndpointSpec, Peer}};
///
/// /// An endpoint in this process.
/// #[derive(Clone, Debug)]
/// struct Here(EndpointInfo, Apis);
///
/// #[async_trait::async_trait]
/// impl Peer for Here {
///     async fn info(&self, _: &Context) -> Result<EndpointInfo> {
///         Ok(self.0.clone())
///     }
///     fn apis(&self) -> Apis {
///         self.1.clone()
///     }
/// }
///
/// #[async_trait::async_trait]
/// impl Connect for Here {
///     async fn connect(&self, _: &EndpointSpec) -> Result<Arc<dyn Peer>> {
///         Ok(Arc::new(self.clone()))
///     }
/// }
/// ```
#[async_trait]
pub trait Connect: fmt::Debug + Send + Sync + 'static {
    /// A peer for the endpoint. Connecting may go on behind it: what fails then fails the calls.
    async fn connect(&self, spec: &EndpointSpec) -> Result<Arc<dyn Peer>>;
}

/// An endpoint to connect to.
///
/// ```
/// use thanoslib::query::EndpointSpec;
/// let spec = EndpointSpec { strict: true, ..EndpointSpec::new("10.0.0.1:10901") };
/// assert!(!spec.group);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    /// Host and port; of a group a name that stands for several addresses.
    pub address: String,
    /// True: asked even when it did not say what it is.
    pub strict: bool,
    /// True: one endpoint with many interchangeable members, among which calls are spread.
    pub group: bool,
    /// gRPC service configuration as JSON, of groups; see [`ServiceConfig`](super::ServiceConfig).
    pub service_config: Option<String>,
    /// Which of the connector's settings apply; `None` for the default ones.
    pub client: Option<String>,
    /// Endpoints of the same name hold the same data; see
    /// [`ProxyMember::group`](crate::store::ProxyMember::group).
    pub replicas: Option<String>,
}

impl EndpointSpec {
    /// A plain endpoint.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            strict: false,
            group: false,
            service_config: None,
            client: None,
            replicas: None,
        }
    }
}

/// One endpoint.
///
/// See [`Connect`].
#[async_trait]
pub trait Peer: fmt::Debug + Send + Sync + 'static {
    /// Asks the endpoint what it is; its store, if it has one, knows it from then on.
    async fn info(&self, ctx: &Context) -> Result<EndpointInfo>;

    /// Clients for all APIs, also for those that the endpoint does not have.
    fn apis(&self) -> Apis;
}

/// What an endpoint says of itself.
///
/// See [`Peer`].
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointInfo {
    /// What it is: `sidecar`, `store`, `query`, …
    pub component: &'static str,
    /// One label set for each producer.
    pub label_sets: Vec<Labels>,
    /// Time, labels and abilities of its store; `None` when it serves none.
    pub store: Option<StoreInfo>,
    /// It tells rules.
    pub rules: bool,
    /// It tells targets.
    pub targets: bool,
    /// It tells metadata.
    pub metadata: bool,
    /// It tells exemplars of this time; both ends 0 mean all time.
    pub exemplars: Option<Interval>,
    /// It tells statistics.
    pub status: bool,
    /// It evaluates PromQL.
    pub query: bool,
}

impl EndpointInfo {
    /// An endpoint that serves a store and nothing else.
    pub fn of_store(store: StoreInfo) -> Self {
        Self {
            component: store.component,
            label_sets: store.label_sets.clone(),
            store: Some(store),
            rules: false,
            targets: false,
            metadata: false,
            exemplars: None,
            status: false,
            query: false,
        }
    }
}
