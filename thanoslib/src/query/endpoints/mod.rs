//! The endpoints behind a querier: what they say of themselves, and how they are reached.
//!
//! An [`EndpointSet`] asks each endpoint every few seconds what it is. Who answers is asked for
//! series ([`Stores`](crate::store::Stores)), rules and the rest; who does not is left out until
//! it answers again, and forgotten when it does not for long.
//!
//! Invariant: knows what an endpoint is; the wire is behind [`Connect`] and [`Peer`].

mod apis;
mod endpoint;
mod peer;
mod service_config;
mod set;
mod status;
#[cfg(test)]
mod tests;

pub use peer::{Connect, EndpointInfo, EndpointSpec, Peer};
pub use service_config::{Balancing, MethodConfig, RetryPolicy, ServiceConfig};
pub use set::{EndpointSet, EndpointSettings, EndpointSpecs};
pub use status::{EndpointConnection, EndpointStatus};
