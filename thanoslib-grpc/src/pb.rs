//! Messages, services and clients as generated from the folder `proto`, by package.
//!
//! Label names and values, and what the label calls answer, are bytes here: peers do not
//! check that they are UTF-8, and the wire form is that of strings.
//!
//! Invariant: generated code only; `cargo run -p thanoslib-grpc-codegen` rewrites it.

/// Package `thanos`: all services but Info.
#[allow(missing_docs, unreachable_pub, reason = "generated code")]
#[allow(clippy::all, clippy::clone_on_ref_ptr, clippy::future_not_send, reason = "generated code")]
pub mod thanos {
    include!("generated/thanos.rs");

    /// Package `thanos.info`: the Info service.
    pub mod info {
        include!("generated/thanos.info.rs");
    }
}

/// Package `prometheus_copy`: samples as remote write has them.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
pub mod prometheus_copy {
    include!("generated/prometheus_copy.rs");
}

/// Package `hintspb`: what the `hints` fields may hold.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
pub mod hintspb {
    include!("generated/hintspb.rs");
}

/// The descriptors of all files, encoded, as the reflection service shows them.
pub const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.bin");
