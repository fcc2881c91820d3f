//! `thanos query`: the global view over many stores, asked over HTTP and gRPC.

mod flags;

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context as _, Result};
use thanoslib::clock::{Clock, SystemClock};
use thanoslib_bins_common::{
    request::Requests,
    shutdown,
    spans::{self, Spans, SpansTask},
    web::WebServer,
};
use thanoslib_grpc::server;

use crate::querier::{
    clients,
    endpoints::Endpoints,
    node,
    node::QuerierFlags,
    serve::{Listeners, Serving, route_prefix},
    settings,
};
pub(crate) use flags::QueryFlags;

/// Serves until a signal comes; `shown` are the flags as the API tells them.
pub(crate) async fn run(
    flags: QueryFlags,
    shown: BTreeMap<String, String>,
    spans: Option<(Arc<Spans>, SpansTask)>,
) -> Result<()> {
    let stop = shutdown::signals()?;
    let web = WebServer::open(&flags.http.http_config)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let endpoints = Endpoints::open(
        &flags.endpoints,
        &flags.client,
        flags.engine.timeout.0,
        flags.proxy.replica_groups,
        Arc::clone(&clock),
    )
    .await?;
    let querier = QuerierFlags {
        engine: &flags.engine,
        answers: &flags.answers,
        memory: &flags.memory,
        web: &flags.web,
        proxy: &flags.proxy,
        tenancy: &flags.tenancy,
        limits: &flags.limits,
        telemetry: &flags.telemetry,
    };
    let sink = spans::sink(spans.as_ref().map(|(spans, _)| spans));
    let requests = Requests::new(&flags.web.logging, &flags.web.logging_file, sink.clone())?;
    let querier = node::build(querier, &endpoints, Vec::new(), clock, shown, sink)?;
    let serving = Serving {
        component: "query",
        api: querier.api,
        route_prefix: route_prefix(&flags.web.route_prefix, &flags.web.external_prefix),
        metrics: querier.metrics,
        apis: querier.apis,
        grpc: server::Settings {
            admission: settings::admission(&flags.memory, flags.engine.max_concurrent)?,
            limits: querier.limits,
            transport: clients::transport(&flags.grpc)?,
            ..server::Settings::default()
        },
        budget: querier.budget,
        web,
        requests,
        spans,
        http_grace: flags.http.http_grace_period.0,
        listeners: Listeners::open(&flags.http.http_address, &flags.grpc.grpc_address).await?,
    };
    let (tasks, first) = (endpoints.tasks(), node::first_update(&flags.proxy));
    let first = async move {
        if tokio::time::timeout(first, endpoints.set.updated()).await.is_err() {
            tracing::warn!(after = ?first, "not all endpoints have said what they are");
        }
    };
    serving.run(tasks, first, stop, |_, _| ()).await.context("serve")
}
