//! Whether an endpoint is ready, as health checks and queriers see it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tonic_health::{ServingStatus, server::HealthReporter};

/// The readiness of one endpoint; clones share it. Not ready at first.
#[derive(Clone, Debug)]
pub struct Readiness {
    ready: Arc<AtomicBool>,
    reporter: HealthReporter,
}

impl Readiness {
    pub(super) async fn new(reporter: HealthReporter) -> Self {
        let readiness = Self { ready: Arc::new(AtomicBool::new(false)), reporter };
        readiness.set(false).await;
        readiness
    }

    /// Says whether the endpoint is ready, and tells those who watch its health.
    pub async fn set(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        // The empty name stands for the whole endpoint.
        self.reporter.set_service_status("", status).await;
    }

    /// True when the endpoint is ready.
    pub fn get(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }
}
