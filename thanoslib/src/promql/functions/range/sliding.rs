//! Aggregates of long windows that move forward over one series.
//!
//! The window is cut in two: of the older part the aggregates of all its tails are known, of the
//! newer part the aggregate so far. Each sample is taken in twice at most, however many windows
//! hold it.

use std::ops::Range;

use crate::model::{KahanSum, kahan_add};

use super::Window;

/// Windows with at most so many samples are added up one by one, in the order upstream does.
pub(super) const SHORT: usize = 64;
/// With at most so many steps it is not worth more.
const FEW_STEPS: usize = 8;
/// Floats above this may overflow when they are added in another order.
const LARGE: f64 = 1e290;

/// True when windows over the values may be added up in any order: no sum can overflow.
fn is_tame(values: &[f64]) -> bool {
    // NaN passes: it makes every sum NaN.
    !values.iter().any(|v| v.abs() > LARGE)
}

/// What is known of some neighbouring samples, and of two such runs together.
pub(super) trait Partial: Copy + Default {
    /// Of one sample.
    fn of(v: f64) -> Self;
    /// Of this run and the one after it.
    fn then(self, after: Self) -> Self;
}

/// The aggregates of windows that move forward.
#[derive(Debug, Default)]
pub(super) struct Sliding<A> {
    /// Aggregates of the samples before `cut`, the shortest tail first.
    tails: Vec<A>,
    cut: usize,
    /// Aggregate of the samples from `cut` up to `seen`.
    newer: A,
    seen: usize,
}

impl<A: Partial> Sliding<A> {
    /// The aggregate of a window that is not empty; neither edge is before that of the last one.
    pub(super) fn over(&mut self, values: &[f64], window: &Range<usize>) -> A {
        if window.start >= self.cut {
            self.tails.clear();
            let mut tail = A::default();
            for v in values[window.clone()].iter().rev() {
                tail = A::of(*v).then(tail);
                self.tails.push(tail);
            }
            (self.cut, self.seen, self.newer) = (window.end, window.end, A::default());
        }
        for v in &values[self.seen..window.end] {
            self.newer = self.newer.then(A::of(*v));
        }
        self.seen = window.end;
        self.tails[self.cut - 1 - window.start].then(self.newer)
    }
}

/// The aggregates of the floats of long windows; short ones are left to others.
#[derive(Debug)]
pub(super) struct LongWindows<A>(Option<Sliding<A>>);

impl<A: Partial> LongWindows<A> {
    /// For windows at `steps` steps over a series with these floats.
    pub(super) fn new(steps: usize, values: &[f64]) -> Self {
        Self((steps > FEW_STEPS && values.len() > SHORT && is_tame(values)).then(Sliding::default))
    }

    /// The aggregate of a long window; `None` where samples are to be taken one by one.
    pub(super) fn over(&mut self, w: &Window<'_>) -> Option<A> {
        self.over_run(w.samples.fv, &w.f)
    }

    /// [`over`](Self::over) for a run of any values.
    pub(super) fn over_run(&mut self, values: &[f64], run: &Range<usize>) -> Option<A> {
        let sliding = self.0.as_mut().filter(|_| run.len() > SHORT)?;
        Some(sliding.over(values, run))
    }
}

impl Partial for KahanSum {
    fn of(v: f64) -> Self {
        Self { sum: v, c: 0.0 }
    }

    fn then(self, after: Self) -> Self {
        let (sum, c) = kahan_add(after.sum, self.sum, self.c + after.c);
        Self { sum, c }
    }
}

/// Number, mean and squared distances from the mean, each but the number compensated.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moments {
    n: f64,
    mean: KahanSum,
    squares: KahanSum,
}

impl Moments {
    /// Population variance.
    pub(super) fn variance(self) -> f64 {
        (self.squares.sum + self.squares.c) / self.n
    }
}

impl Partial for Moments {
    fn of(v: f64) -> Self {
        Self { n: 1.0, mean: KahanSum { sum: v, c: 0.0 }, squares: KahanSum { sum: v - v, c: 0.0 } }
    }

    fn then(self, after: Self) -> Self {
        if self.n == 0.0 {
            return after;
        }
        if after.n == 0.0 {
            return self;
        }
        let n = self.n + after.n;
        let delta = (after.mean.sum - self.mean.sum) + (after.mean.c - self.mean.c);
        let mut mean = self.mean;
        mean.add(delta * (after.n / n));
        let mut squares = self.squares.then(after.squares);
        squares.add(delta * delta * (self.n * (after.n / n)));
        Self { n, mean, squares }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_give_what_each_alone_gives() {
        let values: Vec<f64> = (0..1000).map(|i| 1e9 + f64::from(i * 7919 % 1013) / 7.0).collect();
        let check = |width: usize, step: usize| {
            let (mut sums, mut moments) = (Sliding::<KahanSum>::default(), Sliding::<Moments>::default());
            for end in (1..=values.len()).step_by(step) {
                let window = end.saturating_sub(width)..end;
                let mut sum = KahanSum::default();
                values[window.clone()].iter().for_each(|v| sum.add(*v));
                let n = window.len() as f64;
                let mean = sum.value() / n;
                let mut squares = KahanSum::default();
                values[window.clone()].iter().for_each(|v| squares.add((v - mean) * (v - mean)));
                for (got, want) in [
                    (sums.over(&values, &window).value(), sum.value()),
                    (moments.over(&values, &window).variance(), squares.value() / n),
                ] {
                    let near = (got - want).abs() <= 1e-13 * want.abs();
                    assert!(near, "width {width}, step {step}, end {end}: {got}, want {want}");
                }
            }
        };
        for (width, step) in [(100, 1), (100, 7), (64, 64), (64, 200), (1000, 3), (1, 1)] {
            check(width, step);
        }
    }

    #[test]
    fn large_values_are_not_tame() {
        let check = |v: f64, want: bool| assert_eq!(is_tame(&[0.0, v]), want, "{v}");
        check(1e290, true);
        check(f64::NAN, true);
        check(f64::MIN, false);
        check(f64::INFINITY, false);
    }
}
