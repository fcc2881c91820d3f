//! What surrounds every call to a peer: it is counted, and it is a span of its request's trace.

use std::{
    collections::{BTreeMap, HashMap},
    pin::Pin,
    sync::{
        Arc, LazyLock, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use prost::Message;
use prost_types::FileDescriptorSet;
use thanoslib::{
    context::Span,
    metrics::{Collect, Counter, Histogram, Kind, TextWriter},
};
use tonic::{
    Code, Status,
    body::Body,
    codegen::http::{HeaderMap, Response},
};

use super::charge::{BudgetSlot, Charge};
use crate::{pb, server::Scan, status::code_name};

/// Upper bounds of `grpc_client_handling_seconds`, as Thanos has them.
const SECONDS: [f64; 14] = [0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0];

/// Number of gRPC codes.
const CODES: usize = 17;

/// What clients count: calls and messages by method, those of methods that were called.
///
/// See [`Connector::with_metrics`](super::Connector::with_metrics).
#[derive(Debug, Default)]
pub struct ClientMetrics {
    methods: RwLock<HashMap<String, Arc<Method>>>,
}

#[derive(Debug)]
struct Method {
    service: String,
    name: String,
    kind: &'static str,
    started: Counter,
    received: Counter,
    handled: [AtomicU64; CODES],
    seconds: Histogram,
}

/// Which methods stream, by path.
static KINDS: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
    let files = FileDescriptorSet::decode(pb::DESCRIPTORS).unwrap_or_default();
    let mut kinds = HashMap::new();
    for file in &files.file {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                let kind = match (method.client_streaming(), method.server_streaming()) {
                    (false, false) => "unary",
                    (false, true) => "server_stream",
                    (true, false) => "client_stream",
                    (true, true) => "bidi_stream",
                };
                kinds.insert(path, kind);
            }
        }
    }
    kinds
});

impl ClientMetrics {
    fn method(&self, path: &str) -> Option<Arc<Method>> {
        if let Some(method) = self.methods.read().unwrap_or_else(PoisonError::into_inner).get(path) {
            return Some(Arc::clone(method));
        }
        let kind = KINDS.get(path)?;
        let (service, name) = path.strip_prefix('/')?.split_once('/')?;
        let mut methods = self.methods.write().unwrap_or_else(PoisonError::into_inner);
        let method = methods.entry(path.to_owned()).or_insert_with(|| {
            Arc::new(Method {
                service: service.to_owned(),
                name: name.to_owned(),
                kind,
                started: Counter::default(),
                received: Counter::default(),
                handled: Default::default(),
                seconds: Histogram::new(&SECONDS),
            })
        });
        Some(Arc::clone(method))
    }

    /// Counts a call that begins.
    pub(super) fn start(&self, path: &str, span: Span) -> Call {
        let method = self.method(path);
        if let Some(method) = &method {
            method.started.add(1);
        }
        Call { method, span, began: Instant::now(), ended: false }
    }
}

impl Collect for ClientMetrics {
    fn collect(&self, out: &mut TextWriter) {
        let methods = self.methods.read().unwrap_or_else(PoisonError::into_inner);
        let methods: BTreeMap<&str, &Arc<Method>> =
            methods.iter().map(|(path, m)| (path.as_str(), m)).collect();
        let labels = |m: &'_ Method| {
            [
                ("grpc_method", m.name.clone()),
                ("grpc_service", m.service.clone()),
                ("grpc_type", m.kind.to_owned()),
            ]
        };
        fn borrowed<'a, const N: usize>(labels: &'a [(&'static str, String); N]) -> [(&'a str, &'a str); N] {
            labels.each_ref().map(|(name, value)| (*name, value.as_str()))
        }
        type Count = fn(&Method) -> u64;
        let counts: [(&str, &str, Count); 3] = [
            ("grpc_client_started_total", "Calls begun.", |m| m.started.get()),
            // Every call sends one message.
            ("grpc_client_msg_sent_total", "Messages sent.", |m| m.started.get()),
            ("grpc_client_msg_received_total", "Messages received.", |m| m.received.get()),
        ];
        for (name, help, value) in counts {
            out.family(name, help, Kind::Counter);
            methods.values().for_each(|m| out.sample(name, &borrowed(&labels(m)), value(m) as f64));
        }
        let name = "grpc_client_handled_total";
        out.family(name, "Calls ended, by code.", Kind::Counter);
        for m in methods.values() {
            let [method, service, kind] = labels(m);
            for (code, n) in m.handled.iter().enumerate().filter(|(_, n)| n.load(Relaxed) > 0) {
                let code = code_name(Code::from_i32(code as i32)).to_owned();
                let labels = [("grpc_code", code), method.clone(), service.clone(), kind.clone()];
                out.sample(name, &borrowed(&labels), n.load(Relaxed) as f64);
            }
        }
        let name = "grpc_client_handling_seconds";
        out.family(name, "Seconds that calls took.", Kind::Histogram);
        methods.values().for_each(|m| out.histogram(name, &borrowed(&labels(m)), &m.seconds));
    }
}

