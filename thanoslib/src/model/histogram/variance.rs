//! Standard deviation of the observations in a histogram.

use super::FloatHistogram;
use crate::model::KahanSum;

impl FloatHistogram {
    /// Estimated population variance; NaN for an empty histogram.
    ///
    /// Observations are taken to lie in the middle of their bucket: the arithmetic one for custom
    /// buckets, zero where a bucket spans zero, else the geometric one.
    pub fn variance(&self) -> f64 {
        let mean = self.sum / self.count;
        let mut sum = KahanSum::default();
        for bucket in self.all_buckets().filter(|b| b.count != 0.0) {
            let value = if self.has_custom_buckets() {
                (bucket.upper + bucket.lower) / 2.0
            } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
                0.0
            } else {
                let middle = (bucket.upper * bucket.lower).sqrt();
                if bucket.upper < 0.0 { -middle } else { middle }
            };
            let delta = value - mean;
            sum.add(bucket.count * delta * delta);
        }
        sum.value() / self.count
    }

    /// Square root of [`FloatHistogram::variance`].
    pub fn deviation(&self) -> f64 {
        self.variance().sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::histogram;
    use super::*;

    #[test]
    fn variance_of_bucket_middles() {
        let h = FloatHistogram { sum: 4.0, ..histogram(0, 0.5, 2.0, &[(3, 2.0)]) };
        let middle = 32f64.sqrt();
        let want = (2.0 + 2.0 * (middle - 1.0) * (middle - 1.0)) / 4.0;
        assert!((h.variance() - want).abs() < 1e-12, "{} {want}", h.variance());
        assert!(FloatHistogram::default().deviation().is_nan());
    }
}
