//! gRPC service configurations: who is asked, and how often.

use std::{collections::BTreeSet, time::Duration};

use serde::Deserialize;

use crate::error::{Error, Result};

/// Most attempts of a call, whatever a configuration says.
///
/// Source: grpc-go `service_config.go`.
const ATTEMPTS_MAX: u32 = 5;

/// How the members of a group take turns.
///
/// See [`ServiceConfig`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Balancing {
    /// One after the other.
    RoundRobin,
    /// The first that is there.
    PickFirst,
}

/// What a gRPC service configuration says of the calls to a group, as far as grpc-go looks at it:
/// balancing, retries, time limits. Keys that are not known are passed over.
///
/// ```
/// use thanoslib::query::{Balancing, ServiceConfig};
/// let config = ServiceConfig::parse(
///     r#"{"loadBalancingPolicy": "pick_first", "methodConfig": [{
///         "name": [{"service": "thanos.Store"}],
///         "retryPolicy": {"maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "1s",
///             "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}}]}"#,
/// )?;
/// assert_eq!(config.balancing, Balancing::PickFirst);
/// let retry = config.method("thanos.Store", "Series").and_then(|m| m.retry.as_ref());
/// assert_eq!(retry.map(|retry| retry.attempts), Some(4));
/// assert!(config.method("thanos.info.Info", "Info").is_none());
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceConfig {
    /// Who is asked.
    pub balancing: Balancing,
    methods: Vec<(Name, MethodConfig)>,
}

/// What holds for the calls of some methods.
///
/// See [`ServiceConfig`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MethodConfig {
    /// Longest time of a call.
    pub timeout: Option<Duration>,
    /// When calls are made again.
    pub retry: Option<RetryPolicy>,
}

/// When a call is made again that was not begun to be answered.
///
/// See [`ServiceConfig`].
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Calls in all, the first among them.
    pub attempts: u32,
    /// Pause before the second attempt.
    pub initial_backoff: Duration,
    /// Longest pause.
    pub max_backoff: Duration,
    /// How much the pause grows each time.
    pub multiplier: f64,
    /// Numbers of the codes after which a call is made again.
    pub codes: BTreeSet<u32>,
}

