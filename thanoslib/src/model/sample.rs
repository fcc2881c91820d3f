//! Samples and the stale marker.

use std::sync::Arc;

use super::FloatHistogram;

/// Bits of the NaN that marks the end of a series. Compare bits, never values.
pub(crate) const STALE_NAN: u64 = 0x7ff0_0000_0000_0002;

/// The stale marker as a float.
pub fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN)
}

/// True for the stale marker, false for every other NaN.
///
/// ```
/// use thanoslib::model::{is_stale, stale_nan};
/// assert!(is_stale(stale_nan()) && !is_stale(f64::NAN));
/// ```
#[inline]
pub fn is_stale(v: f64) -> bool {
    v.to_bits() == STALE_NAN
}

/// A float or a native histogram.
///
/// ```
/// use thanoslib::model::Value;
/// let half = |value: Value| match value {
///     Value::Float(v) => v / 2.0,
///     Value::Histogram(h) => h.count / 2.0,
/// };
/// assert_eq!(half(Value::Float(3.0)), 1.5);
/// ```
#[derive(Clone, Debug)]
pub enum Value {
    /// A float.
    Float(f64),
    /// A native histogram in float form.
    Histogram(Arc<FloatHistogram>),
}
