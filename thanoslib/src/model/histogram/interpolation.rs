//! Where a value lies inside a bucket.

use crate::model::log2::log2;

/// Share of a bucket's observations below `v`, for `v` inside a bucket with finite bounds,
/// when observations are spread evenly.
pub(super) fn linear_share(lower: f64, upper: f64, v: f64) -> f64 {
    (v - lower) / (upper - lower)
}

/// The same for an exponential bucket that does not touch zero: even on a logarithmic scale.
pub(super) fn exponential_share(lower: f64, upper: f64, v: f64) -> f64 {
    if lower < 0.0 {
        let (near, far, v) = (log2(upper.abs()), log2(lower.abs()), log2(v.abs()));
        1.0 - (v - near) / (far - near)
    } else {
        let (lower, upper, v) = (log2(lower), log2(upper), log2(v));
        (v - lower) / (upper - lower)
    }
}

/// The value with `share` of the bucket's observations below it; inverse of [`exponential_share`].
pub(super) fn exponential_value(lower: f64, upper: f64, share: f64) -> f64 {
    if lower < 0.0 {
        let (near, far) = (log2(upper.abs()), log2(lower.abs()));
        -(near + (far - near) * (1.0 - share)).exp2()
    } else {
        let (lower, upper) = (log2(lower), log2(upper));
        (lower + (upper - lower) * share).exp2()
    }
}
