//! Aggregates of long windows that move forward over one series.
//!
//! The window is cut in two: of the older part the aggregates of all its tails are known, of the
//! newer part the aggregate so far. Each sample is taken in twice at most, however many windows
//! hold it.

use std::ops::Range;

use crate::model::{KahanSum, kahan_add};

/// Windows with at most so many samples are added up one by one, in the order upstream does.
pub(super) const SHORT: usize = 64;
/// With at most so many steps it is not worth more.
const FEW_STEPS: usize = 8;
/// Floats above this may overflow when they are added in another order.
const LARGE: f64 = 1e290;

/// True when windows over the values may be added up in any order: no sum can overflow.
pub(super) fn is_tame(values: &[f64]) -> bool {
    // NaN passes: it makes every sum NaN.
    !values.iter().any(|v| v.abs() > LARGE)
}

/// True for windows that are better not added up sample by sample, when there are `steps` of them
/// with about so many samples.
pub(super) fn is_worth(steps: usize, samples: usize) -> bool {
    steps > FEW_STEPS && samples > SHORT
}

/// What is known of a run of samples.
pub(super) trait Partial: Copy + Default {
    /// What is known of this run and the one after it.
    fn then(self, after: Self) -> Self;
}

/// For each value, where the run of equal values begins that it is in.
pub(super) fn equal_runs(values: &[f64]) -> Vec<usize> {
    let mut runs: Vec<usize> = Vec::with_capacity(values.len());
    for i in 0..values.len() {
        let run = if i > 0 && values[i] == values[i - 1] { runs[i - 1] } else { i };
        runs.push(run);
    }
    runs
}

/// The aggregates of windows that move forward.
#[derive(Debug, Default)]
struct Sliding<A> {
    /// Aggregates of the samples before `cut`, the shortest tail first.
    tails: Vec<A>,
    cut: usize,
    /// Aggregate of the samples from `cut` up to `seen`.
    newer: A,
    seen: usize,
}

impl<A: Partial> Sliding<A> {
    /// The aggregate of a window that is not empty, made of what is known of each sample.
    ///
    /// It costs little as long as no edge is before that of the last window.
    fn over(&mut self, window: &Range<usize>, of: impl Fn(usize) -> A) -> A {
        let known = self.cut.saturating_sub(self.tails.len())..self.cut;
        if !known.contains(&window.start) || window.end < self.seen {
            self.tails.clear();
            let mut tail = A::default();
            for i in window.clone().rev() {
                tail = of(i).then(tail);
                self.tails.push(tail);
            }
            (self.cut, self.seen, self.newer) = (window.end, window.end, A::default());
        }
        for i in self.seen..window.end {
            self.newer = self.newer.then(of(i));
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
        Self((is_worth(steps, values.len()) && is_tame(values)).then(Sliding::default))
    }

    /// The aggregate of a long run, made of what is known of each sample; `None` where samples are
    /// to be taken one by one.
    pub(super) fn over(&mut self, run: &Range<usize>, of: impl Fn(usize) -> A) -> Option<A> {
        let sliding = self.0.as_mut().filter(|_| run.len() > SHORT)?;
        Some(sliding.over(run, of))
    }
}

/// The compensated sum of a long run of values.
pub(super) fn long_sum(
    long: &mut LongWindows<KahanSum>,
    values: &[f64],
    run: &Range<usize>,
) -> Option<KahanSum> {
    long.over(run, |i| KahanSum { sum: values[i], c: 0.0 })
}

impl Partial for KahanSum {
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
    /// Of one value.
    pub(super) fn of(v: f64) -> Self {
        let exactly = |v| KahanSum { sum: v, c: 0.0 };
        Self { n: 1.0, mean: exactly(v), squares: exactly(if v.is_finite() { 0.0 } else { f64::NAN }) }
    }

    /// Population variance.
    pub(super) fn variance(self) -> f64 {
        (self.squares.sum + self.squares.c) / self.n
    }
}

impl Partial for Moments {
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
                    (sums.over(&window, |i| KahanSum { sum: values[i], c: 0.0 }).value(), sum.value()),
                    (moments.over(&window, |i| Moments::of(values[i])).variance(), squares.value() / n),
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
    fn no_sample_is_taken_in_more_than_twice() {
        let check = |width: usize, step: usize| {
            let (mut sliding, taken) = (Sliding::<KahanSum>::default(), std::cell::Cell::new(0));
            for end in (width..=10_000).step_by(step) {
                sliding.over(&(end - width..end), |_| {
                    taken.set(taken.get() + 1);
                    KahanSum::default()
                });
            }
            assert!(taken.get() <= 20_000, "width {width}, step {step}: {}", taken.get());
        };
        for (width, step) in [(1000, 1), (5000, 7), (100, 100), (100, 1000), (10_000, 1)] {
            check(width, step);
        }
    }

    #[test]
    fn windows_may_go_back() {
        let mut sliding = Sliding::<KahanSum>::default();
        let mut check = |window: Range<usize>, want: f64| {
            let got = sliding.over(&window, |i| KahanSum { sum: i as f64, c: 0.0 }).value();
            assert_eq!(got, want, "{window:?}");
        };
        check(5..8, 18.0);
        check(4..8, 22.0);
        check(6..10, 30.0);
        check(6..9, 21.0);
        check(0..1, 0.0);
    }

    #[test]
    fn equal_neighbours_are_one_run() {
        let check = |values: &[f64], want: &[usize]| assert_eq!(equal_runs(values), want, "{values:?}");
        check(&[1.0, 1.0, 2.0, 1.0, 1.0], &[0, 0, 2, 3, 3]);
        check(&[f64::NAN, f64::NAN, 0.0, -0.0], &[0, 1, 2, 2]);
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
