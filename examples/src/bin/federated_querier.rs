//! A querier inside another service: one view over Thanos endpoints, replicas merged, PromQL.
//!
//! `cargo run -p thanoslib-examples --bin federated_querier -- 'sum(up)' HOST:PORT…`

use std::sync::Arc;

use anyhow::{Context as _, Result};
use thanoslib::{
    Clock, Context, Engine, EngineOptions, InstantQuery, Pool, QueryValue, SelectOptions, StoreQueryable,
    SystemClock, promql,
    query::{EndpointSet, EndpointSettings, EndpointSpec},
    store::{Proxy, ProxySettings},
};
use thanoslib_grpc::client::{ClientSettings, Connector};

/// The answer of one query over all endpoints, a line a series.
pub(crate) async fn ask(text: &str, addresses: &[String]) -> Result<Vec<String>> {
    let specs: Vec<_> = addresses.iter().map(EndpointSpec::new).collect();
    let connector = Arc::new(Connector::new(ClientSettings::default())?);
    let clock = Arc::new(SystemClock);
    let endpoints = EndpointSet::new(Arc::new(specs), connector, clock, EndpointSettings::default());
    let endpoints = Arc::new(endpoints);
    // One look at all of them; a service that goes on running awaits `endpoints.run(shutdown)` beside.
    endpoints.update().await;

    let store = Arc::new(Proxy::new(endpoints, ProxySettings::default()));
    let options = SelectOptions { replica_labels: vec!["replica".to_owned()], ..SelectOptions::default() };
    let queryable = Arc::new(StoreQueryable::new(store, options));
    let engine = Engine::new(EngineOptions::default(), Arc::new(Pool::new(2)?));
    let expr = promql::parse(text, engine.options())?;
    let query =
        InstantQuery { expr, text: Arc::from(text), time_ms: SystemClock.now_ms(), lookback_ms: None };
    let answer = engine.instant(&Context::default(), queryable, query).await?;
    answer.warnings.iter().for_each(|warning| eprintln!("incomplete: {warning}"));
    Ok(match answer.value {
        QueryValue::Vector(samples) => {
            samples.iter().map(|s| format!("{} {:?}", s.labels, s.value)).collect()
        }
        other => vec![format!("{other:?}")],
    })
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let text = arguments.next().context("give a query, then addresses")?;
    let addresses: Vec<String> = arguments.collect();
    ask(&text, &addresses).await?.iter().for_each(|line| println!("{line}"));
    Ok(())
}
