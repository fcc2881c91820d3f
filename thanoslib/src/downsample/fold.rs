//! Five aggregates of the windows of float samples.
//!
//! Additions depend on one another, and their order is part of the result. So windows are summed
//! up four at a time, and where a counter only grows nothing is added up for it:
//!
//! While `0 < a <= b <= 2a`, the difference `b - a` is exact (Sterbenz), and `a + (b - a)` is `b`.
//! A counter that begins with its first value and grows by such steps alone is at every sample
//! the value of that sample, to the bit. Values that never fall have their smallest value first
//! and their largest last.

/// Windows that are looked at together.
pub(super) const GROUP: usize = 4;

/// What goes on from window to window.
#[derive(Clone, Copy, Debug)]
struct Counter {
    /// Growth so far, from the first value on.
    total: f64,
    /// The last value.
    last: f64,
}

/// Fills the columns count, sum, min, max and counter with a value for each window of `vs`.
///
/// Windows end where `ends` says, the last one with `vs`; no value is NaN, and with `rising` none
/// is below the one before it. Windows without samples fill up the last group, their aggregates
/// mean nothing.
pub(super) fn fold(vs: &[f64], rising: bool, ends: &[[usize; GROUP]], columns: [&mut [[f64; GROUP]]; 5]) {
    let Some(&first) = vs.first() else { return };
    let mut counter = Counter { total: first, last: first };
    let [counts, sums, mins, maxs, counters] = columns;
    let columns = counts.iter_mut().zip(sums).zip(mins).zip(maxs).zip(counters);
    let mut start = 0;
    for (ends, ((((counts, sums), mins), maxs), counters)) in ends.iter().zip(columns) {
        let begin = start;
        let group = ends.map(|end| &vs[std::mem::replace(&mut start, end)..end]);
        *counts = group.map(|window| window.len() as f64);
        *sums = sum(group);
        if counter.grows(&vs[begin..start], rising) {
            let lasts = group.map(|window| window.last().copied().unwrap_or_default());
            *mins = group.map(|window| window.first().copied().unwrap_or_default());
            (*maxs, *counters) = (lasts, lasts);
            let last = vs[start - 1];
            counter = Counter { total: last, last };
            continue;
        }
        for (i, window) in group.into_iter().enumerate() {
            // The first value of all is where the counter stands.
            let known = usize::from(begin == 0 && i == 0);
            (mins[i], maxs[i]) = counter.take(window, known);
            counters[i] = counter.total;
        }
    }
}

impl Counter {
    /// True when the total is the last value and stays so, as told above.
    fn grows(&self, vs: &[f64], rising: bool) -> bool {
        let (Some(&first), Some(&last)) = (vs.first(), vs.last()) else { return false };
        // When all values are near one another, so are neighbours.
        let low = self.last;
        self.total == low
            && 0.0 < low
            && low <= first
            && last <= 2.0 * low
            && last < f64::INFINITY
            && (rising || never_falls(vs))
    }

    /// Goes on to the end of a window, whose first `known` values are in the total already; gives
    /// smallest and largest value of the window.
    ///
    /// Compat: without values below the greatest finite float, that is the smallest, and the other
    /// way round. Of zeros, which are equal, the first one is given.
    #[inline]
    fn take(&mut self, vs: &[f64], known: usize) -> (f64, f64) {
        let (mut mins, mut maxs) = ([f64::MAX; LANES], [f64::MIN; LANES]);
        let Self { mut total, mut last } = *self;
        // The growth of a block is known before it is added up.
        let (known, new) = vs.split_at(known);
        let (blocks, rest) = new.as_chunks::<LANES>();
        for block in blocks {
            let mut steps = [0.0; LANES];
            for i in 0..LANES {
                mins[i] = lower(mins[i], block[i]);
                maxs[i] = higher(maxs[i], block[i]);
                steps[i] = step(if i == 0 { last } else { block[i - 1] }, block[i]);
            }
            for step in steps {
                total += step;
            }
            last = block[LANES - 1];
        }
        for &v in rest {
            total += step(last, v);
            last = v;
        }
        *self = Self { total, last };
        let others = known.iter().chain(rest).copied();
        let min = others.clone().chain(mins).fold(f64::MAX, lower);
        let max = others.chain(maxs).fold(f64::MIN, higher);
        let first = |v: f64| if v == 0.0 { vs.iter().copied().find(|v| *v == 0.0).unwrap_or(v) } else { v };
        (first(min), first(max))
    }
}

/// Values that are compared side by side.
const LANES: usize = 4;

/// What a counter grows by; after a reset the whole value is growth.
#[inline(always)]
fn step(last: f64, v: f64) -> f64 {
    v - if v < last { 0.0 } else { last }
}

