//! Serves the APIs of an endpoint over gRPC: Store, Rules, Targets, Metadata, Exemplars, Status,
//! Query, and with them Info, health and reflection.
//!
//! [`serve`] does it in one call. [`Services`] leaves choices: which services there are, when the
//! endpoint is ready, what it counts.
//!
//! Messages that come compressed with `snappy` are answered in kind, as Go peers do; any other
//! compression is answered `Unimplemented`.
//!
//! Invariant: knows the protocol and the traits of the APIs, no implementation of them; starts no
//! task.

mod api;
mod call;
mod connection;
mod exemplars;
mod info;
mod metadata;
mod metrics;
mod observe;
mod query;
mod readiness;
mod rules;
mod series;
mod serve;
mod services;
mod status;
mod store;
mod targets;
mod transport;
mod unknown;

use thanoslib::{context::AdmissionSettings, store::StoreLimits};

pub use api::ApiServer;
pub use info::{About, InfoServer};
pub use metrics::ServerMetrics;
pub(crate) use observe::Scan;
pub use query::QueryServer;
pub use readiness::Readiness;
pub use series::ResponseStream;
pub use serve::{serve, serve_routes};
pub use services::Services;
pub use store::StoreServer;
pub use transport::{TransportSettings, transport};

/// How an endpoint is served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Sends hints in Series answers, too; Thanos' own store gateway does not.
    pub series_hints: bool,
    /// How many calls of the Store service run and wait, and for how much memory.
    pub admission: AdmissionSettings,
    /// How much one Series call may send.
    pub limits: StoreLimits,
    /// Offers projections of labels and honours them; Thanos' own stores do not.
    pub projections: bool,
    /// How connections are kept.
    pub transport: TransportSettings,
}
