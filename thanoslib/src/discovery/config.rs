//! The list of endpoints as YAML.

use serde::Deserialize;

use super::{ClientConfig, ClientSettings, Lookup};
use crate::{
    error::{Error, Result},
    query::ServiceConfig,
};

/// The endpoints that a configuration lists.
///
/// ```
/// use thanoslib::discovery::EndpointsConfig;
/// let config = EndpointsConfig::parse("endpoints: [{address: 'dns+store.example:10901'}]")?;
/// assert_eq!(config.endpoints.len(), 1);
/// let e = EndpointsConfig::parse("endpoints: [{address: 'dns+a:1', strict: true}]").unwrap_err();
/// assert_eq!(e.message(), "endpoints[0].strict: dns+a:1 is looked up, which strict does not permit");
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EndpointsConfig {
    default_client_config: ClientConfig,
    /// The endpoints in order.
    pub endpoints: Vec<EndpointEntry>,
}

/// One entry of the list.
///
/// See [`EndpointsConfig`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EndpointEntry {
    /// Host and port, or a name to look up.
    pub address: String,
    /// True: asked even when it did not say what it is.
    pub strict: bool,
    /// True: what is found are members of one endpoint.
    pub group: bool,
    /// gRPC service configuration as JSON, of groups.
    pub service_config: Option<String>,
    /// How it is spoken to.
    pub client_config: ClientConfig,
}

impl EndpointEntry {
    /// An entry with nothing but an address.
    pub fn new(address: impl Into<String>) -> Self {
        Self { address: address.into(), ..Self::default() }
    }

    /// Says what is wrong with it, key first.
    fn check(&self) -> Result<(), String> {
        let lookup = Lookup::parse(&self.address).map_err(|e| format!(".address: {e}"))?;
        if lookup.is_dynamic() && self.strict {
            return Err(format!(".strict: {} is looked up, which strict does not permit", self.address));
        }
        if let Some(config) = self.service_config.as_deref().filter(|c| !c.is_empty()) {
            if !self.group {
                return Err(".service_config: only groups have one".to_owned());
            }
            ServiceConfig::parse(config).map_err(|e| format!(".service_config: {e}"))?;
        }
        self.client_config.check().map_err(|e| format!(".client_config.{e}"))
    }

    /// Its own settings; `None` when those for all apply.
    pub(super) fn own_client(&self, global: &ClientSettings) -> Option<ClientSettings> {
        (!self.client_config.is_empty()).then(|| self.client_config.resolve(global))
    }
}

impl EndpointsConfig {
    /// Reads and checks a configuration; an empty text lists nothing.
    ///
    /// # Errors
    /// `Invalid` with the name of the key that is wrong.
    pub fn parse(yaml: &str) -> Result<Self> {
        let config: Option<Self> = serde_saphyr::from_str(yaml)
            .map_err(|e| Error::invalid(format!("endpoint configuration: {e}")))?;
        let config = config.unwrap_or_default();
        config.check()?;
        Ok(config)
    }

    /// Checks all entries, as [`parse`](Self::parse) does.
    ///
    /// # Errors
    /// `Invalid` with the name of the key that is wrong.
    pub fn check(&self) -> Result<()> {
        self.default_client_config
            .check()
            .map_err(|e| Error::invalid(format!("default_client_config.{e}")))?;
        for (i, entry) in self.endpoints.iter().enumerate() {
            entry.check().map_err(|e| Error::invalid(format!("endpoints[{i}]{e}")))?;
        }
        Ok(())
    }

    /// What applies to endpoints without settings of their own: what the file says for all, else
    /// what `flags` say.
    pub fn default_client(&self, flags: &ClientSettings) -> ClientSettings {
        let own = &self.default_client_config;
        // TLS of the file stands alone; compression and name come from it if it has them.
        let base = if own.has_tls() {
            ClientSettings { tls: None, server_name: String::new(), ..flags.clone() }
        } else {
            flags.clone()
        };
        own.resolve(&base)
    }
}
