//! What a server counts, in Prometheus' text format.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use prost::Message;
use prost_types::FileDescriptorSet;
use thanoslib::metrics::{Collect, Counter, Histogram, Kind, TextWriter};
use tonic::Code;

use crate::{pb, status::code_name};

/// Upper bounds of `grpc_server_handling_seconds`, as Thanos has them.
const SECONDS: [f64; 14] = [0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0];

/// Upper bounds of `thanos_store_server_series_requested`.
const SERIES: [f64; 7] = [1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6];

/// Upper bounds of `thanos_store_server_chunks_requested`.
const CHUNKS: [f64; 8] = [1.0, 100.0, 1e3, 1e4, 1e5, 1e7, 1e8, 1e9];

/// Number of gRPC codes.
const CODES: usize = 17;

/// What a server counts: calls, messages, panics, series.
///
/// ```
/// use thanoslib_grpc::server::ServerMetrics;
/// let metrics = ServerMetrics::default();
/// assert!(metrics.render().contains("grpc_req_panics_recovered_total 0"));
/// ```
#[derive(Debug)]
pub struct ServerMetrics {
    /// By service, then by method.
    methods: BTreeMap<(String, String), Arc<Method>>,
    /// The same by path.
    paths: HashMap<String, Arc<Method>>,
    /// Services that are there; others are not shown.
    served: OnceLock<Vec<&'static str>>,
    panics: Counter,
    pending_series: AtomicI64,
    series: Histogram,
    chunks: Histogram,
    dropped_series: Counter,
    dropped_samples: Counter,
}

/// What is counted of one method.
#[derive(Debug)]
pub(super) struct Method {
    kind: &'static str,
    started: Counter,
    received: Counter,
    sent: Counter,
    handled: [Counter; CODES],
    seconds: Histogram,
}

impl Method {
    fn new(kind: &'static str) -> Self {
        Self {
            kind,
            started: Counter::default(),
            received: Counter::default(),
            sent: Counter::default(),
            handled: Default::default(),
            seconds: Histogram::new(&SECONDS),
        }
    }

    pub(super) fn start(&self) {
        self.started.add(1);
    }

    pub(super) fn receive(&self, messages: u64) {
        self.received.add(messages);
    }

    pub(super) fn send(&self, messages: u64) {
        self.sent.add(messages);
    }

    pub(super) fn end(&self, code: Code, took: Duration) {
        if let Some(handled) = self.handled.get(code as usize) {
            handled.add(1);
        }
        self.seconds.observe(took.as_secs_f64());
    }
}

impl Default for ServerMetrics {
    fn default() -> Self {
        let mut methods = BTreeMap::new();
        let mut paths = HashMap::new();
        for set in [pb::DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET, REFLECTION[0], REFLECTION[1]] {
            let files = FileDescriptorSet::decode(set).unwrap_or_default();
            for file in &files.file {
                for service in &file.service {
                    let name = format!("{}.{}", file.package(), service.name());
                    for method in &service.method {
                        let kind = match (method.client_streaming(), method.server_streaming()) {
                            (false, false) => "unary",
                            (false, true) => "server_stream",
                            (true, false) => "client_stream",
                            (true, true) => "bidi_stream",
                        };
                        let counted = Arc::new(Method::new(kind));
                        paths.insert(format!("/{name}/{}", method.name()), Arc::clone(&counted));
                        methods.insert((name.clone(), method.name().to_owned()), counted);
                    }
                }
            }
        }
        Self {
            methods,
            paths,
            served: OnceLock::new(),
            panics: Counter::default(),
            pending_series: AtomicI64::new(0),
            series: Histogram::new(&SERIES),
            chunks: Histogram::new(&CHUNKS),
            dropped_series: Counter::default(),
            dropped_samples: Counter::default(),
        }
    }
}

const REFLECTION: [&[u8]; 2] =
    [tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET, tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET];

impl ServerMetrics {
    /// Says which services there are.
    pub(super) fn serve(&self, names: &[&'static str]) {
        // A second server with the same metrics shows what the first one has.
        let _ = self.served.set(names.to_vec());
    }

    /// The method of a path, if it is one that is there.
    pub(super) fn method(&self, path: &str) -> Option<&Arc<Method>> {
        self.paths.get(path)
    }

    pub(super) fn panicked(&self) {
        self.panics.add(1);
    }

    /// Counts a Series call for as long as what is returned lives.
    pub(super) fn pending(self: &Arc<Self>) -> Pending {
        self.pending_series.fetch_add(1, Relaxed);
        Pending(Arc::clone(self))
    }

    pub(super) fn answered(&self, series: u64, chunks: u64) {
        self.series.observe(series as f64);
        self.chunks.observe(chunks as f64);
    }

    pub(super) fn dropped(&self, samples: bool) {
        let counter = match samples {
            false => &self.dropped_series,
            true => &self.dropped_samples,
        };
        counter.add(1);
    }

    /// All families as text.
    pub fn render(&self) -> String {
        let mut out = TextWriter::default();
        self.collect(&mut out);
        out.into_text()
    }
}

/// Name and help of a counter, and its value.
type Family = (&'static str, &'static str, fn(&Method) -> &Counter);

/// Labels of a method of a service.
fn labels<'a>((service, name): &'a (String, String), m: &Method) -> [(&'static str, &'a str); 3] {
    [("grpc_method", name), ("grpc_service", service), ("grpc_type", m.kind)]
}

