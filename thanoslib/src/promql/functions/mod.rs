//! The functions of PromQL.
//!
//! Invariant: computes on blocks of steps and windows of samples; knows no stores.

mod table;

pub use table::{Function, Id, find};
