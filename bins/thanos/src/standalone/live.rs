//! Live Prometheus servers beside the blocks.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use thanoslib::{
    sidecar::PrometheusApis,
    store::{
        Member,
        prometheus::{HttpClientConfig, PrometheusClient, PrometheusStore},
    },
};

use super::Beside;
use crate::querier::own::Own;

/// How often a server is asked for its labels and times.
const REFRESH: Duration = Duration::from_secs(30);

/// The servers at these addresses; each answers once it was asked for its labels.
pub(super) fn open(urls: &[String]) -> Result<Vec<Beside>> {
    let open = |url: &String| {
        let client = PrometheusClient::new(url, &HttpClientConfig::default()).context("--prometheus.url")?;
        let name = format!("prometheus {}", client.address());
        let store = Arc::new(PrometheusStore::new(client));
        let member = Member { name: name.clone(), store: Arc::clone(&store) as _ };
        let own = Own { member, apis: PrometheusApis::apis(Arc::clone(&store)) };
        Ok(Beside { own, work: Box::new(move |stop| Box::pin(refresh(name, store, stop))) })
    };
    urls.iter().map(open).collect()
}

async fn refresh(name: String, store: Arc<PrometheusStore>, stop: impl Future<Output = ()> + Send) {
    let mut up = None;
    let report = |outcome: thanoslib::Result<()>| {
        match &outcome {
            Ok(()) if up != Some(true) => tracing::info!(source = %name, "answers"),
            Err(e) if up != Some(false) => tracing::warn!(source = %name, "does not answer: {e}"),
            _ => {}
        }
        up = Some(outcome.is_ok());
    };
    store.run(REFRESH, stop, report).await;
}
