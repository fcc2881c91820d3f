//! TLS of servers and clients, with files that are read again when they change.
//!
//! Invariant: every configuration names its provider (ring); none is asked of the process.

mod client;
mod files;
mod server;
mod verify;

use std::{fmt, path::PathBuf, sync::Arc};

use rustls::{
    NamedGroup, SupportedCipherSuite, SupportedProtocolVersion,
    crypto::{CryptoProvider, ring},
    version::{TLS12, TLS13},
};

use crate::error::{Error, Result};

pub use client::ClientTls;
pub use server::ServerTls;

/// The oldest version of TLS that is spoken.
///
/// See [`ServerTlsSettings`].
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
/// use thanoslib::tls::{ServerTlsSettings, TlsVersion};
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
    /// Cipher suites of TLS 1.2 by their names in Go; none means all. Those of 1.3 are fixed.
    pub ciphers: Vec<String>,
    /// Curves by their names in Go; none means all.
    pub curves: Vec<String>,
}

impl ServerTlsSettings {
    /// A server that asks no certificate of its clients.
    pub fn new(cert_file: impl Into<PathBuf>, key_file: impl Into<PathBuf>) -> Self {
        Self {
            cert_file: cert_file.into(),
            key_file: key_file.into(),
            client_ca_file: None,
            min_version: TlsVersion::default(),
            ciphers: Vec::new(),
            curves: Vec::new(),
        }
    }
}

/// TLS of a client; by default the system's authorities are trusted.
///
/// See [`ClientTls`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTlsSettings {
    /// PEM file of the only trusted authorities.
    pub ca_file: Option<PathBuf>,
    /// PEM file of the client's own certificate chain.
    pub cert_file: Option<PathBuf>,
    /// PEM file of the client's key.
    pub key_file: Option<PathBuf>,
    /// The name that the server's certificate must bear, instead of the host.
    pub server_name: Option<String>,
    /// Accepts any certificate.
    pub insecure_skip_verify: bool,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// What ciphers and curves are called in errors.
const KEYS: [&str; 2] = ["tls: cipher suite", "tls: curve"];

/// The curves with their names in Go.
const CURVES: [(&str, NamedGroup); 3] = [
    ("CurveP256", NamedGroup::secp256r1),
    ("CurveP384", NamedGroup::secp384r1),
    ("X25519", NamedGroup::X25519),
];

/// A provider with only the cipher suites of TLS 1.2 and the curves that are named, by their names in
/// Go; no names mean all. The suites of TLS 1.3 may be named, and are there in any case.
///
/// `keys` are what the two lists are called in errors.
///
/// ```
/// use thanoslib::tls::provider_of;
/// let e = provider_of(&["TLS_NULL".to_owned()], &[], ["ciphers:", "curves:"]).expect_err("not safe");
/// assert_eq!(e.message(), "ciphers: \"TLS_NULL\" is not there or not safe");
/// ```
///
/// # Errors
/// `Invalid` for a name that is not known.
pub fn provider_of(ciphers: &[String], curves: &[String], keys: [&str; 2]) -> Result<Arc<CryptoProvider>> {
    let mut provider = ring::default_provider();
    // Go and the standard name those of TLS 1.3 without the version.
    let name = |suite: &SupportedCipherSuite| format!("{:?}", suite.suite()).replace("TLS13_", "TLS_");
    for wanted in ciphers {
        if !provider.cipher_suites.iter().any(|s| name(s) == *wanted) {
            return Err(Error::invalid(format!("{} {wanted:?} is not there or not safe", keys[0])));
        }
    }
    if !ciphers.is_empty() {
        // Compat: those of TLS 1.3 cannot be chosen.
        provider.cipher_suites.retain(|s| s.tls13().is_some() || ciphers.contains(&name(s)));
    }
    let group = |wanted: &String| {
        let known = CURVES.iter().find(|(name, _)| name == wanted).map(|(_, group)| *group);
        known.ok_or_else(|| Error::invalid(format!("{} {wanted:?} is not there", keys[1])))
    };
    let groups = curves.iter().map(group).collect::<Result<Vec<_>>>()?;
    if !groups.is_empty() {
        provider.kx_groups.retain(|g| groups.contains(&g.name()));
    }
    Ok(Arc::new(provider))
}

/// All versions, and the newest alone.
static VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

fn versions(min: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match min {
        TlsVersion::Tls12 => &VERSIONS,
        TlsVersion::Tls13 => &VERSIONS[1..],
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_and_curves_are_chosen_by_their_names_in_go() {
        let check = |ciphers: &[&str], curves: &[&str], want: Result<(usize, usize), &str>| {
            let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
            let got = provider_of(&owned(ciphers), &owned(curves), KEYS).map_err(|e| e.to_string());
            let got = got.map(|p| {
                let older = p.cipher_suites.iter().filter(|s| s.tls13().is_none()).count();
                (older, p.kx_groups.len())
            });
            assert_eq!(got, want.map_err(str::to_owned));
        };
        check(&[], &[], Ok((6, 3)));
        check(&["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"], &["X25519", "CurveP256"], Ok((1, 2)));
        check(&["TLS_AES_128_GCM_SHA256"], &[], Ok((0, 3)));
        let old = "TLS_RSA_WITH_AES_128_CBC_SHA";
        let refused = "tls: cipher suite \"TLS_RSA_WITH_AES_128_CBC_SHA\" is not there or not safe";
        check(&[old], &[], Err(refused));
        check(&[], &["CurveP521"], Err("tls: curve \"CurveP521\" is not there"));
    }
}
