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
mod regex;
pub mod relabel;
mod sample;
mod strings;
mod time;
mod warnings;
mod window;

pub use aggr::Aggr;
pub use column::{
    FloatColumn, FloatHistogramColumn, HistogramColumn, HistogramLayout, IntHistogramColumn, SampleColumns,
};
pub use histogram::{CounterReset, FloatHistogram, Histogram, Span};
#[cfg(feature = "promql")]
pub(crate) use kahan::two_sum;
pub(crate) use kahan::{KahanSum, kahan_add};
#[cfg(feature = "promql")]
pub(crate) use labels::LABEL_NAME;
pub(crate) use labels::append_flat_string;
pub use labels::{Label, Labels, LabelsBuilder, LabelsIter, LabelsRef};
pub use matcher::{MatchOp, Matcher};
pub use regex::{Regex, RegexError, TemplateRegex};
pub(crate) use sample::STALE_NAN;
pub use sample::{Value, is_stale, stale_nan};
pub use strings::Strings;
pub use time::{Interval, Resolution, TimeRange};
pub use warnings::{Warning, Warnings};
pub use window::{TimeBound, TimeWindow};
