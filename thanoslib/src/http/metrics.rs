//! Counters of the API, in Prometheus' text format.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Upper bounds of the duration buckets in seconds, as upstream has them.
const BUCKETS: [f64; 15] =
    [0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0];

/// Requests answered and how long they took, by handler, method and status.
///
/// See [`Api`](super::Api).
#[derive(Debug, Default)]
pub struct HttpMetrics {
    families: Mutex<BTreeMap<(&'static str, String, u16), Observed>>,
}

#[derive(Debug, Default)]
struct Observed {
    count: u64,
    sum: f64,
    buckets: [u64; BUCKETS.len()],
}

impl HttpMetrics {
    /// Notes one answered request.
    pub(super) fn observe(&self, handler: &'static str, method: &str, code: u16, took: Duration) {
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let o = families.entry((handler, method.to_ascii_lowercase(), code)).or_default();
        let seconds = took.as_secs_f64();
        o.count += 1;
        o.sum += seconds;
        if let Some(i) = BUCKETS.iter().position(|b| seconds <= *b) {
            o.buckets[i] += 1;
        }
    }

    /// The families `http_requests_total` and `http_request_duration_seconds`.
    pub fn render(&self) -> String {
        let families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        out.push_str("# HELP http_requests_total Requests answered by the HTTP API.\n");
        out.push_str("# TYPE http_requests_total counter\n");
        for ((handler, method, code), o) in families.iter() {
            let labels = format!(r#"code="{code}",handler="{handler}",method="{method}""#);
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(out, "http_requests_total{{{labels}}} {}", o.count);
        }
        out.push_str("# HELP http_request_duration_seconds Seconds that requests took.\n");
        out.push_str("# TYPE http_request_duration_seconds histogram\n");
        for ((handler, method, code), o) in families.iter() {
            let labels = format!(r#"code="{code}",handler="{handler}",method="{method}""#);
            let mut below = 0;
            for (bound, n) in BUCKETS.iter().zip(o.buckets) {
                below += n;
                let _ =
                    writeln!(out, r#"http_request_duration_seconds_bucket{{{labels},le="{bound}"}} {below}"#);
            }
            let _ =
                writeln!(out, r#"http_request_duration_seconds_bucket{{{labels},le="+Inf"}} {}"#, o.count);
            let _ = writeln!(out, "http_request_duration_seconds_sum{{{labels}}} {}", o.sum);
            let _ = writeln!(out, "http_request_duration_seconds_count{{{labels}}} {}", o.count);
        }
        out
    }
}
