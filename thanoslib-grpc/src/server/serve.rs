//! Serving on a listener.

use std::sync::Arc;

use thanoslib::{Error, Result, apis::Apis, tls::ServerTls};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use super::{Services, Settings, TransportSettings, connection, transport};

/// Serves APIs, or a store alone, until `stop` completes; ready from the start.
///
/// Health, reflection and Info come with them, and tell of exactly what is there.
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::{Labels, MemoryStore, Store};
/// use thanoslib_grpc::{client, server};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Labels::from_pairs([("cluster", "eu1")])));
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let address = listener.local_addr()?.to_string();
/// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
/// let running = server::serve(store, server::Settings::default(), listener, async { drop(stopped.await) });
/// let asking = async {
///     let peer = client::connect(&address).await?;
///     assert_eq!(peer.info().label_sets[0].to_string(), r#"{cluster="eu1"}"#);
///     drop((peer, stop));
///     Ok::<(), thanoslib::Error>(())
/// };
/// let (running, asking) = tokio::join!(running, asking);
/// # running?;
/// # asking?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `Invalid` when TLS files cannot be used, `Internal` when the listener fails.
pub async fn serve(
    apis: impl Into<Apis> + Send,
    settings: Settings,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send,
) -> Result<()> {
    let transport = settings.transport.clone();
    let (routes, readiness) = Services::new(apis, settings).build().await?;
    readiness.set(true).await;
    serve_routes(routes, &transport, listener, stop).await
}

/// Serves what [`Services::build`] made until `stop` completes. Calls under way are answered to
/// their end for the grace period; then connections are closed.
///
/// # Errors
/// `Invalid` when TLS files cannot be used, `Internal` when the listener fails.
pub async fn serve_routes(
    routes: Routes,
    settings: &TransportSettings,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send,
) -> Result<()> {
    let tls =
        settings.tls.clone().map(|tls| ServerTls::new(tls, &[crate::PROTOCOL])).transpose()?.map(Arc::new);
    let close = CancellationToken::new();
    // Whatever ends this function ends the connections, too.
    let _closed = close.clone().drop_guard();
    let stopping = CancellationToken::new();
    let incoming = connection::accept(listener, tls, close.clone());
    let serving = transport(settings).add_routes(routes).serve_with_incoming_shutdown(incoming, async {
        stop.await;
        stopping.cancel();
    });
    let grace = async {
        stopping.cancelled().await;
        tokio::time::sleep(settings.grace).await;
        close.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = serving => ended.map_err(|e| Error::internal("gRPC server").with_source(e)),
        () = grace => Ok(()),
    }
}
