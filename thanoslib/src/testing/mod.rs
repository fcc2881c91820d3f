//! Fakes, fault doubles and contract suites for tests.
//!
//! Invariant: may name every layer; only tests name it.

pub mod golden;
