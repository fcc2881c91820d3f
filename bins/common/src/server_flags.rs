//! The flags of servers, alike in every command that serves.
//!
//! Invariant: declares flags; what they mean beyond their own kind is told by who serves.

use anyhow::{Result, bail};
use clap::ArgAction;
use thanoslib::tls::{ServerTlsSettings, TlsVersion};

use crate::values::{GoDuration, PromDuration, one_of};

/// Versions of TLS that flags name.
pub const TLS_VERSIONS: &[&str] = &["1.0", "1.1", "1.2", "1.3"];

/// Where and how HTTP is served.
#[derive(Clone, Debug, clap::Args)]
pub struct HttpServerFlags {
    /// Listen host:port for HTTP endpoints.
    #[arg(long = "http-address", default_value = "0.0.0.0:10902")]
    pub http_address: String,
    /// Time to wait after an interrupt received for HTTP Server.
    #[arg(long = "http-grace-period", default_value = "2m")]
    pub http_grace_period: PromDuration,
    /// File with TLS, headers and passwords of the HTTP endpoints.
    #[arg(long = "http.config", default_value = "")]
    pub http_config: String,
}

/// Where and how gRPC is served.
#[derive(Clone, Debug, clap::Args)]
pub struct GrpcServerFlags {
    /// Listen host:port for gRPC endpoints.
    #[arg(long = "grpc-address", default_value = "0.0.0.0:10901")]
    pub grpc_address: String,
    /// TLS certificate for the gRPC server; empty serves in clear text.
    #[arg(long = "grpc-server-tls-cert", default_value = "")]
    pub tls_cert: String,
    /// TLS key for the gRPC server; empty serves in clear text.
    #[arg(long = "grpc-server-tls-key", default_value = "")]
    pub tls_key: String,
    /// TLS authority that client certificates are verified against; empty asks for none.
    #[arg(long = "grpc-server-tls-client-ca", default_value = "")]
    pub tls_client_ca: String,
    /// Least version of TLS.
    #[arg(long = "grpc-server-tls-min-version", default_value = "1.3", value_parser = one_of(TLS_VERSIONS))]
    pub tls_min_version: String,
    /// Cipher suite of TLS below 1.3; may be repeated. Empty takes the usual ones.
    #[arg(long = "grpc-server-tls-ciphers", action = ArgAction::Append)]
    pub tls_ciphers: Vec<String>,
    /// Curve of the key exchange; may be repeated. Empty takes the usual ones.
    #[arg(long = "grpc-server-tls-curves", action = ArgAction::Append)]
    pub tls_curves: Vec<String>,
    /// How long a connection may live.
    #[arg(long = "grpc-server-max-connection-age", default_value = "60m")]
    pub max_connection_age: GoDuration,
    /// Time to wait after an interrupt received for gRPC Server.
    #[arg(long = "grpc-grace-period", default_value = "2m")]
    pub grpc_grace_period: GoDuration,
}

impl GrpcServerFlags {
    /// TLS as the flags say; `None` serves in clear text.
    ///
    /// # Errors
    /// When files are named without those that they need.
    pub fn tls(&self) -> Result<Option<ServerTlsSettings>> {
        match (self.tls_cert.is_empty(), self.tls_key.is_empty()) {
            (true, true) if self.tls_client_ca.is_empty() => Ok(None),
            (false, false) => Ok(Some(ServerTlsSettings {
                client_ca_file: (!self.tls_client_ca.is_empty()).then(|| (&self.tls_client_ca).into()),
                min_version: tls_version("grpc-server-tls-min-version", &self.tls_min_version),
                ciphers: self.tls_ciphers.clone(),
                curves: self.tls_curves.clone(),
                ..ServerTlsSettings::new(&self.tls_cert, &self.tls_key)
            })),
            (true, true) => {
                bail!("when a client CA is used a server key and certificate must also be provided")
            }
            _ => bail!("both server key and certificate must be provided"),
        }
    }
}

/// The version of TLS that a setting names; 1.3 when it names none.
pub fn tls_version(setting: &str, text: &str) -> TlsVersion {
    match text {
        "1.3" | "" => TlsVersion::Tls13,
        "1.2" => TlsVersion::Tls12,
        // What is older is broken and not spoken here; 1.2 is the nearest that is.
        older => {
            tracing::warn!("{setting} {older}: versions before 1.2 are not spoken");
            TlsVersion::Tls12
        }
    }
}

/// Limits of what one request may send.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct StoreLimitFlags {
    /// Most series that a single Series call may send; 0 for no limit.
    #[arg(long = "store.limits.request-series", default_value_t = 0)]
    pub request_series: u64,
    /// Most samples that a single Series call may send; 0 for no limit.
    #[arg(long = "store.limits.request-samples", default_value_t = 0)]
    pub request_samples: u64,
}