/// True when no value is below the one before it, or NaN.
pub(super) fn never_falls(vs: &[f64]) -> bool {
    // Looked at as a whole, without a branch for each; most values that fall at all do so soon.
    const SOON: usize = 16;
    let pairs = |vs: &[f64]| vs.iter().zip(&vs[1..]).fold(true, |rises, (a, b)| rises & (a <= b));
    match vs.split_at_checked(SOON) {
        Some((soon, _)) => pairs(soon) && pairs(&vs[SOON - 1..]),
        None => vs.iter().all(|v| !v.is_nan()) && vs.is_sorted(),
    }
}

/// The sums of windows, side by side.
#[inline]
fn sum(windows: [&[f64]; GROUP]) -> [f64; GROUP] {
    let common = windows.iter().map(|w| w.len()).min().unwrap_or(0);
    let [a, b, c, d] = windows.map(|w| &w[..common]);
    let mut sums = [0.0; GROUP];
    for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
        sums[0] += a;
        sums[1] += b;
        sums[2] += c;
        sums[3] += d;
    }
    for (sum, window) in sums.iter_mut().zip(windows) {
        window[common..].iter().for_each(|v| *sum += v);
    }
    sums
}

#[inline(always)]
pub(super) fn lower(min: f64, v: f64) -> f64 {
    if v < min { v } else { min }
}

#[inline(always)]
pub(super) fn higher(max: f64, v: f64) -> f64 {
    if v > max { v } else { max }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The five aggregates of windows as their definition says it.
    fn plain(vs: &[f64], ends: &[usize]) -> Vec<[u64; 5]> {
        let (mut start, mut counter, mut last) = (0, 0.0, None);
        let window = |end: &usize| {
            let (mut sum, mut min, mut max) = (0.0, f64::MAX, f64::MIN);
            for &v in &vs[start..*end] {
                sum += v;
                min = if v < min { v } else { min };
                max = if v > max { v } else { max };
                match last {
                    None => counter = v,
                    Some(last) if v < last => counter += v,
                    Some(last) => counter += v - last,
                }
                last = Some(v);
            }
            let count = (end - start) as f64;
            start = *end;
            [count, sum, min, max, counter].map(f64::to_bits)
        };
        ends.iter().map(window).collect()
    }

    fn check(vs: &[f64], ends: &[usize]) {
        let len = ends.len().next_multiple_of(GROUP);
        let mut columns = [(); 5].map(|()| vec![0.0; len]);
        let mut groups = ends.to_vec();
        groups.resize(len, vs.len());
        for rising in [false, never_falls(vs)] {
            fold(vs, rising, groups.as_chunks().0, columns.each_mut().map(|c| c.as_chunks_mut().0));
            let got: Vec<_> = (0..ends.len()).map(|i| columns.each_ref().map(|c| c[i].to_bits())).collect();
            assert_eq!(got, plain(vs, ends), "{vs:?}");
        }
    }

    #[test]
    fn aggregates_are_those_of_one_sample_after_another() {
        let inf = f64::INFINITY;
        let all: &[&[f64]] = &[
            &[3.0, 1.0, 2.0, 9.0, -4.0, 5.0, 6.0, 7.0, 8.0],
            &[0.0, -0.0, 1.0, 2.0, -0.0],
            &[-0.0, -0.0, 0.0],
            &[-1.0, -0.0, 0.0],
            &[1.0, 1.5, inf, inf, inf],
            &[inf, inf, 1.0],
            &[-inf, -inf, 1.0],
            &[f64::MAX, f64::MAX, f64::MAX],
            &[0.1, 0.2, 0.4, 0.8, 1.7, 1.8, 0.1, 0.2, 0.3, 0.4],
            &[5e-324, 1e-323, 1e-323, 1.5e-323],
        ];
        for vs in all {
            for len in 1..=vs.len() {
                let ends: Vec<usize> = (1..vs.len() / len).map(|i| i * len).chain([vs.len()]).collect();
                check(vs, &ends);
            }
        }
    }

    #[test]
    fn growing_counters_are_those_of_one_sample_after_another() {
        let mut seed = 7u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        for round in 0..500 {
            let mut v = [0.0, 0.001, 77.7, 1e15, -50.0][round % 5];
            let vs: Vec<f64> = (0..1 + random(300))
                .map(|_| {
                    v = match random(100) {
                        0 if round % 3 == 0 => random(10) as f64,
                        1 => v * 2.5,
                        2..40 => v,
                        _ => v + random(100_000) as f64 / 1000.0,
                    };
                    v
                })
                .collect();
            let mut ends = Vec::new();
            while ends.last() != Some(&vs.len()) {
                let end = ends.last().copied().unwrap_or(0) + 1 + random(25) as usize;
                ends.push(end.min(vs.len()));
            }
            check(&vs, &ends);
        }
    }
}
