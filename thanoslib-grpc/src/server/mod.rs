//! Serves any [`Store`](thanoslib::store::Store) over gRPC: Store, Info, health and reflection.
//!
//! ```no_run
//! use std::sync::Arc;
//! use thanoslib::store::Store;
//! use thanoslib_grpc::server::{self, Services, Settings};
//!
//! async fn serve(store: Arc<dyn Store>) -> Result<(), Box<dyn std::error::Error>> {
//!     let (routes, readiness) = Services::new(store, Settings::default()).build().await?;
//!     readiness.set(true).await;
//!     let address = ([127, 0, 0, 1], 10901).into();
//!     server::transport(&server::TransportSettings::default()).add_routes(routes).serve(address).await?;
//!     Ok(())
//! }
//! ```
//!
//! Messages travel uncompressed. A call that comes compressed is answered `Unimplemented`,
//! also with the codec `snappy` that Thanos can be told to use (`--grpc-compression`).
//!
//! Invariant: knows the protocol and the Store trait, no implementation of it; starts no task.

mod call;
mod info;
mod readiness;
mod series;
mod serve;
mod services;
mod store;
mod transport;
mod unknown;

use thanoslib::context::AdmissionSettings;

pub use info::InfoServer;
pub use readiness::Readiness;
pub use series::ResponseStream;
pub use serve::serve;
pub use services::Services;
pub use store::StoreServer;
pub use transport::{TransportSettings, transport};

/// How a store is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Sends hints in Series answers, too; Thanos' own store gateway does not.
    pub series_hints: bool,
    /// How many calls of the Store service run and wait, and for how much memory.
    pub admission: AdmissionSettings,
}
