//! Histograms between two samples.

use super::{FloatHistogram, IncompatibleSchema, flat::AddOutcome};

impl FloatHistogram {
    /// The histogram at time `t` on the line from `(t1, first)` to `(t2, second)`.
    ///
    /// At the ends it is a copy. A counter that was reset on the way counts from zero.
    ///
    /// # Errors
    /// [`IncompatibleSchema`] when only one of them has custom buckets.
    pub fn interpolate(
        (t1, first): (i64, &FloatHistogram),
        (t2, second): (i64, &FloatHistogram),
        t: i64,
        is_counter: bool,
    ) -> Result<(FloatHistogram, AddOutcome), IncompatibleSchema> {
        if t == t1 {
            return Ok((first.clone(), AddOutcome::default()));
        }
        if t == t2 {
            return Ok((second.clone(), AddOutcome::default()));
        }
        let fraction = (t as f64 - t1 as f64) / (t2 as f64 - t1 as f64);
        let mut out = second.clone();
        if is_counter && second.detect_reset(first) {
            out.mul(fraction);
            return Ok((out, AddOutcome::default()));
        }
        let step = out.sub(first)?;
        out.mul(fraction);
        let mut sum = first.clone();
        let outcome = sum.add(&out)?;
        Ok((sum, step.or(outcome)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::histogram;
    use super::*;

    #[test]
    fn counts_lie_on_the_line() {
        let check = |a: f64, b: f64, t, is_counter, want: f64| {
            let (a, b) = (histogram(0, 0.0, 0.0, &[(1, a)]), histogram(0, 0.0, 0.0, &[(1, b)]));
            let (h, _) = FloatHistogram::interpolate((0, &a), (10, &b), t, is_counter).expect("compatible");
            assert_eq!(h.positive_buckets, [want]);
        };
        check(2.0, 4.0, 0, true, 2.0);
        check(2.0, 4.0, 10, true, 4.0);
        check(2.0, 4.0, 5, true, 3.0);
        check(4.0, 2.0, 5, true, 1.0);
        check(4.0, 2.0, 5, false, 3.0);
    }
}
