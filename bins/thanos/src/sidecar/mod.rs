//! `thanos sidecar`: a Prometheus served to queriers, its blocks uploaded, its configuration reloaded.

mod flags;
mod metrics;

use std::sync::Arc;

use anyhow::{Context as _, Result};
use thanoslib::{
    budget::Budget,
    context::Context,
    http::{self, Probes, Readiness},
    metrics::Collect,
    model::duration::parse_size,
    sidecar::Sidecar,
    store::{StoreLimits, prometheus::PrometheusStore},
};
use thanoslib_bins_common::{
    bucket_metrics::BucketFamilies,
    listen::listen,
    process_metrics::ProcessMetrics,
    request::Requests,
    shutdown::{self, until},
    spans::{self, Spans, SpansTask},
    web::WebServer,
};
use thanoslib_grpc::{
    server::{self, Services},
    tonic::service::Routes,
};
use tokio::{sync::watch, task::JoinSet};

pub(crate) use flags::SidecarFlags;

/// What `thanos_build_info` says.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Most memory that all calls may hold together.
const MEMORY: &str = "4GiB";

/// Serves until a signal comes.
pub(crate) async fn run(flags: SidecarFlags, spans: Option<(Arc<Spans>, SpansTask)>) -> Result<()> {
    let stop = shutdown::signals()?;
    let settings = flags.settings()?;
    let web = WebServer::open(&flags.http.http_config)?;
    let sink = spans::sink(spans.as_ref().map(|(spans, _)| spans));
    let requests = Requests::new(&flags.request_logging, &flags.request_logging_file, sink)?;
    let reload_method = settings.reloader.method.as_str();
    let store = PrometheusStore::new(flags.prometheus.client()?).with_min_time(flags.min_time()?);
    let store = Arc::new(store);
    let mut sidecar = Sidecar::new(Arc::clone(&store), settings);
    let mut bucket_metrics: Option<Arc<dyn Collect>> = None;
    match flags.objstore.bucket_if_set()? {
        Some(bucket) => {
            let families = Arc::new(BucketFamilies::new(bucket.name()));
            sidecar = sidecar.with_bucket(bucket.with_metrics(Arc::clone(&families) as _));
            bucket_metrics = Some(families);
        }
        None => tracing::info!("no bucket is configured, blocks are not uploaded"),
    }
    let http = listen("http-address", &flags.http.http_address).await?;
    let grpc = listen("grpc-address", &flags.grpc.grpc_address).await?;
    let (http_address, grpc_address) = (http.local_addr()?, grpc.local_addr()?);

    let mut services = Services::new(sidecar.apis(), grpc_settings(&flags)?);
    services.context = Context::new(Budget::new("process memory", parse_size(MEMORY)?));
    let mut span_metrics: Option<Arc<dyn Collect>> = None;
    let (stopping, stopped) = watch::channel(false);
    let mut sending = JoinSet::new();
    if let Some((spans, task)) = spans {
        services.context = services.context.with_trace(&(Arc::clone(&spans) as _), None);
        span_metrics = Some(spans);
        sending.spawn(task.run(stopped.clone()));
    }
    let transport = services.settings.transport.clone();
    let readiness = Readiness::default();
    let probes = Probes {
        component: "sidecar",
        version: VERSION.to_owned(),
        readiness: readiness.clone(),
        metrics: [
            Arc::new(metrics::SidecarFamilies {
                sidecar: Arc::clone(sidecar.metrics()),
                reads: Arc::clone(store.metrics()),
                reload_method,
            }) as Arc<dyn Collect>,
            Arc::clone(&services.metrics) as _,
            Arc::new(ProcessMetrics),
        ]
        .into_iter()
        .chain(bucket_metrics)
        .chain(span_metrics)
        .collect(),
    };
    let (routes, grpc_readiness) = services.build().await?;
    let routes = Routes::from(requests.around_grpc(routes.into_axum_router()));
    let router = probes.router().fallback(http::not_found);

    let grace = flags.http.http_grace_period.0;
    let http_server = web.serve(http, router, stopped.clone(), grace);
    let grpc_server = async {
        server::serve_routes(routes, &transport, grpc, until(stopped.clone())).await.context("gRPC server")
    };
    let mut ready = sidecar.ready();
    let follow = async {
        loop {
            let up = *ready.borrow_and_update();
            readiness.set(up);
            grpc_readiness.set(up).await;
            if up {
                tracing::info!(http = %http_address, grpc = %grpc_address, "ready");
            }
            if ready.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let work = async {
        tokio::select! {
            ended = sidecar.run(stop) => {
                tracing::info!("stopping");
                readiness.set(false);
                grpc_readiness.set(false).await;
                // Nobody listens any more only when all servers are gone already.
                let _ = stopping.send(true);
                ended.map_err(anyhow::Error::from)
            }
            () = follow => Ok(()),
        }
    };
    tracing::info!(http = %http_address, grpc = %grpc_address, prometheus = store.client().address(), "serving");
    let (worked, http, grpc) = tokio::join!(work, http_server, grpc_server);
    while sending.join_next().await.is_some() {}
    worked.and(http).and(grpc)
}

/// How gRPC is served.
fn grpc_settings(flags: &SidecarFlags) -> Result<server::Settings> {
    Ok(server::Settings {
        limits: StoreLimits {
            series_max: flags.limits.request_series,
            samples_max: flags.limits.request_samples,
        },
        transport: server::TransportSettings {
            connection_age_max: flags.grpc.max_connection_age.0,
            grace: flags.grpc.grpc_grace_period.0,
            tls: flags.grpc.tls()?,
            ..server::TransportSettings::default()
        },
        ..server::Settings::default()
    })
}
