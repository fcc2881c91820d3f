//! Operators over blocks: aggregations and binary operators.
//!
//! Invariant: blocks in, blocks out; computes and never waits.

pub(crate) mod aggregate;
pub(crate) mod binary;
mod keys;
