//! Quantiles and fractions of classic histograms, whose buckets are series with an `le` label.

/// One bucket of a classic histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ClassicBucket {
    /// Value of `le`.
    pub upper_bound: f64,
    /// Observations up to the bound.
    pub count: f64,
}

/// Counts that shrank towards higher bounds and were lifted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ForcedMonotonicity {
    /// Least bound whose count was lifted.
    pub min_bound: f64,
    /// Greatest bound whose count was lifted.
    pub max_bound: f64,
    /// Greatest lift.
    pub max_diff: f64,
}

/// A quantile with what is to be said about it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ClassicQuantile {
    /// The value.
    pub value: f64,
    /// Set when the counts had to be repaired.
    pub forced: Option<ForcedMonotonicity>,
}

/// Estimates the `q`-quantile of a classic histogram; sorts and repairs `buckets`.
///
/// Buckets of equal bounds are added up. Without a bucket for `+Inf`, with fewer than two buckets
/// or no observations the answer is NaN.
pub(crate) fn bucket_quantile(q: f64, buckets: &mut Vec<ClassicBucket>) -> ClassicQuantile {
    let plain = |value| ClassicQuantile { value, forced: None };
    if q.is_nan() {
        return plain(f64::NAN);
    }
    if q < 0.0 {
        return plain(f64::NEG_INFINITY);
    }
    if q > 1.0 {
        return plain(f64::INFINITY);
    }
    if !sort_and_merge(buckets) {
        return plain(f64::NAN);
    }
    let forced = make_monotonic(buckets);
    let value = match buckets.as_slice() {
        [first, .., before_last, last] | [first @ before_last, last] if last.count != 0.0 => {
            let rank = q * last.count;
            let inner = &buckets[..buckets.len() - 1];
            match inner.iter().position(|b| b.count >= rank) {
                None => before_last.upper_bound,
                Some(0) if first.upper_bound <= 0.0 => first.upper_bound,
                Some(i) => {
                    let (start, below) =
                        if i == 0 { (0.0, 0.0) } else { (inner[i - 1].upper_bound, inner[i - 1].count) };
                    start + (inner[i].upper_bound - start) * ((rank - below) / (inner[i].count - below))
                }
            }
        }
        _ => f64::NAN,
    };
    ClassicQuantile { value, forced }
}

/// Estimates the fraction of observations between `lower` and `upper`; sorts `buckets`.
///
/// Without a bucket for `+Inf`, without observations or with a NaN bound the answer is NaN.
pub(crate) fn bucket_fraction(lower: f64, upper: f64, buckets: &mut Vec<ClassicBucket>) -> f64 {
    if !sort_and_merge(buckets) {
        return f64::NAN;
    }
    let total = buckets.last().map_or(0.0, |b| b.count);
    if total == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    // Counts that shrink towards higher bounds are not repaired, but none exceeds the total.
    let [lower, upper] = [lower, upper].map(|v| {
        let rank = rank_below(buckets, v);
        if rank > total { total } else { rank }
    });
    (upper - lower) / total
}

/// Estimated number of observations below `v`.
fn rank_below(buckets: &[ClassicBucket], v: f64) -> f64 {
    let mut rank = 0.0;
    let mut start = match buckets.first() {
        Some(first) if first.upper_bound > 0.0 => 0.0,
        _ => f64::NEG_INFINITY,
    };
    for bucket in buckets {
        let end = bucket.upper_bound;
        if start >= v {
            return rank;
        }
        if end > v {
            return if start == f64::NEG_INFINITY {
                bucket.count
            } else if end == f64::INFINITY {
                rank
            } else {
                rank + (bucket.count - rank) * ((v - start) / (end - start))
            };
        }
        rank = bucket.count;
        start = end;
    }
    rank
}

/// Sorts by bound and adds up equal bounds; false when the last bound is not `+Inf`.
fn sort_and_merge(buckets: &mut Vec<ClassicBucket>) -> bool {
    buckets.sort_by(|a, b| a.upper_bound.total_cmp(&b.upper_bound));
    if buckets.last().is_none_or(|b| b.upper_bound != f64::INFINITY) {
        return false;
    }
    buckets.dedup_by(|next, kept| {
        let equal = next.upper_bound == kept.upper_bound;
        if equal {
            kept.count += next.count;
        }
        equal
    });
    true
}

