//! Calls over gRPC.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    http::HeaderMap,
    middleware::{self, Next},
    response::Response,
};
use http_body::{Frame, SizeHint};
use thanoslib::context::Span;
use tracing::Level;

use super::{Requests, config::grpc_name};

/// Names of codes by their numbers.
///
/// Source: gRPC `codes/code_string.go`.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// Codes that are the server's fault: Unknown, Unimplemented, Internal, DataLoss.
///
/// Compat: thanos `pkg/logging/grpc.go`.
const ERRORS: [usize; 4] = [2, 12, 13, 15];
const CANCELED: usize = 1;

impl Requests {
    /// The services with what surrounds their calls.
    pub fn around_grpc(&self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self.clone(), pass))
    }
}

async fn pass(State(requests): State<Requests>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let Some((service, method)) = path.strip_prefix('/').and_then(|p| p.split_once('/')) else {
        return next.run(request).await;
    };
    let span = requests.span(&path, request.headers_mut()).map(|(_, span)| span);
    let rules = &requests.rules.grpc;
    let name = || grpc_name(service, method);
    if rules.starts(name) {
        tracing::debug!(
            protocol = "grpc",
            grpc.component = "server",
            grpc.service = service,
            grpc.method = method,
            "started call"
        );
    }
    let call = Call {
        logs: rules.ends(name),
        debug: rules.shows(Level::DEBUG),
        service: service.to_owned(),
        method: method.to_owned(),
        begun: Instant::now(),
        span: span.unwrap_or_default(),
        ended: false,
    };
    if !call.logs && requests.spans.is_none() {
        call.forget();
        return next.run(request).await;
    }
    let mut call = call;
    let response = next.run(request).await;
    if let Some(code) = code(response.headers()) {
        call.end(code);
    }
    response.map(|body| Body::new(Answer { body, call }))
}

fn code(headers: &HeaderMap) -> Option<usize> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// One call; when it is dropped before its end, it was cancelled.
struct Call {
    logs: bool,
    debug: bool,
    service: String,
    method: String,
    begun: Instant,
    span: Span,
    ended: bool,
}

impl Call {
    /// Nobody wants to know of it.
    fn forget(mut self) {
        self.ended = true;
    }

    fn end(&mut self, code: usize) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let name = CODES.get(code).copied().unwrap_or("Unknown");
        self.span.set("rpc.grpc.status_code", || code);
        if code != 0 {
            self.span.fail(&name);
        }
        drop(std::mem::take(&mut self.span));
        if !self.logs {
            return;
        }
        let ms = self.begun.elapsed().as_secs_f64() * 1000.0;
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    protocol = "grpc",
                    grpc.component = "server",
                    grpc.service = self.service,
                    grpc.method = self.method,
                    grpc.code = name,
                    grpc.time_ms = ms,
                    "finished call"
                )
            };
        }
        match ERRORS.contains(&code) {
            true => line!(error),
            false if self.debug => line!(debug),
            false => {}
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(CANCELED);
    }
}

/// An answer's body, whose trailers end the call.
struct Answer {
    body: Body,
    call: Call,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(code) = frame.trailers_ref().and_then(code) {
                    this.call.end(code);
                }
            }
            Poll::Ready(Some(Err(_)) | None) => this.call.end(2),
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
