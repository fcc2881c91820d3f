//! Merging by time alone: which sample of which track comes next.

use super::super::chain::{Chain, Walk};

/// Time that another track must be ahead of the very first sample to be taken.
const INITIAL_PENALTY_MS: i64 = 5000;

/// Neighbouring samples of one track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) track: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Appends a sample, to the last run where it goes on.
#[inline]
fn push_run(runs: &mut Vec<Run>, track: usize, i: usize) {
    match runs.last_mut() {
        Some(run) if run.track == track && run.end == i => run.end += 1,
        _ => runs.push(Run { track, start: i, end: i + 1 }),
    }
}

/// The penalty merge of tracks, folded in one after another.
///
/// The merge stays on one side until that falls behind: after each sample the other side has to
/// be ahead of it by twice the distance of the last two samples.
///
/// Source: Thanos `pkg/dedup/iter.go`.
#[derive(Debug, Default)]
pub(super) struct Line {
    samples: Vec<Taken>,
    /// The samples of the line that a track is being merged with.
    tail: Vec<Taken>,
}

/// A sample of the line.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    t: i64,
    /// The latest time up to which a side that was never taken is skipped here.
    reach: i64,
    track: u32,
    i: u32,
}

impl Line {
    pub(super) fn clear(&mut self) {
        self.samples.clear();
    }

    /// Merges a track behind those so far.
    pub(super) fn fold(&mut self, b: &[i64], track: usize) {
        let Some(&begin) = b.first() else { return };
        // What lies before the track is taken whatever the track holds.
        let keep = self.samples.partition_point(|s| s.t <= begin);
        let mut tail = std::mem::take(&mut self.tail);
        tail.clear();
        tail.extend_from_slice(&self.samples[keep..]);
        let before = keep.checked_sub(1).map(|i| self.samples[i]);
        self.samples.resize(keep + tail.len() + b.len(), Taken::default());
        let merged = merge(before, &tail, (b, track as u32), &mut self.samples[keep..]);
        self.samples.truncate(keep + merged);
        self.tail = tail;
    }

    /// The samples of the line as runs.
    pub(super) fn runs(&self, runs: &mut Vec<Run>) {
        for alike in self.samples.chunk_by(|s, next| s.track == next.track && s.i + 1 == next.i) {
            let (track, start) = (alike[0].track as usize, alike[0].i as usize);
            runs.push(Run { track, start, end: start + alike.len() });
        }
    }

    /// The samples of the line and of another one in order of time; at equal times those of the
    /// line.
    pub(super) fn runs_with(&self, other: &Self, runs: &mut Vec<Run>) {
        if other.samples.is_empty() {
            self.runs(runs);
            return;
        }
        let mut others = other.samples.iter().peekable();
        for s in &self.samples {
            while let Some(earlier) = others.next_if(|o| o.t <= s.t) {
                if earlier.t < s.t {
                    push_run(runs, earlier.track as usize, earlier.i as usize);
                }
            }
            push_run(runs, s.track as usize, s.i as usize);
        }
        others.for_each(|s| push_run(runs, s.track as usize, s.i as usize));
    }
}

/// Merges what is left of a line with a track of at least one sample into slots, which are enough
/// for both; gives how many it filled.
fn merge(before: Option<Taken>, a: &[Taken], (b, track): (&[i64], u32), out: &mut [Taken]) -> usize {
    let of_b = |j: usize| Taken { t: b[j], reach: 0, track, i: j as u32 };
    let (mut i, mut j) = (0, 0);
    // Samples up to here are skipped.
    let (mut skip_a, mut skip_b);
    let mut line = match before {
        Some(last) => {
            (skip_a, skip_b) = (last.t, last.reach);
            Tip { last: last.t, reach: last.reach, len: 0, out }
        }
        // What is left of the line is after the first sample of the track.
        None => {
            let reach = b[0].saturating_add(INITIAL_PENALTY_MS);
            out[0] = Taken { reach, ..of_b(0) };
            (j, skip_a, skip_b) = (1, reach, b[0]);
            Tip { last: b[0], reach, len: 1, out }
        }
    };
    loop {
        while i < a.len() && a[i].t <= skip_a {
            i += 1;
        }
        while j < b.len() && b[j] <= skip_b {
            j += 1;
        }
        if i == a.len() || j == b.len() {
            break;
        }
        if a[i].t <= b[j] {
            skip_b = line.stay(&mut i, a.len(), |i| a[i]);
            skip_a = line.last;
        } else {
            skip_a = line.stay(&mut j, b.len(), of_b);
            skip_b = line.last;
        }
    }
    // One side is left, and has nothing to wait for.
    for &sample in &a[i..] {
        line.push_later(sample);
    }
    for j in j..b.len() {
        line.push_later(of_b(j));
    }
    line.len
}

/// The end of a line that grows.
#[derive(Debug)]
struct Tip<'a> {
    last: i64,
    reach: i64,
    len: usize,
    out: &'a mut [Taken],
}

