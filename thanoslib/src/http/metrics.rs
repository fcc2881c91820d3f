//! Counters of the API.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::metrics::{Counter, Histogram, Kind, TextWriter};

/// Upper bounds of the duration buckets in seconds.
///
/// Compat: thanos `pkg/extprom/http/instrument_server.go`.
const SECONDS: [f64; 15] =
    [0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0];
/// Upper bounds of the size buckets in bytes.
const BYTES: [f64; 8] = [256.0, 512.0, 1024.0, 2048.0, 4096.0, 16384.0, 262_144.0, 1_048_576.0];

/// Tenants that are counted apart; those that come later are counted together.
const TENANTS_MAX: usize = 1000;
/// What tenants are called that are not counted apart.
const OTHER_TENANTS: &str = "other tenants";

/// Requests answered, how long they took and how large they were, by handler, method, tenant and status.
///
/// See [`Api`](super::Api).
#[derive(Debug, Default)]
pub(super) struct HttpMetrics {
    answered: Mutex<BTreeMap<Key, Observed>>,
    tenants: Tenants,
    in_flight: Mutex<BTreeMap<Call, i64>>,
}

/// The names of tenants that are counted apart.
#[derive(Debug, Default)]
pub(super) struct Tenants(Mutex<BTreeMap<String, Arc<str>>>);

impl Tenants {
    /// What a tenant is counted as.
    pub(super) fn get(&self, name: &str) -> Arc<str> {
        let mut tenants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = match tenants.len() {
            TENANTS_MAX.. if !tenants.contains_key(name) => OTHER_TENANTS,
            _ => name,
        };
        Arc::clone(tenants.entry(name.to_owned()).or_insert_with(|| Arc::from(name)))
    }
}

/// What requests are told apart by while they run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Call {
    handler: &'static str,
    method: String,
    tenant: Arc<str>,
}

/// What they are told apart by once they are answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    call: Call,
    code: u16,
}

#[derive(Debug)]
struct Observed {
    count: Counter,
    seconds: Histogram,
    request_bytes: Histogram,
    response_bytes: Histogram,
}

/// One request while it is answered.
#[derive(Debug)]
pub(super) struct Begun {
    call: Call,
    started: std::time::Instant,
    pub(super) request_bytes: u64,
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) code: u16,
    pub(super) response_bytes: u64,
}

impl HttpMetrics {
    /// Notes that a request came.
    pub(super) fn begin(&self, handler: &'static str, method: &str, tenant: &str) -> Begun {
        let call = Call { handler, method: method.to_ascii_lowercase(), tenant: self.tenants.get(tenant) };
        let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        *in_flight.entry(call.clone()).or_default() += 1;
        Begun { call, started: std::time::Instant::now(), request_bytes: 0 }
    }

    /// Notes that it was answered, or, without an answer, that its client went away.
    pub(super) fn end(&self, begun: Begun, ended: Option<Ended>) {
        let Begun { call, started, request_bytes } = begun;
        {
            let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
            *in_flight.entry(call.clone()).or_default() -= 1;
        }
        let Some(ended) = ended else { return };
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let observed = answered.entry(Key { call, code: ended.code }).or_insert_with(|| Observed {
            count: Counter::default(),
            seconds: Histogram::new(&SECONDS),
            request_bytes: Histogram::new(&BYTES),
            response_bytes: Histogram::new(&BYTES),
        });
        observed.count.add(1);
        observed.seconds.observe(started.elapsed().as_secs_f64());
        observed.request_bytes.observe(request_bytes as f64);
        observed.response_bytes.observe(ended.response_bytes as f64);
    }

    /// Writes the families `http_requests_total`, `http_request_duration_seconds`,
    /// `http_request_size_bytes`, `http_response_size_bytes` and `http_inflight_requests`.
    pub(super) fn write(&self, out: &mut TextWriter) {
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        type One = fn(&mut TextWriter, &[(&str, &str)], &Observed);
        let each = |out: &mut TextWriter, one: One| {
            for (Key { call, code }, observed) in answered.iter() {
                let code = code.to_string();
                let labels = [
                    ("code", code.as_str()),
                    ("handler", call.handler),
                    ("method", &call.method),
                    ("tenant", &*call.tenant),
                ];
                one(out, &labels, observed);
            }
        };
        out.family("http_requests_total", "Requests answered.", Kind::Counter);
        each(out, |out, labels, o| out.sample("http_requests_total", labels, o.count.get() as f64));
        out.family("http_request_duration_seconds", "Seconds that requests took.", Kind::Histogram);
        each(out, |out, labels, o| out.histogram("http_request_duration_seconds", labels, &o.seconds));
        out.family("http_request_size_bytes", "Sizes of requests.", Kind::Histogram);
        each(out, |out, labels, o| out.histogram("http_request_size_bytes", labels, &o.request_bytes));
        out.family("http_response_size_bytes", "Sizes of answers before compression.", Kind::Histogram);
        each(out, |out, labels, o| out.histogram("http_response_size_bytes", labels, &o.response_bytes));
        drop(answered);
        out.family("http_inflight_requests", "Requests that are being answered.", Kind::Gauge);
        let in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        for (Call { handler, method, tenant }, n) in in_flight.iter() {
            let labels = [("handler", *handler), ("method", method), ("tenant", tenant)];
            out.sample("http_inflight_requests", &labels, *n as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_that_come_late_are_counted_together() {
        let metrics = HttpMetrics::default();
        for i in 0..TENANTS_MAX + 5 {
            let begun = metrics.begin("query", "GET", &format!("t{i}"));
            metrics.end(begun, Some(Ended { code: 200, response_bytes: 7 }));
        }
        let gone = metrics.begin("query", "GET", "t0");
        let mut out = TextWriter::default();
        metrics.write(&mut out);
        let has = |line: &str| assert!(out.text().lines().any(|l| l == line), "no {line}");
        has(r#"http_requests_total{code="200",handler="query",method="get",tenant="other tenants"} 5"#);
        has(r#"http_requests_total{code="200",handler="query",method="get",tenant="t999"} 1"#);
        has(r#"http_inflight_requests{handler="query",method="get",tenant="t0"} 1"#);
        metrics.end(gone, None);
        let mut out = TextWriter::default();
        metrics.write(&mut out);
        assert!(out.text().contains(r#"http_inflight_requests{handler="query",method="get",tenant="t0"} 0"#));
    }
}
