//! `thanos sidecar`: a Prometheus served to queriers, its blocks uploaded, its configuration reloaded.

mod flags;
mod metrics;

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use thanoslib::{
    budget::Budget,
    context::Context,
    http::{self, Probes, Readiness},
    model::duration::parse_size,
    sidecar::Sidecar,
    store::prometheus::PrometheusStore,
};
use thanoslib_bins_common::{listen::listen, server_flags::GrpcServerFlags, shutdown};
use thanoslib_grpc::{
    server::{self, Services},
    tls::{ServerTlsSettings, TlsVersion},
};
use tokio::sync::watch;

pub(crate) use flags::SidecarFlags;

/// What `thanos_build_info` says.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Most memory that all calls may hold together.
const MEMORY: &str = "4GiB";

/// Serves until a signal comes.
pub(crate) async fn run(flags: SidecarFlags) -> Result<()> {
    let stop = shutdown::signals()?;
    let settings = flags.settings()?;
    if !flags.http.http_config.is_empty() {
        bail!("--http.config: TLS and passwords of the HTTP endpoints are not offered by this command");
    }
    let reload_method = settings.reloader.method.as_str();
    let watches = settings.reloader.config_file.is_some() || !settings.reloader.rule_dirs.is_empty();
    let store = PrometheusStore::new(flags.prometheus.client()?).with_min_time(flags.min_time()?);
    let store = Arc::new(store);
    let mut sidecar = Sidecar::new(Arc::clone(&store), settings);
    match flags.objstore.bucket_if_set()? {
        Some(bucket) => sidecar = sidecar.with_bucket(bucket),
        None => tracing::info!("no bucket is configured, blocks are not uploaded"),
    }
    let http = listen("http-address", &flags.http.http_address).await?;
    let grpc = listen("grpc-address", &flags.grpc.grpc_address).await?;
    let (http_address, grpc_address) = (http.local_addr()?, grpc.local_addr()?);

    let mut services = Services::new(sidecar.apis(), grpc_settings(&flags)?);
    services.context = Context::new(Budget::new("process memory", parse_size(MEMORY)?));
    let transport = services.settings.transport.clone();
    let readiness = Readiness::default();
    let probes = Probes {
        component: "sidecar",
        version: VERSION.to_owned(),
        readiness: readiness.clone(),
        metrics: vec![
            Arc::new(metrics::SidecarFamilies {
                sidecar: Arc::clone(sidecar.metrics()),
                reads: Arc::clone(store.metrics()),
                reload_method: watches.then_some(reload_method),
            }),
            Arc::clone(&services.metrics) as _,
        ],
    };
    let (routes, grpc_readiness) = services.build().await?;
    let router = probes.router().fallback(http::not_found);

    let (stopping, stopped) = watch::channel(false);
    let grace = flags.http.http_grace_period.0;
    let http_server = async {
        let end = until(stopped.clone());
        let serving = axum::serve(http, router).with_graceful_shutdown(end).into_future();
        let late = async {
            until(stopped.clone()).await;
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            ended = serving => ended.context("HTTP server"),
            () = late => Ok(()),
        }
    };
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
    worked.and(http).and(grpc)
}

/// Completes when the process stops.
async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which ends the process as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// How gRPC is served.
fn grpc_settings(flags: &SidecarFlags) -> Result<server::Settings> {
    Ok(server::Settings {
        limits: server::SeriesLimits {
            series_max: flags.limits.request_series,
            samples_max: flags.limits.request_samples,
        },
        transport: server::TransportSettings {
            connection_age_max: flags.grpc.max_connection_age.0,
            grace: flags.grpc.grpc_grace_period.0,
            tls: tls(&flags.grpc)?,
            ..server::TransportSettings::default()
        },
        ..server::Settings::default()
    })
}

fn tls(flags: &GrpcServerFlags) -> Result<Option<ServerTlsSettings>> {
    if !flags.tls_ciphers.is_empty() || !flags.tls_curves.is_empty() {
        bail!("--grpc-server-tls-ciphers and --grpc-server-tls-curves cannot be chosen");
    }
    match (flags.tls_cert.is_empty(), flags.tls_key.is_empty()) {
        (true, true) if flags.tls_client_ca.is_empty() => Ok(None),
        (false, false) => {
            let mut tls = ServerTlsSettings::new(&flags.tls_cert, &flags.tls_key);
            tls.client_ca_file = (!flags.tls_client_ca.is_empty()).then(|| (&flags.tls_client_ca).into());
            tls.min_version = match flags.tls_min_version.as_str() {
                "1.3" => TlsVersion::Tls13,
                // Nothing older is spoken.
                _ => TlsVersion::Tls12,
            };
            Ok(Some(tls))
        }
        (true, true) => bail!("when a client CA is used a server key and certificate must also be provided"),
        _ => bail!("both server key and certificate must be provided"),
    }
}
