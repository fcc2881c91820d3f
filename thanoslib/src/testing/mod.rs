//! Fakes, fault doubles and contract suites for tests.
//!
//! Invariant: may name every layer; only tests name it.

pub mod golden;
mod memory_queryable;
#[cfg(feature = "promql-parser")]
pub mod promqltest;
mod store_contract;

pub use memory_queryable::MemoryQueryable;
pub use store_contract::store_contract;
