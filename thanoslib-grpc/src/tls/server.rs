//! The server's side.

use std::{path::PathBuf, sync::Arc};

use thanoslib::Result;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, server::WebPkiClientVerifier},
};

use super::{
    FromFiles, ServerTlsSettings, alpn,
    files::{Reloaded, authorities, certificates, key},
    invalid, provider, versions,
};

/// Makes handshakes with the files as they are at the time.
#[derive(Debug)]
pub(crate) struct ServerTls(Reloaded<ServerTlsSettings>);

impl ServerTls {
    /// # Errors
    /// `Invalid` when a file cannot be used.
    pub(crate) fn new(settings: ServerTlsSettings) -> Result<Self> {
        Ok(Self(Reloaded::new(settings)?))
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.get())
    }
}

impl FromFiles for ServerTlsSettings {
    type Made = Arc<ServerConfig>;

    fn files(&self) -> Vec<PathBuf> {
        let own = [&self.cert_file, &self.key_file].into_iter().cloned();
        own.chain(self.client_ca_file.clone()).collect()
    }

    fn make(&self) -> Result<Self::Made> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(self.min_version))
            .map_err(invalid("protocol versions"))?;
        let builder = match &self.client_ca_file {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let roots = Arc::new(authorities("client_ca_file", path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                    .build()
                    .map_err(invalid("client_ca_file"))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let chain = certificates("cert_file", &self.cert_file)?;
        let key = key("key_file", &self.key_file)?;
        let mut config =
            builder.with_single_cert(chain, key).map_err(invalid("certificate and key do not fit"))?;
        config.alpn_protocols = alpn();
        Ok(Arc::new(config))
    }
}
