//! What runs beside a Prometheus: its series and other APIs for queriers, its blocks into a bucket,
//! its configuration reloaded.
//!
//! [`Sidecar::run`] looks after the server in short intervals ([`Sidecar::ready`] tells what it
//! finds), uploads blocks if there is a bucket, and reloads if there is something to watch. The APIs
//! of [`Sidecar::apis`] answer whether it runs or not.
//!
//! Invariant: knows one Prometheus and its data folder; knows no wire and no flags.

mod flags;
mod heartbeat;
mod metrics;
mod proxies;
mod reloader;
mod shipper;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

pub use metrics::{Count, SidecarMetrics};
pub use proxies::PrometheusApis;
pub use reloader::{ReloadMethod, ReloaderSettings};
pub use shipper::{ShipperFile, ShipperSettings};

use crate::{
    apis::Apis,
    bucket::Bucket,
    clock::{Clock, SystemClock},
    error::Result,
    store::prometheus::PrometheusStore,
};

/// How a sidecar works; the defaults are those of Thanos.
///
/// ```
/// use std::time::Duration;
/// use thanoslib::sidecar::{ReloadMethod, ReloaderSettings, Settings, ShipperSettings};
/// let settings = Settings {
///     shipper: ShipperSettings { data_dir: "/prometheus".into(), ..ShipperSettings::default() },
///     reloader: ReloaderSettings { rule_dirs: vec!["/rules".into()], ..ReloaderSettings::default() },
///     ..Settings::default()
/// };
/// assert_eq!(settings.ready_timeout, Duration::from_secs(600));
/// assert_eq!(settings.reloader.method, ReloadMethod::Http);
/// ```
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long uploads wait for the first answer of the server before the sidecar fails. Default: 10 min.
    pub ready_timeout: Duration,
    /// How often the server is asked for labels and times. Default: 30 s.
    pub config_interval: Duration,
    /// How long one round of questions may take. Default: 30 s.
    pub config_timeout: Duration,
    /// How soon a server that did not answer is asked again. Default: 2 s.
    pub retry_interval: Duration,
    /// How blocks are uploaded.
    pub shipper: ShipperSettings,
    /// What is watched, and how a reload is asked for.
    pub reloader: ReloaderSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ready_timeout: Duration::from_secs(600),
            config_interval: Duration::from_secs(30),
            config_timeout: Duration::from_secs(30),
            retry_interval: Duration::from_secs(2),
            shipper: ShipperSettings::default(),
            reloader: ReloaderSettings::default(),
        }
    }
}

/// The sidecar of one Prometheus.
///
/// ```no_run
/// use std::sync::Arc;
/// use thanoslib::sidecar::{Settings, Sidecar};
/// use thanoslib::store::prometheus::{HttpClientConfig, PrometheusClient, PrometheusStore};
/// # async fn demo() -> thanoslib::Result<()> {
/// let client = PrometheusClient::new("http://localhost:9090", &HttpClientConfig::default())?;
/// let sidecar = Sidecar::new(Arc::new(PrometheusStore::new(client)), Settings::default());
/// let _served = sidecar.apis();
/// sidecar.run(std::future::pending()).await
/// # }
/// ```
#[derive(Debug)]
pub struct Sidecar {
    store: Arc<PrometheusStore>,
    settings: Settings,
    bucket: Option<Bucket>,
    clock: Arc<dyn Clock>,
    metrics: Arc<SidecarMetrics>,
    ready: watch::Sender<bool>,
}

impl Sidecar {
    /// A sidecar that uploads nothing.
    pub fn new(store: Arc<PrometheusStore>, settings: Settings) -> Self {
        let (clock, metrics) = (Arc::new(SystemClock), Arc::default());
        Self { store, settings, bucket: None, clock, metrics, ready: watch::Sender::new(false) }
    }

    /// The same sidecar that uploads blocks into a bucket.
    #[must_use]
    pub fn with_bucket(self, bucket: Bucket) -> Self {
        Self { bucket: Some(bucket), ..self }
    }

    /// The same sidecar with another clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// The series and other APIs of the server.
    pub fn apis(&self) -> Apis {
        PrometheusApis::apis(Arc::clone(&self.store))
    }

    /// Whether the server answered when it was asked last; false at first.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// What was done so far.
    pub fn metrics(&self) -> &Arc<SidecarMetrics> {
        &self.metrics
    }

    /// Works until `stop` completes.
    ///
    /// **Cancel safety**: what an upload that is cut off leaves behind is no block yet, and is written
    /// over by the next run.
    ///
    /// # Errors
    /// `Invalid` when the server has no external labels; those of the first look at what is watched;
    /// `Timeout` when blocks are to be uploaded and the server does not answer for long.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) -> Result<()> {
        tokio::select! {
            biased;
            () = stop => Ok(()),
            ended = self.heartbeat() => ended,
            ended = self.ship() => ended,
            ended = self.reload() => ended,
        }
    }

    async fn reload(&self) -> Result<()> {
        let metrics = Arc::clone(&self.metrics);
        let settings = self.settings.reloader.clone();
        let clock = Arc::clone(&self.clock);
        reloader::Reloader::new(self.store.client().clone(), settings, clock, metrics).run().await
    }

    async fn ship(&self) -> Result<()> {
        let Some(bucket) = &self.bucket else { return std::future::pending().await };
        let mut ready = self.ready();
        let first = async {
            // The sender lives as long as this sidecar.
            let _ = ready.wait_for(|ready| *ready).await;
        };
        if tokio::time::timeout(self.settings.ready_timeout, first).await.is_err() {
            let waited = self.settings.ready_timeout.as_secs();
            return Err(crate::Error::timeout(format!(
                "waiting for external labels: Prometheus did not answer for {waited} s"
            )));
        }
        let (store, settings) = (Arc::clone(&self.store), self.settings.shipper.clone());
        let labels = Box::new(move || store.external_labels());
        let (clock, metrics) = (Arc::clone(&self.clock), Arc::clone(&self.metrics));
        shipper::Shipper::new(bucket.clone(), settings, labels, clock, metrics).run().await
    }
}

#[cfg(test)]
mod tests;
