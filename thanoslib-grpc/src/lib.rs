//! The gRPC Store API of thanoslib: protobuf messages, servers and a client.
//!
//! | module | holds |
//! |---|---|
//! | [`pb`] | the messages, services and clients that the `.proto` files give |
//! | [`convert`] | between messages and the types of thanoslib |
//! | [`server`] | the services over any [`thanoslib::store::Store`] |
//! | [`client`] | a Store over a channel |
//! | [`codec`] | how messages are framed |
//! | [`status`] | between errors and gRPC codes |

pub mod client;
pub mod codec;
pub mod convert;
pub mod pb;
pub mod server;
pub mod status;

pub use tonic;

/// Largest message that is sent or accepted, in bytes: that of Thanos, 2^31 − 1.
pub const MESSAGE_MAX_BYTES: usize = i32::MAX as usize;

/// Metadata key that names the tenant of a request.
pub const TENANT_METADATA: &str = "thanos-tenant";
