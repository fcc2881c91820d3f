//! The HTTP server.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use axum::{Router, middleware};
use tokio::{net::TcpListener, sync::watch};

use super::{
    guard::{self, Guard},
    listener::{Peer, WebListener},
    reload::Reloaded,
};
use crate::shutdown::until;

/// An HTTP server with the settings of a web configuration.
#[derive(Debug)]
pub struct WebServer {
    reloaded: Arc<Reloaded>,
    guard: Arc<Guard>,
}

impl WebServer {
    /// Reads the configuration of `--http.config`; an empty name serves everybody in clear text.
    ///
    /// # Errors
    /// Which key or file is wrong.
    pub fn open(config_file: &str) -> Result<Self> {
        let reloaded = Arc::new(Reloaded::open(config_file)?);
        let guard = Arc::new(Guard::new(Arc::clone(&reloaded))?);
        Ok(Self { reloaded, guard })
    }

    /// Serves until `stopped` says so; requests under way may go on for the grace period then.
    ///
    /// Handlers find who asks as [`Peer`] in `ConnectInfo`, and the client's certificate, if it has
    /// shown one, as `Arc<ClientCertificate>` among the request's extensions.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        router: Router,
        stopped: watch::Receiver<bool>,
        grace: Duration,
    ) -> Result<()> {
        let router = router.layer(middleware::from_fn_with_state(self.guard, guard::pass));
        let service = router.into_make_service_with_connect_info::<Peer>();
        let listener = WebListener::new(listener, self.reloaded);
        let server = axum::serve(listener, service).with_graceful_shutdown(until(stopped.clone()));
        let given_up = async {
            until(stopped).await;
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            ended = std::future::IntoFuture::into_future(server) => ended.context("HTTP server"),
            () = given_up => Ok(()),
        }
    }
}
