//! A collector that takes spans over HTTP and gRPC.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::HeaderMap,
    response::Response,
    routing::any,
};
use http_body::Frame;
use thanoslib::{
    context::{Context, Span, SpanKind},
    metrics::{Collect, TextWriter},
};
use tokio::{net::TcpListener, sync::watch};

use super::{open, sink};

type Taken = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// A body with trailers.
struct Answer(Option<HeaderMap>);

impl axum::body::HttpBody for Answer {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.0.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }
}

async fn collector() -> (String, Taken) {
    let taken = Taken::default();
    let take = |State(taken): State<Taken>, request: Request| async move {
        let (parts, body) = request.into_parts();
        let bytes = to_bytes(body, 1 << 20).await.expect("a body");
        taken.lock().expect("not poisoned").push((parts.headers, bytes));
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().expect("a header"));
        Response::new(Body::new(Answer(Some(trailers))))
    };
    let router = Router::new().fallback(any(take)).with_state(Arc::clone(&taken));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, taken)
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|w| w == text)
}

#[tokio::test]
async fn spans_arrive_over_both_protocols() {
    for (kind, skip) in [("http", 0), ("grpc", 5)] {
        let (address, taken) = collector().await;
        let yaml = format!(
            "type: OTLP\nconfig: {{client_type: {kind}, insecure: true, endpoint: '{address}', \
             headers: {{x-team: a}}, resource_attributes: {{zone: north}}}}"
        );
        let (spans, task) = open(&yaml, "", "query").expect("sound").expect("configured");
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(task.run(stopped));
        let sink = sink(Some(&spans)).expect("given");
        let (id, mut request) = Span::server(&sink, "/api/v1/query", None, false);
        request.set("http.status_code", || 200);
        let ctx = Context::default().with_trace(&sink, Some(id));
        let (_, mut inner) = ctx.span("select", SpanKind::Client);
        inner.fail(&"store is away");
        drop((inner, request));
        stop.send(true).expect("it runs");
        tokio::time::timeout(Duration::from_secs(20), running).await.expect("in time").expect("no panic");
        let taken = taken.lock().expect("not poisoned");
        // On a busy machine the inner span may have left before the outer one ended.
        assert!(!taken.is_empty() && taken.iter().all(|(headers, _)| headers["x-team"] == "a"), "{kind}");
        let message = &taken.iter().flat_map(|(_, body)| &body[skip..]).copied().collect::<Vec<u8>>();
        for text in
            ["service.name", "query", "zone", "north", "/api/v1/query", "select", "store is away", "200"]
        {
            assert!(contains(message, text.as_bytes()), "{kind}: no {text}");
        }
        assert!(contains(message, &id.trace.to_be_bytes()) && contains(message, &id.span.to_be_bytes()));
        let mut out = TextWriter::default();
        spans.collect(&mut out);
        assert!(out.text().contains("thanoslib_tracing_spans_sent_total 2"), "{}", out.text());
    }
}

#[tokio::test]
async fn what_nobody_takes_is_dropped_and_counted() {
    let yaml = "type: OTLP\nconfig: {client_type: http, insecure: true, endpoint: '127.0.0.1:1'}";
    let (spans, task) = open(yaml, "", "query").expect("sound").expect("configured");
    let sink = sink(Some(&spans)).expect("given");
    for _ in 0..5000 {
        drop(Span::server(&sink, "x", None, false));
    }
    let (stop, stopped) = watch::channel(true);
    task.run(stopped).await;
    drop(stop);
    let mut out = TextWriter::default();
    spans.collect(&mut out);
    assert!(out.text().contains("thanoslib_tracing_spans_dropped_total 904"), "{}", out.text());
    assert!(out.text().contains("thanoslib_tracing_spans_failed_total 4096"), "{}", out.text());
    assert!(open("", "", "query").expect("nothing").is_none());
}
