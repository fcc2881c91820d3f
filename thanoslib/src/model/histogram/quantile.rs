//! Quantiles and fractions of native histograms.

use super::{
    Bucket, FloatHistogram,
    interpolation::{exponential_share, exponential_value, linear_share},
};

/// What NaN observations did to a quantile.
///
/// See [`Quantile`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NanObservations {
    /// They hold the wanted rank: the result is NaN.
    NanResult,
    /// They lie above all buckets, which skews the result higher.
    Skewed,
}

/// A quantile with what is to be said about it.
///
/// ```
/// use thanoslib::model::{FloatHistogram, Span};
/// let histogram = FloatHistogram {
///     count: 4.0,
///     sum: 6.0,
///     positive_spans: vec![Span { offset: 1, length: 1 }],
///     positive_buckets: vec![4.0],
///     ..FloatHistogram::default()
/// };
/// let median = histogram.quantile(0.5);
/// assert!((median.value - 2f64.sqrt()).abs() < 1e-12 && median.nan.is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantile {
    /// The value.
    pub value: f64,
    /// Set when NaN was observed and matters.
    pub nan: Option<NanObservations>,
}

/// A fraction with what is to be said about it.
///
/// ```
/// use thanoslib::model::{FloatHistogram, Span};
/// let histogram = FloatHistogram {
///     count: 4.0,
///     sum: 6.0,
///     positive_spans: vec![Span { offset: 1, length: 1 }],
///     positive_buckets: vec![4.0],
///     ..FloatHistogram::default()
/// };
/// assert_eq!(histogram.fraction(0.0, 2.0).value, 1.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fraction {
    /// The value.
    pub value: f64,
    /// NaN was observed; it lies in no fraction.
    pub nan_excluded: bool,
}

impl FloatHistogram {
    /// Estimates the `q`-quantile of the observations.
    ///
    /// Compat: with an NaN sum the walk goes on to the last bucket, whose bounds then stand for
    /// those of the bucket that holds the rank, as in Prometheus' `promql/quantile.go`.
    pub fn quantile(&self, q: f64) -> Quantile {
        let plain = |value| Quantile { value, nan: None };
        if q < 0.0 {
            return plain(f64::NEG_INFINITY);
        }
        if q > 1.0 {
            return plain(f64::INFINITY);
        }
        if self.count == 0.0 || q.is_nan() {
            return plain(f64::NAN);
        }
        if self.sum.is_nan() || q < 0.5 {
            self.walk_to_rank(self.all_buckets(), q * self.count, true)
        } else {
            self.walk_to_rank(self.all_buckets().rev(), (1.0 - q) * self.count, false)
        }
    }