impl Tip<'_> {
    /// Appends the samples of a side from `i` on, as long as each comes while the other side has
    /// to wait, whatever that holds; gives the time up to which the other side is skipped.
    #[inline(always)]
    fn stay(&mut self, i: &mut usize, len: usize, side: impl Fn(usize) -> Taken) -> i64 {
        let mut skip = self.push(side(*i));
        let mut furthest = skip;
        *i += 1;
        while *i < len && side(*i).t <= skip {
            if side(*i).t > self.last {
                skip = self.push(side(*i));
                furthest = furthest.max(skip);
            }
            *i += 1;
        }
        furthest
    }

    /// Appends a sample; gives the time up to which the other side has to wait.
    #[inline(always)]
    fn push(&mut self, sample: Taken) -> i64 {
        let skip = wait(self.last, sample.t);
        self.reach = self.reach.max(skip);
        self.last = sample.t;
        self.out[self.len] = Taken { reach: self.reach, ..sample };
        self.len += 1;
        skip
    }

    /// Appends a sample if it is after the last.
    #[inline(always)]
    fn push_later(&mut self, sample: Taken) {
        if sample.t > self.last {
            self.push(sample);
        }
    }
}

/// The time up to which the side not taken has to wait after samples at `last` and `t`.
#[inline(always)]
fn wait(last: i64, t: i64) -> i64 {
    let step = t.wrapping_sub(last);
    if (0..1 << 60).contains(&step) && t < 1 << 61 {
        return t + 2 * step;
    }
    t.saturating_add(t.saturating_sub(last).saturating_mul(2))
}

/// The chain merge of tracks: every distinct time once.
pub(super) fn chain(tracks: &[&[i64]], runs: &mut Vec<Run>) {
    let mut chain = Chain::new(tracks.iter().map(|ts| Times { ts, at: None }).collect());
    while chain.next() {
        let leaf = chain.leaf();
        push_run(runs, leaf, chain.cursor(leaf).at.unwrap_or(0));
    }
}

/// A track that is read forward.
#[derive(Debug)]
struct Times<'a> {
    ts: &'a [i64],
    /// Index of the current sample, `None` before the first.
    at: Option<usize>,
}

impl Walk for Times<'_> {
    #[inline]
    fn t(&self) -> i64 {
        self.at.and_then(|at| self.ts.get(at)).copied().unwrap_or(i64::MAX)
    }

    #[inline]
    fn next(&mut self) -> bool {
        let at = self.at.map_or(0, |at| at + 1);
        self.at = Some(at);
        at < self.ts.len()
    }

    fn seek(&mut self, t: i64) -> bool {
        let at = self.at.unwrap_or(0);
        let rest = self.ts.get(at..).unwrap_or_default();
        let at = at + rest.iter().position(|x| *x >= t).unwrap_or(rest.len());
        self.at = Some(at);
        at < self.ts.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The penalty merge of two lists as its definition says it.
    fn pair(a: &[i64], b: &[i64]) -> Vec<i64> {
        let (mut a, mut b) = (a, b);
        let (mut out, mut last, mut waits) = (Vec::new(), None, [0, 0]);
        loop {
            if let Some(last) = last {
                let after = |ts: &[i64], wait: i64| ts.iter().position(|t| *t > last + wait);
                a = &a[after(a, waits[0]).unwrap_or(a.len())..];
                b = &b[after(b, waits[1]).unwrap_or(b.len())..];
            }
            let t = match (a.first(), b.first()) {
                (None, None) => return out,
                (Some(t), None) => {
                    waits[0] = 0;
                    *t
                }
                (None, Some(t)) => {
                    waits[1] = 0;
                    *t
                }
                (Some(x), Some(y)) => {
                    let t = *x.min(y);
                    let wait = last.map_or(5000, |last| 2 * (t - last));
                    waits = if x <= y { [0, wait] } else { [wait, 0] };
                    t
                }
            };
            out.push(t);
            last = Some(t);
        }
    }

    fn check(tracks: &[&[i64]]) {
        let mut line = Line::default();
        tracks.iter().enumerate().for_each(|(i, ts)| line.fold(ts, i));
        let want = tracks.iter().skip(1).fold(tracks[0].to_vec(), |a, b| pair(&a, b));
        assert_eq!(line.samples.iter().map(|s| s.t).collect::<Vec<_>>(), want, "{tracks:?}");
        let mut runs = Vec::new();
        line.runs(&mut runs);
        let back: Vec<i64> = runs.iter().flat_map(|r| &tracks[r.track][r.start..r.end]).copied().collect();
        assert_eq!(back, want);
    }

    #[test]
    fn folding_in_place_equals_merging_pairs() {
        check(&[&[0, 10, 20], &[7000, 7010]]);
        check(&[&[0, 15_000, 30_000, 90_000], &[7000, 22_000, 37_000, 52_000, 67_000]]);
        check(&[&[], &[1, 2], &[]]);
        let mut seed = 1u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((seed >> 33) % below) as i64
        };
        for _ in 0..2000 {
            let mut begin = 0;
            let tracks: Vec<Vec<i64>> = (0..1 + random(5))
                .map(|_| {
                    begin += random(40_000);
                    let mut t = begin;
                    (0..random(12))
                        .map(|_| {
                            t += 1 + [10, 15_000, 60_000][random(3) as usize] + random(100);
                            t
                        })
                        .collect()
                })
                .collect();
            check(&tracks.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
    }

    #[test]
    fn times_at_the_ends_are_kept() {
        let mut line = Line::default();
        line.fold(&[i64::MIN, i64::MAX], 0);
        line.fold(&[i64::MIN, i64::MAX], 1);
        assert_eq!(line.samples.iter().map(|s| s.t).collect::<Vec<_>>(), [i64::MIN, i64::MAX]);
        let mut runs = Vec::new();
        chain(&[&[i64::MIN, 0], &[i64::MIN, i64::MAX]], &mut runs);
        assert_eq!(runs.iter().map(|r| r.end - r.start).sum::<usize>(), 3);
    }
}
