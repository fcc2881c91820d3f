//! A store behind a channel.
//!
//! Invariant: one peer, one connection; knows neither discovery nor retries.

mod series;
mod store;

pub use store::StoreClient;
