//! Equality and counter resets.

use super::{
    CounterReset, FloatHistogram, Span,
    bounds::exponential_bound,
    buckets::Indexed,
    flat::{Cells, coarser, intersection, rebound, widened},
};

impl FloatHistogram {
    /// True when both are the same to the bit; the hint is not looked at, nor are empty spans.
    pub fn equals(&self, other: &FloatHistogram) -> bool {
        let bits = |a: &[f64], b: &[f64]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
        };
        self.schema == other.schema
            && self.count.to_bits() == other.count.to_bits()
            && self.sum.to_bits() == other.sum.to_bits()
            && self.zero_threshold == other.zero_threshold
            && self.zero_count.to_bits() == other.zero_count.to_bits()
            && (!self.has_custom_buckets() || self.custom_values == other.custom_values)
            && spans_match(&self.positive_spans, &other.positive_spans)
            && spans_match(&self.negative_spans, &other.negative_spans)
            && bits(&self.positive_buckets, &other.positive_buckets)
            && bits(&self.negative_buckets, &other.negative_buckets)
    }

    /// True when a counter reset lies between `previous` and this histogram.
    ///
    /// The hint decides if it can; else counts that shrank, buckets that became finer, or a zero
    /// bucket that became narrower tell.
    pub fn detect_reset(&self, previous: &FloatHistogram) -> bool {
        match self.hint {
            CounterReset::Reset => return true,
            CounterReset::NotReset => return false,
            CounterReset::Unknown | CounterReset::Gauge => {}
        }
        if self.count < previous.count || self.has_custom_buckets() != previous.has_custom_buckets() {
            return true;
        }
        if self.has_custom_buckets() {
            return self.custom_reset(previous);
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let mut zero_count = previous.zero_count;
        if self.zero_threshold > previous.zero_threshold {
            let sides: [Cells<f64>; 2] = [previous.positive().collect(), previous.negative().collect()];
            let (count, edge) = widened(previous.schema, &sides, zero_count, self.zero_threshold);
            if edge != self.zero_threshold {
                return true;
            }
            zero_count = count;
        }
        if self.zero_count < zero_count {
            return true;
        }
        let steps = previous.schema.saturating_sub(self.schema);
        let outside = |cell: &(i32, f64)| exponential_bound(previous.schema, cell.0) > self.zero_threshold;
        let shrank = |now: Indexed<'_>, before: Indexed<'_>| {
            let before = before.filter(outside);
            if steps == 0 {
                any_shrank(now, before)
            } else {
                any_shrank(now, coarser(before, steps).into_iter())
            }
        };
        shrank(self.positive(), previous.positive()) || shrank(self.negative(), previous.negative())
    }

    fn custom_reset(&self, previous: &FloatHistogram) -> bool {
        if self.custom_values == previous.custom_values {
            return any_shrank(self.positive(), previous.positive());
        }
        let common = intersection(&self.custom_values, &previous.custom_values);
        let now = rebound(self.positive(), &self.custom_values, &common);
        let before = rebound(previous.positive(), &previous.custom_values, &common);
        any_shrank(now.into_iter(), before.into_iter())
    }
}

/// True when a populated bucket of `before` is missing from `now` or smaller there.
fn any_shrank(mut now: impl Iterator<Item = (i32, f64)>, before: impl Iterator<Item = (i32, f64)>) -> bool {
    let mut current = now.next();
    for (index, count) in before.filter(|(_, v)| *v != 0.0) {
        while current.is_some_and(|(i, _)| i < index) {
            current = now.next();
        }
        match current {
            Some((i, v)) if i == index && v >= count => {}
            _ => return true,
        }
    }
    false
}

/// True when both lists cover the same buckets once empty spans are left out.
fn spans_match(a: &[Span], b: &[Span]) -> bool {
    let covered = |spans: &[Span]| {
        let mut gap = 0i64;
        let mut out: Vec<(i64, u32)> = Vec::new();
        for span in spans {
            gap += i64::from(span.offset);
            if span.length > 0 {
                out.push((gap, span.length));
                gap = 0;
            }
        }
        out
    };
    a == b || covered(a) == covered(b)
}

#[cfg(test)]
mod tests {
    use super::super::{CUSTOM_BUCKETS_SCHEMA, tests::histogram};
    use super::*;

    #[test]
    fn resets_show_in_counts_schema_and_zero_bucket() {
        let check = |now: &FloatHistogram, before: &FloatHistogram, want| {
            assert_eq!(now.detect_reset(before), want, "{now:?} after {before:?}");
        };
        let a = histogram(1, 0.5, 1.0, &[(1, 2.0), (2, 3.0)]);
        check(&a, &a, false);
        check(&histogram(1, 0.5, 1.0, &[(1, 2.0), (2, 2.0), (3, 9.0)]), &a, true);
        check(&histogram(1, 0.5, 1.0, &[(2, 9.0)]), &a, true);
        check(&histogram(1, 0.5, 0.0, &[(1, 9.0), (2, 9.0)]), &a, true);
        check(&histogram(0, 0.5, 1.0, &[(1, 5.0)]), &a, false);
        check(&histogram(0, 0.5, 2.0, &[(1, 4.0)]), &a, true);
        check(&histogram(2, 0.5, 1.0, &[(1, 9.0), (2, 9.0)]), &a, true);
        check(&histogram(1, 0.25, 1.0, &[(1, 9.0), (2, 9.0)]), &a, true);
        // The edge 1.2 cuts the populated bucket (1, 1.41].
        check(&histogram(1, 1.2, 9.0, &[(2, 9.0)]), &a, true);
        let edge = exponential_bound(1, 1);
        check(&histogram(1, edge, 3.0, &[(2, 3.0)]), &a, false);
        check(&histogram(1, edge, 2.0, &[(2, 9.0)]), &a, true);
        check(&FloatHistogram { hint: CounterReset::NotReset, ..FloatHistogram::default() }, &a, false);
        check(&FloatHistogram { hint: CounterReset::Reset, ..a.clone() }, &a, true);
        check(
            &FloatHistogram { schema: CUSTOM_BUCKETS_SCHEMA, count: 9.0, ..FloatHistogram::default() },
            &a,
            true,
        );
    }

    #[test]
    fn custom_resets_compare_common_bounds() {
        let custom = |bounds: &[f64], buckets: &[(i32, f64)]| FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            custom_values: bounds.to_vec(),
            ..histogram(0, 0.0, 0.0, buckets)
        };
        let before = custom(&[1.0, 2.0, 3.0], &[(0, 1.0), (1, 2.0), (2, 3.0)]);
        assert!(!custom(&[1.0, 3.0], &[(0, 1.0), (1, 5.0)]).detect_reset(&before));
        assert!(custom(&[1.0, 3.0], &[(0, 2.0), (1, 4.0)]).detect_reset(&before));
    }

    #[test]
    fn equality_is_by_bits_and_ignores_empty_spans() {
        let a = histogram(1, 0.5, 1.0, &[(1, 2.0), (4, 3.0)]);
        let mut b = FloatHistogram { hint: CounterReset::Gauge, ..a.clone() };
        b.positive_spans.insert(1, Span { offset: 1, length: 0 });
        b.positive_spans[2].offset -= 1;
        assert!(a.equals(&b));
        b.sum = -0.0;
        assert!(!a.equals(&b));
        b.sum = f64::NAN;
        assert!(b.equals(&b.clone()));
    }
}
