//! What the thanos commands share: configuration, logging, signals, listeners.
//!
//! Invariant: translates between the system and the library; decides nothing about data.

pub mod bucket_metrics;
pub mod env;
pub mod kingpin;
pub mod listen;
pub mod logging;
pub mod objstore;
pub mod process_metrics;
#[cfg(feature = "prometheus")]
pub mod prometheus_flags;
pub mod request;
pub mod server_flags;
pub mod shutdown;
pub mod spans;
pub mod values;
pub mod web;
