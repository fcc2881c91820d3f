//! The gRPC APIs of thanoslib: protobuf messages, servers and clients.
//!
//! | module | holds |
//! |---|---|
//! | [`pb`] | the messages, services and clients that the `.proto` files give |
//! | [`convert`] | between messages and the types of thanoslib |
//! | [`server`] | the services over any [`thanoslib::apis::Apis`] |
//! | [`client`] | the APIs of a peer |
//! | [`codec`] | how messages are framed |
//! | [`snappy`] | the compression of Go peers |
//! | [`status`] | between errors and gRPC codes |

pub mod client;
pub mod codec;
pub mod convert;
pub mod pb;
pub mod server;
pub mod snappy;
pub mod status;
#[cfg(feature = "testing")]
pub mod testing;

pub use tonic;

/// Largest message that is sent or accepted, in bytes: that of Thanos, 2^31 − 1.
pub const MESSAGE_MAX_BYTES: usize = i32::MAX as usize;

/// Metadata key that names the tenant of a request.
pub const TENANT_METADATA: &str = "thanos-tenant";

/// What gRPC is called in a TLS handshake.
const PROTOCOL: &str = "h2";

/// Metadata key that names a request in logs, on its whole way.
pub const REQUEST_ID_METADATA: &str = "request-id";

/// Metadata that names the span which a call is part of, as W3C Trace Context has it.
pub const TRACE_METADATA: &str = "traceparent";
