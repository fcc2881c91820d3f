//! The command beside real servers: started with the feature `e2e`, which needs a `prometheus` in the
//! path, or one named by THANOSLIB_PROMETHEUS.

#![cfg(feature = "e2e")]

mod faults;
mod process;
mod restart;
mod s3;
mod sidecar;
