//! Samples that keep pace with steps: so many new ones at each step.
//!
//! Scrapes come at equal distances, and so do steps. Where the one distance is a multiple of the
//! other, the place of the samples that a step sees follows from its number. That this is so is
//! proved for a group of steps at once, by a loop without branches; scrapes that jitter are no
//! hindrance as long as they come in their turn.

use crate::promql::plan::Line;

/// Steps that are looked at together.
pub(crate) const GROUP: usize = 16;

/// Where the samples that a group of steps has seen end: at step `i` before `first + i * stride`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// The first sample that the first step has not seen.
    pub(crate) first: usize,
    /// How many more samples each step has seen than the one before.
    pub(crate) stride: usize,
    /// The bits that are set in the age of some step's newest sample: a number that no age
    /// exceeds. All bits where a step has seen none.
    pub(crate) ages: u64,
}

/// How much later each step of a group is than its first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ladder([i64; GROUP]);

impl Ladder {
    /// The distances of any group of `line`.
    pub(crate) fn new(line: Line) -> Self {
        Self(std::array::from_fn(|i| line.time(i).wrapping_sub(line.time(0))))
    }
}

/// The times of a group of steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times<'l> {
    start_ms: i64,
    ladder: &'l Ladder,
}

impl<'l> Times<'l> {
    /// The times of a group that begins at `start_ms`; `None` when they come near the ends of what
    /// 64 bits hold.
    #[inline]
    pub(crate) fn new(start_ms: i64, ladder: &'l Ladder) -> Option<Self> {
        is_near(start_ms).then_some(Self { start_ms, ladder })
    }

    /// The time of a step of the group.
    #[inline]
    pub(crate) fn of(self, i: usize) -> i64 {
        self.start_ms.wrapping_add(self.ladder.0[i])
    }
}

/// True for times whose differences 64 bits hold.
#[inline]
pub(crate) fn is_near(t_ms: i64) -> bool {
    t_ms.unsigned_abs() < i64::MAX as u64 / 2
}

impl Pace {
    /// The pace of a group; `from` is a sample that the first step has not seen, or the first one
    /// of those that it has seen last.
    ///
    /// `None` when there is none, or it takes more than a glance to tell.
    #[inline]
    pub(crate) fn of(samples: &[i64], from: usize, times: Times<'_>) -> Option<Self> {
        let first = seen(samples, from, times.of(0));
        let stride = seen(samples, first, times.of(1)) - first;
        Self { first, stride, ages: 0 }.proved(samples, times)
    }

    /// Where the samples end that a step of the group has seen.
    #[inline]
    pub(crate) fn end(self, i: usize) -> usize {
        self.first + i * self.stride
    }

    /// This pace with its ages, if it is one.
    #[inline]
    fn proved(self, samples: &[i64], times: Times<'_>) -> Option<Self> {
        if self.stride == 1
            && let Some(from) = self.first.checked_sub(1)
            && let Some(around) = samples.get(from..).and_then(|s| s.first_chunk::<{ GROUP + 1 }>())
            && is_near(around[0])
            && is_near(around[GROUP])
        {
            let (mut ages, mut ahead) = (0, 0);
            for i in 0..GROUP {
                let t = times.of(i);
                ages |= t.wrapping_sub(around[i]);
                ahead |= around[i + 1].wrapping_sub(t + 1);
            }
            return ((ages | ahead) >= 0).then_some(Self { ages: ages as u64, ..self });
        }
        let (last, len) = (self.end(GROUP - 1), samples.len());
        if last > len {
            return None;
        }
        if let Some(from) = self.first.checked_sub(1)
            && last < len
            && is_near(samples[from])
            && is_near(samples[last])
        {
            // All of these lie between the two.
            let (mut ages, mut ahead) = (0, 0);
            for i in 0..GROUP {
                let (t, at) = (times.of(i), from + i * self.stride);
                ages |= t.wrapping_sub(samples[at]);
                ahead |= samples[at + 1].wrapping_sub(t + 1);
            }
            return ((ages | ahead) >= 0).then_some(Self { ages: ages as u64, ..self });
        }
        let mut ages = 0;
        for i in 0..GROUP {
            let (end, t) = (self.end(i), times.of(i));
            let late = end.checked_sub(1).is_some_and(|newest| samples[newest] > t);
            if late || samples.get(end).is_some_and(|s| *s <= t) {
                return None;
            }
            let newest = end.checked_sub(1).map(|at| t.abs_diff(samples[at]));
            ages |= newest.unwrap_or(u64::MAX);
        }
        Some(Self { ages, ..self })
    }
}

/// The first sample from `at` on that is later than `t_ms`.
#[inline]
pub(crate) fn seen(samples: &[i64], mut at: usize, t_ms: i64) -> usize {
    while at < samples.len() && samples[at] <= t_ms {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::{Steps, plan::Reference};

    fn check(samples: &[i64], step_ms: i64, at_ms: Option<i64>, want: Option<(usize, usize)>) {
        let steps = Steps { start_ms: 100, step_ms, count: GROUP };
        let line = Reference { at_ms, offset_ms: 0 }.line(steps).expect("near");
        let ladder = Ladder::new(line);
        let times = Times::new(line.time(0), &ladder).expect("near");
        let got = Pace::of(samples, 0, times);
        assert_eq!(got.map(|p| (p.first, p.stride)), want, "{samples:?}, step {step_ms}");
        for i in 0..GROUP {
            let end = samples.partition_point(|s| *s <= times.of(i));
            assert!(got.is_none_or(|pace| pace.end(i) == end), "{samples:?}, step {step_ms}");
            let age = end.checked_sub(1).map_or(u64::MAX, |at| times.of(i).abs_diff(samples[at]));
            assert!(got.is_none_or(|pace| pace.ages >= age), "{samples:?}, step {step_ms}");
        }
    }

    #[test]
    fn a_pace_is_found_where_there_is_one() {
        let every = |ms: i64| (0..60).map(|i| i * ms).collect::<Vec<_>>();
        check(&every(10), 10, None, Some((11, 1)));
        check(&every(10), 20, None, Some((11, 2)));
        check(&every(10), 15, None, None);
        check(&every(10), 10, Some(105), Some((11, 0)));
        // The last step sees the last sample.
        check(&every(10)[..26], 10, None, Some((11, 1)));
        check(&every(10)[..25], 10, None, None);
        // The first step sees nothing, or all that follow see the same.
        check(&every(10)[11..], 10, None, Some((0, 1)));
        check(&every(10)[..11], 10, None, Some((11, 0)));
        check(&[], 10, None, Some((0, 0)));
        check(&every(1000), 10, None, Some((1, 0)));
        check(&[i64::MIN, i64::MAX], 10, None, Some((1, 0)));
        // Scrapes that jitter.
        let mut late: Vec<i64> = every(10).iter().map(|t| t + 1 + t % 7).collect();
        check(&late, 10, None, Some((10, 1)));
        late[15] += 9;
        check(&late, 10, None, None);
    }
}
