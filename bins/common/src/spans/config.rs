//! The configuration of traces.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use thanoslib::model::duration;

/// What is sent, and where to.
///
/// Source: thanos `pkg/tracing/otlp/config_yaml.go`.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) grpc: bool,
    /// Address with scheme, and path over HTTP.
    pub(super) url: String,
    /// Name of the service and what else is known of the process.
    pub(super) resource: BTreeMap<String, String>,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) gzip: bool,
    pub(super) timeout: Duration,
    pub(super) retry: Retry,
    pub(super) tls: Tls,
    pub(super) sampler: Sampler,
}

/// How often a batch that was not taken is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retry {
    pub(super) enabled: bool,
    pub(super) initial: Duration,
    pub(super) max: Duration,
    pub(super) elapsed_max: Duration,
}

/// How the collector is known.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) ca_file: Option<PathBuf>,
    pub(super) cert_file: Option<PathBuf>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) server_name: String,
    pub(super) insecure_skip_verify: bool,
}

/// Which traces are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sampler {
    /// The decision of who asks counts, if there is one.
    pub(super) by_parent: bool,
    /// Part of the other traces that is kept.
    pub(super) ratio: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Outer {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    config: Option<Wire>,
}

#[derive(Deserialize)]
struct OnlyType {
    #[serde(rename = "type", default)]
    kind: String,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wire {
    client_type: String,
    service_name: String,
    resource_attributes: BTreeMap<String, String>,
    reconnection_period: String,
    compression: String,
    insecure: bool,
    endpoint: String,
    url_path: String,
    timeout: String,
    retry_config: RetryWire,
    headers: BTreeMap<String, String>,
    tls_config: Tls,
    sampler_type: String,
    sampler_param: String,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RetryWire {
    retry_enabled: bool,
    retry_initial_interval: String,
    retry_max_interval: String,
    retry_max_elapsed_time: String,
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// Which key is wrong, or what kind of traces is not sent.
    pub(super) fn parse(yaml: &str, component: &str) -> Result<Self> {
        let OnlyType { kind } = serde_saphyr::from_str(yaml).map_err(|e| anyhow::anyhow!("{e}"))?;
        match kind.to_ascii_uppercase().as_str() {
            "OTLP" => {}
            "JAEGER" | "GOOGLE_CLOUD" | "STACKDRIVER" | "ELASTIC_APM" | "LIGHTSTEP" => {
                bail!("type: {kind} is not spoken here; these systems take OTLP, too: use type OTLP")
            }
            _ => bail!("type: {kind:?} is unknown, use OTLP"),
        }
        let outer: Outer = serde_saphyr::from_str(yaml).map_err(|e| anyhow::anyhow!("{e}"))?;
        debug_assert!(!outer.kind.is_empty());
        outer.config.unwrap_or_default().check(component)
    }
}

impl Wire {
    fn check(self, component: &str) -> Result<Config> {
        let grpc = match self.client_type.to_ascii_lowercase().as_str() {
            "grpc" => true,
            "http" => false,
            other => bail!("config.client_type: {other:?} is neither grpc nor http"),
        };
        let default = if grpc { "localhost:4317" } else { "localhost:4318" };
        let endpoint = if self.endpoint.is_empty() { default } else { self.endpoint.as_str() };
        if endpoint.contains("://") {
            bail!("config.endpoint: {endpoint:?} must be host:port; insecure tells the scheme");
        }
        let scheme = if self.insecure { "http" } else { "https" };
        let path = match (grpc, self.url_path.trim_start_matches('/')) {
            (true, _) => GRPC_PATH,
            (false, "") => "v1/traces",
            (false, path) => path,
        };
        let gzip = match self.compression.as_str() {
            "" | "none" => false,
            "gzip" => true,
            other => bail!("config.compression: {other:?} is not gzip"),
        };
        if !self.reconnection_period.is_empty() {
            time("config.reconnection_period", &self.reconnection_period, Duration::ZERO)?;
        }
        let mut resource = self.resource_attributes;
        let name = if self.service_name.is_empty() { component } else { &self.service_name };
        resource.insert("service.name".to_owned(), name.to_owned());
        let retry = self.retry_config;
        Ok(Config {
            grpc,
            url: format!("{scheme}://{endpoint}/{path}"),
            resource,
            headers: self.headers,
            gzip,
            timeout: time("config.timeout", &self.timeout, Duration::from_secs(10))?,
            retry: Retry {
                enabled: retry.retry_enabled,
                initial: time(
                    "config.retry_config.retry_initial_interval",
                    &retry.retry_initial_interval,
                    Duration::from_secs(5),
                )?,
                max: time(
                    "config.retry_config.retry_max_interval",
                    &retry.retry_max_interval,
                    Duration::from_secs(30),
                )?,
                elapsed_max: time(
                    "config.retry_config.retry_max_elapsed_time",
                    &retry.retry_max_elapsed_time,
                    Duration::from_secs(60),
                )?,
            },
            tls: self.tls_config,
            sampler: sampler(&self.sampler_type, &self.sampler_param)?,
        })
    }
}

/// The method that takes spans over gRPC.
const GRPC_PATH: &str = "opentelemetry.proto.collector.trace.v1.TraceService/Export";

fn time(key: &str, text: &str, default: Duration) -> Result<Duration> {
    if text.is_empty() {
        return Ok(default);
    }
    let ns = duration::parse_flag(text).map_err(|_| anyhow::anyhow!("{key}: {text:?} is no duration"))?;
    Ok(Duration::from_nanos(u64::try_from(ns).with_context(|| format!("{key}: negative"))?))
}

fn sampler(kind: &str, param: &str) -> Result<Sampler> {
    let ratio = || {
        let ratio: f64 = param.parse().with_context(|| format!("config.sampler_param: {param:?}"))?;
        match (0.0..=1.0).contains(&ratio) {
            true => Ok(ratio),
            false => bail!("config.sampler_param: {param:?} is not between 0 and 1"),
        }
    };
    let (by_parent, ratio) = match kind.to_ascii_lowercase().as_str() {
        "" | "parentbasedalwayssample" => (true, 1.0),
        "alwayssample" => (false, 1.0),
        "neversample" => (false, 0.0),
        "traceidratiobased" => (false, ratio()?),
        "parentbasedneversample" => (true, 0.0),
        "parentbasedtraceidratiobased" => (true, ratio()?),
        _ => bail!("config.sampler_type: {kind:?} is unknown"),
    };
    Ok(Sampler { by_parent, ratio })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_by_its_key() {
        let check = |yaml: &str, want: &str| {
            let got = Config::parse(yaml, "query").map(|_| ()).map_err(|e| format!("{e:#}"));
            assert!(got.as_ref().is_err_and(|e| e.contains(want)), "{yaml}: {got:?}");
        };
        check("type: JAEGER\nconfig: {agent_host: x}", "JAEGER is not spoken here");
        check("type: stackdriver", "use type OTLP");
        check("type: ZIPKIN", "type: \"ZIPKIN\"");
        check("{}", "type");
        check("{type: OTLP, config: {client_type: udp}}", "config.client_type");
        check("{type: OTLP, config: {client_type: http, endpoint: 'http://x:1'}}", "config.endpoint");
        check("{type: OTLP, config: {client_type: http, timeout: soon}}", "config.timeout");
        check("{type: OTLP, config: {client_type: http, compression: zstd}}", "config.compression");
        check("{type: OTLP, config: {client_type: http, sampler_type: x}}", "config.sampler_type");
        check("{type: OTLP, config: {client_type: http, sampler_type: traceidratiobased}}", "sampler_param");
        check(
            "{type: OTLP, config: {client_type: http, sampler_type: traceidratiobased, sampler_param: '2'}}",
            "between 0 and 1",
        );
        check("{type: OTLP, config: {client_typ: http}}", "client_typ");
    }

    #[test]
    fn addresses_follow_the_protocol() {
        let url = |yaml: &str| Config::parse(yaml, "query").expect("sound").url;
        assert_eq!(url("{type: otlp, config: {client_type: http}}"), "https://localhost:4318/v1/traces");
        assert_eq!(
            url("{type: OTLP, config: {client_type: http, insecure: true, endpoint: 'a:1', url_path: /x}}"),
            "http://a:1/x"
        );
        assert_eq!(
            url("{type: OTLP, config: {client_type: grpc, insecure: true}}"),
            "http://localhost:4317/opentelemetry.proto.collector.trace.v1.TraceService/Export"
        );
        let config = Config::parse("{type: OTLP, config: {client_type: grpc}}", "query").expect("sound");
        assert_eq!(config.resource["service.name"], "query");
        assert_eq!(config.sampler, Sampler { by_parent: true, ratio: 1.0 });
    }
}
