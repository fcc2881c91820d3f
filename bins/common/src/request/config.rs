//! Which requests are logged.

use anyhow::{Result, bail};
use serde::Deserialize;
use tracing::Level;

/// What is logged of requests over HTTP and gRPC.
///
/// Source: thanos `pkg/logging`.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    pub(super) http: Protocol,
    pub(super) grpc: Protocol,
}

/// What is logged of one protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Protocol {
    level: Level,
    start: bool,
    end: bool,
    /// The only requests that are logged; empty stands for all.
    only: Vec<String>,
}

impl Default for Protocol {
    /// Nothing is logged.
    fn default() -> Self {
        Self { level: Level::ERROR, start: false, end: false, only: Vec::new() }
    }
}

impl Protocol {
    /// True when the begin of a request is logged.
    pub(super) fn starts(&self, name: impl FnOnce() -> String) -> bool {
        self.start && self.shows(Level::DEBUG) && self.names(name)
    }

    /// True when the end of a request is looked at.
    pub(super) fn ends(&self, name: impl FnOnce() -> String) -> bool {
        self.end && self.names(name)
    }

    /// True when lines of a level are shown.
    pub(super) fn shows(&self, level: Level) -> bool {
        level <= self.level
    }

    fn names(&self, name: impl FnOnce() -> String) -> bool {
        self.only.is_empty() || self.only.contains(&name())
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wire {
    options: Options,
    http: HttpWire,
    grpc: GrpcWire,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    level: String,
    decision: Decision,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Decision {
    log_start: bool,
    log_end: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HttpWire {
    options: Options,
    config: Vec<HttpRequest>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HttpRequest {
    path: String,
    port: u64,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct GrpcWire {
    options: Options,
    config: Vec<GrpcCall>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct GrpcCall {
    service: String,
    method: String,
}

impl Rules {
    /// Reads a configuration.
    ///
    /// # Errors
    /// Which key is wrong.
    pub(super) fn parse(yaml: &str) -> Result<Self> {
        let wire: Wire = serde_saphyr::from_str(yaml).map_err(|e| anyhow::anyhow!("{e}"))?;
        let global = protocol("options", &wire.options, None)?;
        let mut http = protocol("http.options", &wire.http.options, Some(&global))?;
        for request in wire.http.config {
            if request.path.is_empty() || request.port == 0 {
                bail!("http.config: path and port are needed");
            }
            http.only.push(http_name(&request.path, Some(&request.port.to_string())));
        }
        let mut grpc = protocol("grpc.options", &wire.grpc.options, Some(&global))?;
        for call in wire.grpc.config {
            if call.service.is_empty() || call.method.is_empty() {
                bail!("grpc.config: service and method are needed");
            }
            grpc.only.push(grpc_name(&call.service, &call.method));
        }
        Ok(Self { http, grpc })
    }
}

/// How a request is named in a list: its path, with the query, and its port.
pub(super) fn http_name(path: &str, port: Option<&str>) -> String {
    port.map_or_else(|| path.to_owned(), |port| format!("{path}:{port}"))
}

/// How a call is named in a list.
pub(super) fn grpc_name(service: &str, method: &str) -> String {
    format!("{service}/{method}")
}

/// Options as they are, or those of all protocols where nothing is set.
fn protocol(key: &str, options: &Options, global: Option<&Protocol>) -> Result<Protocol> {
    let Decision { log_start, log_end } = options.decision;
    let level = match options.level.as_str() {
        "" if log_start || log_end => bail!("{key}.level: missing beside a decision"),
        "" => return Ok(global.cloned().unwrap_or_default()),
        "INFO" => Level::INFO,
        "DEBUG" => Level::DEBUG,
        "ERROR" => Level::ERROR,
        "WARNING" => Level::WARN,
        other => bail!("{key}.level: {other:?} is not one of INFO, DEBUG, ERROR, WARNING"),
    };
    if log_start && !log_end {
        bail!("{key}.decision: log_start needs log_end");
    }
    Ok(Protocol { level, start: log_start, end: log_end, only: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_decisions_are_checked() {
        let check = |yaml: &str, want: Result<(), &str>| {
            let got = Rules::parse(yaml).map(|_| ()).map_err(|e| e.to_string());
            assert_eq!(got.is_ok(), want.is_ok(), "{yaml}: {got:?}");
            if let (Err(got), Err(want)) = (got, want) {
                assert!(got.contains(want), "{got}");
            }
        };
        check("options: {level: DEBUG, decision: {log_start: true, log_end: true}}", Ok(()));
        check("options: {level: WARNING}", Ok(()));
        check("options: {decision: {log_end: true}}", Err("options.level"));
        check("http: {options: {level: debug}}", Err("http.options.level"));
        check("grpc: {options: {level: INFO, decision: {log_start: true}}}", Err("grpc.options.decision"));
        check("http: {config: [{path: /x}]}", Err("http.config"));
        check("grpc: {config: [{service: thanos.Store}]}", Err("grpc.config"));
        check("htp: {}", Err("htp"));
    }

    #[test]
    fn a_protocol_has_its_own_options_or_those_of_all() {
        let yaml = "
options: {level: DEBUG, decision: {log_end: true}}
http: {config: [{path: /api/v1/query, port: 10904}]}
grpc: {options: {level: ERROR, decision: {log_start: true, log_end: true}}}
";
        let rules = Rules::parse(yaml).expect("sound");
        let ends = |path: &str, port| rules.http.ends(|| http_name(path, Some(port)));
        assert!(ends("/api/v1/query", "10904") && !ends("/api/v1/query", "10905"));
        assert!(!ends("/api/v1/query?query=up", "10904"), "the query is part of the path");
        assert!(rules.http.shows(Level::DEBUG) && !rules.http.starts(|| "/api/v1/query:10904".to_owned()));
        assert!(rules.grpc.ends(|| grpc_name("thanos.Store", "Series")) && !rules.grpc.shows(Level::DEBUG));
        let nothing = Rules::default();
        assert!(!nothing.http.ends(String::new) && !nothing.grpc.starts(String::new));
    }
}
