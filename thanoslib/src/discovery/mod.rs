//! Finding endpoints: addresses, DNS names, target files, and the configuration that lists them.
//!
//! [`Discovery`] keeps the list of endpoints fresh and hands it to an
//! [`EndpointSet`](crate::query::EndpointSet).
//!
//! Invariant: knows names and addresses; speaks to no endpoint.

mod address;
mod client;
mod config;
mod dns;
mod files;
mod glob;
mod resolver;
mod run;
#[cfg(test)]
mod tests;

pub use address::{Lookup, LookupKind};
pub use client::{ClientConfig, ClientSettings, ClientTls, Compression};
pub use config::{EndpointEntry, EndpointsConfig};
pub use dns::{DnsProvider, DnsStatistics};
pub use files::{FileTargets, parse_targets};
pub use resolver::{DnsResolver, HostLookup, Resolve};
pub use run::{ClientSink, Discovery, DiscoverySettings};
