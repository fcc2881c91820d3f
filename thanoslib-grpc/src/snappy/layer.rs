//! Where bodies are rewritten: in front of a server's services, and behind a client.

use futures::{FutureExt, future::BoxFuture};
use tonic::{
    body::Body,
    codegen::{
        Service,
        http::{HeaderMap, HeaderValue, Request, Response, header::HeaderName},
    },
    service::AxumBody,
};
use tower::Layer;

use super::{Direction, NAME, Recoded};
use crate::MESSAGE_MAX_BYTES;

const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPT: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// Takes the header away that says that messages are deflated; false when they are not.
fn take_encoding(headers: &mut HeaderMap) -> bool {
    let snappy = headers.get(ENCODING).is_some_and(|v| v.as_bytes() == NAME.as_bytes());
    if snappy {
        headers.remove(ENCODING);
    }
    snappy
}

/// A layer of servers: deflated requests are inflated, and answered in kind, as grpc-go does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SnappyLayer;

impl<S> Layer<S> for SnappyLayer {
    type Service = Accept<S>;

    fn layer(&self, inner: S) -> Accept<S> {
        Accept { inner }
    }
}

/// The service inside [`SnappyLayer`].
#[derive(Clone, Debug)]
pub(crate) struct Accept<S> {
    inner: S,
}

impl<S> Service<Request<AxumBody>> for Accept<S>
where
    S: Service<Request<AxumBody>, Response = Response<AxumBody>>,
    S::Future: Send + 'static,
{
    type Response = Response<AxumBody>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<AxumBody>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<AxumBody>) -> Self::Future {
        if !take_encoding(request.headers_mut()) {
            return self.inner.call(request).boxed();
        }
        let inflated = request.map(|b| AxumBody::new(Recoded::new(b, Direction::Inflate, MESSAGE_MAX_BYTES)));
        let answer = self.inner.call(inflated);
        async move {
            let mut response = answer.await?;
            if response.headers().contains_key("grpc-status") {
                return Ok(response);
            }
            response.headers_mut().insert(ENCODING, HeaderValue::from_static(NAME));
            Ok(response.map(|b| AxumBody::new(Recoded::new(b, Direction::Deflate, MESSAGE_MAX_BYTES))))
        }
        .boxed()
    }
}

/// A request of a client with its messages deflated.
pub(crate) fn deflate_request(mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().insert(ENCODING, HeaderValue::from_static(NAME));
    request.map(|b| Body::new(Recoded::new(b, Direction::Deflate, MESSAGE_MAX_BYTES)))
}

/// Says that deflated answers are welcome.
pub(crate) fn accept_answers(headers: &mut HeaderMap) {
    headers.insert(ACCEPT, HeaderValue::from_static(NAME));
}

/// An answer with its messages inflated, if they are not already; at most `max` bytes each.
pub(crate) fn inflate_response(mut response: Response<Body>, max: usize) -> Response<Body> {
    if !take_encoding(response.headers_mut()) {
        return response;
    }
    response.map(|b| Body::new(Recoded::new(b, Direction::Inflate, max)))
}
