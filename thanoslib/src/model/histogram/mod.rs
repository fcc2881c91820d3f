//! Native histograms: integer as scraped, float as computed with.
//!
//! [`FloatHistogram`] carries the arithmetic of PromQL. Operations return plain results with small
//! flags for what a query should tell its user; the texts are the query engine's.
//!
//! Invariant: plain values and arithmetic; knows no samples in time, no labels, no query.

mod add;
mod bounds;
mod buckets;
mod classic;
mod compact;
mod compare;
mod flat;
mod interpolate;
mod interpolation;
mod quantile;
mod scale;
mod sum;
mod text;
mod trim;
mod validate;
mod variance;

use std::fmt;

pub use bounds::{
    CUSTOM_BUCKETS_SCHEMA, SCHEMA_MAX, SCHEMA_MAX_RESERVED, SCHEMA_MIN, SCHEMA_MIN_RESERVED, custom_bound,
    exponential_bound,
};
pub use buckets::Bucket;
pub use classic::{ClassicBucket, ClassicQuantile, ForcedMonotonicity, bucket_fraction, bucket_quantile};
pub use flat::AddOutcome;
pub use quantile::{Fraction, NanObservations, Quantile};
pub use sum::{HistogramAverage, HistogramSum};
pub use trim::Trim;

/// Two histograms of which only one has custom buckets cannot be combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncompatibleSchema;

impl fmt::Display for IncompatibleSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "cannot apply this operation on histograms with a mix of exponential and custom bucket schemas",
        )
    }
}

impl std::error::Error for IncompatibleSchema {}

/// What is known about a counter reset between a histogram and the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum CounterReset {
    /// Nothing is known: compare the buckets.
    #[default]
    Unknown = 0,
    /// There was a reset.
    Reset = 1,
    /// There was none.
    NotReset = 2,
    /// The histogram is a gauge and never resets.
    Gauge = 3,
}

/// A run of neighbouring buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// Index of the first bucket; for later spans the gap after the span before.
    pub offset: i32,
    /// Number of buckets.
    pub length: u32,
}

/// A native histogram with integer counts; buckets are deltas to the bucket before.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Histogram {
    /// Knowledge about a counter reset.
    pub hint: CounterReset,
    /// Resolution: -4 to 8 exponential, -53 custom bounds.
    pub schema: i32,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// All observations.
    pub count: u64,
    /// Sum of all observations; the stale marker in a stale sample.
    pub sum: f64,
    /// Runs of positive buckets.
    pub positive_spans: Vec<Span>,
    /// Runs of negative buckets.
    pub negative_spans: Vec<Span>,
    /// Positive buckets: the first absolute, then deltas.
    pub positive_deltas: Vec<i64>,
    /// Negative buckets: the first absolute, then deltas.
    pub negative_deltas: Vec<i64>,
    /// Upper bounds of custom buckets, without +Inf.
    pub custom_values: Vec<f64>,
}

/// A native histogram with float counts; buckets are absolute.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct FloatHistogram {
    /// Knowledge about a counter reset.
    pub hint: CounterReset,
    /// Resolution: -4 to 8 exponential, -53 custom bounds.
    pub schema: i32,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Sum of all observations; the stale marker in a stale sample.
    pub sum: f64,
    /// Runs of positive buckets.
    pub positive_spans: Vec<Span>,
    /// Runs of negative buckets.
    pub negative_spans: Vec<Span>,
    /// Positive buckets.
    pub positive_buckets: Vec<f64>,
    /// Negative buckets.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds of custom buckets, without +Inf.
    pub custom_values: Vec<f64>,
}

impl From<&Histogram> for FloatHistogram {
    fn from(h: &Histogram) -> Self {
        let absolute = |deltas: &[i64]| {
            deltas
                .iter()
                .scan(0i64, |sum, d| {
                    *sum = sum.wrapping_add(*d);
                    Some(*sum as f64)
                })
                .collect()
        };
        Self {
            hint: h.hint,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            zero_count: h.zero_count as f64,
            count: h.count as f64,
            sum: h.sum,
            positive_spans: h.positive_spans.clone(),
            negative_spans: h.negative_spans.clone(),
            positive_buckets: absolute(&h.positive_deltas),
            negative_buckets: absolute(&h.negative_deltas),
            custom_values: h.custom_values.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{flat::spans, *};

    /// A histogram with positive buckets; the count is that of all buckets, the sum 0.
    pub(super) fn histogram(
        schema: i32,
        zero_threshold: f64,
        zero_count: f64,
        positive: &[(i32, f64)],
    ) -> FloatHistogram {
        let (positive_spans, positive_buckets) = spans(positive.iter().copied());
        FloatHistogram {
            schema,
            zero_threshold,
            zero_count,
            count: zero_count + positive.iter().map(|(_, v)| v).sum::<f64>(),
            positive_spans,
            positive_buckets,
            ..FloatHistogram::default()
        }
    }

    #[test]
    fn integer_buckets_become_absolute() {
        let h = Histogram { positive_deltas: vec![2, -1, 3], count: 7, ..Histogram::default() };
        let f = FloatHistogram::from(&h);
        assert_eq!((&f.positive_buckets[..], f.count), (&[2.0, 1.0, 4.0][..], 7.0));
    }
}
