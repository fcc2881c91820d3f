//! The values that everything else is about: labels, matchers, samples and columns of them,
//! histograms, times.
//!
//! Invariant: plain values; knows no bytes on disk, no wire, no clock.

mod aggr;
mod column;
pub mod duration;
pub mod float;
pub mod histogram;
mod kahan;
mod labels;
pub(crate) mod log2;
mod matcher;
pub mod regex;
mod sample;
mod time;
mod warnings;

pub use aggr::Aggr;
pub use column::{
    FloatColumn, FloatHistogramColumn, HistogramColumn, HistogramLayout, IntHistogramColumn, SampleColumns,
};
pub use histogram::{CounterReset, FloatHistogram, Histogram, Span};
pub use kahan::{KahanSum, kahan_add};
pub(crate) use labels::append_flat_string;
pub use labels::{LABEL_NAME, Label, Labels, LabelsBuilder, LabelsIter, LabelsRef};
pub use matcher::{MatchOp, Matcher};
pub use regex::Regex;
pub use sample::{STALE_NAN, Sample, Value, is_stale, stale_nan};
pub use time::{Interval, Resolution, TimeRange};
pub use warnings::{Warning, Warnings};
