//! The server's side.

use std::{path::PathBuf, sync::Arc};

use rustls::{ServerConfig, server::WebPkiClientVerifier};

use super::{
    FromFiles, KEYS, ServerTlsSettings,
    files::{Reloaded, authorities, certificates, key},
    invalid, provider_of, versions,
};
use crate::error::Result;

/// Configurations of handshakes, made of the files as they are at the time.
///
/// ```
/// use thanoslib::tls::{ServerTls, ServerTlsSettings};
/// let missing = ServerTls::new(ServerTlsSettings::new("no.pem", "no.key"), &["h2", "http/1.1"]);
/// assert!(missing.is_err_and(|e| e.message().starts_with("tls: cert_file no.pem")));
/// ```
#[derive(Debug)]
pub struct ServerTls(Reloaded<Server>);

impl ServerTls {
    /// A server that speaks the protocols (ALPN), the best one first.
    ///
    /// # Errors
    /// `Invalid` when a file cannot be used.
    pub fn new(settings: ServerTlsSettings, protocols: &[&str]) -> Result<Self> {
        let alpn = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        Ok(Self(Reloaded::new(Server { settings, alpn })?))
    }

    /// What makes a handshake.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.0.get()
    }
}

/// A server's settings with the protocols that it speaks.
struct Server {
    settings: ServerTlsSettings,
    alpn: Vec<Vec<u8>>,
}

impl FromFiles for Server {
    type Made = Arc<ServerConfig>;

    fn files(&self) -> Vec<PathBuf> {
        let own = [&self.settings.cert_file, &self.settings.key_file].into_iter().cloned();
        own.chain(self.settings.client_ca_file.clone()).collect()
    }

    fn make(&self) -> Result<Self::Made> {
        let ServerTlsSettings { cert_file, key_file, client_ca_file, min_version, ciphers, curves } =
            &self.settings;
        let provider = provider_of(ciphers, curves, KEYS)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions(*min_version))
            .map_err(invalid("protocol versions"))?;
        let builder = match client_ca_file {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let roots = Arc::new(authorities("client_ca_file", path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                    .build()
                    .map_err(invalid("client_ca_file"))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let chain = certificates("cert_file", cert_file)?;
        let key = key("key_file", key_file)?;
        let mut config =
            builder.with_single_cert(chain, key).map_err(invalid("certificate and key do not fit"))?;
        config.alpn_protocols.clone_from(&self.alpn);
        Ok(Arc::new(config))
    }
}