impl RetryPolicy {
    /// The pause before an attempt, counted from 1 for the second.
    pub fn pause(&self, retry: u32) -> Duration {
        let grown = self.multiplier.powi(i32::try_from(retry.saturating_sub(1)).unwrap_or(i32::MAX));
        let seconds = (self.initial_backoff.as_secs_f64() * grown).min(self.max_backoff.as_secs_f64());
        Duration::try_from_secs_f64(seconds).unwrap_or(self.max_backoff)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Name {
    service: String,
    method: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Json {
    load_balancing_policy: Option<String>,
    load_balancing_config: Option<Vec<serde_json::Map<String, serde_json::Value>>>,
    method_config: Vec<MethodJson>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct MethodJson {
    name: Vec<Name>,
    timeout: Option<String>,
    retry_policy: Option<RetryJson>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RetryJson {
    max_attempts: u32,
    initial_backoff: String,
    max_backoff: String,
    backoff_multiplier: f64,
    retryable_status_codes: Vec<serde_json::Value>,
}

/// Names of the codes by their number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

impl ServiceConfig {
    /// What holds for groups of which nothing is said.
    ///
    /// Compat: Thanos writes this retry where grpc-go does not look (`pkg/extgrpc/client.go`), so that
    /// it has none; what it means is done here.
    pub fn of_groups() -> Self {
        let retry = RetryPolicy {
            attempts: 3,
            initial_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(1),
            multiplier: 2.0,
            codes: BTreeSet::from([14]),
        };
        let all = MethodConfig { timeout: None, retry: Some(retry) };
        Self { balancing: Balancing::RoundRobin, methods: vec![(Name::default(), all)] }
    }

    /// Reads a configuration.
    ///
    /// # Errors
    /// `Invalid` with the key that is wrong.
    pub fn parse(json: &str) -> Result<Self> {
        Self::read(json).map_err(Error::invalid)
    }

    fn read(json: &str) -> Result<Self, String> {
        let json: Json = serde_json::from_str(json).map_err(|e| format!("no JSON of a service: {e}"))?;
        let balancing = balancing(&json)?;
        let mut methods: Vec<(Name, MethodConfig)> = Vec::new();
        for (i, method) in json.method_config.into_iter().enumerate() {
            let at = |e: String| format!("methodConfig[{i}].{e}");
            let timeout =
                method.timeout.map(|t| duration(&t).map_err(|e| at(format!("timeout: {e}")))).transpose()?;
            let retry = method.retry_policy.map(|r| retry(r).map_err(|e| at(format!("retryPolicy.{e}"))));
            let config = MethodConfig { timeout, retry: retry.transpose()? };
            for name in method.name {
                if name.service.is_empty() && !name.method.is_empty() {
                    return Err(at(format!("name: method {:?} without a service", name.method)));
                }
                if methods.iter().any(|(known, _)| *known == name) {
                    return Err(at(format!("name: {:?}/{:?} is there twice", name.service, name.method)));
                }
                methods.push((name, config.clone()));
            }
        }
        Ok(Self { balancing, methods })
    }

    /// What holds for a method: what is said of it, else of its service, else of all.
    pub fn method(&self, service: &str, method: &str) -> Option<&MethodConfig> {
        let of = |service: &str, method: &str| {
            self.methods.iter().find(|(n, _)| n.service == service && n.method == method).map(|(_, m)| m)
        };
        of(service, method).or_else(|| of(service, "")).or_else(|| of("", ""))
    }
}

/// The balancing that is known of those named; a list goes before a name.
fn balancing(json: &Json) -> Result<Balancing, String> {
    let known = |name: &str| match name.to_ascii_lowercase().as_str() {
        "round_robin" => Some(Balancing::RoundRobin),
        "pick_first" => Some(Balancing::PickFirst),
        _ => None,
    };
    if let Some(list) = &json.load_balancing_config {
        let mut names = Vec::new();
        for entry in list {
            let [name] = entry.keys().collect::<Vec<_>>()[..] else {
                return Err("loadBalancingConfig: each entry names one policy".to_owned());
            };
            if let Some(found) = known(name) {
                return Ok(found);
            }
            names.push(name.as_str());
        }
        return Err(format!("loadBalancingConfig: none of these is known: {}", names.join(", ")));
    }
    // Compat: grpc-go takes its default for a name that it does not know.
    Ok(json.load_balancing_policy.as_deref().and_then(known).unwrap_or(Balancing::PickFirst))
}

fn retry(json: RetryJson) -> Result<RetryPolicy, String> {
    if json.max_attempts < 2 {
        return Err(format!("maxAttempts: {}, want 2 or more", json.max_attempts));
    }
    let backoff = |key: &str, text: &str| match duration(text) {
        Ok(found) if !found.is_zero() => Ok(found),
        Ok(_) => Err(format!("{key}: must be above 0")),
        Err(e) => Err(format!("{key}: {e}")),
    };
    let initial_backoff = backoff("initialBackoff", &json.initial_backoff)?;
    let max_backoff = backoff("maxBackoff", &json.max_backoff)?;
    let multiplier = json.backoff_multiplier;
    if multiplier.is_nan() || multiplier <= 0.0 {
        return Err(format!("backoffMultiplier: {multiplier}, must be above 0"));
    }
    let code = |value: &serde_json::Value| match value {
        serde_json::Value::String(name) => CODES.iter().position(|code| code == name).map(|i| i as u32),
        other => other.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| (*n as usize) < CODES.len()),
    };
    let codes = json
        .retryable_status_codes
        .iter()
        .map(|value| code(value).ok_or_else(|| format!("retryableStatusCodes: no code {value}")));
    let codes: BTreeSet<u32> = codes.collect::<Result<_, _>>()?;
    if codes.is_empty() {
        return Err("retryableStatusCodes: names none".to_owned());
    }
    let attempts = json.max_attempts.min(ATTEMPTS_MAX);
    Ok(RetryPolicy { attempts, initial_backoff, max_backoff, multiplier, codes })
}

/// Seconds as protobuf writes them in JSON, such as `1.5s`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no number of seconds with an s");
    let digits = text.strip_suffix('s').ok_or_else(wrong)?;
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let number = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if !number(whole) || !number(part) || part.len() > 9 || whole.is_empty() && part.is_empty() {
        return Err(wrong());
    }
    let seconds = if whole.is_empty() { 0 } else { whole.parse::<u64>().map_err(|_| wrong())? };
    let nanos: u32 = format!("{part:0<9}").parse().map_err(|_| wrong())?;
    Ok(Duration::new(seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balancing_is_as_in_go() {
        use Balancing::{PickFirst, RoundRobin};
        let check = |json: &str, want: Result<Balancing, &str>| {
            let got = ServiceConfig::parse(json).map(|c| c.balancing).map_err(|e| e.message().to_owned());
            assert_eq!(got, want.map_err(str::to_owned), "{json}");
        };
        check("{}", Ok(PickFirst));
        check(r#"{"loadBalancingPolicy": "round_robin", "other": [1, {}]}"#, Ok(RoundRobin));
        check(r#"{"loadBalancingPolicy": "grpclb"}"#, Ok(PickFirst));
        check(
            r#"{"loadBalancingPolicy": "pick_first", "loadBalancingConfig": [{"grpclb": {}}, {"round_robin": {}}]}"#,
            Ok(RoundRobin),
        );
        let none = "loadBalancingConfig: none of these is known: grpclb";
        check(r#"{"loadBalancingConfig": [{"grpclb": {}}]}"#, Err(none));
        let two = "loadBalancingConfig: each entry names one policy";
        check(r#"{"loadBalancingConfig": [{"a": {}, "b": {}}]}"#, Err(two));
    }

    #[test]
    fn methods_are_found_from_near_to_far() {
        let config = r#"{"methodConfig": [
            {"name": [{}], "timeout": "3s"},
            {"name": [{"service": "a"}, {"service": "c"}], "timeout": "0.25s"},
            {"name": [{"service": "a", "method": "m"}], "timeout": "1.5s"},
            {"timeout": "9s"}]}"#;
        let config = ServiceConfig::parse(config).expect("sound");
        let timeout = |s: &str, m: &str| config.method(s, m).and_then(|m| m.timeout).map(|t| t.as_millis());
        assert_eq!(timeout("a", "m"), Some(1500));
        assert_eq!(
            (timeout("a", "n"), timeout("c", "m"), timeout("b", "m")),
            (Some(250), Some(250), Some(3000))
        );
        // What stands where grpc-go does not look counts for nothing.
        let config = ServiceConfig::parse(r#"{"retryPolicy": {"maxAttempts": 3}}"#).expect("sound");
        assert_eq!(config.method("a", "m"), None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |json: &str, want: &str| {
            let e = ServiceConfig::parse(json).expect_err("it is wrong");
            assert!(e.message().starts_with(want), "{json}: {e}");
        };
        check("{", "no JSON of a service");
        check(r#"{"methodConfig": {}}"#, "no JSON of a service: invalid type: map");
        check(r#"{"methodConfig": [{"timeout": "1m"}]}"#, "methodConfig[0].timeout: \"1m\"");
        check(r#"{"methodConfig": [{"name": [{"method": "m"}]}]}"#, "methodConfig[0].name: method \"m\"");
        check(r#"{"methodConfig": [{"name": [{}, {}]}]}"#, "methodConfig[0].name: \"\"/\"\" is there twice");
        let retry = |policy: &str, want: &str| {
            let json = format!(r#"{{"methodConfig": [{{"name": [{{}}], "retryPolicy": {{{policy}}}}}]}}"#);
            check(&json, &format!("methodConfig[0].retryPolicy.{want}"));
        };
        retry("", "maxAttempts: 0");
        retry(r#""maxAttempts": 1"#, "maxAttempts: 1");
        retry(r#""maxAttempts": 2"#, "initialBackoff: \"\"");
        let backoffs = r#""maxAttempts": 2, "initialBackoff": ".1s", "maxBackoff": "1s""#;
        retry(&backoffs.replace(".1s", "0s"), "initialBackoff: must be above 0");
        retry(backoffs, "backoffMultiplier: 0");
        let grows = format!("{backoffs}, \"backoffMultiplier\": 2");
        retry(&grows, "retryableStatusCodes: names none");
        retry(
            &format!("{grows}, \"retryableStatusCodes\": [\"GONE\"]"),
            "retryableStatusCodes: no code \"GONE\"",
        );
        retry(&format!("{grows}, \"retryableStatusCodes\": [17]"), "retryableStatusCodes: no code 17");
    }

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let policy = r#"{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 9, "initialBackoff": "0.1s",
            "maxBackoff": "0.5s", "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE", 10]}}]}"#;
        let config = ServiceConfig::parse(policy).expect("sound");
        let retry = config.method("a", "m").and_then(|m| m.retry.clone()).expect("a policy");
        assert_eq!((retry.attempts, retry.codes.clone()), (5, BTreeSet::from([10, 14])));
        let pauses: Vec<_> = [1, 2, 3, 4, u32::MAX].map(|n| retry.pause(n).as_millis()).to_vec();
        assert_eq!(pauses, [100, 200, 400, 500, 500]);
    }
}
