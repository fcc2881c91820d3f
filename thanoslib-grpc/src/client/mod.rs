//! Peers behind connections: their store, their other APIs.
//!
//! [`connect`] gives the store at an address. [`Connector`] makes whole
//! [`Peer`](thanoslib::query::Peer)s for a querier, with TLS, compression, and groups of
//! interchangeable addresses.
//!
//! Invariant: one peer, one link; knows neither discovery nor which peers there are.

mod apis;
mod call;
mod charge;
mod connect;
mod connector;
mod link;
mod observe;
mod peer;
mod query;
mod series;
mod store;

pub use apis::ApisClient;
pub use connector::{ClientSettings, Connector, connect};
pub use link::{Compression, GroupMembers, Link};
pub use observe::ClientMetrics;
pub use peer::GrpcPeer;
pub use query::QueryClient;
pub use store::StoreClient;
