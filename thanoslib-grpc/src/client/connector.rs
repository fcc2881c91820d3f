//! [`Connector`]: peers of endpoints.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use thanoslib::{
    Error, Result,
    query::{Connect, EndpointSpec, Peer, ServiceConfig},
    store::Store,
    tls::{ClientTls, ClientTlsSettings},
};

use super::{ClientMetrics, Compression, GroupMembers, GrpcPeer, Link};

/// How peers are spoken to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientSettings {
    /// TLS; `None` for clear text.
    pub tls: Option<ClientTlsSettings>,
    /// Compression of requests, which peers answer in kind.
    pub compression: Compression,
}

/// Makes [`Peer`]s of endpoints over gRPC.
///
/// ```
/// use thanoslib::query::{Connect, EndpointSpec};
/// use thanoslib_grpc::client::{ClientSettings, Connector};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> thanoslib::Result<()> {
/// let connector = Connector::new(ClientSettings::default())?;
/// // Connecting is left to the first call.
/// let peer = connector.connect(&EndpointSpec::new("10.0.0.1:10901")).await?;
/// assert!(peer.apis().store.is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Connector {
    default: Client,
    named: Mutex<HashMap<String, Client>>,
    groups: Option<Arc<dyn GroupMembers>>,
    metrics: Arc<ClientMetrics>,
}

/// Settings that were checked.
#[derive(Clone, Debug)]
struct Client {
    tls: Option<Arc<ClientTls>>,
    compression: Compression,
}

impl Client {
    fn new(settings: ClientSettings) -> Result<Self> {
        let tls = settings.tls.map(|tls| ClientTls::new(tls, &[crate::PROTOCOL])).transpose()?.map(Arc::new);
        Ok(Self { tls, compression: settings.compression })
    }
}

impl Connector {
    /// A connector with the settings of endpoints that name none.
    ///
    /// # Errors
    /// `Invalid` when a TLS file cannot be used.
    pub fn new(default: ClientSettings) -> Result<Self> {
        let (named, metrics) = (Mutex::default(), Arc::default());
        Ok(Self { default: Client::new(default)?, named, groups: None, metrics })
    }

    /// The same with what tells the members of groups. Without it a group is one address.
    #[must_use]
    pub fn with_groups(mut self, groups: Arc<dyn GroupMembers>) -> Self {
        self.groups = Some(groups);
        self
    }

    /// The same that counts the calls of its peers in `metrics`.
    #[must_use]
    pub fn with_metrics(mut self, metrics: Arc<ClientMetrics>) -> Self {
        self.metrics = metrics;
        self
    }

    /// Sets or replaces the settings that [`EndpointSpec::client`] names. Peers that are
    /// connected keep theirs.
    ///
    /// # Errors
    /// `Invalid` when a TLS file cannot be used; what was there stays.
    pub fn set_client(&self, name: impl Into<String>, settings: ClientSettings) -> Result<()> {
        let (name, client) = (name.into(), settings);
        let client = Client::new(client).map_err(|e| e.context(&name))?;
        self.named.lock().unwrap_or_else(PoisonError::into_inner).insert(name, client);
        Ok(())
    }

    fn client(&self, name: Option<&str>) -> Result<Client> {
        let Some(name) = name else { return Ok(self.default.clone()) };
        let named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        named.get(name).cloned().ok_or_else(|| Error::invalid(format!("no client settings {name:?}")))
    }
}

#[async_trait]
impl Connect for Connector {
    async fn connect(&self, spec: &EndpointSpec) -> Result<Arc<dyn Peer>> {
        let Client { tls, compression } = self.client(spec.client.as_deref())?;
        let link = match &self.groups {
            Some(groups) if spec.group => {
                let config = match spec.service_config.as_deref().filter(|json| !json.is_empty()) {
                    Some(json) => ServiceConfig::parse(json).map_err(|e| e.context("service_config"))?,
                    None => ServiceConfig::of_groups(),
                };
                Link::group(&spec.address, Arc::clone(groups), tls, compression, config)
            }
            _ => Link::to(&spec.address, tls, compression)?,
        };
        Ok(Arc::new(GrpcPeer::new(link.counted(Arc::clone(&self.metrics)))))
    }
}

/// The store at `address`, host and port, in clear text; it is asked what it is.
///
/// ```no_run
/// use thanoslib::store::Store;
/// # async fn run() -> thanoslib::Result<()> {
/// let store = thanoslib_grpc::client::connect("127.0.0.1:10901").await?;
/// println!("{:?}", store.info().label_sets);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `Invalid` for a bad address, `Unavailable` when nobody answers, `Unsupported` when the peer
/// serves no Store.
pub async fn connect(address: &str) -> Result<Arc<dyn Store>> {
    let link = Link::to(address, None, Compression::None)?;
    Ok(Arc::new(super::StoreClient::connect(link).await?))
}
