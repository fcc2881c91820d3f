//! Reading downsampled data: which aggregates a function needs, and columns made of them.
//!
//! Invariant: columns in, columns out; knows no blocks, no stores, no clock.

mod aggregates;
mod average;
mod counter;

pub use aggregates::aggregates_for;
pub use average::average;
pub use counter::CounterResets;
