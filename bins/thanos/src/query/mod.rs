//! `thanos query`: the global view over many stores, asked over HTTP and gRPC.

mod flags;

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context as _, Result};
use futures::FutureExt;
use thanoslib::{
    clock::{Clock, SystemClock},
    query::{EndpointSet, EndpointSpec},
};
use thanoslib_bins_common::shutdown;
use thanoslib_grpc::{client::Connector, server};

use crate::querier::{
    clients, node,
    node::QuerierFlags,
    serve::{Listeners, Serving, route_prefix},
    settings,
};
pub(crate) use flags::QueryFlags;

/// Serves until a signal comes; `shown` are the flags as the API tells them.
pub(crate) async fn run(flags: QueryFlags, shown: BTreeMap<String, String>) -> Result<()> {
    let stop = shutdown::signals()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let connector = Connector::new(clients::settings(&flags.client)?)?;
    let specs: Vec<EndpointSpec> = flags.endpoints.specs()?;
    let watched = node::endpoint_settings(
        flags.endpoints.info_timeout.0,
        flags.endpoints.unhealthy_timeout.0,
        flags.engine.timeout.0,
    );
    let endpoints =
        Arc::new(EndpointSet::new(Arc::new(specs), Arc::new(connector), Arc::clone(&clock), watched));
    let querier = QuerierFlags {
        engine: &flags.engine,
        answers: &flags.answers,
        memory: &flags.memory,
        web: &flags.web,
        proxy: &flags.proxy,
        tenancy: &flags.tenancy,
        limits: &flags.limits,
    };
    let querier = node::build(querier, Arc::clone(&endpoints), Vec::new(), clock, shown)?;
    let serving = Serving {
        component: "query",
        api: querier.api,
        route_prefix: route_prefix(&flags.web.route_prefix, &flags.web.external_prefix),
        metrics: querier.metrics,
        apis: querier.apis,
        grpc: server::Settings {
            admission: settings::admission(&flags.memory, flags.engine.max_concurrent)?,
            transport: clients::transport(&flags.grpc)?,
            ..server::Settings::default()
        },
        budget: querier.budget,
        http_grace: flags.http.http_grace_period.0,
        listeners: Listeners::open(&flags.http.http_address, &flags.grpc.grpc_address).await?,
    };
    let (watching, first) = (Arc::clone(&endpoints), node::first_update(&flags.proxy));
    let watch = Box::new(move |stopped| async move { watching.run(stopped).await }.boxed());
    let first = async move {
        if tokio::time::timeout(first, endpoints.updated()).await.is_err() {
            tracing::warn!(after = ?first, "not all endpoints have said what they are");
        }
    };
    serving.run(vec![watch], first, stop, |_, _| ()).await.context("serve")
}
