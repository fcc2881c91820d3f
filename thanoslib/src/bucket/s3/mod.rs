//! What S3 needs beyond `object_store`: connections, TLS, addresses, credentials.
//!
//! Invariant: installs nothing process-wide; TLS uses an explicit configuration.

mod body;
mod connector;
pub(super) mod credentials;
pub(super) mod endpoint;

pub(crate) use connector::{Connector, HttpSettings};