impl Collect for ServerMetrics {
    fn collect(&self, out: &mut TextWriter) {
        let served = self.served.get().map(Vec::as_slice).unwrap_or_default();
        let methods: Vec<_> =
            self.methods.iter().filter(|((s, _), _)| served.contains(&s.as_str())).collect();
        let counts: [Family; 3] = [
            ("grpc_server_started_total", "Calls begun.", |m| &m.started),
            ("grpc_server_msg_received_total", "Messages received.", |m| &m.received),
            ("grpc_server_msg_sent_total", "Messages sent.", |m| &m.sent),
        ];
        for (name, help, value) in counts {
            out.family(name, help, Kind::Counter);
            for (key, m) in &methods {
                out.sample(name, &labels(key, m), value(m).get() as f64);
            }
        }
        let name = "grpc_server_handled_total";
        out.family(name, "Calls ended, by code.", Kind::Counter);
        for (key, m) in &methods {
            for (code, n) in m.handled.iter().enumerate() {
                let [method, service, kind] = labels(key, m);
                let code = ("grpc_code", code_name(Code::from_i32(code as i32)));
                out.sample(name, &[code, method, service, kind], n.get() as f64);
            }
        }
        let name = "grpc_server_handling_seconds";
        out.family(name, "Seconds that calls took.", Kind::Histogram);
        for (key, m) in &methods {
            out.histogram(name, &labels(key, m), &m.seconds);
        }
        let panics = self.panics.get() as f64;
        out.single(
            "grpc_req_panics_recovered_total",
            "Panics that ended one call only.",
            Kind::Counter,
            panics,
        );
        let name = "thanos_store_server_pending_series_requests";
        out.single(name, "Series calls under way.", Kind::Gauge, self.pending_series.load(Relaxed) as f64);
        for (name, help, histogram) in [
            ("thanos_store_server_series_requested", "Series in answers.", &self.series),
            ("thanos_store_server_chunks_requested", "Chunks in answers.", &self.chunks),
        ] {
            out.family(name, help, Kind::Histogram);
            out.histogram(name, &[], histogram);
        }
        let name = "thanos_store_selects_dropped_total";
        out.family(name, "Series calls ended for a limit.", Kind::Counter);
        out.sample(name, &[("reason", "series")], self.dropped_series.get() as f64);
        out.sample(name, &[("reason", "chunks")], self.dropped_samples.get() as f64);
    }
}

/// A Series call under way.
#[derive(Debug)]
pub(super) struct Pending(Arc<ServerMetrics>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.pending_series.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_counted_by_path_and_shown_when_served() {
        let metrics = Arc::new(ServerMetrics::default());
        metrics.serve(&["thanos.Store"]);
        let series = metrics.method("/thanos.Store/Series").expect("a method");
        series.start();
        series.send(3);
        series.end(Code::Aborted, Duration::from_millis(5));
        assert!(metrics.method("/thanos.Store/NoSuch").is_none());
        metrics.dropped(false);
        metrics.answered(5, 50);
        let pending = metrics.pending();
        let text = metrics.render();
        let check = |line: &str| assert!(text.lines().any(|l| l == line), "no line {line}\n{text}");
        let labels = r#"grpc_method="Series",grpc_service="thanos.Store",grpc_type="server_stream""#;
        check(&format!("grpc_server_started_total{{{labels}}} 1"));
        check(&format!("grpc_server_msg_sent_total{{{labels}}} 3"));
        check(&format!(r#"grpc_server_handled_total{{grpc_code="Aborted",{labels}}} 1"#));
        check(&format!(r#"grpc_server_handling_seconds_bucket{{{labels},le="0.01"}} 1"#));
        check(r#"thanos_store_selects_dropped_total{reason="series"} 1"#);
        check(r#"thanos_store_server_series_requested_bucket{le="10"} 1"#);
        check("thanos_store_server_chunks_requested_sum 50");
        check("thanos_store_server_pending_series_requests 1");
        assert!(!text.contains("thanos.Rules"), "not served");
        drop(pending);
        assert!(metrics.render().contains("thanos_store_server_pending_series_requests 0"));
    }
}
