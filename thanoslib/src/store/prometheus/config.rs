//! The YAML that says how a server is reached over HTTP.
//!
//! | key | here |
//! |---|---|
//! | `max_idle_conns`, `max_idle_conns_per_host` | the smaller holds, since a client has one host |
//! | `expect_continue_timeout`, `disable_compression` | no effect: neither is ever asked of a server |
//!
//! Invariant: turns keys into values; opens nothing.

use std::{fmt, path::PathBuf, time::Duration};

use serde::{Deserialize, Deserializer, de};

use crate::{
    error::{Error, Result},
    model::duration::parse_go,
    tls::{ClientTlsSettings, TlsVersion},
};

/// How a server is reached over HTTP: credentials, proxy, certificates, connections.
///
/// Unknown keys are refused. Times of `transport_config` are nanoseconds, or texts such as `5s`.
///
/// Source: Thanos `pkg/clientconfig/http.go`.
///
/// ```
/// use thanoslib::store::prometheus::HttpClientConfig;
/// let config = HttpClientConfig::parse("basic_auth: {username: thanos, password: secret}")?;
/// assert!(!format!("{config:?}").contains("secret\""));
/// assert!(HttpClientConfig::parse("basic-auth: {}").is_err());
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpClientConfig {
    #[serde(deserialize_with = "or_default")]
    pub(super) basic_auth: BasicAuth,
    #[serde(deserialize_with = "or_default")]
    pub(super) bearer_token: Secret,
    #[serde(deserialize_with = "or_default")]
    pub(super) bearer_token_file: PathBuf,
    #[serde(deserialize_with = "or_default")]
    pub(super) proxy_url: String,
    #[serde(deserialize_with = "or_default")]
    tls_config: TlsConfig,
    #[serde(deserialize_with = "or_default")]
    pub(super) transport_config: Transport,
}

/// A text that does not show when printed.
#[derive(Clone, Default, Deserialize, PartialEq)]
#[serde(transparent)]
pub(super) struct Secret(pub(super) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "\"\"" } else { "<secret>" })
    }
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BasicAuth {
    #[serde(deserialize_with = "or_default")]
    pub(super) username: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) password: Secret,
    #[serde(deserialize_with = "or_default")]
    pub(super) password_file: PathBuf,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TlsConfig {
    #[serde(deserialize_with = "or_default")]
    ca_file: PathBuf,
    #[serde(deserialize_with = "or_default")]
    cert_file: PathBuf,
    #[serde(deserialize_with = "or_default")]
    key_file: PathBuf,
    #[serde(deserialize_with = "or_default")]
    server_name: String,
    #[serde(deserialize_with = "or_default")]
    insecure_skip_verify: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Transport {
    max_idle_conns: usize,
    max_idle_conns_per_host: usize,
    #[serde(deserialize_with = "duration")]
    pub(super) idle_conn_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    pub(super) response_header_timeout: Duration,
    #[serde(rename = "expect_continue_timeout", deserialize_with = "duration")]
    _expect_continue_timeout: Duration,
    pub(super) max_conns_per_host: usize,
    #[serde(rename = "disable_compression")]
    _disable_compression: bool,
    #[serde(deserialize_with = "duration")]
    tls_handshake_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    dialer_timeout: Duration,
}

impl Default for Transport {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            max_idle_conns: 100,
            max_idle_conns_per_host: 2,
            idle_conn_timeout: seconds(90),
            response_header_timeout: Duration::ZERO,
            _expect_continue_timeout: seconds(10),
            max_conns_per_host: 0,
            _disable_compression: false,
            tls_handshake_timeout: seconds(10),
            dialer_timeout: seconds(5),
        }
    }
}

impl Transport {
    /// Unused connections that are kept.
    pub(super) fn idle_conns(&self) -> usize {
        let per_host = if self.max_idle_conns_per_host == 0 { 2 } else { self.max_idle_conns_per_host };
        if self.max_idle_conns == 0 { per_host } else { per_host.min(self.max_idle_conns) }
    }

