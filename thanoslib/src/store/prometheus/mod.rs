//! A live Prometheus as a store.
//!
//! [`PrometheusStore`] answers Series by remote read, whose chunks are passed on as they come, and
//! label calls by the HTTP API. External labels and the oldest time are asked of the server by
//! [`PrometheusStore::refresh`]. [`PrometheusClient`] is the connection, with which other APIs of
//! the server are asked, too.
//!
//! Invariant: reads from one server over HTTP; starts no task and keeps no samples.

mod client;
mod config;
mod gather;
mod json;
mod labels;
mod metrics;
#[cfg(test)]
pub(crate) mod mock;
mod order;
mod read;
mod refresh;
mod sampled;
mod series;
#[cfg(test)]
mod tests;
mod version;

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;

pub use client::PrometheusClient;
pub use config::HttpClientConfig;
pub use metrics::ReadMetrics;

pub(crate) use client::{Answer, seconds};
#[cfg(feature = "sidecar")]
pub(crate) use json::or_default;

use super::{
    Abilities, LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, SeriesRequest, SeriesStream,
    Store, StoreInfo, TsdbInfo,
};
use crate::{
    clock::{Clock, SystemClock},
    context::Context,
    error::{Error, Result},
    model::{Interval, Labels, TimeBound},
};

use refresh::View;

/// A live Prometheus as a [`Store`]; knows no external labels until it was refreshed.
///
/// ```no_run
/// use thanoslib::{Context, Store, store::prometheus::{HttpClientConfig, PrometheusClient, PrometheusStore}};
/// # async fn demo() -> thanoslib::Result<()> {
/// let client = PrometheusClient::new("http://localhost:9090", &HttpClientConfig::default())?;
/// let store = PrometheusStore::new(client);
/// store.refresh(&Context::default()).await?;
/// println!("{:?}", store.info().label_sets);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PrometheusStore {
    client: PrometheusClient,
    component: &'static str,
    min_time: TimeBound,
    clock: Arc<dyn Clock>,
    view: RwLock<Arc<View>>,
    metrics: Arc<ReadMetrics>,
}

impl PrometheusStore {
    /// A store over a server.
    pub fn new(client: PrometheusClient) -> Self {
        let min_time = TimeBound::default();
        Self {
            client,
            component: "sidecar",
            min_time,
            clock: Arc::new(SystemClock),
            view: RwLock::new(Arc::new(View::before(min_time, SystemClock.now_ms()))),
            metrics: Arc::default(),
        }
    }

    /// The same store that holds nothing before a time.
    #[must_use]
    pub fn with_min_time(mut self, min_time: TimeBound) -> Self {
        self.min_time = min_time;
        self.view = RwLock::new(Arc::new(View::before(min_time, self.clock.now_ms())));
        self
    }

    /// The same store with another clock, by which relative times are told.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        let min_time = self.min_time;
        self.with_min_time(min_time)
    }

    /// The connection to the server.
    pub fn client(&self) -> &PrometheusClient {
        &self.client
    }

    /// What was read so far.
    pub fn metrics(&self) -> &Arc<ReadMetrics> {
        &self.metrics
    }

    /// External labels of the server, as of the last refresh.
    pub fn external_labels(&self) -> Labels {
        self.view().external.clone()
    }

    fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is known of the server.
    ///
    /// # Errors
    /// `Unavailable` before the first refresh, when its labels are not known.
    fn known(&self) -> Result<Arc<View>> {
        let view = self.view();
        if view.known {
            return Ok(view);
        }
        let address = self.client.address();
        Err(Error::unavailable(format!("Prometheus at {address} was not asked for its external labels yet")))
    }

    fn set_view(&self, view: View) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }
}

#[async_trait]
impl Store for PrometheusStore {
    fn info(&self) -> StoreInfo {
        let view = self.view();
        let interval = Interval::new(view.mint, i64::MAX);
        let sets = if view.external.is_empty() { Vec::new() } else { vec![view.external.clone()] };
        StoreInfo {
            component: self.component,
            tsdbs: sets.iter().map(|labels| TsdbInfo { labels: labels.clone(), interval }).collect(),
            label_sets: sets,
            interval: Some(interval),
            abilities: Abilities::ALL,
            blocks_hash: None,
        }
    }

    fn abilities(&self) -> Abilities {
        Abilities::ALL
    }

    async fn series(&self, ctx: &Context, request: SeriesRequest) -> Result<SeriesStream> {
        self.answer_series(ctx, request).await
    }

    async fn label_names(&self, ctx: &Context, request: LabelNamesRequest) -> Result<LabelNames> {
        self.answer_label_names(ctx, request).await
    }

    async fn label_values(&self, ctx: &Context, request: LabelValuesRequest) -> Result<LabelValues> {
        self.answer_label_values(ctx, request).await
    }
}
