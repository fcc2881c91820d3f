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

/// A value at a time in milliseconds.
///
/// ```
/// use thanoslib::model::{Sample, Value, is_stale, stale_nan};
/// let last = Sample { t_ms: 15_000, value: Value::Float(stale_nan()) };
/// assert!(matches!(last.value, Value::Float(v) if is_stale(v)));
/// ```
#[derive(Clone, Debug)]
pub struct Sample {
    /// Milliseconds since the Unix epoch.
    pub t_ms: i64,
    /// Value.
    pub value: Value,
}