/// Lifts counts that are lower than those of smaller bounds; tiny differences are no news.
fn make_monotonic(buckets: &mut [ClassicBucket]) -> Option<ForcedMonotonicity> {
    let mut forced: Option<ForcedMonotonicity> = None;
    let mut before = buckets.first()?.count;
    for bucket in &mut buckets[1..] {
        let count = bucket.count;
        if count == before {
            continue;
        }
        if almost_equal(before, count) {
            bucket.count = before;
        } else if count < before {
            let bound = bucket.upper_bound;
            let diff = before - count;
            let f = forced.get_or_insert(ForcedMonotonicity {
                min_bound: bound,
                max_bound: bound,
                max_diff: diff,
            });
            f.min_bound = f.min_bound.min(bound);
            f.max_bound = f.max_bound.max(bound);
            f.max_diff = f.max_diff.max(diff);
            bucket.count = before;
        } else {
            before = count;
        }
    }
    forced
}

/// Relative difference that rounding alone may make.
const TOLERANCE: f64 = 1e-12;

fn almost_equal(a: f64, b: f64) -> bool {
    let (sum, diff) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        diff < TOLERANCE * f64::MIN_POSITIVE
    } else {
        diff / sum.min(f64::MAX) < TOLERANCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(list: &[(f64, f64)]) -> Vec<ClassicBucket> {
        list.iter().map(|&(upper_bound, count)| ClassicBucket { upper_bound, count }).collect()
    }

    const INF: f64 = f64::INFINITY;

    #[test]
    fn quantiles() {
        let check = |q: f64, list: &[(f64, f64)], want: f64| {
            let got = bucket_quantile(q, &mut buckets(list)).value;
            assert!(got == want || (got.is_nan() && want.is_nan()), "{q} of {list:?}: {got}, want {want}");
        };
        let some = [(INF, 10.0), (1.0, 2.0), (2.0, 6.0)];
        check(0.1, &some, 0.5);
        check(0.4, &some, 1.5);
        check(1.0, &some, 2.0);
        check(f64::NAN, &some, f64::NAN);
        check(-1.0, &some, -INF);
        check(2.0, &some, INF);
        check(0.5, &some[1..], f64::NAN);
        check(0.5, &[(INF, 1.0)], f64::NAN);
        check(0.5, &[(1.0, 0.0), (INF, 0.0)], f64::NAN);
        check(0.1, &[(-1.0, 5.0), (INF, 5.0)], -1.0);
        check(0.5, &[(1.0, 1.0), (1.0, 1.0), (INF, 4.0)], 1.0);
        check(0.5, &[(1.0, 1.0), (INF, 4.0)], 1.0);
        check(0.5, &[], f64::NAN);
    }

    #[test]
    fn shrinking_counts_are_lifted() {
        let mut b = buckets(&[(1.0, 5.0), (2.0, 3.0), (3.0, 5.0 - 1e-13), (4.0, 4.0), (INF, 9.0)]);
        let forced = bucket_quantile(0.5, &mut b).forced;
        assert_eq!(forced, Some(ForcedMonotonicity { min_bound: 2.0, max_bound: 4.0, max_diff: 2.0 }));
        assert!(b.windows(2).all(|w| w[0].count <= w[1].count));
    }

    #[test]
    fn fractions() {
        let check = |lower: f64, upper: f64, list: &[(f64, f64)], want: f64| {
            let got = bucket_fraction(lower, upper, &mut buckets(list));
            assert!(got == want || (got.is_nan() && want.is_nan()), "{lower}..{upper} of {list:?}: {got}");
        };
        let some = [(1.0, 2.0), (2.0, 6.0), (INF, 10.0)];
        check(0.0, 1.5, &some, 0.4);
        check(-INF, INF, &some, 1.0);
        check(0.0, 2.0, &[(1.0, 5.0), (2.0, 9.0), (INF, 6.0)], 1.0);
        check(1.0, 2.0, &[(1.0, 5.0), (2.0, 9.0), (INF, 6.0)], 1.0 / 6.0);
        check(3.0, 4.0, &some, 0.0);
        check(2.0, INF, &some, 0.4);
        check(2.0, 1.0, &some, 0.0);
        check(-9.0, 1.0, &[(-1.0, 4.0), (1.0, 6.0), (INF, 8.0)], 0.25);
        check(f64::NAN, 1.0, &some, f64::NAN);
        check(0.0, 1.0, &some[..2], f64::NAN);
    }
}
