//! Connections to one address: TCP, with TLS if it is wanted.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use hyper_util::rt::TokioIo;
use thanoslib::{Error, Result, tls::ClientTls};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::either::Either;
use tonic::{
    codegen::{Service, StdError, http::Uri},
    transport::{Channel, Endpoint},
};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time without traffic after which a peer is pinged while calls run, never while none does.
///
/// Source: Thanos `pkg/extgrpc/client.go`; its servers close connections that ping sooner.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Time that a ping may take.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of one answer that may be on the way before they are read.
const STREAM_WINDOW: u32 = 1 << 20;

/// The same for all answers of a connection.
const CONNECTION_WINDOW: u32 = 8 << 20;

/// Longest piece of an answer that peers may send at once.
const FRAME_MAX: u32 = 256 << 10;

/// What a peer sees in `user-agent`.
const USER_AGENT: &str = concat!("thanoslib/", env!("CARGO_PKG_VERSION"));

/// A channel to `address`, host and port, that connects when it is first used, and again when the
/// connection is lost.
pub(super) fn channel(address: &str, tls: Option<Arc<ClientTls>>) -> Result<Channel> {
    let address = address.strip_prefix("http://").or(address.strip_prefix("https://")).unwrap_or(address);
    let invalid = |e: &dyn std::fmt::Display| {
        Error::invalid(format!("address {address:?} is not of the form host:port: {e}"))
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    let uri: Uri = format!("{scheme}://{address}").parse().map_err(|e| invalid(&e))?;
    if uri.port_u16().is_none() {
        return Err(invalid(&"no port"));
    }
    let endpoint = Endpoint::from(uri)
        .user_agent(USER_AGENT)
        .map_err(|e| Error::internal("user agent").with_source(e))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(false)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_MAX);
    Ok(endpoint.connect_with_connector_lazy(Connector { tls }))
}

/// Makes connections; the certificates are those of the time.
#[derive(Clone, Debug)]
struct Connector {
    tls: Option<Arc<ClientTls>>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Connection>;
    type Error = StdError;
    type Future = BoxFuture<'static, Result<Self::Response, StdError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let tls = self.tls.clone();
        async move {
            let host = uri.host().unwrap_or_default();
            let plain = host.trim_start_matches('[').trim_end_matches(']');
            let stream = TcpStream::connect((plain, uri.port_u16().unwrap_or(443))).await?;
            stream.set_nodelay(true)?;
            let Some(tls) = tls else { return Ok(TokioIo::new(Either::Left(stream))) };
            let stream = TlsConnector::from(tls.config()).connect(tls.name(host)?, stream).await?;
            Ok(TokioIo::new(Either::Right(Box::new(stream))))
        }
        .boxed()
    }
}

/// A connection that was made: plain, or with TLS.
type Connection = Either<TcpStream, Box<TlsStream<TcpStream>>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_need_a_port() {
        let check = |address: &str, ok: bool| {
            let got = channel(address, None);
            assert_eq!(got.is_ok(), ok, "{address}");
            if let Err(e) = got {
                assert!(e.message().starts_with("address "), "{e}");
            }
        };
        check("localhost:10901", true);
        check("[::1]:10901", true);
        check("http://localhost:10901", true);
        check("localhost", false);
        check("", false);
        check("a b:1", false);
    }
}