    fn walk_to_rank(&self, mut buckets: impl Iterator<Item = Bucket>, rank: f64, forward: bool) -> Quantile {
        let plain = |value| Quantile { value, nan: None };
        let mut bucket =
            Bucket { lower: 0.0, upper: 0.0, lower_inclusive: true, upper_inclusive: true, count: 0.0 };
        let mut count = 0.0;
        for b in buckets.by_ref() {
            bucket = b;
            if b.count == 0.0 {
                continue;
            }
            count += b.count;
            if count >= rank {
                break;
            }
        }
        if self.has_custom_buckets() {
            if bucket.lower == f64::NEG_INFINITY {
                if bucket.upper <= 0.0 {
                    return plain(bucket.upper);
                }
                bucket.lower = 0.0;
            } else if bucket.upper == f64::INFINITY {
                return plain(bucket.lower);
            }
        } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
            self.clip_to_used_side(&mut bucket);
        }
        if count > self.count {
            count = self.count;
        }
        if count < rank {
            if self.sum.is_nan() {
                return Quantile { value: f64::NAN, nan: Some(NanObservations::NanResult) };
            }
            return plain(bucket.upper);
        }
        let rank = if forward { rank - (count - bucket.count) } else { count - rank };
        let mut nan = None;
        if self.sum.is_nan() {
            for b in buckets {
                bucket = b;
                count += b.count;
            }
            if count < self.count {
                nan = Some(NanObservations::Skewed);
            }
        }
        let share = rank / bucket.count;
        let Bucket { lower, upper, .. } = bucket;
        let value = if self.has_custom_buckets() || (lower <= 0.0 && upper >= 0.0) {
            lower + (upper - lower) * share
        } else {
            exponential_value(lower, upper, share)
        };
        Quantile { value, nan }
    }

    /// Cuts a bucket around zero to the side on which the histogram has buckets, if only one.
    fn clip_to_used_side(&self, bucket: &mut Bucket) {
        match (self.negative_buckets.is_empty(), self.positive_buckets.is_empty()) {
            (true, false) => bucket.lower = 0.0,
            (false, true) => bucket.upper = 0.0,
            _ => {}
        }
    }

    /// Estimates the fraction of observations between `lower` and `upper`.
    pub fn fraction(&self, lower: f64, upper: f64) -> Fraction {
        let plain = |value| Fraction { value, nan_excluded: false };
        if self.count == 0.0 || lower.is_nan() || upper.is_nan() {
            return plain(f64::NAN);
        }
        if lower >= upper {
            return plain(0.0);
        }
        let mut total = self.count;
        let mut nan_excluded = false;
        if self.sum.is_nan() {
            total = self.all_buckets().map(|b| b.count).sum();
            nan_excluded = total < self.count;
        }
        let [lower, upper] = self.ranks([lower, upper]).map(|rank| match rank {
            Some(rank) if rank <= total => rank,
            _ => total,
        });
        Fraction { value: (upper - lower) / self.count, nan_excluded }
    }

    /// Observations below each value; `None` for values beyond the last bucket.
    fn ranks(&self, values: [f64; 2]) -> [Option<f64>; 2] {
        let mut found = [None; 2];
        let mut rank = 0.0;
        for mut bucket in self.all_buckets() {
            let at_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
            if at_zero {
                self.clip_to_used_side(&mut bucket);
            }
            for (found, v) in found.iter_mut().zip(values).filter(|(found, _)| found.is_none()) {
                if bucket.lower >= v {
                    *found = Some(rank);
                } else if bucket.upper > v {
                    let share = if bucket.lower == f64::NEG_INFINITY {
                        1.0
                    } else if self.has_custom_buckets() || at_zero {
                        linear_share(bucket.lower, bucket.upper, v)
                    } else {
                        exponential_share(bucket.lower, bucket.upper, v)
                    };
                    *found = Some(rank + bucket.count * share);
                }
            }
            if found.iter().all(Option::is_some) {
                break;
            }
            rank += bucket.count;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CUSTOM_BUCKETS_SCHEMA, tests::histogram};
    use super::*;

    fn close(got: f64, want: f64) {
        let same = got == want || (got - want).abs() < 1e-12 || (got.is_nan() && want.is_nan());
        assert!(same, "got {got}, want {want}");
    }

    #[test]
    fn quantiles_interpolate_on_a_logarithmic_scale() {
        let h = FloatHistogram {
            sum: 100.0,
            ..histogram(0, 0.001, 2.0, &[(1, 3.0), (2, 0.0), (3, 2.0), (4, 3.0)])
        };
        let check = |q: f64, want: f64| close(h.quantile(q).value, want);
        check(1.0, 16.0);
        check(0.0, 0.0);
        check(0.1, 0.0005);
        check(0.5, 4.0);
        check(0.6, 2f64.exp2() * 0.5f64.exp2());
        check(-0.1, f64::NEG_INFINITY);
        check(1.1, f64::INFINITY);
        check(f64::NAN, f64::NAN);
        close(FloatHistogram::default().quantile(0.5).value, f64::NAN);
    }

    #[test]
    fn nan_observations_are_told() {
        let mut h = FloatHistogram { sum: f64::NAN, ..histogram(0, 0.0, 0.0, &[(1, 2.0)]) };
        h.count = 4.0;
        assert_eq!(h.quantile(0.25).nan, Some(NanObservations::Skewed));
        assert_eq!(h.quantile(0.75).nan, Some(NanObservations::NanResult));
        let all = h.fraction(f64::NEG_INFINITY, f64::INFINITY);
        assert_eq!(all, Fraction { value: 0.5, nan_excluded: true });
    }

    #[test]
    fn custom_buckets_are_linear() {
        let h = FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            custom_values: vec![5.0, 10.0],
            sum: 30.0,
            ..histogram(0, 0.0, 0.0, &[(0, 1.0), (1, 4.0), (2, 1.0)])
        };
        close(h.quantile(0.5).value, 7.5);
        close(h.quantile(1.0).value, 10.0);
        close(h.fraction(0.0, 7.5).value, 0.5);
        close(h.fraction(10.0, f64::INFINITY).value, 1.0 / 6.0);
    }

    #[test]
    fn fractions_mirror_at_zero() {
        let mut h = FloatHistogram { sum: 1.0, ..histogram(0, 0.5, 2.0, &[(1, 4.0)]) };
        h.negative_spans = h.positive_spans.clone();
        h.negative_buckets = vec![4.0];
        h.count = 10.0;
        let root = 2f64.sqrt();
        close(h.fraction(0.0, root).value, 0.3);
        close(h.fraction(-root, 0.0).value, 0.3);
        close(h.fraction(2.0, 1.0).value, 0.0);
    }
}
