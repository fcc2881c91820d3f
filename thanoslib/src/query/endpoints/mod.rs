//! The endpoints behind a querier: what they say of themselves, and how they are reached.
//!
//! Invariant: knows what an endpoint is; the wire is behind [`Connect`] and [`Peer`].

mod peer;

pub use peer::{Connect, EndpointInfo, EndpointSpec, Peer};
