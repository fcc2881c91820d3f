//! The client's side.

use std::{path::PathBuf, sync::Arc};

use thanoslib::{Error, Result};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, pki_types::ServerName},
};

use super::{
    ClientTlsSettings, FromFiles, alpn,
    files::{Reloaded, authorities, certificates, key},
    invalid, provider,
    verify::AnyCertificate,
    versions,
};

/// Makes handshakes with the files as they are at the time.
#[derive(Debug)]
pub(crate) struct ClientTls {
    config: Reloaded<ClientTlsSettings>,
    server_name: Option<ServerName<'static>>,
}

impl ClientTls {
    /// # Errors
    /// `Invalid` when a file or the name cannot be used.
    pub(crate) fn new(settings: ClientTlsSettings) -> Result<Self> {
        let name = settings.server_name.clone().filter(|n| !n.is_empty());
        let server_name = name.map(|n| server_name(&n)).transpose()?;
        Ok(Self { config: Reloaded::new(settings)?, server_name })
    }

    /// What makes a handshake, and the name to ask a host for.
    ///
    /// # Errors
    /// `Invalid` for a host that cannot be named.
    pub(crate) fn connector(&self, host: &str) -> Result<(TlsConnector, ServerName<'static>)> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => server_name(host.trim_start_matches('[').trim_end_matches(']'))?,
        };
        Ok((TlsConnector::from(self.config.get()), name))
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>> {
    ServerName::try_from(name.to_owned()).map_err(invalid(format_args!("server name {name:?}")))
}

impl FromFiles for ClientTlsSettings {
    type Made = Arc<ClientConfig>;

    fn files(&self) -> Vec<PathBuf> {
        [&self.ca_file, &self.cert_file, &self.key_file].into_iter().flatten().cloned().collect()
    }

    fn make(&self) -> Result<Self::Made> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(self.min_version))
            .map_err(invalid("protocol versions"))?;
        let builder = match &self.ca_file {
            _ if self.insecure_skip_verify => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider())))
            }
            Some(path) => builder.with_root_certificates(authorities("ca_file", path)?),
            None => builder.with_root_certificates(system()?),
        };
        let mut config = match (&self.cert_file, &self.key_file) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(path)) => {
                let chain = certificates("cert_file", cert)?;
                let key = key("key_file", path)?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(invalid("certificate and key do not fit"))?
            }
            _ => return Err(Error::invalid("tls: cert_file and key_file are needed together")),
        };
        config.alpn_protocols = alpn();
        Ok(Arc::new(config))
    }
}

/// The authorities that the system trusts.
fn system() -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match roots.is_empty() {
        true => Err(Error::invalid("tls: the system has no certificates of authorities: name a ca_file")),
        false => Ok(roots),
    }
}
