//! Connections that a server accepts: plain or with TLS, and closed when its time is over.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::{Connected, TcpConnectInfo};

use thanoslib::tls::ServerTls;

/// Handshakes that are under way at a time.
const HANDSHAKES_MAX: usize = 256;

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long nothing is accepted after the listener failed, as it does without file handles.
const PAUSE: Duration = Duration::from_millis(50);

/// A connection that was accepted.
pub(super) struct Connection {
    io: Io,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
}

enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The connections of a listener, until `close` is cancelled; then those that are there end, too.
pub(super) fn accept(
    listener: TcpListener,
    tls: Option<Arc<ServerTls>>,
    close: CancellationToken,
) -> impl futures::Stream<Item = io::Result<Connection>> + Send {
    let state = (listener, FuturesUnordered::new());
    futures::stream::unfold(state, move |(listener, mut handshakes)| {
        let (tls, close) = (tls.clone(), close.clone());
        async move {
            let connection = |io| Connection { io, closed: Box::pin(close.clone().cancelled_owned()) };
            loop {
                let room = handshakes.len() < HANDSHAKES_MAX;
                tokio::select! {
                    Some(done) = handshakes.next(), if !handshakes.is_empty() => {
                        // Who fails the handshake has gone.
                        let done: Option<TlsStream<TcpStream>> = done;
                        if let Some(stream) = done {
                            return Some((Ok(connection(Io::Tls(Box::new(stream)))), (listener, handshakes)));
                        }
                    }
                    accepted = listener.accept(), if room => match accepted {
                        Err(_) => tokio::time::sleep(PAUSE).await,
                        Ok((stream, _)) => {
                            // A socket that is gone already fails its first read.
                            let _ = stream.set_nodelay(true);
                            let Some(tls) = &tls else {
                                return Some((Ok(connection(Io::Plain(stream))), (listener, handshakes)));
                            };
                            let handshake = TlsAcceptor::from(tls.config()).accept(stream);
                            handshakes.push(Box::pin(async move {
                                tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await.ok()?.ok()
                            }));
                        }
                    }
                }
            }
        }
    })
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        match &self.io {
            Io::Plain(stream) => stream.connect_info(),
            Io::Tls(stream) => stream.get_ref().0.connect_info(),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.closed.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Io::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Io::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Io::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(stream) => stream.is_write_vectored(),
            Io::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Io::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Io::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
