//! The services and the client over real connections.

mod calls;
mod endpoint;
mod fixture;
mod round_trip;
mod series;
