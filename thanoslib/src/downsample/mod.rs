//! Downsampled data: windows, which aggregates a function needs, and columns made of them.
//!
//! Invariant: columns in, columns out; knows no blocks, no stores, no clock.

mod aggregates;
mod average;
mod counter;
mod window;

pub use aggregates::aggregates_for;
pub use average::average;
pub use counter::CounterResets;
pub use window::{target_chunk_count, window_end};
