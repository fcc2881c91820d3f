//! Fakes, fault doubles and contract suites for tests.
//!
//! Invariant: may name every layer; only tests name it.

pub mod golden;
mod store_contract;

pub use store_contract::store_contract;
