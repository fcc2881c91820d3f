//! Sums and differences of histograms.

use super::{
    FloatHistogram, IncompatibleSchema,
    flat::{AddOutcome, Flat, combine_hints},
};

impl FloatHistogram {
    /// Adds `other` to this histogram.
    ///
    /// Finer buckets are joined to the coarser schema, the narrower zero bucket is widened, custom
    /// bounds are cut to those that both have. The result is not compacted.
    ///
    /// # Errors
    /// [`IncompatibleSchema`] when only one side has custom buckets; this one is then unchanged.
    pub fn add(&mut self, other: &FloatHistogram) -> Result<AddOutcome, IncompatibleSchema> {
        self.add_scaled(other, 1.0)
    }

    /// Subtracts `other` from this histogram; otherwise as [`FloatHistogram::add`].
    ///
    /// # Errors
    /// Those of [`FloatHistogram::add`].
    pub fn sub(&mut self, other: &FloatHistogram) -> Result<AddOutcome, IncompatibleSchema> {
        self.add_scaled(other, -1.0)
    }

    fn add_scaled(&mut self, other: &FloatHistogram, sign: f64) -> Result<AddOutcome, IncompatibleSchema> {
        if self.same_layout(other) {
            return Ok(self.add_in_place(other, sign));
        }
        if self.has_custom_buckets() != other.has_custom_buckets() {
            return Err(IncompatibleSchema);
        }
        let mut flat = Flat::<f64>::new(self);
        let outcome = flat.add(other, sign)?;
        *self = flat.into_histogram();
        Ok(outcome)
    }

    /// True when the buckets of both stand for the same ranges, one by one.
    pub(crate) fn same_layout(&self, other: &FloatHistogram) -> bool {
        self.schema == other.schema
            && self.zero_threshold == other.zero_threshold
            && self.positive_spans == other.positive_spans
            && self.negative_spans == other.negative_spans
            && self.positive_buckets.len() == other.positive_buckets.len()
            && self.negative_buckets.len() == other.negative_buckets.len()
            && self.custom_values == other.custom_values
            // Stored buckets inside the zero bucket are left out of sums: a slower way does that.
            && self.zero_threshold <= self.innermost_bound()
    }

    /// Least upper bound of a stored exponential bucket; infinite for custom buckets.
    fn innermost_bound(&self) -> f64 {
        if self.has_custom_buckets() {
            return f64::INFINITY;
        }
        let first = |mut side: super::buckets::Indexed<'_>| {
            side.next().map_or(f64::INFINITY, |(i, _)| self.bound(i.saturating_sub(1)))
        };
        first(self.positive()).min(first(self.negative()))
    }

    fn add_in_place(&mut self, other: &FloatHistogram, sign: f64) -> AddOutcome {
        let (hint, counter_reset_collision) = combine_hints(self.hint, other.hint);
        self.hint = hint;
        self.zero_count += sign * other.zero_count;
        self.count += sign * other.count;
        self.sum += sign * other.sum;
        for (mine, theirs) in [
            (&mut self.positive_buckets, &other.positive_buckets),
            (&mut self.negative_buckets, &other.negative_buckets),
        ] {
            mine.iter_mut().zip(theirs).for_each(|(a, b)| *a += sign * b);
        }
        AddOutcome { counter_reset_collision, bounds_reconciled: false }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CUSTOM_BUCKETS_SCHEMA, CounterReset, Span, tests::histogram};
    use super::*;

    fn check(mut a: FloatHistogram, b: &FloatHistogram, want: &FloatHistogram) -> AddOutcome {
        let outcome = a.add(b).expect("compatible");
        a.compact(0);
        assert_eq!(&a, want);
        outcome
    }

    #[test]
    fn finer_buckets_join_the_coarser_schema() {
        let fine = histogram(1, 0.0, 0.0, &[(1, 1.0), (2, 2.0), (3, 3.0)]);
        let coarse = histogram(0, 0.0, 0.0, &[(1, 10.0), (5, 5.0)]);
        let want = histogram(0, 0.0, 0.0, &[(1, 13.0), (2, 3.0), (5, 5.0)]);
        check(fine.clone(), &coarse, &want);
        check(coarse, &fine, &want);
    }

    #[test]
    fn the_narrower_zero_bucket_grows_to_whole_buckets() {
        let narrow = histogram(0, 0.001, 1.0, &[(0, 2.0), (1, 4.0)]);
        let wide = histogram(0, 0.75, 8.0, &[(1, 16.0)]);
        // 0.75 cuts the bucket (0.5, 1], which is populated: the edge becomes 1.
        let want = histogram(0, 1.0, 11.0, &[(1, 20.0)]);
        check(narrow.clone(), &wide, &want);
        check(wide, &narrow, &want);
    }

    #[test]
    fn custom_bounds_are_cut_to_the_common_ones() {
        let custom = |bounds: &[f64], buckets: &[(i32, f64)]| FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            custom_values: bounds.to_vec(),
            ..histogram(0, 0.0, 0.0, buckets)
        };
        let a = custom(&[1.0, 2.0, 3.0], &[(0, 1.0), (1, 2.0), (2, 4.0), (3, 8.0)]);
        let b = custom(&[1.0, 3.0, 4.0], &[(0, 16.0), (1, 32.0), (2, 64.0)]);
        let want = custom(&[1.0, 3.0], &[(0, 17.0), (1, 38.0), (2, 72.0)]);
        let outcome = check(a.clone(), &b, &want);
        assert!(outcome.bounds_reconciled);
        assert!(
            !check(a.clone(), &a, &custom(&[1.0, 2.0, 3.0], &[(0, 2.0), (1, 4.0), (2, 8.0), (3, 16.0)]))
                .bounds_reconciled
        );
    }

    #[test]
    fn a_difference_with_itself_is_empty() {
        let mut h = histogram(2, 0.5, 3.0, &[(4, 2.0)]);
        let same = h.clone();
        h.sub(&same).expect("compatible");
        h.compact(0);
        assert_eq!((h.count, h.zero_count, h.positive_spans.len()), (0.0, 0.0, 0));
    }

    #[test]
    fn hints_combine() {
        use CounterReset::{Gauge, NotReset, Reset, Unknown};
        let check = |a, b, want, collision| {
            assert_eq!(combine_hints(a, b), (want, collision));
            assert_eq!(combine_hints(b, a), (want, collision));
        };
        check(Gauge, Reset, Gauge, false);
        check(Unknown, Reset, Unknown, false);
        check(NotReset, Reset, Unknown, true);
        check(NotReset, NotReset, NotReset, false);
    }

    #[test]
    fn mixed_schemas_are_refused_and_nan_thresholds_end() {
        let custom = FloatHistogram { schema: CUSTOM_BUCKETS_SCHEMA, ..FloatHistogram::default() };
        assert_eq!(FloatHistogram::default().add(&custom), Err(IncompatibleSchema));
        let mut odd = FloatHistogram { zero_threshold: f64::NAN, ..FloatHistogram::default() };
        odd.positive_spans = vec![Span { offset: i32::MIN, length: 1 }];
        odd.positive_buckets = vec![1.0];
        assert!(odd.clone().add(&FloatHistogram::default()).is_ok());
        odd.zero_threshold = f64::INFINITY;
        let mut sum = histogram(0, 0.0, 0.0, &[(1, 1.0)]);
        assert!(sum.add(&odd).is_ok());
        assert_eq!(sum.zero_threshold, f64::INFINITY);
    }
}