    /// Time to reach a server and shake hands; `None` without a limit.
    pub(super) fn connect_timeout(&self) -> Option<Duration> {
        let (dial, tls) = (self.dialer_timeout, self.tls_handshake_timeout);
        (!dial.is_zero()).then(|| dial.saturating_add(tls))
    }
}

impl HttpClientConfig {
    /// Reads the YAML; an empty text is the default.
    ///
    /// # Errors
    /// `Invalid` for unknown keys, values of another type, and several ways to authenticate.
    pub fn parse(yaml: &str) -> Result<Self> {
        if yaml.trim().is_empty() {
            return Ok(Self::default());
        }
        let config: Option<Self> = serde_saphyr::from_str(yaml)
            .map_err(|e| Error::invalid(format!("parsing HTTP client config: {e}")))?;
        let config = config.unwrap_or_default();
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        let basic = self.basic_auth != BasicAuth::default();
        let bearer = !self.bearer_token.0.is_empty();
        let bearer_file = !self.bearer_token_file.as_os_str().is_empty();
        if bearer && bearer_file {
            return Err(Error::invalid("at most one of bearer_token & bearer_token_file must be configured"));
        }
        if basic && (bearer || bearer_file) {
            return Err(Error::invalid(
                "at most one of basic_auth, bearer_token & bearer_token_file must be configured",
            ));
        }
        let auth = &self.basic_auth;
        if !auth.password.0.is_empty() && !auth.password_file.as_os_str().is_empty() {
            return Err(Error::invalid(
                "at most one of basic_auth password & password_file must be configured",
            ));
        }
        Ok(())
    }

    pub(super) fn tls(&self) -> ClientTlsSettings {
        let tls = &self.tls_config;
        let path = |path: &PathBuf| (!path.as_os_str().is_empty()).then(|| path.clone());
        ClientTlsSettings {
            ca_file: path(&tls.ca_file),
            cert_file: path(&tls.cert_file),
            key_file: path(&tls.key_file),
            server_name: Some(tls.server_name.clone()).filter(|name| !name.is_empty()),
            insecure_skip_verify: tls.insecure_skip_verify,
            min_version: TlsVersion::Tls12,
        }
    }
}

/// A null is the type's default.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

/// Nanoseconds, or a text in Go's spelling.
fn duration<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    let text = Option::<String>::deserialize(d)?.unwrap_or_default();
    let ns = match text.trim() {
        "" => 0,
        text => text.parse::<i64>().or_else(|_| parse_go(text)).map_err(de::Error::custom)?,
    };
    u64::try_from(ns)
        .map(Duration::from_nanos)
        .map_err(|_| de::Error::custom(format!("negative time {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_strictly() {
        let check = |yaml: &str, words: &str| {
            let e = HttpClientConfig::parse(yaml).expect_err(words);
            assert!(e.message().contains(words), "{e}");
        };
        check("tls_config: {cafile: x}", "cafile");
        check("transport_config: {idle_conn_timeout: -1}", "negative");
        check("transport_config: {idle_conn_timeout: soon}", "soon");
        check("{bearer_token: a, bearer_token_file: b}", "at most one of bearer_token");
        check("{bearer_token: a, basic_auth: {username: b}}", "at most one of basic_auth");
        check("basic_auth: {password: a, password_file: b}", "password_file");
        let config = HttpClientConfig::parse(
            "transport_config: {idle_conn_timeout: 3000000000, dialer_timeout: 2s, max_idle_conns: 1}",
        )
        .expect("sound");
        assert_eq!(config.transport_config.idle_conn_timeout, Duration::from_secs(3));
        assert_eq!(config.transport_config.connect_timeout(), Some(Duration::from_secs(12)));
        assert_eq!((config.transport_config.idle_conns(), Transport::default().idle_conns()), (1, 2));
        for empty in ["", " \n", "~", "{}", "tls_config:\nbearer_token:\n"] {
            assert!(HttpClientConfig::parse(empty).is_ok(), "{empty:?}");
        }
    }
}
