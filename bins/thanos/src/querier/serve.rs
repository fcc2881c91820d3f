//! Serves a querier over HTTP and gRPC until it is told to stop.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use axum::{
    Router,
    extract::Request,
    http::{StatusCode, header},
    routing::{any, get},
};
use futures::future::BoxFuture;
use thanoslib::{
    apis::Apis,
    budget::Budget,
    context::Context,
    http::{self, Api, Probes, Readiness},
    metrics::Collect,
};
use thanoslib_bins_common::{
    listen::listen,
    process_metrics::ProcessMetrics,
    request::Requests,
    shutdown::until,
    spans::{Spans, SpansTask},
    web::WebServer,
};
use thanoslib_grpc::{
    server::{self, Services},
    tonic::service::Routes,
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tower::ServiceExt;

use super::settings::THANOS_VERSION;

/// The two ports of a process, open.
#[derive(Debug)]
pub(crate) struct Listeners {
    http: TcpListener,
    grpc: TcpListener,
}

impl Listeners {
    /// Opens both ports.
    pub(crate) async fn open(http: &str, grpc: &str) -> Result<Self> {
        Ok(Self { http: listen("http-address", http).await?, grpc: listen("grpc-address", grpc).await? })
    }
}

/// What a process serves.
pub(crate) struct Serving {
    /// What it is: `query`, `standalone`, …
    pub component: &'static str,
    /// The HTTP API.
    pub api: Arc<Api>,
    /// Prefix of the API's paths; empty, or with a slash in front and none behind.
    pub route_prefix: String,
    /// Metrics beside those of the API.
    pub metrics: Vec<Arc<dyn Collect>>,
    /// The APIs over gRPC.
    pub apis: Apis,
    /// How gRPC is served.
    pub grpc: server::Settings,
    /// What gRPC calls draw on.
    pub budget: Arc<Budget>,
    /// How HTTP is served.
    pub web: WebServer,
    /// How requests are logged and traced.
    pub requests: Requests,
    /// Where spans go, and the work of sending them.
    pub spans: Option<(Arc<Spans>, SpansTask)>,
    /// How long HTTP requests under way may go on when the process stops.
    pub http_grace: Duration,
    /// The ports.
    pub listeners: Listeners,
}

/// Work beside serving, which ends when its future of the end completes.
pub(crate) type Task = Box<dyn FnOnce(BoxFuture<'static, ()>) -> BoxFuture<'static, ()> + Send>;

impl Serving {
    /// Serves until `stop`; HTTP from the start, gRPC, and readiness, once `first` has ended.
    pub(crate) async fn run(
        self,
        tasks: Vec<Task>,
        first: impl Future<Output = ()> + Send,
        stop: impl Future<Output = ()> + Send,
        ready: impl FnOnce(&str, &str),
    ) -> Result<()> {
        let (stopping, stopped) = watch::channel(false);
        let mut running = JoinSet::new();
        for task in tasks {
            running.spawn(task(Box::pin(until(stopped.clone()))));
        }
        let readiness = Readiness::default();
        let mut services = Services::new(self.apis, self.grpc);
        services.context = Context::new(self.budget);
        let mut metrics = self.metrics;
        if let Some((spans, task)) = self.spans {
            services.context = services.context.with_trace(&(Arc::clone(&spans) as _), None);
            metrics.push(spans);
            running.spawn(task.run(stopped.clone()));
        }
        metrics.insert(0, Arc::clone(&self.api) as _);
        metrics.push(Arc::clone(&services.metrics) as _);
        metrics.push(Arc::new(ProcessMetrics));
        let probes = Probes {
            component: self.component,
            version: THANOS_VERSION.to_owned(),
            readiness: readiness.clone(),
            metrics,
        };
        let api = self.requests.around_http(http::router(self.api));
        let router = prefixed(api.merge(http::pages()), &self.route_prefix)
            .merge(probes.router())
            .fallback(http::not_found);
        let transport = services.settings.transport.clone();
        let (routes, grpc_readiness) = services.build().await?;
        let routes = Routes::from(self.requests.around_grpc(routes.into_axum_router()));
        let Listeners { http, grpc } = self.listeners;
        let (http_address, grpc_address) = (http.local_addr()?.to_string(), grpc.local_addr()?.to_string());
        let http_server = self.web.serve(http, router, stopped.clone(), self.http_grace);
        let grpc_server = async {
            let begin = async {
                first.await;
                true
            };
            let begun = tokio::select! {
                begun = begin => begun,
                () = until(stopped.clone()) => false,
            };
            if !begun {
                return Ok(());
            }
            readiness.set(true);
            grpc_readiness.set(true).await;
            tracing::info!(http = %http_address, grpc = %grpc_address, "ready");
            ready(&http_address, &grpc_address);
            server::serve_routes(routes, &transport, grpc, until(stopped.clone()))
                .await
                .context("gRPC server")
        };
        let signal = async {
            stop.await;
            tracing::info!("stopping");
            readiness.set(false);
            grpc_readiness.set(false).await;
            // Nobody listens any more only when all servers are gone already.
            let _ = stopping.send(true);
            Ok::<(), anyhow::Error>(())
        };
        tokio::try_join!(signal, http_server, grpc_server)?;
        while running.join_next().await.is_some() {}
        Ok(())
    }
}

/// The router below a prefix, to which the root leads.
fn prefixed(router: Router, prefix: &str) -> Router {
    if prefix.is_empty() {
        return router;
    }
    let to_graph = format!("{prefix}/graph");
    let redirect = move || {
        let to = to_graph.clone();
        async move { (StatusCode::FOUND, [(header::LOCATION, to)]) }
    };
    let (below, router) = (prefix.to_owned(), router.fallback(http::not_found));
    let inner = any(move |mut request: Request| {
        let router = router.clone();
        let uri = request.uri().path_and_query().map(|p| p.as_str()).unwrap_or_default();
        if let Some(Ok(uri)) = uri.strip_prefix(&below).map(str::parse) {
            *request.uri_mut() = uri;
        }
        async move { router.oneshot(request).await }
    });
    Router::new()
        .route("/", get(redirect.clone()))
        .route(prefix, get(redirect))
        .route(&format!("{prefix}/"), inner.clone())
        .route(&format!("{prefix}/{{*rest}}"), inner)
}

/// A prefix as `--web.route-prefix` gives it, with a slash in front and none behind.
pub(crate) fn route_prefix(route: &str, external: &str) -> String {
    let given = if route.is_empty() { external } else { route };
    match given.trim_matches('/') {
        "" => String::new(),
        inner => format!("/{inner}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_have_one_spelling() {
        let check = |route: &str, external: &str, want: &str| assert_eq!(route_prefix(route, external), want);
        check("", "", "");
        check("/", "/x", "");
        check("", "/x/", "/x");
        check("pre/a/", "/x", "/pre/a");
    }
}
