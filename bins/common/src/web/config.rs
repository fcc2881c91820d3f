//! The web configuration: its YAML, checked.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use axum::http::{HeaderName, HeaderValue};
use serde::Deserialize;
use thanoslib::model::duration;

/// A web configuration whose values were checked; the files that it names were not read.
///
/// Source: Prometheus exporter-toolkit, `docs/web-configuration.md`.
#[derive(Clone, Debug, Default)]
pub(super) struct WebConfig {
    pub(super) tls: Option<TlsConfig>,
    /// Offers HTTP/2 on connections with TLS.
    pub(super) http2: bool,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// Names with their bcrypt hashes; empty lets everybody in.
    pub(super) users: BTreeMap<String, String>,
    pub(super) rate_limit: Option<RateLimit>,
}

/// Requests that are taken in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RateLimit {
    /// Time in which one more request may come.
    pub(super) interval: Duration,
    /// Requests that may come at once.
    pub(super) burst: u32,
}

/// TLS as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TlsConfig {
    pub(super) cert: Pem,
    pub(super) key: Pem,
    pub(super) client_auth: ClientAuth,
    pub(super) client_ca: Option<Pem>,
    pub(super) client_allowed_sans: Vec<String>,
    /// TLS 1.2 is spoken.
    pub(super) tls12: bool,
    /// TLS 1.3 is spoken.
    pub(super) tls13: bool,
    pub(super) cipher_suites: Vec<String>,
    pub(super) curves: Vec<String>,
}

/// PEM text in a file or in the configuration itself.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Pem {
    File(PathBuf),
    Text(String),
}

impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            // It may be a key.
            Self::Text(_) => f.write_str("Text"),
        }
    }
}

/// What clients must show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ClientAuth {
    /// Nothing is asked for.
    #[default]
    None,
    /// A certificate is asked for and not verified; there need be none.
    Request,
    /// There must be a certificate, which is not verified.
    RequireAny,
    /// A certificate is verified if there is one.
    VerifyIfGiven,
    /// There must be a certificate that verifies.
    RequireAndVerify,
}

/// Names of `tls_server_config.client_auth_type`.
const CLIENT_AUTH: &[(&str, ClientAuth)] = &[
    ("", ClientAuth::None),
    ("NoClientCert", ClientAuth::None),
    ("RequestClientCert", ClientAuth::Request),
    ("RequireClientCert", ClientAuth::RequireAny),
    ("RequireAnyClientCert", ClientAuth::RequireAny),
    ("VerifyClientCertIfGiven", ClientAuth::VerifyIfGiven),
    ("RequireAndVerifyClientCert", ClientAuth::RequireAndVerify),
];

/// Names of versions, oldest first.
const VERSIONS: &[&str] = &["TLS10", "TLS11", "TLS12", "TLS13"];

