//! Stretches of steps whose windows follow from their number.
//!
//! Scrapes come at equal distances, and so do steps. Where a step is a multiple of the distance of
//! samples, time falls into slots as long as that distance, each with one sample, and each window
//! begins and ends so many samples later than the one before. That a run of samples keeps to its
//! slots is found by one pass over their times, without branches; scrapes that jitter inside their
//! slots are no hindrance.

use std::ops::Range;

use crate::promql::pace::{is_near, seen};

/// Samples that are looked at together.
const LANES: usize = 8;
/// Fewer steps are no stretch.
const STEPS_MIN: usize = 4;
/// Fewer steps whose samples are all as far from their slots' ends are not told apart from others.
const ALIKE_MIN: usize = 16;
/// Most steps whose samples jitter, after which those that do not are looked for again.
const JITTER_MAX: usize = 64;

/// The windows of some steps: that of step `i` are the samples `i * stride` behind those of the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    /// The window of the first step; it is not empty.
    pub(super) first: Range<usize>,
    /// By how many samples each window is later than the one before.
    pub(super) stride: usize,
    /// Number of steps.
    pub(super) count: usize,
    /// True when all windows have their first sample as far from their start, and their last one
    /// as far from their end.
    pub(super) is_alike: bool,
}

impl Stretch {
    /// The stretch that begins with a step, of at most `most` steps; `window` holds the samples
    /// behind `end_ms - range_ms` up to `end_ms`.
    ///
    /// `None` when samples keep no slots, or only those of a few steps.
    #[inline(always)]
    pub(super) fn of(
        times: &[i64],
        window: &Range<usize>,
        end_ms: i64,
        range_ms: i64,
        step_ms: i64,
        most: usize,
    ) -> Option<Self> {
        let start_ms = end_ms.checked_sub(range_ms)?;
        if window.is_empty() || step_ms <= 0 || most < STEPS_MIN || !is_near(start_ms) || !is_near(end_ms) {
            return None;
        }
        let stride = seen(times, window.end, end_ms.checked_add(step_ms)?) - window.end;
        let length = step_ms.checked_div(stride as i64).filter(|l| l * stride as i64 == step_ms)?;
        // No more samples are looked at than the steps have.
        let samples = |steps: usize| window.len() + 1 + steps.saturating_mul(stride);
        let (enough, jittered) = (samples(most), samples(JITTER_MAX));
        let from = Slots::of(times, window.start, start_ms, length, enough, jittered);
        let to = match range_ms % length {
            0 if from.until >= window.end => from,
            0 => return None,
            // The last sample of the first window counts too.
            _ => Slots::of(times, window.end - 1, end_ms.checked_sub(length)?, length, enough, jittered),
        };
        // A window may end with the last sample of all, or before one that keeps its slot.
        let last = |slots: Slots| slots.until.saturating_sub(usize::from(slots.until < times.len()));
        let steps = |from: usize, to: usize| {
            let starts = from.checked_sub(window.start + 1)? / stride;
            Some(starts.min(to.checked_sub(window.end)? / stride) + 1)
        };
        let count = steps(from.until, last(to))?.min(most);
        let alike = steps(from.alike_until, to.alike_until.min(last(to))).unwrap_or(0).min(count);
        let is_alike = alike == count || alike >= ALIKE_MIN;
        let count = if is_alike { alike } else { count.min(JITTER_MAX) };
        (count >= STEPS_MIN).then(|| Self { first: window.clone(), stride, count, is_alike })
    }

    /// The window of a step.
    #[inline(always)]
    pub(super) fn get(&self, i: usize) -> Range<usize> {
        self.first.start + i * self.stride..self.first.end + i * self.stride
    }
}

/// A run of samples that each keep to their slot.
#[derive(Clone, Copy, Debug)]
struct Slots {
    /// The first sample behind the run.
    until: usize,
    /// The first sample from which on some lie elsewhere in their slots than the first one.
    alike_until: usize,
}

