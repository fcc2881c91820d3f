//! Answers of one header frame: what an endpoint does not have, and nothing at all.

use std::sync::Arc;

use futures::{FutureExt, future::BoxFuture};
use tonic::{
    Code, Status,
    codegen::{
        Service,
        http::{Request, Response},
    },
};
use tower::Layer;

/// Marks an answer that ends well and has no message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Empty;

/// A layer that adds to an answer `Unimplemented` without a message what was asked for, and
/// sends an answer that is [`Empty`] as one header frame.
///
/// Compat: as grpc-go `server.go` does; the texts are its own.
#[derive(Clone, Debug)]
pub(super) struct NameUnknown {
    services: Arc<[&'static str]>,
}

impl NameUnknown {
    pub(super) fn new(services: Vec<&'static str>) -> Self {
        Self { services: Arc::from(services) }
    }

    fn message(&self, path: &str) -> String {
        let Some((service, method)) = path.trim_start_matches('/').rsplit_once('/') else {
            return format!("malformed method name: {path:?}");
        };
        if self.services.contains(&service) {
            format!("unknown method {method} for service {service}")
        } else {
            format!("unknown service {service}")
        }
    }
}

impl<S> Layer<S> for NameUnknown {
    type Service = Named<S>;

    fn layer(&self, inner: S) -> Named<S> {
        Named { inner, layer: self.clone() }
    }
}

/// The service inside [`NameUnknown`].
#[derive(Clone, Debug)]
pub(super) struct Named<S> {
    inner: S,
    layer: NameUnknown,
}

impl<S, A, B> Service<Request<A>> for Named<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
    B: Default,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<B>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let path = request.uri().path().to_owned();
        let layer = self.layer.clone();
        let answer = self.inner.call(request);
        async move {
            let mut response = answer.await?;
            if response.extensions().get::<Empty>().is_some() {
                return Ok(Status::ok("").into_http());
            }
            let headers = response.headers_mut();
            let status = Status::from_header_map(headers);
            if status.is_some_and(|s| s.code() == Code::Unimplemented && s.message().is_empty()) {
                // A header that cannot be built leaves the answer as it was: a code without words.
                let _ = Status::unimplemented(layer.message(&path)).add_header(headers);
            }
            Ok(response)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_what_is_missing() {
        let layer = NameUnknown::new(vec!["thanos.Store"]);
        let check = |path, want| assert_eq!(layer.message(path), want);
        check("/thanos.Store/NoSuch", "unknown method NoSuch for service thanos.Store");
        check("/thanos.Rules/Rules", "unknown service thanos.Rules");
        check("/nonsense", "malformed method name: \"/nonsense\"");
    }
}
