//! Cutting a histogram at a value.

use super::{
    Bucket, FloatHistogram,
    interpolation::{exponential_share, linear_share},
};

/// Which observations survive a cut.
///
/// ```
/// use thanoslib::model::{FloatHistogram, Span, histogram::Trim};
/// let mut histogram = FloatHistogram {
///     count: 6.0,
///     positive_spans: vec![Span { offset: 0, length: 2 }],
///     positive_buckets: vec![2.0, 4.0],
///     ..FloatHistogram::default()
/// };
/// histogram.trim(1.0, Trim::KeepAbove);
/// assert_eq!(histogram.count, 4.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trim {
    /// Those below the value: `</`.
    KeepBelow,
    /// Those above the value: `>/`.
    KeepAbove,
}

/// What is left of a bucket: the count, and the value that stands for its observations.
struct Kept {
    count: f64,
    middle: f64,
}

const DROPPED: Kept = Kept { count: 0.0, middle: 0.0 };

impl FloatHistogram {
    /// Removes the observations on one side of `at`, estimating inside the bucket that is cut.
    ///
    /// Count and sum are estimated anew when something was removed. The result is compact.
    pub fn trim(&mut self, at: f64, side: Trim) {
        if at.is_nan() {
            self.trim_at_nan();
            self.compact(0);
            return;
        }
        let mut count = 0.0;
        let mut sum = 0.0;
        let mut changed = false;
        let mut take = |old: f64, kept: Kept| {
            changed |= kept.count != old;
            if kept.count != 0.0 {
                count += kept.count;
                sum += kept.count * kept.middle;
            }
            kept.count
        };
        let cut = |bucket: Bucket| {
            if bucket.count == 0.0 {
                DROPPED
            } else if self.has_custom_buckets() {
                cut_custom(bucket, at, side)
            } else {
                cut_between(bucket, at, side, exponential_share, geometric_middle)
            }
        };
        let positive: Vec<f64> = self.positive_buckets().map(|b| take(b.count, cut(b))).collect();
        let negative: Vec<f64> = self.negative_buckets().map(|b| take(b.count, cut(b))).collect();
        let zero = self.populated_zero_bucket();
        let zero_count = if zero.count > 0.0 {
            take(zero.count, cut_between(zero, at, side, linear_share, |l, u| (l + u) / 2.0))
        } else {
            zero.count
        };
        if changed {
            (self.count, self.sum) = (count, sum);
            self.positive_buckets = positive;
            self.negative_buckets = negative;
            self.zero_count = zero_count;
        }
        self.compact(0);
    }

    /// The zero bucket, cut to the side on which there are observations, if only one.
    fn populated_zero_bucket(&self) -> Bucket {
        let mut zero = self.zero_bucket();
        let populated = |buckets: &[f64]| buckets.iter().any(|v| *v != 0.0);
        match (populated(&self.negative_buckets), populated(&self.positive_buckets)) {
            (false, true) => zero.lower = 0.0,
            (true, false) => zero.upper = 0.0,
            _ => {}
        }
        zero
    }

    /// Compat: nothing compares with NaN, so every bucket goes; upstream's share of a populated
    /// zero bucket becomes NaN and spreads to count and sum.
    fn trim_at_nan(&mut self) {
        let at_zero = self.zero_count > 0.0;
        let populated = self.positive_buckets.iter().chain(&self.negative_buckets).any(|v| *v != 0.0);
        self.positive_buckets.fill(0.0);
        self.negative_buckets.fill(0.0);
        if at_zero {
            (self.count, self.sum, self.zero_count) = (f64::NAN, f64::NAN, f64::NAN);
        } else if populated {
            (self.count, self.sum) = (0.0, 0.0);
        }
    }
}

fn geometric_middle(lower: f64, upper: f64) -> f64 {
    if upper.is_infinite() {
        lower
    } else if lower.is_infinite() {
        upper
    } else if lower < 0.0 {
        -(lower * upper).sqrt()
    } else {
        (lower * upper).sqrt()
    }
}

fn arithmetic_middle(lower: f64, upper: f64) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, _) if upper > 0.0 && upper.is_finite() => upper / 2.0,
        (true, _) => upper,
        (false, true) => lower,
        (false, false) => (lower + upper) / 2.0,
    }
}

fn cut_between(
    bucket: Bucket,
    at: f64,
    side: Trim,
    share: impl Fn(f64, f64, f64) -> f64,
    middle: impl Fn(f64, f64) -> f64,
) -> Kept {
    let Bucket { lower, upper, count, .. } = bucket;
    let whole = || Kept { count, middle: middle(lower, upper) };
    match side {
        Trim::KeepBelow if upper <= at => whole(),
        Trim::KeepBelow if lower >= at => DROPPED,
        Trim::KeepBelow => Kept { count: count * share(lower, upper, at), middle: middle(lower, at) },
        Trim::KeepAbove if lower >= at => whole(),
        Trim::KeepAbove if upper <= at => DROPPED,
        Trim::KeepAbove => Kept { count: count * (1.0 - share(lower, upper, at)), middle: middle(at, upper) },
    }
}

