//! The services and the clients over real connections.

mod apis;
mod calls;
mod endpoint;
mod fixture;
mod groups;
mod hostile;
mod old_peers;
mod query;
mod round_trip;
mod series;
mod snappy;
mod stopping;
mod tls;