/// The span of a call, on its way through the layers of a client.
#[derive(Clone, Debug, Default)]
pub(super) struct SpanSlot(Arc<Mutex<Span>>);

impl SpanSlot {
    pub(super) fn new(span: Span) -> Self {
        Self(Arc::new(Mutex::new(span)))
    }

    pub(super) fn take(&self) -> Span {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One call; when it is dropped before its end, it was cancelled.
#[derive(Debug)]
pub(super) struct Call {
    method: Option<Arc<Method>>,
    span: Span,
    began: Instant,
    ended: bool,
}

impl Call {
    fn end(&mut self, code: Code, message: &str) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        if let Some(method) = &self.method {
            if let Some(handled) = method.handled.get(code as usize) {
                handled.fetch_add(1, Relaxed);
            }
            method.seconds.observe(self.began.elapsed().as_secs_f64());
        }
        self.span.set("rpc.grpc.status_code", || code as i32);
        if code != Code::Ok {
            self.span.fail(&format_args!("{}: {message}", code_name(code)));
        }
        drop(std::mem::take(&mut self.span));
    }

    /// The call failed without an answer.
    pub(super) fn failed(&mut self, status: &Status) {
        self.end(status.code(), status.message());
    }

    /// The answer, whose end ends the call.
    pub(super) fn answered(mut self, response: Response<Body>, budget: Option<BudgetSlot>) -> Response<Body> {
        if let Some(status) = Status::from_header_map(response.headers()) {
            self.end(status.code(), status.message());
        }
        response.map(|body| {
            Body::new(Answer { body, call: self, scan: Scan::default(), charge: budget.map(Charge::new) })
        })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(Code::Cancelled, "nobody waits any more");
    }
}

/// An answer's body with its messages counted, and charged while they come.
struct Answer {
    body: Body,
    call: Call,
    scan: Scan,
    charge: Option<Charge>,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    let messages = this.scan.count(data);
                    if let Some(method) = &this.call.method {
                        method.received.add(messages);
                    }
                    let coming = this.scan.coming();
                    if let Some(Err(status)) = this.charge.as_mut().map(|charge| charge.hold(coming)) {
                        this.call.failed(&status);
                        return Poll::Ready(Some(Err(status)));
                    }
                } else if let Some(trailers) = frame.trailers_ref() {
                    let (code, message) = status(trailers);
                    this.call.end(code, &message);
                }
            }
            Poll::Ready(Some(Err(status))) => this.call.failed(status),
            Poll::Ready(None) => this.call.end(Code::Unknown, "the answer has no status"),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn status(trailers: &HeaderMap) -> (Code, String) {
    match Status::from_header_map(trailers) {
        Some(status) => (status.code(), status.message().to_owned()),
        None => (Code::Unknown, String::new()),
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use http_body::Body as _;

    use super::*;

    /// Frames of a body that was prepared.
    struct Prepared(Vec<Frame<Bytes>>);

    impl http_body::Body for Prepared {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Ready((!self.0.is_empty()).then(|| Ok(self.0.remove(0))))
        }
    }

    #[tokio::test]
    async fn calls_are_counted_to_their_end() {
        let metrics = ClientMetrics::default();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "10".parse().expect("a header"));
        let frames = vec![Frame::data(Bytes::from_static(&[0; 10])), Frame::trailers(trailers)];
        let call = metrics.start("/thanos.Store/Series", Span::default());
        let answer = call.answered(Response::new(Body::new(Prepared(frames))), None);
        let mut body = answer.into_body();
        let frames = futures::stream::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
        assert_eq!(frames.count().await, 2);
        metrics.start("/thanos.Store/Series", Span::default()).failed(&Status::unavailable("nobody"));
        drop(metrics.start("/thanos.Store/Series", Span::default()));
        drop(metrics.start("/no.Such/Method", Span::default()));
        let mut out = TextWriter::default();
        metrics.collect(&mut out);
        let labels = r#"grpc_method="Series",grpc_service="thanos.Store",grpc_type="server_stream""#;
        for (name, n) in [("started", 3), ("msg_sent", 3), ("msg_received", 2)] {
            let line = format!("grpc_client_{name}_total{{{labels}}} {n}");
            assert!(out.text().lines().any(|l| l == line), "no {line} in {}", out.text());
        }
        for code in ["Aborted", "Unavailable", "Canceled"] {
            let line = format!(r#"grpc_client_handled_total{{grpc_code="{code}",{labels}}} 1"#);
            assert!(out.text().lines().any(|l| l == line), "no {line} in {}", out.text());
        }
        assert!(!out.text().contains("no.Such"));
    }
}
