//! Fakes, fault doubles and contract suites for tests.
//!
//! Invariant: may name every layer; only tests name it.

pub mod answers;
mod bucket_contract;
mod faulty_bucket;
mod faulty_store;
pub mod golden;
mod memory_queryable;
pub mod promqltest;
mod store_contract;

pub use bucket_contract::bucket_contract;
pub use faulty_bucket::{Effect, Fault, FaultyBucket, When};
pub use faulty_store::{FaultyStore, StoreFault};
pub use memory_queryable::MemoryQueryable;
pub use store_contract::store_contract;
