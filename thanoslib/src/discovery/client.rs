//! How an endpoint is spoken to, as configuration says it.

use std::path::PathBuf;

use serde::Deserialize;
use xxhash_rust::xxh64::xxh64;

/// Compression of what is sent.
///
/// See [`ClientSettings`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// None.
    #[default]
    None,
    /// Snappy frames.
    Snappy,
}

/// How an endpoint is spoken to; plain data.
///
/// See [`ClientConfig::resolve`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientSettings {
    /// TLS; `None` for clear text.
    pub tls: Option<ClientTls>,
    /// Name that the certificate must have; empty for the host of the address.
    pub server_name: String,
    /// Compression of what is sent.
    pub compression: Compression,
}

/// TLS of a client; plain data.
///
/// See [`ClientSettings`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTls {
    /// True: any certificate will do.
    pub insecure_skip_verify: bool,
    /// Own certificate.
    pub cert_file: Option<PathBuf>,
    /// Key of the own certificate.
    pub key_file: Option<PathBuf>,
    /// Authorities that are trusted; `None` for those of the system.
    pub ca_file: Option<PathBuf>,
    /// Least version: `1.0` to `1.3`.
    pub min_version: String,
}

impl Default for ClientTls {
    /// TLS 1.3, no files.
    fn default() -> Self {
        Self {
            insecure_skip_verify: false,
            cert_file: None,
            key_file: None,
            ca_file: None,
            min_version: "1.3".to_owned(),
        }
    }
}

impl ClientSettings {
    /// A name that equal settings share, for [`EndpointSpec::client`](crate::query::EndpointSpec).
    pub fn name(&self) -> String {
        format!("{:016x}", xxh64(format!("{self:?}").as_bytes(), 0))
    }
}

/// How an endpoint is spoken to, as it is written: what is missing comes from elsewhere.
///
/// See [`EndpointsConfig`](super::EndpointsConfig).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientConfig {
    tls_config: Option<TlsConfig>,
    server_name: Option<String>,
    compression: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TlsConfig {
    enabled: Option<bool>,
    insecure_skip_verify: Option<bool>,
    cert_file: Option<String>,
    key_file: Option<String>,
    ca_file: Option<String>,
    min_version: Option<String>,
}

impl TlsConfig {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// True when something is set that only TLS has a use for.
    fn implies_tls(&self) -> bool {
        let named = |file: &Option<String>| file.as_ref().is_some_and(|f| !f.is_empty());
        self.insecure_skip_verify == Some(true)
            || named(&self.cert_file)
            || named(&self.key_file)
            || named(&self.ca_file)
    }
}

impl ClientConfig {
    /// Says what is wrong with it.
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(other) = self.compression.as_deref().filter(|c| !["", "none", "snappy"].contains(c)) {
            return Err(format!("compression: {other:?}, want none or snappy"));
        }
        let Some(tls) = &self.tls_config else { return Ok(()) };
        if let Some(other) = tls.min_version.as_deref()
            && !["", "1.0", "1.1", "1.2", "1.3"].contains(&other)
        {
            return Err(format!("tls_config.min_version: {other:?}, want 1.0 to 1.3"));
        }
        let given = |file: &Option<String>| file.as_ref().is_some_and(|f| !f.is_empty());
        if given(&tls.cert_file) != given(&tls.key_file) && tls.enabled != Some(false) {
            return Err("tls_config: cert_file and key_file go together".to_owned());
        }
        Ok(())
    }

    /// True when TLS of this client is set here.
    pub(super) fn has_tls(&self) -> bool {
        self.tls_config.as_ref().is_some_and(|tls| !tls.is_empty())
    }

    /// True when nothing is set.
    pub(super) fn is_empty(&self) -> bool {
        !self.has_tls()
            && self.server_name.as_deref().unwrap_or_default().is_empty()
            && self.compression.as_deref().unwrap_or_default().is_empty()
    }

    /// The settings, where what is not written is as in `global`.
    ///
    /// With `enabled: true` what is missing has plain defaults; with `enabled: false` there is no
    /// TLS; without `enabled` what is missing is as in `global`, and TLS is there if any of its
    /// files is set or certificates go unchecked, else as in `global`.
    pub fn resolve(&self, global: &ClientSettings) -> ClientSettings {
        let compression = match self.compression.as_deref() {
            Some("snappy") => Compression::Snappy,
            Some("none") => Compression::None,
            _ => global.compression,
        };
        let written = self.server_name.clone().filter(|name| !name.is_empty());
        let Some(tls) = self.tls_config.as_ref().filter(|tls| !tls.is_empty()) else {
            let server_name = written.unwrap_or_else(|| global.server_name.clone());
            return ClientSettings { tls: global.tls.clone(), server_name, compression };
        };
        let plain = ClientTls::default();
        let base = match tls.enabled {
            Some(false) => {
                let server_name = written.unwrap_or_default();
                return ClientSettings { tls: None, server_name, compression };
            }
            Some(true) => &plain,
            None => global.tls.as_ref().unwrap_or(&plain),
        };
        let enabled = tls.enabled == Some(true) || tls.implies_tls() || global.tls.is_some();
        let file = |own: &Option<String>, base: &Option<PathBuf>| match own.as_deref() {
            Some("") => None,
            Some(path) => Some(PathBuf::from(path)),
            None => base.clone(),
        };
        let version = tls.min_version.clone().filter(|v| !v.is_empty());
        let settings = ClientTls {
            insecure_skip_verify: tls.insecure_skip_verify.unwrap_or(base.insecure_skip_verify),
            cert_file: file(&tls.cert_file, &base.cert_file),
            key_file: file(&tls.key_file, &base.key_file),
            ca_file: file(&tls.ca_file, &base.ca_file),
            min_version: version.unwrap_or_else(|| base.min_version.clone()),
        };
        let inherited = if tls.enabled.is_none() { global.server_name.clone() } else { String::new() };
        ClientSettings {
            tls: enabled.then_some(settings),
            server_name: written.unwrap_or(inherited),
            compression,
        }
    }
}
