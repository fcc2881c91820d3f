//! What surrounds every call: it is counted, a panic fails it alone, and its request id comes back.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::{Buf, Bytes};
use futures::{FutureExt, future::BoxFuture};
use http_body::{Body, Frame, SizeHint};
use tonic::{
    Code, Status,
    codegen::{
        Service, StdError,
        http::{HeaderMap, Request, Response},
    },
    service::AxumBody,
};
use tower::Layer;

use super::metrics::{Method, ServerMetrics};
use crate::REQUEST_ID_METADATA;

/// The layer around all services.
#[derive(Clone, Debug)]
pub(super) struct Observe(pub(super) Arc<ServerMetrics>);

impl<S> Layer<S> for Observe {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed { inner, metrics: Arc::clone(&self.0) }
    }
}

/// The service inside [`Observe`].
#[derive(Clone, Debug)]
pub(super) struct Observed<S> {
    inner: S,
    metrics: Arc<ServerMetrics>,
}

impl<S> Service<Request<AxumBody>> for Observed<S>
where
    S: Service<Request<AxumBody>, Response = Response<AxumBody>>,
    S::Future: Send + 'static,
{
    type Response = Response<AxumBody>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<AxumBody>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<AxumBody>) -> Self::Future {
        let method = self.metrics.method(request.uri().path()).map(Arc::clone);
        let metrics = Arc::clone(&self.metrics);
        let id = request.headers().get(REQUEST_ID_METADATA).cloned();
        let mut call = Call { method, metrics, began: Instant::now(), ended: false };
        if let Some(method) = &call.method {
            method.start();
        }
        let counter = call.method.clone();
        let request =
            request.map(|body| AxumBody::new(Counted { body, method: counter, scan: Scan::default() }));
        let answer = self.inner.call(request);
        async move {
            let response = match AssertUnwindSafe(answer).catch_unwind().await {
                Ok(answer) => answer?,
                Err(panic) => call.panicked(&*panic).into_http(),
            };
            let mut response: Response<AxumBody> = response;
            if let Some(id) = id {
                response.headers_mut().insert(REQUEST_ID_METADATA, id);
            }
            if let Some(status) = Status::from_header_map(response.headers()) {
                call.end(status.code());
            }
            Ok(response.map(|body| AxumBody::new(Answer { body, call, scan: Scan::default() })))
        }
        .boxed()
    }
}

/// One call.
#[derive(Debug)]
struct Call {
    method: Option<Arc<Method>>,
    metrics: Arc<ServerMetrics>,
    began: Instant,
    ended: bool,
}

impl Call {
    fn end(&mut self, code: Code) {
        if !std::mem::replace(&mut self.ended, true)
            && let Some(method) = &self.method
        {
            method.end(code, self.began.elapsed());
        }
    }

    fn panicked(&mut self, panic: &(dyn Any + Send)) -> Status {
        caught(&self.metrics, panic)
    }
}

/// Counts a panic; the status that its call ends with.
fn caught(metrics: &ServerMetrics, panic: &(dyn Any + Send)) -> Status {
    metrics.panicked();
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Status::internal(format!("panic: {}", text.unwrap_or("without a message")))
}

/// Awaits `work`; a panic inside becomes a status, so that what was answered before is sent.
pub(super) async fn guarded<T>(
    metrics: Arc<ServerMetrics>,
    work: impl Future<Output = Result<T, Status>> + Send,
) -> Result<T, Status> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(out) => out,
        Err(panic) => Err(caught(&metrics, &*panic)),
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // The client went away.
        self.end(Code::Cancelled);
    }
}

/// Counts messages by their heads.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    head: [u8; 5],
    /// Bytes of the head that were seen.
    seen: usize,
    /// Bytes of the message that are still to come.
    left: usize,
    /// Bytes of the whole message.
    len: usize,
}

impl Scan {
    /// Length of the message that is not there yet; 0 between messages.
    pub(crate) fn coming(&self) -> usize {
        if self.left > 0 { self.len } else { 0 }
    }

    /// How many messages begin and end their head in this piece.
    pub(crate) fn count(&mut self, mut data: &[u8]) -> u64 {
        let mut messages = 0;
        while !data.is_empty() {
            let skipped = self.left.min(data.len());
            data.advance(skipped);
            self.left -= skipped;
            let wanted = (self.head.len() - self.seen).min(data.len());
            if self.left > 0 || wanted == 0 {
                continue;
            }
            self.head[self.seen..self.seen + wanted].copy_from_slice(&data[..wanted]);
            data.advance(wanted);
            self.seen += wanted;
            if self.seen == self.head.len() {
                let [_, a, b, c, d] = self.head;
                self.left = u32::from_be_bytes([a, b, c, d]) as usize;
                self.len = self.left;
                self.seen = 0;
                messages += 1;
            }
        }
        messages
    }
}

/// A request's body with its messages counted.
struct Counted {
    body: AxumBody,
    method: Option<Arc<Method>>,
    scan: Scan,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            let messages = self.scan.count(data);
            if let Some(method) = &self.method {
                method.receive(messages);
            }
        }
        polled.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body: messages are counted, and a panic becomes the end of the call.
struct Answer {
    body: AxumBody,
    call: Call,
    scan: Scan,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let this = &mut *self;
        let body = &mut this.body;
        match std::panic::catch_unwind(AssertUnwindSafe(|| Pin::new(body).poll_frame(cx))) {
            Ok(Poll::Ready(Some(Ok(frame)))) => {
                if let Some(data) = frame.data_ref() {
                    let messages = this.scan.count(data);
                    if let Some(method) = &this.call.method {
                        method.send(messages);
                    }
                } else if let Some(trailers) = frame.trailers_ref() {
                    this.call.end(code(trailers));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Ok(Poll::Ready(None)) => {
                this.call.end(Code::Ok);
                Poll::Ready(None)
            }
            Ok(polled) => polled.map_err(Into::into),
            Err(panic) => {
                let status = this.call.panicked(&*panic);
                this.call.end(status.code());
                this.body = AxumBody::empty();
                let mut trailers = HeaderMap::new();
                // A message that fits no header leaves the code alone.
                let _ = status.add_header(&mut trailers);
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

fn code(trailers: &HeaderMap) -> Code {
    Status::from_header_map(trailers).map_or(Code::Unknown, |s| s.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let message = |len: u8| [vec![0, 0, 0, 0, len], vec![9; usize::from(len)]].concat();
        let all = [message(3), message(0), message(200), message(1)].concat();
        for piece in [1, 2, 5, 7, 1000] {
            let mut scan = Scan::default();
            assert_eq!(all.chunks(piece).map(|p| scan.count(p)).sum::<u64>(), 4);
        }
    }
}
