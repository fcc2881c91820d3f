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
}

/// The times of a group of steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    start_ms: i64,
    stride_ms: i64,
}

impl Times {
    /// The times of `line` from a step on, each earlier by `before_ms`; `None` when they come near
    /// the ends of what 64 bits hold.
    #[inline]
    pub(crate) fn new(line: Line, step: usize, before_ms: i64) -> Option<Self> {
        let start_ms = line.time(step).checked_sub(before_ms)?;
        let stride_ms = line.time(step + 1).wrapping_sub(line.time(step));
        is_near(start_ms).then_some(Self { start_ms, stride_ms })
    }

    /// The time of a step of the group.
    #[inline]
    pub(crate) fn of(self, i: usize) -> i64 {
        self.start_ms.wrapping_add(self.stride_ms.wrapping_mul(i as i64))
    }
}

/// True for times whose differences 64 bits hold.
#[inline]
fn is_near(t_ms: i64) -> bool {
    t_ms.unsigned_abs() < i64::MAX as u64 / 2
}

impl Pace {
    /// The pace of a group; `from` is a sample that the first step has not seen, or the first one
    /// of those that it has seen last.
    ///
    /// `None` when there is none, or it takes more than a glance to tell.
    #[inline]
    pub(crate) fn of(samples: &[i64], from: usize, times: Times) -> Option<Self> {
        let first = seen(samples, from, times.of(0));
        let stride = seen(samples, first, times.of(1)) - first;
        let pace = Self { first, stride };
        pace.holds(samples, times).then_some(pace)
    }

    /// Where the samples end that a step of the group has seen.
    #[inline]
    pub(crate) fn end(self, i: usize) -> usize {
        self.first + i * self.stride
    }

    #[inline]
    fn holds(self, samples: &[i64], times: Times) -> bool {
        let last = self.end(GROUP - 1);
        let before = |end: usize, t: i64| end == 0 || samples.get(end - 1).is_some_and(|s| *s <= t);
        let behind = |end: usize, t: i64| samples.get(end).is_none_or(|s| *s > t);
        if last > samples.len() {
            return false;
        }
        if self.stride == 0 {
            return before(self.first, times.of(0)) && behind(self.first, times.of(GROUP - 1));
        }
        if self.stride == 1
            && let Some(from) = self.first.checked_sub(1)
            && let Some(around) = samples.get(from..).and_then(|s| s.first_chunk::<{ GROUP + 1 }>())
            && is_near(around[0])
            && is_near(around[GROUP])
        {
            let mut signs = 0;
            for i in 0..GROUP {
                let t = times.of(i);
                signs |= t.wrapping_sub(around[i]) | around[i + 1].wrapping_sub(t + 1);
            }
            return signs >= 0;
        }
        (0..GROUP).all(|i| before(self.end(i), times.of(i)) && behind(self.end(i), times.of(i)))
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
        let times = Times::new(line, 0, 0).expect("near");
        let got = Pace::of(samples, 0, times);
        assert_eq!(got, want.map(|(first, stride)| Pace { first, stride }), "{samples:?}, step {step_ms}");
        for i in 0..GROUP {
            let end = samples.partition_point(|s| *s <= times.of(i));
            assert!(got.is_none_or(|pace| pace.end(i) == end), "{samples:?}, step {step_ms}");
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
