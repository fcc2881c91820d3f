//! Serving routes on a listener.

use thanoslib::{Error, Result};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::Routes;

use super::{TransportSettings, transport};

/// Serves until `stop` completes; calls under way are answered to their end.
///
/// # Errors
/// `Internal` when the listener fails.
pub async fn serve(
    routes: Routes,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send,
) -> Result<()> {
    transport(&TransportSettings::default())
        .add_routes(routes)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop)
        .await
        .map_err(|e| Error::internal("gRPC server").with_source(e))
}
