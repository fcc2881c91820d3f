//! The client's side.

use std::{path::PathBuf, sync::Arc};

use rustls::{ClientConfig, RootCertStore, client::WebPkiServerVerifier, pki_types::ServerName};

use super::{
    ClientTlsSettings, FromFiles,
    files::{Reloaded, authorities, certificates, key},
    invalid, provider,
    verify::Judge,
    versions,
};
use crate::error::{Error, Result};

/// Configurations of handshakes, made of the files as they are at the time.
///
/// ```
/// use thanoslib::tls::{ClientTls, ClientTlsSettings};
/// let settings = ClientTlsSettings { server_name: Some("eu1".into()), ..Default::default() };
/// # let settings = ClientTlsSettings { insecure_skip_verify: true, ..settings };
/// let tls = ClientTls::new(settings, &["h2"])?;
/// assert_eq!(tls.config().alpn_protocols, [b"h2"]);
/// assert_eq!(tls.name("10.0.0.1")?.to_str(), "eu1");
/// # Ok::<_, thanoslib::Error>(())
/// ```
#[derive(Debug)]
pub struct ClientTls {
    config: Reloaded<Client>,
    server_name: Option<ServerName<'static>>,
}

impl ClientTls {
    /// A client that offers the protocols (ALPN), the best one first.
    ///
    /// # Errors
    /// `Invalid` when a file or the name cannot be used.
    pub fn new(settings: ClientTlsSettings, protocols: &[&str]) -> Result<Self> {
        let server_name = settings.name()?;
        let alpn = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        Ok(Self { config: Reloaded::new(Client { settings, alpn })?, server_name })
    }

    /// What makes a handshake.
    pub fn config(&self) -> Arc<ClientConfig> {
        self.config.get()
    }

    /// The name to ask a host for.
    ///
    /// # Errors
    /// `Invalid` for a host that cannot be named.
    pub fn name(&self, host: &str) -> Result<ServerName<'static>> {
        match &self.server_name {
            Some(name) => Ok(name.clone()),
            None => server_name(host.trim_start_matches('[').trim_end_matches(']')),
        }
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>> {
    ServerName::try_from(name.to_owned()).map_err(invalid(format_args!("server_name {name:?}")))
}

/// A client's settings with the protocols that it offers.
struct Client {
    settings: ClientTlsSettings,
    alpn: Vec<Vec<u8>>,
}

impl FromFiles for Client {
    type Made = Arc<ClientConfig>;

    fn files(&self) -> Vec<PathBuf> {
        let ClientTlsSettings { ca_file, cert_file, key_file, .. } = &self.settings;
        [ca_file, cert_file, key_file].into_iter().flatten().cloned().collect()
    }

    fn make(&self) -> Result<Self::Made> {
        let mut config = self.settings.config()?;
        config.alpn_protocols.clone_from(&self.alpn);
        Ok(Arc::new(config))
    }
}

impl ClientTlsSettings {
    /// The name that certificates must bear, if it is not the host.
    fn name(&self) -> Result<Option<ServerName<'static>>> {
        self.server_name.as_deref().filter(|name| !name.is_empty()).map(server_name).transpose()
    }

    /// A configuration of the files as they are now, with no protocols.
    ///
    /// The name in its handshakes is up to who makes them; that of the settings is checked in any case.
    pub(crate) fn config(&self) -> Result<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(self.min_version))
            .map_err(invalid("protocol versions"))?;
        let builder = if self.insecure_skip_verify {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Judge::any()))
        } else {
            let roots = match &self.ca_file {
                Some(path) => authorities("ca_file", path)?,
                None => system(),
            };
            match self.name()? {
                None => builder.with_root_certificates(roots),
                Some(name) => {
                    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
                        .build()
                        .map_err(invalid("authorities"))?;
                    builder.dangerous().with_custom_certificate_verifier(Arc::new(Judge::named(name, inner)))
                }
            }
        };
        match (&self.cert_file, &self.key_file) {
            (None, None) => Ok(builder.with_no_client_auth()),
            (Some(cert), Some(path)) => {
                let chain = certificates("cert_file", cert)?;
                let key = key("key_file", path)?;
                builder.with_client_auth_cert(chain, key).map_err(invalid("certificate and key do not fit"))
            }
            _ => Err(Error::invalid("tls: cert_file and key_file are needed together")),
        }
    }
}

/// The authorities that the system trusts.
fn system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for e in &system.errors {
        tracing::debug!(error = %e, "a system certificate cannot be read");
    }
    roots.add_parsable_certificates(system.certs);
    if roots.is_empty() {
        tracing::warn!(
            "the system has no certificates of authorities: no server is trusted without a ca_file"
        );
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusable_files_and_names_are_refused() {
        let dir = tempfile::tempdir().expect("tempdir");
        let empty = dir.path().join("empty.pem");
        std::fs::write(&empty, "no certificate").expect("write");
        let check = |settings: ClientTlsSettings, words: &str| {
            let e = settings.config().expect_err(words);
            assert!(e.message().contains(words), "{e}");
        };
        let none = ClientTlsSettings::default;
        check(ClientTlsSettings { ca_file: Some(dir.path().join("missing")), ..none() }, "missing");
        check(ClientTlsSettings { ca_file: Some(empty.clone()), ..none() }, "no certificate in");
        check(ClientTlsSettings { cert_file: Some(empty.clone()), ..none() }, "together");
        check(ClientTlsSettings { server_name: Some("a b".to_owned()), ..none() }, "server_name");
        assert!(ClientTlsSettings { insecure_skip_verify: true, ..none() }.config().is_ok());
    }
}
