//! Connections that the HTTP port accepts: plain or with TLS.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use thanoslib::http::ClientCertificate;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::either::Either;

use super::reload::Reloaded;

/// Handshakes that are under way at a time.
const HANDSHAKES_MAX: usize = 256;
/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long nothing is accepted after the listener failed, as it does without file handles.
const PAUSE: Duration = Duration::from_millis(50);

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it is.
    pub address: SocketAddr,
    /// True when the connection is encrypted.
    pub tls: bool,
    /// What its certificate says, if it has shown one.
    pub certificate: Option<Arc<ClientCertificate>>,
}

impl Connected<IncomingStream<'_, WebListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, WebListener>) -> Self {
        stream.remote_addr().clone()
    }
}

type Handshake = BoxFuture<'static, Option<(Io, Peer)>>;

/// The listener of an HTTP server.
pub(super) struct WebListener {
    tcp: TcpListener,
    reloaded: Arc<Reloaded>,
    handshakes: FuturesUnordered<Handshake>,
}

impl WebListener {
    pub(super) fn new(tcp: TcpListener, reloaded: Arc<Reloaded>) -> Self {
        Self { tcp, reloaded, handshakes: FuturesUnordered::new() }
    }
}

impl Listener for WebListener {
    type Io = Io;
    type Addr = Peer;

    async fn accept(&mut self) -> (Io, Peer) {
        loop {
            let room = self.handshakes.len() < HANDSHAKES_MAX;
            tokio::select! {
                Some(done) = self.handshakes.next(), if !self.handshakes.is_empty() => {
                    // Who fails the handshake has gone.
                    if let Some(connection) = done {
                        return connection;
                    }
                }
                accepted = self.tcp.accept(), if room => match accepted {
                    Err(_) => tokio::time::sleep(PAUSE).await,
                    Ok((stream, address)) => {
                        // A socket that is gone already fails its first read.
                        let _ = stream.set_nodelay(true);
                        let Some(tls) = self.reloaded.get().tls else {
                            return (Either::Left(stream), Peer { address, tls: false, certificate: None });
                        };
                        self.handshakes.push(handshake(TlsAcceptor::from(tls), stream, address).boxed());
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(Peer { address: self.tcp.local_addr()?, tls: false, certificate: None })
    }
}

async fn handshake(acceptor: TlsAcceptor, stream: TcpStream, address: SocketAddr) -> Option<(Io, Peer)> {
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(e)) => {
            tracing::debug!(client = %address, "TLS handshake: {e}");
            return None;
        }
        Err(_) => return None,
    };
    let shown = stream.get_ref().1.peer_certificates().and_then(|all| all.first());
    let certificate = shown.and_then(|der| ClientCertificate::parse(der)).map(Arc::new);
    Some((Either::Right(Box::new(stream)), Peer { address, tls: true, certificate }))
}

/// The bytes of a connection: plain, or with TLS.
pub(super) type Io = Either<TcpStream, Box<TlsStream<TcpStream>>>;