/// The headers that may be set, with the values they may have; none means any.
const HEADERS: &[(&str, &[&str])] = &[
    ("strict-transport-security", &[]),
    ("x-content-type-options", &["nosniff"]),
    ("x-frame-options", &["deny", "sameorigin"]),
    ("x-xss-protection", &[]),
    ("content-security-policy", &[]),
];

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wire {
    tls_server_config: Option<TlsWire>,
    http_server_config: HttpWire,
    basic_auth_users: BTreeMap<String, String>,
    rate_limit: Option<RateWire>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TlsWire {
    cert_file: String,
    key_file: String,
    cert: String,
    key: String,
    client_auth_type: String,
    client_ca_file: String,
    client_ca: String,
    client_allowed_sans: Vec<String>,
    min_version: String,
    max_version: String,
    cipher_suites: Vec<String>,
    prefer_server_cipher_suites: Option<bool>,
    curve_preferences: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HttpWire {
    http2: Option<bool>,
    headers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RateWire {
    interval: String,
    burst: i64,
}

impl WebConfig {
    /// Reads a configuration; files that it names lie relative to `dir`.
    ///
    /// # Errors
    /// Which key is wrong, and why.
    pub(super) fn parse(yaml: &str, dir: &Path) -> Result<Self> {
        let wire: Wire = match yaml.trim().is_empty() {
            true => Wire::default(),
            false => serde_saphyr::from_str(yaml).map_err(|e| anyhow::anyhow!("{e}"))?,
        };
        let tls = wire.tls_server_config.map(|tls| tls.check(dir)).transpose()?.flatten();
        let HttpWire { http2, headers } = wire.http_server_config;
        let headers = headers.iter().map(|(name, value)| header(name, value)).collect::<Result<_>>()?;
        for (user, hash) in &wire.basic_auth_users {
            hash.parse::<bcrypt::HashParts>()
                .map_err(|_| anyhow::anyhow!("basic_auth_users.{user}: not a bcrypt hash of a password"))?;
        }
        let rate_limit = wire.rate_limit.map(RateWire::check).transpose()?.flatten();
        let users = wire.basic_auth_users;
        Ok(Self { tls, http2: http2.unwrap_or(true), headers, users, rate_limit })
    }

    /// The files that it names.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let pems = self.tls.iter().flat_map(|tls| [Some(&tls.cert), Some(&tls.key), tls.client_ca.as_ref()]);
        let path = |pem: &Pem| match pem {
            Pem::File(path) => Some(path.clone()),
            Pem::Text(_) => None,
        };
        pems.flatten().filter_map(path).collect()
    }
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue)> {
    let key = format!("http_server_config.headers.{name}");
    let known = HEADERS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    let Some((known, values)) = known else { bail!("{key}: this header cannot be set") };
    if !values.is_empty() && !values.iter().any(|v| v.eq_ignore_ascii_case(value)) {
        bail!("{key}: {value:?} is not one of {}", values.join(", "));
    }
    let value = HeaderValue::from_str(value).with_context(|| format!("{key}: {value:?}"))?;
    Ok((HeaderName::from_static(known), value))
}

impl RateWire {
    fn check(self) -> Result<Option<RateLimit>> {
        let interval = match self.interval.as_str() {
            "" => Duration::ZERO,
            text => {
                let ns = duration::parse_flag(text)
                    .map_err(|_| anyhow::anyhow!("rate_limit.interval: {text:?} is no duration"))?;
                Duration::from_nanos(u64::try_from(ns).context("rate_limit.interval: negative")?)
            }
        };
        let burst = u32::try_from(self.burst)
            .map_err(|_| anyhow::anyhow!("rate_limit.burst: {} is no number of requests", self.burst))?;
        // Without an interval there is no limit.
        Ok((!interval.is_zero()).then_some(RateLimit { interval, burst }))
    }
}

impl TlsWire {
    /// `None` where nothing of it is set, which serves in clear text.
    fn check(self, dir: &Path) -> Result<Option<TlsConfig>> {
        let pem = |name: &str, file: &str, text: &str| match (file.is_empty(), text.is_empty()) {
            (true, true) => Ok(None),
            (false, true) => Ok(Some(Pem::File(dir.join(file)))),
            (true, false) => Ok(Some(Pem::Text(text.to_owned()))),
            (false, false) => bail!("tls_server_config: {name}_file and {name} cannot be given both"),
        };
        let cert = pem("cert", &self.cert_file, &self.cert)?;
        let key = pem("key", &self.key_file, &self.key)?;
        let client_ca = pem("client_ca", &self.client_ca_file, &self.client_ca)?;
        let known = CLIENT_AUTH.iter().find(|(name, _)| *name == self.client_auth_type);
        let Some((_, client_auth)) = known else {
            bail!("tls_server_config.client_auth_type: {:?} is unknown", self.client_auth_type);
        };
        let (cert, key) = match (cert, key) {
            (Some(cert), Some(key)) => (cert, key),
            (None, None) if client_ca.is_none() && self.client_auth_type.is_empty() => return Ok(None),
            (None, _) => bail!("tls_server_config.cert_file: missing"),
            (_, None) => bail!("tls_server_config.key_file: missing"),
        };
        let verifies = matches!(client_auth, ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify);
        if client_ca.is_some() && *client_auth == ClientAuth::None {
            bail!("tls_server_config.client_auth_type: must be set where there is a client_ca_file");
        }
        if client_ca.is_none() && verifies {
            bail!("tls_server_config.client_ca_file: missing, but client_auth_type verifies clients");
        }
        if !self.client_allowed_sans.is_empty() && *client_auth == ClientAuth::None {
            bail!("tls_server_config.client_allowed_sans: client_auth_type asks for no certificate");
        }
        let (tls12, tls13) = versions(&self.min_version, &self.max_version)?;
        if self.prefer_server_cipher_suites == Some(false) {
            tracing::warn!(
                "tls_server_config.prefer_server_cipher_suites: the server's order is always taken"
            );
        }
        Ok(Some(TlsConfig {
            cert,
            key,
            client_auth: *client_auth,
            client_ca,
            client_allowed_sans: self.client_allowed_sans,
            tls12,
            tls13,
            cipher_suites: self.cipher_suites,
            curves: self.curve_preferences,
        }))
    }
}

/// Whether TLS 1.2 and 1.3 lie between two versions.
fn versions(min: &str, max: &str) -> Result<(bool, bool)> {
    let rank = |key: &str, name: &str, default: usize| match name {
        "" => Ok(default),
        name => VERSIONS.iter().position(|v| *v == name).with_context(|| {
            format!("tls_server_config.{key}: {name:?} is not one of {}", VERSIONS.join(", "))
        }),
    };
    let (min, max) = (rank("min_version", min, 2)?, rank("max_version", max, 3)?);
    if min < 2 {
        tracing::warn!("tls_server_config.min_version: versions before TLS12 are not spoken");
    }
    if max < 2 {
        bail!("tls_server_config.max_version: versions before TLS12 are not spoken");
    }
    if min > max {
        bail!("tls_server_config.max_version: less than min_version");
    }
    Ok((min <= 2, max >= 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$04$Sy2xj6aPg8Rkz9pd1XJ3u.AjyyU1kOWuYzCpB3IgEJyVZ.L8Qvf7O";

    fn check(yaml: &str, want: Result<(), &str>) {
        let got = WebConfig::parse(yaml, Path::new("/etc")).map(|_| ()).map_err(|e| format!("{e:#}"));
        match (&got, want) {
            (Ok(()), Ok(())) => {}
            (Err(e), Err(part)) if e.contains(part) => {}
            _ => panic!("{yaml}: got {got:?}, want {want:?}"),
        }
    }

    #[test]
    fn what_is_wrong_is_told_by_its_key() {
        check("", Ok(()));
        check("tls_server_config: {}", Ok(()));
        check("tls_server: {}", Err("tls_server"));
        let tls = |rest: &str| format!("tls_server_config: {{cert_file: c, key_file: k, {rest}}}");
        check(&tls("min_version: TLS12"), Ok(()));
        check("tls_server_config: {key_file: k}", Err("tls_server_config.cert_file"));
        check("tls_server_config: {cert_file: k}", Err("tls_server_config.key_file"));
        check(&tls("cert: x"), Err("cert_file and cert"));
        check(&tls("client_auth_type: Always"), Err("client_auth_type: \"Always\""));
        check(&tls("client_auth_type: RequireAndVerifyClientCert"), Err("client_ca_file"));
        check(&tls("client_ca_file: a"), Err("client_auth_type"));
        check(&tls("client_allowed_sans: [a]"), Err("client_allowed_sans"));
        check(&tls("min_version: TLS14"), Err("min_version"));
        check(&tls("max_version: TLS11"), Err("max_version"));
        check(&tls("min_version: TLS13, max_version: TLS12"), Err("max_version: less"));
        check("http_server_config: {headers: {X-Frame-Options: deny}}", Ok(()));
        check("http_server_config: {headers: {X-Frame-Options: maybe}}", Err("headers.X-Frame-Options"));
        check("http_server_config: {headers: {Server: x}}", Err("headers.Server"));
        check(&format!("basic_auth_users: {{alice: '{HASH}'}}"), Ok(()));
        check("basic_auth_users: {alice: secret}", Err("basic_auth_users.alice"));
        check("rate_limit: {interval: 1s, burst: 20}", Ok(()));
        check("rate_limit: {interval: soon}", Err("rate_limit.interval"));
        check("rate_limit: {interval: 1s, burst: -1}", Err("rate_limit.burst"));
    }

    #[test]
    fn files_lie_beside_the_configuration() {
        let yaml = "tls_server_config: {cert_file: c.pem, key_file: /k.pem, max_version: TLS12}";
        let config = WebConfig::parse(yaml, Path::new("/etc/web")).expect("sound");
        assert_eq!(config.files(), ["/etc/web/c.pem", "/k.pem"].map(PathBuf::from));
        let tls = config.tls.expect("there");
        assert_eq!((tls.tls12, tls.tls13, config.http2), (true, false, true));
    }
}
