//! The flags that name a Prometheus.
//!
//! Invariant: makes the connection that the flags describe; asks nothing over it.

use std::path::PathBuf;

use anyhow::{Context, Result};
use thanoslib::store::prometheus::{HttpClientConfig, PrometheusClient};

use crate::{env::TextPair, values::GoDuration};

/// Which Prometheus, and how it is reached.
#[derive(Clone, Debug, clap::Args)]
pub struct PrometheusFlags {
    /// URL at which the API of Prometheus is reached; for best results in the local network.
    #[arg(long = "prometheus.url", default_value = "http://localhost:9090")]
    pub url: String,
    /// Most time to wait for Prometheus before the first upload.
    #[arg(long = "prometheus.ready_timeout", default_value = "10m")]
    pub ready_timeout: GoDuration,
    /// How often Prometheus is asked for its labels and times.
    #[arg(long = "prometheus.get_config_interval", default_value = "30s")]
    pub get_config_interval: GoDuration,
    /// Most time that one such round may take.
    #[arg(long = "prometheus.get_config_timeout", default_value = "30s")]
    pub get_config_timeout: GoDuration,
    /// File with credentials, proxy, TLS and connections of the client, in YAML.
    #[arg(long = "prometheus.http-client-file", value_name = "file-path")]
    pub http_client_file: Option<PathBuf>,
    /// Credentials, proxy, TLS and connections of the client in YAML, in place of a file.
    #[arg(long = "prometheus.http-client", value_name = "content")]
    pub http_client: Option<String>,
}

impl PrometheusFlags {
    /// The connection that the flags describe.
    ///
    /// # Errors
    /// An address or a configuration that cannot be used, by the name of its flag.
    pub fn client(&self) -> Result<PrometheusClient> {
        let pair = TextPair {
            flag: "prometheus.http-client",
            text: self.http_client.as_deref(),
            file: self.http_client_file.as_deref(),
        };
        // Compat: no environment is filled in here, passwords may hold `$(`.
        let yaml = pair.plain()?.unwrap_or_default();
        let config = HttpClientConfig::parse(&yaml).context("--prometheus.http-client")?;
        PrometheusClient::new(&self.url, &config).context("--prometheus.url")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        prometheus: PrometheusFlags,
    }

    #[test]
    fn flags_name_a_prometheus() {
        let client = |args: &[&str]| {
            let args = ["x"].iter().chain(args);
            Command::try_parse_from(args).expect("flags").prometheus.client()
        };
        assert_eq!(client(&[]).expect("the default").address(), "http://localhost:9090");
        assert!(client(&["--prometheus.http-client=basic_auth: {username: $(X)}"]).is_ok());
        let check = |args: &[&str], words: &str| {
            let e = client(args).expect_err(words);
            assert!(format!("{e:#}").contains(words), "{e:#}");
        };
        check(&["--prometheus.url=h:1"], "--prometheus.url");
        check(&["--prometheus.http-client=x: 1"], "--prometheus.http-client");
        check(&["--prometheus.http-client-file=/does/not/exist"], "/does/not/exist");
        check(&["--prometheus.http-client=x", "--prometheus.http-client-file=y"], "flags set.");
    }
}