/// Cuts a bucket with custom bounds, of which the first and the last have an infinite one.
fn cut_custom(bucket: Bucket, at: f64, side: Trim) -> Kept {
    let Bucket { lower, upper, count, .. } = bucket;
    let (whole_at, gone_at) = match side {
        Trim::KeepBelow => (upper <= at, lower >= at),
        Trim::KeepAbove => (lower >= at, upper <= at),
    };
    if whole_at {
        return Kept { count, middle: arithmetic_middle(lower, upper) };
    }
    if gone_at {
        return DROPPED;
    }
    if lower == f64::NEG_INFINITY {
        return match side {
            Trim::KeepBelow if at > 0.0 && upper.is_finite() => {
                Kept { count: count * at / upper, middle: at / 2.0 }
            }
            Trim::KeepBelow if upper <= 0.0 => Kept { count, middle: at },
            Trim::KeepAbove if at >= 0.0 && upper.is_finite() => {
                Kept { count: count * (1.0 - at / upper), middle: (at + upper) / 2.0 }
            }
            Trim::KeepBelow | Trim::KeepAbove => DROPPED,
        };
    }
    if upper == f64::INFINITY {
        return match side {
            Trim::KeepBelow => DROPPED,
            Trim::KeepAbove => Kept { count, middle: at },
        };
    }
    cut_between(bucket, at, side, linear_share, arithmetic_middle)
}

#[cfg(test)]
mod tests {
    use super::super::{CUSTOM_BUCKETS_SCHEMA, tests::histogram};
    use super::*;

    fn check(h: &FloatHistogram, at: f64, side: Trim, buckets: &[f64], zero: f64, sum: f64) {
        let mut got = h.clone();
        got.trim(at, side);
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert_eq!(got.positive_buckets.len(), buckets.len(), "{at} {side:?}: {got}");
        for (a, b) in got.positive_buckets.iter().zip(buckets) {
            assert!(near(*a, *b), "{at} {side:?}: {got}");
        }
        assert!(near(got.zero_count, zero) && near(got.sum, sum), "{at} {side:?}: {got}");
    }

    #[test]
    fn exponential_buckets_are_cut_on_a_logarithmic_scale() {
        let h = FloatHistogram { sum: 42.0, ..histogram(0, 0.5, 2.0, &[(1, 4.0), (2, 8.0)]) };
        let (one, root, eight) = (2f64.sqrt(), 2f64.powf(1.25), 8f64.sqrt());
        check(&h, 4.0, Trim::KeepBelow, &[4.0, 8.0], 2.0, 42.0);
        check(&h, 2.0, Trim::KeepBelow, &[4.0], 2.0, 0.5 + 4.0 * one);
        check(&h, eight, Trim::KeepBelow, &[4.0, 4.0], 2.0, 0.5 + 4.0 * one + 4.0 * root);
        check(&h, 2.0, Trim::KeepAbove, &[8.0], 0.0, 8.0 * eight);
        check(&h, 0.25, Trim::KeepBelow, &[], 1.0, 0.125);
        check(&h, f64::INFINITY, Trim::KeepAbove, &[], 0.0, 0.0);
    }

    #[test]
    fn custom_buckets_are_cut_evenly() {
        let h = FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            custom_values: vec![5.0, 10.0],
            sum: 30.0,
            ..histogram(0, 0.0, 0.0, &[(0, 1.0), (1, 4.0), (2, 2.0)])
        };
        check(&h, 7.5, Trim::KeepBelow, &[1.0, 2.0], 0.0, 2.5 + 2.0 * 6.25);
        check(&h, 2.5, Trim::KeepBelow, &[0.5], 0.0, 0.625);
        check(&h, 2.5, Trim::KeepAbove, &[0.5, 4.0, 2.0], 0.0, 0.5 * 3.75 + 30.0 + 20.0);
        check(&h, 20.0, Trim::KeepAbove, &[2.0], 0.0, 40.0);
        check(&h, -1.0, Trim::KeepBelow, &[], 0.0, 0.0);
        check(&h, f64::INFINITY, Trim::KeepAbove, &[], 0.0, 0.0);
        check(&h, f64::NEG_INFINITY, Trim::KeepBelow, &[], 0.0, 0.0);
        check(&h, f64::INFINITY, Trim::KeepBelow, &[1.0, 4.0, 2.0], 0.0, 30.0);
        check(&h, f64::NAN, Trim::KeepBelow, &[], 0.0, 0.0);
    }

    #[test]
    fn nan_leaves_a_nan_zero_bucket() {
        let mut h = histogram(0, 0.5, 2.0, &[(1, 4.0)]);
        h.trim(f64::NAN, Trim::KeepAbove);
        assert!(h.zero_count.is_nan() && h.count.is_nan() && h.sum.is_nan() && h.positive_spans.is_empty());
        // A zero bucket without observations has no share.
        let mut h = FloatHistogram { sum: 3.0, ..histogram(0, 0.5, 0.0, &[(1, 4.0)]) };
        h.trim(f64::NAN, Trim::KeepBelow);
        assert_eq!((h.zero_count, h.count, h.sum), (0.0, 0.0, 0.0));
        let mut empty = FloatHistogram { sum: 3.0, count: 2.0, ..histogram(0, 0.5, 0.0, &[]) };
        empty.trim(f64::NAN, Trim::KeepBelow);
        assert_eq!((empty.count, empty.sum), (2.0, 3.0));
    }
}
