//! Values on the line between two samples.

use crate::model::FloatHistogram;

use super::Notes;

/// The value at `t_ms` between two floats with their times; a counter that fell grows from 0.
pub(super) fn float(before: (i64, f64), after: (i64, f64), t_ms: i64, counter: bool) -> f64 {
    let from = if counter && after.1 < before.1 { 0.0 } else { before.1 };
    let ms = |to: i64| to.wrapping_sub(before.0) as f64;
    from + (after.1 - from) * ms(t_ms) / ms(after.0)
}

/// The value at `t_ms` between two histograms with their times, the times included; a counter
/// that was reset grows from nothing. `None` when exponential and custom buckets meet.
pub(super) fn histogram(
    before: (i64, &FloatHistogram),
    after: (i64, &FloatHistogram),
    t_ms: i64,
    counter: bool,
    notes: &mut Notes<'_>,
) -> Option<FloatHistogram> {
    if t_ms == before.0 {
        return Some(before.1.clone());
    }
    let mut value = after.1.clone();
    if t_ms == after.0 {
        return Some(value);
    }
    if before.1.has_custom_buckets() != after.1.has_custom_buckets() {
        notes.mixed_schemas();
        return None;
    }
    let ms = |to: i64| to.wrapping_sub(before.0) as f64;
    let fraction = ms(t_ms) / ms(after.0);
    if counter && after.1.detect_reset(before.1) {
        value.mul(fraction);
        return Some(value);
    }
    subtract(&mut value, before.1, notes)?;
    value.mul(fraction);
    add(&mut value, before.1, notes)?;
    Some(value)
}

/// Subtracts and remarks; `None` when exponential and custom buckets meet.
pub(super) fn subtract(from: &mut FloatHistogram, h: &FloatHistogram, notes: &mut Notes<'_>) -> Option<()> {
    let Ok(outcome) = from.sub(h) else {
        notes.mixed_schemas();
        return None;
    };
    if outcome.bounds_reconciled {
        notes.reconciled("subtraction");
    }
    Some(())
}

/// Adds and remarks; `None` when exponential and custom buckets meet.
pub(super) fn add(to: &mut FloatHistogram, h: &FloatHistogram, notes: &mut Notes<'_>) -> Option<()> {
    let Ok(outcome) = to.add(h) else {
        notes.mixed_schemas();
        return None;
    };
    if outcome.bounds_reconciled {
        notes.reconciled("addition");
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_on_the_line() {
        let check = |v: (f64, f64), t_ms, counter, want: f64| {
            assert_eq!(float((10, v.0), (20, v.1), t_ms, counter), want, "{v:?} at {t_ms}");
        };
        check((1.0, 3.0), 15, false, 2.0);
        check((1.0, 3.0), 20, true, 3.0);
        check((8.0, 4.0), 15, false, 6.0);
        check((8.0, 4.0), 15, true, 2.0);
    }
}