impl Slots {
    /// The run that begins with the sample `at`, whose slot begins after `start_ms`; all slots are
    /// of one length. It ends at the latest with `most` samples, or with `jittered` when not all are
    /// alike.
    #[inline(always)]
    fn of(times: &[i64], at: usize, start_ms: i64, length: i64, most: usize, jittered: usize) -> Self {
        // Slots that end where times could overflow are not looked at.
        let slots = (i64::MAX / 2).saturating_sub(start_ms) / length;
        let most = most.min(usize::try_from(slots).unwrap_or(0));
        let end = times.len().min(at.saturating_add(most));
        let times = times.get(at..end).unwrap_or_default();
        let begin = start_ms + 1;
        let place = |i: usize| times[i].wrapping_sub(begin + i as i64 * length);
        let Some(first) = (!times.is_empty()).then(|| place(0)) else {
            return Self { until: at, alike_until: at };
        };
        let ladder: [i64; LANES] = std::array::from_fn(|i| i as i64 * length);
        let across = length.wrapping_mul(LANES as i64);
        let (mut begin, mut until) = (begin, 0);
        let (blocks, _) = times.as_chunks::<LANES>();
        let mut blocks = blocks.iter();
        // Samples that lie where the first one does in its slot lie inside of theirs, if it does.
        if (0..length).contains(&first) {
            let mut wanted = ladder.map(|at| times[0].wrapping_add(at));
            for block in blocks.clone() {
                let mut unlike = 0;
                for i in 0..LANES {
                    unlike |= block[i] ^ wanted[i];
                    wanted[i] = wanted[i].wrapping_add(across);
                }
                if unlike != 0 {
                    break;
                }
                until += LANES;
                blocks.next();
            }
            begin = begin.wrapping_add(length.wrapping_mul(until as i64));
        }
        let mut alike = until;
        for block in blocks {
            // Negative when a sample lies before or behind its slot.
            let mut outside = 0;
            for i in 0..LANES {
                let place = block[i].wrapping_sub(begin.wrapping_add(ladder[i]));
                outside |= place | (length - 1).wrapping_sub(place);
            }
            if outside < 0 || (alike < until && until >= jittered) {
                break;
            }
            until += LANES;
            begin = begin.wrapping_add(across);
        }
        let end = if alike < until { times.len().min(until.max(jittered)) } else { times.len() };
        while alike < end && (alike < until || (0..length).contains(&place(alike))) && place(alike) == first {
            alike += 1;
        }
        until = until.max(alike);
        while until < end && (0..length).contains(&place(until)) {
            until += 1;
        }
        Self { until: at + until, alike_until: at + alike }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::functions::range::window;

    /// The stretch of a step and the windows of all its steps, which must be those that are found
    /// one by one; gives stride, count and whether all are alike.
    fn check(times: &[i64], range_ms: i64, step_ms: i64, want: Option<(usize, usize, bool)>) {
        let end_ms = 100;
        let mut at = 0..0;
        window::advance(times, end_ms - range_ms, end_ms, &mut at);
        let got = Stretch::of(times, &at, end_ms, range_ms, step_ms, 50);
        let found = got.as_ref().map(|s| (s.stride, s.count, s.is_alike));
        assert_eq!(found, want, "{times:?}, range {range_ms}, step {step_ms}");
        let Some(stretch) = got else { return };
        let place = |at: Range<usize>, end: i64| (times[at.start] - end, times[at.end - 1] - end);
        for i in 0..stretch.count {
            let end = end_ms + i as i64 * step_ms;
            window::advance(times, end - range_ms, end, &mut at);
            assert_eq!(stretch.get(i), at, "{times:?}, range {range_ms}, step {step_ms}, {i}");
            assert!(!stretch.is_alike || place(at.clone(), end) == place(stretch.get(0), end_ms));
        }
    }

    #[test]
    fn windows_are_those_found_one_by_one() {
        let every = |ms: i64| (0..60).map(|i| i * ms).collect::<Vec<_>>();
        check(&every(10), 50, 10, Some((1, 50, true)));
        check(&every(10)[..31], 50, 10, Some((1, 21, true)));
        check(&every(10), 50, 20, Some((2, 25, true)));
        check(&every(10), 45, 10, Some((1, 50, true)));
        check(&every(10), 50, 15, None);
        check(&every(20), 50, 10, None);
        check(&every(10), 200, 10, None);
        check(&every(10)[..11], 50, 10, None);
        check(&[], 50, 10, None);
        // Scrapes that jitter, alone or after some that do not.
        let mut late: Vec<i64> = every(10).iter().map(|t| t - t % 7).collect();
        check(&late, 50, 10, Some((1, 50, false)));
        late = every(10).iter().map(|t| t - i64::from(*t > 300) * (t % 7)).collect();
        check(&late, 50, 10, Some((1, 21, true)));
        // A gap ends a stretch.
        let mut gap = every(10);
        gap.remove(30);
        check(&gap, 50, 10, Some((1, 19, true)));
        // Times near the ends of what 64 bits hold.
        check(&[60, 70, 80, 90, 100, i64::MAX], 50, 10, None);
        check(&[i64::MIN, 60, 70, 80, 90, 100, 110, 120, 130], 50, 10, Some((1, 4, true)));
    }

    #[test]
    fn any_times_give_right_windows() {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below) as i64
        };
        let mut stretches = 0;
        for round in 0..500u64 {
            let (jitter, gaps) = (1 + round % 4, 10 + round % 90);
            let mut slot = -20;
            let times: Vec<i64> = (0..100)
                .map(|_| {
                    slot += 10 + 10 * i64::from(random(gaps) == 0);
                    slot + random(jitter)
                })
                .collect();
            let (range_ms, step_ms) = (10 + random(60), 10 * (1 + random(4)));
            let (mut at, mut end_ms) = (0..0, 100);
            for _ in 0..40 {
                window::advance(&times, end_ms - range_ms, end_ms, &mut at);
                let stretch = Stretch::of(&times, &at, end_ms, range_ms, step_ms, 20);
                stretches += stretch.as_ref().map_or(0, |s| s.count);
                let mut expected = at.clone();
                for i in 0..stretch.as_ref().map_or(0, |s| s.count) {
                    let end = end_ms + i as i64 * step_ms;
                    window::advance(&times, end - range_ms, end, &mut expected);
                    assert_eq!(stretch.as_ref().map(|s| s.get(i)), Some(expected.clone()));
                }
                end_ms += step_ms;
            }
        }
        assert!(stretches > 10_000, "{stretches}");
    }
}
