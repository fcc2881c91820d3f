//! Native histograms: integer as scraped, float as computed with.
//!
//! [`FloatHistogram`] carries the arithmetic of PromQL. Operations return plain results with small
//! flags for what a query should tell its user; the texts are the query engine's.
//!
//! Invariant: plain values and arithmetic; knows no samples in time, no labels, no query.

mod add;
mod bounds;
mod buckets;
#[cfg(any(feature = "promql", test))]
mod classic;
mod compact;
mod compare;
mod flat;
mod interpolation;
mod quantile;
mod scale;
mod sum;
mod text;
mod trim;
mod validate;
mod variance;

use std::fmt;

pub use bounds::CUSTOM_BUCKETS_SCHEMA;
pub use buckets::Bucket;
#[cfg(feature = "promql")]
pub(crate) use classic::{ClassicBucket, ForcedMonotonicity, bucket_fraction, bucket_quantile};
pub use flat::AddOutcome;
pub use quantile::{Fraction, NanObservations, Quantile};
pub use sum::{HistogramAverage, HistogramSum};
pub use trim::Trim;

/// Two histograms of which only one has custom buckets cannot be combined.
///
/// See [`HistogramSum`].
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
///
/// ```
/// use thanoslib::model::{CounterReset, FloatHistogram};
/// let mut counter = FloatHistogram { hint: CounterReset::NotReset, ..FloatHistogram::default() };
/// counter.mul(-1.0);
/// assert_eq!(counter.hint, CounterReset::Gauge);
/// ```
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
///
/// See [`Histogram`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// Index of the first bucket; for later spans the gap after the span before.
    pub offset: i32,
    /// Number of buckets.
    pub length: u32,
}

/// A native histogram with integer counts; buckets are deltas to the bucket before.
///
/// ```
/// use thanoslib::model::{FloatHistogram, Histogram, Span};
/// // Two observations in (0.5, 1], three in (1, 2].
/// let histogram = Histogram {
///     count: 5,
///     sum: 6.0,
///     positive_spans: vec![Span { offset: 0, length: 2 }],
///     positive_deltas: vec![2, 1],
///     ..Histogram::default()
/// };
/// assert!(histogram.validate().is_ok());
/// assert_eq!(FloatHistogram::from(&histogram).positive_buckets, [2.0, 3.0]);
/// ```
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
///
/// ```
/// use thanoslib::model::{FloatHistogram, Span};
/// let mut histogram = FloatHistogram {
///     count: 4.0,
///     sum: 5.0,
///     positive_spans: vec![Span { offset: 1, length: 1 }],
///     positive_buckets: vec![4.0],
///     ..FloatHistogram::default()
/// };
/// histogram.mul(0.5);
/// assert_eq!((histogram.count, histogram.sum), (2.0, 2.5));
/// assert_eq!(histogram.to_string(), "{count:2, sum:2.5, (1,2]:2}");
/// ```
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
    use std::collections::BTreeMap;

    use proptest::prelude::*;

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

    fn sparse() -> impl Strategy<Value = BTreeMap<i32, u8>> {
        prop::collection::btree_map(-20..20i32, 0..4u8, 0..12)
    }

    fn from_sparse(schema: i32, edge: f64, cells: &BTreeMap<i32, u8>) -> FloatHistogram {
        let cells: Vec<(i32, f64)> = cells.iter().map(|(i, v)| (*i, f64::from(*v))).collect();
        histogram(schema, edge, 1.0, &cells)
    }

    fn observations(h: &FloatHistogram) -> f64 {
        h.all_buckets().map(|b| b.count).sum()
    }

    proptest! {
        #[test]
        fn sums_keep_every_observation(
            a in sparse(), b in sparse(), schemas in (-4..4i32, -4..4i32), edges in (0..6u8, 0..6u8),
        ) {
            let edge = |n: u8| if n == 0 { 0.0 } else { 1.5 * 4f64.powi(i32::from(n) - 3) };
            let mut a = from_sparse(schemas.0, edge(edges.0), &a);
            let mut b = from_sparse(schemas.1, edge(edges.1), &b);
            // What a scrape gives: no buckets inside the zero bucket.
            for h in [&mut a, &mut b] {
                let inside = h.zero_threshold;
                let cells = h.positive().filter(|(i, _)| bounds::exponential_bound(h.schema, i - 1) >= inside);
                let cells: Vec<_> = cells.collect();
                *h = histogram(h.schema, inside, 1.0, &cells);
            }
            let (mut ab, mut ba) = (a.clone(), b.clone());
            ab.add(&b).expect("both exponential");
            ba.add(&a).expect("both exponential");
            ab.compact(0);
            ba.compact(0);
            prop_assert_eq!(&ab, &ba);
            prop_assert_eq!(ab.count, a.count + b.count);
            prop_assert_eq!(observations(&ab), ab.count);
            let mut sum = HistogramSum::new(&a);
            sum.add(&b).expect("both exponential");
            let mut sum = sum.finish();
            sum.compact(0);
            prop_assert_eq!(sum, ab);
        }

        #[test]
        fn compacting_moves_no_observation(cells in sparse(), empty_max in 0..4u32) {
            let h = from_sparse(0, 0.0, &cells);
            let mut compact = h.clone();
            compact.compact(empty_max);
            let populated = |h: &FloatHistogram| -> Vec<(i32, f64)> {
                h.positive().filter(|(_, v)| *v != 0.0).collect()
            };
            prop_assert_eq!(populated(&h), populated(&compact));
            prop_assert!(compact.validate().is_ok());
            prop_assert!(compact.positive_spans.iter().skip(1).all(|s| s.offset > empty_max as i32));
            let mut again = compact.clone();
            again.compact(empty_max);
            prop_assert_eq!(again, compact);
        }
    }
}
