//! Downsampled data: windows of samples, their aggregates, and reading them back.
//!
//! [`RawDownsampler`] makes windows of raw samples, [`AggrDownsampler`] longer windows of
//! shorter ones; [`SeriesDownsampler`] is one of both. [`aggregates_for`] says which aggregates a
//! PromQL function is computed from, [`average`] and [`CounterResets`] make samples of them.
//!
//! Invariant: columns and chunks in, columns and chunks out; knows no blocks, no stores, no clock.

mod aggr;
mod aggregates;
mod average;
mod chunks;
mod counter;
mod floats;
mod fold;
mod histograms;
mod raw;
mod series;
#[cfg(test)]
mod tests;
mod window;

pub use aggr::AggrDownsampler;
pub use aggregates::aggregates_for;
pub use average::average;
pub use chunks::AggrChunks;
pub use counter::CounterResets;
pub use raw::RawDownsampler;
pub use series::SeriesDownsampler;
pub use window::{target_chunk_count, window_end};
