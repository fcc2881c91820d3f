//! Compensated sums and averages of many histograms.

use super::{
    FloatHistogram, IncompatibleSchema,
    flat::{AddOutcome, Compensated, Flat},
};

/// A running sum of histograms in which every count carries its compensation.
///
/// ```
/// use thanoslib::model::{FloatHistogram, histogram::HistogramSum};
/// let one = FloatHistogram { count: 1.0, zero_count: 1.0, sum: 0.1, ..FloatHistogram::default() };
/// let mut sum = HistogramSum::new(&one);
/// (0..9).try_for_each(|_| sum.add(&one).map(drop))?;
/// assert_eq!(sum.finish().sum, 1.0);
/// # Ok::<(), thanoslib::model::histogram::IncompatibleSchema>(())
/// ```
#[derive(Clone, Debug)]
pub struct HistogramSum(Flat<Compensated>);

impl HistogramSum {
    /// A sum that starts with `first`.
    pub fn new(first: &FloatHistogram) -> Self {
        Self(Flat::new(first))
    }

    /// Adds a histogram; schemas, zero buckets and bounds are made to agree as in
    /// [`FloatHistogram::add`].
    ///
    /// # Errors
    /// [`IncompatibleSchema`] when only one side has custom buckets; the sum is then unchanged.
    pub fn add(&mut self, other: &FloatHistogram) -> Result<AddOutcome, IncompatibleSchema> {
        self.0.add(other, 1.0)
    }

    /// The sum, not compacted.
    pub fn finish(self) -> FloatHistogram {
        let value = |cell: Compensated| cell.v + cell.c;
        let cells = |side: Vec<(i32, Compensated)>| side.into_iter().map(|(i, c)| (i, value(c))).collect();
        let Flat { hint, schema, zero_threshold, zero_count, count, sum, positive, negative, custom_values } =
            self.0;
        Flat {
            hint,
            schema,
            zero_threshold,
            zero_count: value(zero_count),
            count: value(count),
            sum: value(sum),
            positive: cells(positive),
            negative: cells(negative),
            custom_values,
        }
        .into_histogram()
    }

    fn cells(&self) -> impl Iterator<Item = &Compensated> {
        let sides = self.0.positive.iter().chain(&self.0.negative).map(|(_, cell)| cell);
        [&self.0.zero_count, &self.0.count, &self.0.sum].into_iter().chain(sides)
    }

    fn map(&mut self, apply: impl Fn(f64) -> f64) {
        let sides = self.0.positive.iter_mut().chain(&mut self.0.negative).map(|(_, cell)| cell);
        for cell in [&mut self.0.zero_count, &mut self.0.count, &mut self.0.sum].into_iter().chain(sides) {
            *cell = Compensated { v: apply(cell.v), c: apply(cell.c) };
        }
    }

    /// True when some value is so large that one more addition may overflow.
    fn is_near_overflow(&self) -> bool {
        self.cells().any(|cell| is_large(cell.v))
    }

    fn has_infinity(&self) -> bool {
        self.cells().any(|cell| cell.v.is_infinite())
    }
}

/// Values below this can be added many times over without overflow.
const NEAR_OVERFLOW: f64 = 1e290;

fn is_large(v: f64) -> bool {
    v.is_nan() || v.abs() >= NEAR_OVERFLOW
}

/// A running average of histograms.
///
/// Values are summed up and divided at the end. Once a sum would overflow, a running mean takes
/// its place.
///
/// ```
/// use thanoslib::model::{FloatHistogram, histogram::HistogramAverage};
/// let of = |count: f64| FloatHistogram { count, zero_count: count, ..FloatHistogram::default() };
/// let mut average = HistogramAverage::new(&of(1.0));
/// average.add(&of(3.0))?;
/// assert_eq!(average.finish().count, 2.0);
/// # Ok::<(), thanoslib::model::histogram::IncompatibleSchema>(())
/// ```
#[derive(Clone, Debug)]
pub struct HistogramAverage {
    sum: HistogramSum,
    count: f64,
    /// The state is a mean, not a sum.
    is_mean: bool,
}

impl HistogramAverage {
    /// An average that starts with `first`.
    pub fn new(first: &FloatHistogram) -> Self {
        Self { sum: HistogramSum::new(first), count: 1.0, is_mean: false }
    }

    /// Takes one more histogram into the average.
    ///
    /// # Errors
    /// Those of [`HistogramSum::add`].
    pub fn add(&mut self, other: &FloatHistogram) -> Result<AddOutcome, IncompatibleSchema> {
        let k = self.count + 1.0;
        if !self.is_mean {
            let large = |v: &f64| is_large(*v);
            let risky = self.sum.is_near_overflow()
                || [other.zero_count, other.count, other.sum].iter().any(large)
                || other.positive_buckets.iter().chain(&other.negative_buckets).any(large);
            let before = risky.then(|| self.sum.clone());
            let outcome = self.sum.add(other)?;
            match before {
                Some(before) if self.sum.has_infinity() => {
                    self.sum = before;
                    self.sum.map(|v| v / (k - 1.0));
                    self.is_mean = true;
                }
                _ => {
                    self.count = k;
                    return Ok(outcome);
                }
            }
        }
        let mut part = other.clone();
        part.div(k);
        // A refused histogram must leave the mean as it is.
        let mut mean = self.sum.clone();
        mean.map(|v| v * ((k - 1.0) / k));
        let outcome = mean.add(&part)?;
        self.sum = mean;
        self.count = k;
        Ok(outcome)
    }

    /// The average, not compacted.
    pub fn finish(mut self) -> FloatHistogram {
        if !self.is_mean {
            let k = self.count;
            self.sum.map(|v| v / k);
        }
        self.sum.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::histogram;
    use super::*;

    #[test]
    fn small_counts_survive_large_ones() {
        let one = |v: f64| histogram(0, 0.0, 0.0, &[(1, v)]);
        let mut sum = HistogramSum::new(&one(1.0));
        for v in [1e100, 1.0, -1e100] {
            sum.add(&one(v)).expect("same schema");
        }
        let sum = sum.finish();
        assert_eq!((sum.positive_buckets[0], sum.count), (2.0, 2.0));
    }

    #[test]
    fn averages_do_not_overflow() {
        let check = |values: &[f64], want: f64| {
            let one = |v: f64| FloatHistogram { sum: v, ..FloatHistogram::default() };
            let mut average = HistogramAverage::new(&one(values[0]));
            for v in &values[1..] {
                average.add(&one(*v)).expect("same schema");
            }
            let got = average.finish().sum;
            assert!(got == want || (got / want - 1.0).abs() < 1e-15, "{values:?}: {got}");
        };
        check(&[1.0, 2.0, 6.0], 3.0);
        check(&[f64::MAX, f64::MAX], f64::MAX);
        check(&[f64::MAX, f64::MAX, f64::MAX], f64::MAX);
        check(&[1.0, f64::INFINITY], f64::INFINITY);
    }

    #[test]
    fn coarser_schemas_join_compensated_buckets() {
        let mut sum = HistogramSum::new(&histogram(1, 0.0, 0.0, &[(1, 1.0), (2, 2.0)]));
        sum.add(&histogram(0, 0.0, 0.0, &[(1, 4.0)])).expect("both exponential");
        let sum = sum.finish();
        assert_eq!((sum.schema, &sum.positive_buckets[..]), (0, &[7.0][..]));
    }
}
