//! Series in motion: batches of series with their chunks as bytes, joined from many sources.
//!
//! Columns of samples are values ([`crate::model`]) and named here too, since both travel together.
//!
//! Invariant: sync; knows no files, no stores, no PromQL.

mod batch;
#[cfg(any(feature = "store", test))]
mod loser_tree;
mod merge;

pub use batch::{BatchBuilder, ChunkMeta, ChunkView, SeriesBatch, SeriesView};
#[cfg(feature = "store")]
pub(crate) use loser_tree::LoserTree;
pub use merge::ChunkJoin;

pub(crate) use crate::model::{Aggr, FloatColumn, FloatHistogramColumn, SampleColumns};
