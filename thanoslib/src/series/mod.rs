//! Series in motion: columns of samples, batches of series with their chunks as bytes.
//!
//! Invariant: sync; knows no files, no stores, no PromQL.

mod batch;
mod column;
mod merge;

pub use batch::{Aggr, BatchBuilder, ChunkMeta, ChunkView, SeriesBatch, SeriesView};
pub use column::{
    FloatColumn, FloatHistogramColumn, HistogramColumn, HistogramLayout, IntHistogramColumn, SampleColumns,
};
pub use merge::ChunkJoin;
