//! Compensated summation, after Kahan and Neumaier.

/// Adds `x` to the running `sum` with the compensation `c`; returns both anew.
///
/// The result of a sum is `sum + c`. An infinite sum has no compensation.
#[inline]
#[must_use]
pub(crate) fn kahan_add(x: f64, sum: f64, c: f64) -> (f64, f64) {
    let t = sum + x;
    let c = if t.is_infinite() {
        0.0
    } else if sum.abs() >= x.abs() {
        c + ((sum - t) + x)
    } else {
        c + ((x - t) + sum)
    };
    (t, c)
}

/// The sum of two floats and what rounding took away from it, without a branch.
///
/// As long as all is finite this is what [`kahan_add`] adds to the compensation.
/// Source: Knuth, The Art of Computer Programming, volume 2, section 4.2.2.
#[cfg(feature = "promql")]
#[inline(always)]
#[must_use]
pub(crate) fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let of_b = sum - a;
    (sum, (a - (sum - of_b)) + (b - of_b))
}

/// A running compensated sum.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct KahanSum {
    /// Sum without compensation.
    pub sum: f64,
    /// What rounding took away so far.
    pub c: f64,
}

impl KahanSum {
    /// Adds `x`.
    #[inline]
    pub(crate) fn add(&mut self, x: f64) {
        (self.sum, self.c) = kahan_add(x, self.sum, self.c);
    }

    /// The sum; an infinite one as it is.
    pub(crate) fn value(self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.sum + self.c }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_parts_survive_large_ones() {
        let check = |values: &[f64], want: f64| {
            let mut sum = KahanSum::default();
            values.iter().for_each(|v| sum.add(*v));
            assert_eq!(sum.value(), want, "{values:?}");
        };
        check(&[1.0, 1e100, 1.0, -1e100], 2.0);
        check(&[f64::MAX, f64::MAX, 1.0], f64::INFINITY);
        check(&[0.1; 10], 1.0);
    }
}
