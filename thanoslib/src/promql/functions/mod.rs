//! The functions of PromQL.
//!
//! Invariant: computes on blocks of steps and windows of samples; knows no stores.

pub(crate) mod range;
mod table;

pub use table::{Function, Id, find};
