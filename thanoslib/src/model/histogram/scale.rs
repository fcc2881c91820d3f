//! Products, quotients and coarser copies of a histogram.

use super::{CounterReset, FloatHistogram, flat::Flat};

impl FloatHistogram {
    /// Multiplies all counts and the sum; a negative factor makes a gauge.
    pub fn mul(&mut self, factor: f64) {
        self.scale(factor, |v| v * factor);
    }

    /// Divides all counts and the sum. Division by zero leaves no buckets.
    pub fn div(&mut self, divisor: f64) {
        self.scale(divisor, |v| v / divisor);
        if divisor == 0.0 {
            self.positive_spans.clear();
            self.negative_spans.clear();
            self.positive_buckets.clear();
            self.negative_buckets.clear();
        }
    }

    fn scale(&mut self, by: f64, apply: impl Fn(f64) -> f64) {
        // Custom buckets know no zero bucket, not even a negative zero.
        let custom = self.has_custom_buckets();
        let zero = (!custom).then_some(&mut self.zero_count);
        let scalars = [&mut self.count, &mut self.sum];
        let buckets = self.positive_buckets.iter_mut().chain(&mut self.negative_buckets);
        for v in zero.into_iter().chain(scalars).chain(buckets) {
            *v = apply(*v);
        }
        if by < 0.0 {
            self.hint = CounterReset::Gauge;
        }
    }

    /// Joins buckets to a coarser exponential schema; a schema that is not coarser, and custom
    /// buckets, change nothing.
    pub fn reduce_schema(&mut self, schema: i32) {
        if !self.has_custom_buckets() && schema < self.schema {
            let mut flat = Flat::<f64>::new(self);
            flat.reduce(schema);
            *self = flat.into_histogram();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::histogram;
    use super::*;

    #[test]
    fn factors_and_divisors() {
        let mut h = histogram(0, 0.5, 2.0, &[(1, 4.0)]);
        h.mul(-0.5);
        assert_eq!((h.zero_count, h.positive_buckets[0], h.hint), (-1.0, -2.0, CounterReset::Gauge));
        h.div(0.0);
        assert_eq!((h.zero_count, h.positive_spans.len()), (f64::NEG_INFINITY, 0));
    }

    #[test]
    fn coarser_schemas_join_neighbours() {
        let mut h = histogram(1, 0.0, 0.0, &[(-1, 1.0), (0, 2.0), (1, 4.0), (2, 8.0), (5, 16.0)]);
        h.reduce_schema(0);
        assert_eq!(
            h,
            FloatHistogram { count: 31.0, ..histogram(0, 0.0, 0.0, &[(0, 3.0), (1, 12.0), (3, 16.0)]) }
        );
        h.reduce_schema(-1);
        assert_eq!(h.positive().collect::<Vec<_>>(), [(0, 3.0), (1, 12.0), (2, 16.0)]);
        h.reduce_schema(3);
        assert_eq!(h.schema, -1);
    }
}
