//! HTTP/2 as Thanos peers expect it.

use std::time::Duration;

use tonic::transport::Server;

use thanoslib::tls::ServerTlsSettings;

/// How connections are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportSettings {
    /// Time without traffic after which a client is pinged.
    pub keepalive_interval: Duration,
    /// Time that a ping may take before the connection is closed.
    pub keepalive_timeout: Duration,
    /// Age at which a client is asked to connect anew; zero for never.
    pub connection_age_max: Duration,
    /// Calls that run at the same time on one connection.
    pub streams_max: u32,
    /// How long calls under way may go on when the server stops.
    pub grace: Duration,
    /// TLS; `None` for clear text.
    pub tls: Option<ServerTlsSettings>,
}

impl Default for TransportSettings {
    fn default() -> Self {
        Self {
            keepalive_interval: Duration::from_secs(60),
            keepalive_timeout: Duration::from_secs(20),
            connection_age_max: Duration::from_secs(3600),
            streams_max: 1024,
            grace: Duration::from_secs(120),
            tls: None,
        }
    }
}

/// A server that pings idle clients and lets windows grow with the traffic. Pings of clients are
/// answered however often they come, as those of grpc-go are every ten seconds.
pub fn transport(settings: &TransportSettings) -> Server {
    let server = Server::builder()
        .http2_keepalive_interval(Some(settings.keepalive_interval))
        .http2_keepalive_timeout(Some(settings.keepalive_timeout))
        .http2_adaptive_window(Some(true))
        .max_concurrent_streams(settings.streams_max);
    if settings.connection_age_max.is_zero() {
        server
    } else {
        server.max_connection_age(settings.connection_age_max)
    }
}
