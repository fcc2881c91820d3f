//! TLS of servers and clients, with files that are read again when they change.
//!
//! Invariant: every configuration names its provider (ring); none is asked of the process.

mod client;
mod files;
mod server;
mod verify;

use std::{fmt, path::PathBuf, sync::Arc};

use thanoslib::{Error, Result};
use tokio_rustls::rustls::{
    SupportedProtocolVersion,
    crypto::{CryptoProvider, ring},
    version::{TLS12, TLS13},
};

pub(crate) use client::ClientTls;
pub(crate) use server::ServerTls;

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3, the default of Thanos.
    #[default]
    Tls13,
}

/// TLS of a server.
///
/// ```
/// use thanoslib_grpc::tls::{ServerTlsSettings, TlsVersion};
/// let settings = ServerTlsSettings::new("server.pem", "server.key");
/// assert_eq!((settings.min_version, settings.client_ca_file), (TlsVersion::Tls13, None));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTlsSettings {
    /// PEM file of the certificate chain.
    pub cert_file: PathBuf,
    /// PEM file of the key.
    pub key_file: PathBuf,
    /// PEM file of the authorities that clients must have a certificate of; `None` asks for none.
    pub client_ca_file: Option<PathBuf>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
}

impl ServerTlsSettings {
    /// A server that asks no certificate of its clients.
    pub fn new(cert_file: impl Into<PathBuf>, key_file: impl Into<PathBuf>) -> Self {
        Self {
            cert_file: cert_file.into(),
            key_file: key_file.into(),
            client_ca_file: None,
            min_version: TlsVersion::default(),
        }
    }
}

/// TLS of a client; by default the system's authorities are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTlsSettings {
    /// PEM file of the only trusted authorities.
    pub ca_file: Option<PathBuf>,
    /// PEM file of the client's own certificate chain.
    pub cert_file: Option<PathBuf>,
    /// PEM file of the client's key.
    pub key_file: Option<PathBuf>,
    /// The name that is asked for and that the certificate must bear, instead of the host.
    pub server_name: Option<String>,
    /// Accepts any certificate.
    pub insecure_skip_verify: bool,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// All versions, and the newest alone.
static VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

fn versions(min: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match min {
        TlsVersion::Tls12 => &VERSIONS,
        TlsVersion::Tls13 => &VERSIONS[1..],
    }
}

/// The protocol of gRPC in a handshake.
fn alpn() -> Vec<Vec<u8>> {
    vec![b"h2".to_vec()]
}

/// Says of which setting an error tells.
fn invalid<E: std::error::Error + Send + Sync + 'static>(what: impl fmt::Display) -> impl FnOnce(E) -> Error {
    move |e| Error::invalid(format!("tls: {what}: {e}")).with_source(e)
}

/// A configuration, made anew when one of its files has changed.
trait FromFiles: Send + Sync + 'static {
    /// What is made.
    type Made: Clone + Send;

    /// The files that it is made of.
    fn files(&self) -> Vec<PathBuf>;

    /// Reads the files.
    fn make(&self) -> Result<Self::Made>;
}
