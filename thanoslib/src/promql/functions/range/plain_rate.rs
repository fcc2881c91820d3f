//! rate, increase and delta of series that hold floats alone, many steps at a time.
//!
//! Where samples keep pace with steps, the windows of a [`Stretch`] follow from the number of the
//! step, and the arithmetic runs over arrays, without branches. It is that of
//! [`rate`](super::rate), operation by operation, so that results are equal to the bit. Where the
//! windows are alike, with samples at the same distances from their ends, what depends on times
//! alone is computed once.

use crate::{
    promql::{Block, FunctionId, pace::GROUP},
    wide::{self, Work},
};

use super::{RangeCall, Samples, rate::range_seconds, stretch::Stretch, window};

/// Steps without pace that are looked at before a stretch is tried again; their number doubles.
const ODD_MIN: usize = 2;
/// Fewer steps are computed one by one.
const LANES_MIN: usize = 5;
/// Distances of times, either way, that [`near_float`] takes.
const NEAR_MS: i64 = 1 << 51;
/// Most resets of a series; sums over windows with more are found in other ways.
const RESETS_MAX: u64 = 64;

/// What is known of the windows of some steps; times in ms.
struct Windows {
    /// Samples less one; 1 where a window has too few.
    gaps: [f64; GROUP],
    /// From the start of the range to the first sample.
    before: [f64; GROUP],
    /// From the last sample to the end of the range.
    after: [f64; GROUP],
    /// From the first sample to the last one.
    sampled: [f64; GROUP],
    first: [f64; GROUP],
    /// Last value less the first one, resets made good.
    change: [f64; GROUP],
}

/// One series while its windows are walked.
struct Series<'s> {
    ft: &'s [i64],
    /// As many as times.
    fv: &'s [f64],
    /// Places of values smaller than the one before, with that one.
    resets: &'s [(usize, f64)],
    /// The range in seconds, by which changes are divided; 1 where they are not.
    range: f64,
}

/// The windows of a call over a series, counters or not.
struct Rates<'a, const COUNTER: bool> {
    call: &'a RangeCall,
    samples: &'a Samples<'a>,
    block: &'a mut Block,
}

impl<const COUNTER: bool> Work for Rates<'_, COUNTER> {
    type Done = Option<u64>;

    #[inline(always)]
    fn run(self) -> Option<u64> {
        self.call.rates::<COUNTER>(self.samples, self.block)
    }
}

impl RangeCall {
    /// Fills `block` and gives the number of samples in all windows; `None` when the series
    /// needs more than this knows.
    pub(super) fn plain_rate(&self, samples: &Samples<'_>, block: &mut Block) -> Option<u64> {
        match self.id {
            FunctionId::Rate | FunctionId::Increase => {
                wide::run(Rates::<true> { call: self, samples, block })
            }
            FunctionId::Delta => wide::run(Rates::<false> { call: self, samples, block }),
            _ => None,
        }
    }

    #[inline(always)]
    fn rates<const COUNTER: bool>(&self, samples: &Samples<'_>, block: &mut Block) -> Option<u64> {
        if self.extension.is_some()
            || !samples.ht.is_empty()
            || !samples.fs.is_empty()
            || samples.grain.is_some()
        {
            return None;
        }
        let line = self.reference.line(self.steps)?;
        let resets = if COUNTER { resets(samples.fv)? } else { Vec::new() };
        let (ft, fv) = (samples.ft, &samples.fv[..samples.ft.len()]);
        let range = if self.id == FunctionId::Rate { range_seconds(self.range_ms) } else { 1.0 };
        let mut series = Series { ft, fv, resets: &resets, range };
        let mut windows = Windows {
            gaps: [1.0; GROUP],
            before: [0.0; GROUP],
            after: [0.0; GROUP],
            sampled: [0.0; GROUP],
            first: [0.0; GROUP],
            change: [0.0; GROUP],
        };
        let (mut window, mut weight, mut step, mut odd) = (0..0, 0, 0, ODD_MIN);
        let step_ms = line.time(1).wrapping_sub(line.time(0));
        while step < block.floats.len() {
            let end_ms = line.time(step);
            let start_ms = end_ms.saturating_sub(self.range_ms);
            window::advance(ft, start_ms, end_ms, &mut window);
            let (present, values) = (&mut block.present, &mut block.floats[step..]);
            let most = values.len();
            if let Some(stretch) = Stretch::of(ft, &window, end_ms, self.range_ms, step_ms, most) {
                let count = stretch.count;
                weight += (stretch.first.len() * count) as u64;
                // One sample tells no change.
                if stretch.first.len() >= 2 {
                    let times = (start_ms, end_ms, step_ms);
                    windows.stretch::<COUNTER>(&mut series, &stretch, times, &mut values[..count]);
                    present.insert_range(step..step + count);
                }
                window = stretch.get(count - 1);
                (step, odd) = (step + count, ODD_MIN);
                continue;
            }
            let lanes = most.min(odd);
            odd = GROUP.min(2 * odd);
            let out = &mut values[..lanes];
            for i in 0..lanes {
                let end_ms = line.time(step + i);
                let start_ms = end_ms.saturating_sub(self.range_ms);
                window::advance(ft, start_ms, end_ms, &mut window);
                weight += window.len() as u64;
                if window.len() < 2 {
                    windows.gaps[i] = 1.0;
                    continue;
                }
                present.insert(step + i);
                let (first, last) = (window.start, window.end - 1);
                windows.first[i] = fv[first];
                windows.change[i] = fv[last] - fv[first];
                series.pass_resets(first);
                let inside = series.resets.iter().take_while(|(j, _)| *j <= last);
                inside.for_each(|(_, lost)| windows.change[i] += lost);
                windows.gaps[i] = (last - first) as i64 as f64;
                windows.before[i] = ft[first].wrapping_sub(start_ms) as f64;
                windows.after[i] = end_ms.wrapping_sub(ft[last]) as f64;
                windows.sampled[i] = ft[last].wrapping_sub(ft[first]) as f64;
            }
            windows.extrapolate::<COUNTER>(range, out);
            step += lanes;
        }
        Some(weight)
    }
}

impl Series<'_> {
    /// Leaves resets behind that no window sees any more which begins with the sample `first`.
    #[inline(always)]
    fn pass_resets(&mut self, first: usize) {
        while let [(at, _), rest @ ..] = self.resets
            && *at <= first
        {
            self.resets = rest;
        }
    }
}

impl Windows {
    /// Computes the windows of a stretch; `times` are the start and the end of the first one and how
    /// much later each next one is.
    #[inline(always)]
    fn stretch<const COUNTER: bool>(
        &mut self,
        series: &mut Series<'_>,
        stretch: &Stretch,
        times: (i64, i64, i64),
        out: &mut [f64],
    ) {
        let (start_ms, end_ms, step_ms) = times;
        let (ft, stride) = (series.ft, stretch.stride);
        let (first, last) = (stretch.first.start, stretch.first.end - 1);
        self.gaps = [(last - first) as i64 as f64; GROUP];
        let mut alike = None;
        if stretch.is_alike {
            let sampled = ft[last].wrapping_sub(ft[first]) as f64;
            let before = ft[first].wrapping_sub(start_ms) as f64;
            let after = end_ms.wrapping_sub(ft[last]) as f64;
            (self.before, self.after, self.sampled) = ([before; GROUP], [after; GROUP], [sampled; GROUP]);
            let (before_s, factor) = factor(sampled, self.gaps[0], before, after);
            // Where the line through the samples surely meets zero before the range begins, by twice
            // the distance, the division that tells when is spared.
            let far = (2.0 * before_s / (sampled / 1000.0)).max(1.0);
            alike = (sampled != 0.0).then_some((far, factor / series.range));
        }
        let ladder: [i64; GROUP] = std::array::from_fn(|i| step_ms.wrapping_mul(i as i64));
        for (group, out) in out.chunks_mut(GROUP).enumerate() {
            let (first, last) = (first + group * GROUP * stride, last + group * GROUP * stride);
            self.changes(series, first, last, stride, out.len());
            if let Some((far, factor)) = alike {
                let is_far = |i: usize| (self.change[i] <= 0.0) | (self.first[i] >= self.change[i] * far);
                if !COUNTER || (0..GROUP).fold(true, |all, i| all & is_far(i)) {
                    match out.first_chunk_mut::<GROUP>() {
                        Some(out) => (0..GROUP).for_each(|i| out[i] = self.change[i] * factor),
                        None => out.iter_mut().zip(&self.change).for_each(|(out, c)| *out = c * factor),
                    }
                    continue;
                }
            }
            if !stretch.is_alike {
                let at = step_ms.wrapping_mul((group * GROUP) as i64);
                let (start_ms, end_ms) = (start_ms.wrapping_add(at), end_ms.wrapping_add(at));
                let firsts = strided(&ft[first..], stride, out.len());
                let lasts = strided(&ft[last..], stride, out.len());
                // Nothing is farther from its window's ends than these are from each other, or a step.
                let is_near = end_ms.wrapping_sub(start_ms).max(step_ms) < NEAR_MS;
                let float = |ms| if is_near { near_float(ms) } else { ms as f64 };
                for i in 0..GROUP {
                    self.before[i] = float(firsts[i].wrapping_sub(start_ms.wrapping_add(ladder[i])));
                    self.after[i] = float(end_ms.wrapping_add(ladder[i]).wrapping_sub(lasts[i]));
                    self.sampled[i] = float(lasts[i].wrapping_sub(firsts[i]));
                }
            }
            self.extrapolate::<COUNTER>(series.range, out);
        }
    }

    /// Finds first values and changes of windows that begin and end with so many samples more than
    /// the one before. Lanes from `lanes` on are those of the last one.
    #[inline(always)]
    fn changes(&mut self, series: &mut Series<'_>, first: usize, last: usize, stride: usize, lanes: usize) {
        let fv = series.fv;
        self.first = strided(&fv[first..], stride, lanes);
        let lasts = strided(&fv[last..], stride, lanes);
        for (i, last) in lasts.iter().enumerate() {
            self.change[i] = last - self.first[i];
        }
        series.pass_resets(first);
        let end = last + (lanes - 1) * stride;
        for (at, lost) in series.resets.iter().take_while(|(at, _)| *at <= end) {
            for i in 0..lanes {
                if first + i * stride < *at && *at <= last + i * stride {
                    self.change[i] += lost;
                }
            }
        }
    }

    /// Each lane's change, extrapolated to the ends of its range and divided by `range`.
    #[inline(always)]
    fn extrapolate<const COUNTER: bool>(&self, range: f64, out: &mut [f64]) {
        if out.len() < LANES_MIN {
            out.iter_mut().enumerate().for_each(|(i, out)| *out = self.value::<COUNTER>(i, range));
            return;
        }
        let mut values = [0.0; GROUP];
        if self.are_inside::<COUNTER>() {
            values.iter_mut().enumerate().for_each(|(i, v)| *v = self.value_inside(i, range));
        } else {
            values.iter_mut().enumerate().for_each(|(i, v)| *v = self.value::<COUNTER>(i, range));
        }
        match out.first_chunk_mut() {
            Some(out) => *out = values,
            None => out.iter_mut().zip(values).for_each(|(out, v)| *out = v),
        }
    }

    /// True when in all lanes the first and the last sample surely lie as near to the ends of the
    /// range as to each other, and no counter meets zero inside of it: nothing is cut then.
    #[inline(always)]
    fn are_inside<const COUNTER: bool>(&self) -> bool {
        // Both bounds are a hundredth away from those that are cut at.
        let is_inside = |i: usize| {
            let far = self.sampled[i] * 1.09;
            let near = (self.before[i] * self.gaps[i] < far) & (self.after[i] * self.gaps[i] < far);
            let falls = COUNTER & (self.first[i] * self.gaps[i] < self.change[i] * 1.11);
            near & !falls & !self.first[i].is_nan() & !self.change[i].is_nan()
        };
        (0..GROUP).fold(true, |all, i| all & is_inside(i))
    }

    /// The value of a lane in which nothing is cut.
    #[inline(always)]
    fn value_inside(&self, i: usize, range: f64) -> f64 {
        let sampled = self.sampled[i] / 1000.0;
        let whole = sampled + self.before[i] / 1000.0 + self.after[i] / 1000.0;
        self.change[i] * (whole / sampled / range)
    }

    /// The value of any lane.
    #[inline(always)]
    fn value<const COUNTER: bool>(&self, i: usize, range: f64) -> f64 {
        let sampled = self.sampled[i] / 1000.0;
        let average = sampled / self.gaps[i];
        let (threshold, half) = (average * 1.1, average / 2.0);
        let before = self.before[i] / 1000.0;
        let mut before = if before >= threshold { half } else { before };
        if COUNTER {
            // A counter does not begin below zero.
            let to_zero = sampled * (self.first[i] / self.change[i]);
            let falls = (self.change[i] > 0.0) & (self.first[i] >= 0.0) & (to_zero < before);
            before = if falls { to_zero } else { before };
        }
        let after = self.after[i] / 1000.0;
        let after = if after >= threshold { half } else { after };
        let whole = (sampled + before + after) / sampled;
        let factor = if sampled == 0.0 { 1.0 } else { whole };
        self.change[i] * (factor / range)
    }
}

/// Every `stride`th item, `lanes` of them, the last one again in lanes behind.
#[inline(always)]
fn strided<T: Copy>(items: &[T], stride: usize, lanes: usize) -> [T; GROUP] {
    /// The same with a length that the compiler knows.
    #[inline(always)]
    fn by<const STRIDE: usize, T: Copy>(items: &[T]) -> Option<[T; GROUP]> {
        let items = items.get(..(GROUP - 1) * STRIDE + 1)?;
        let mut out = [items[0]; GROUP];
        out.iter_mut().enumerate().for_each(|(i, out)| *out = items[i * STRIDE]);
        Some(out)
    }
    let whole = match stride {
        1 => by::<1, T>(items),
        2 => by::<2, T>(items),
        4 => by::<4, T>(items),
        _ => None,
    };
    match whole {
        Some(whole) if lanes == GROUP => whole,
        _ => {
            let mut out = [items[0]; GROUP];
            out.iter_mut().enumerate().for_each(|(i, out)| *out = items[i.min(lanes - 1) * stride]);
            out
        }
    }
}

/// A distance of times below [`NEAR_MS`] as a float; without an instruction that vectors lack.
#[inline(always)]
fn near_float(ms: i64) -> f64 {
    /// The float 2^52 + 2^51, whose lowest bit counts ones.
    const MAGIC: i64 = 0x4338_0000_0000_0000;
    f64::from_bits(ms.wrapping_add(MAGIC) as u64) - f64::from_bits(MAGIC as u64)
}

/// How far a window reaches before its first sample, in seconds, and by how much its change grows
/// when it is extrapolated to the ends of the range; for one that does not fall to zero.
#[inline(always)]
pub(super) fn factor(sampled_ms: f64, gaps: f64, before_ms: f64, after_ms: f64) -> (f64, f64) {
    let sampled = sampled_ms / 1000.0;
    let average = sampled / gaps;
    let (threshold, half) = (average * 1.1, average / 2.0);
    let before = before_ms / 1000.0;
    let before = if before >= threshold { half } else { before };
    let after = after_ms / 1000.0;
    let after = if after >= threshold { half } else { after };
    (before, if sampled == 0.0 { 1.0 } else { (sampled + before + after) / sampled })
}

/// The places of values smaller than the one before, with that one; `None` when there are many.
#[inline(always)]
fn resets(values: &[f64]) -> Option<Vec<(usize, f64)>> {
    let later = values.get(1..).unwrap_or_default();
    let earlier = &values[..later.len()];
    // As many as there are floats in a vector are counted at once.
    let mut count = 0u64;
    for i in 0..later.len() {
        count += u64::from(later[i] < earlier[i]);
    }
    match count {
        0 => Some(Vec::new()),
        1..=RESETS_MAX => {
            let falls = |w: &[f64]| w[1] < w[0];
            let pairs = values.windows(2).enumerate().filter(|(_, w)| falls(w));
            Some(pairs.map(|(i, w)| (i + 1, w[0])).collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Reach, rate};
    use super::*;
    use crate::{
        model::Labels,
        promql::{Annotations, Steps, plan::Reference},
    };

    /// Xorshift.
    fn random(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    fn check(id: FunctionId, samples: &[(i64, f64)], range_ms: i64, step_ms: i64) {
        let (ft, fv): (Vec<i64>, Vec<f64>) = samples.iter().copied().unzip();
        let samples = Samples { ft: &ft, fv: &fv, fs: &[], ht: &[], hv: &[], hs: &[], grain: None };
        let steps = Steps { start_ms: -5000, step_ms, count: 150 };
        let call = RangeCall {
            id,
            steps,
            reference: Reference { at_ms: None, offset_ms: 300 },
            range_ms,
            extension: None,
            reach: Reach::default(),
            params: Vec::new(),
            vector_position: None,
            first_position: None,
        };
        let mut block = Block::new(Labels::empty(), steps.count);
        let weight = call.plain_rate(&samples, &mut block).expect("few resets");
        assert_eq!(weight, call.weight(&samples));

        let (mut annotations, labels) = (Annotations::default(), Labels::empty());
        let mut notes = super::super::Notes::new(&mut annotations, &labels, None, None);
        let mut want = Block::new(Labels::empty(), steps.count);
        let mut kernel = rate::Rate::new(id, steps.count, range_ms, &samples);
        call.each_window(&samples, &mut want, &mut |w| Ok(kernel.at(w, &mut notes))).expect("no parameter");
        assert_eq!(block.present, want.present);
        for i in want.present.iter() {
            assert_eq!(block.floats[i].to_bits(), want.floats[i].to_bits(), "{id:?} step {i}");
        }
    }

    #[test]
    fn results_are_those_of_the_kernel_for_all_series() {
        let mut state = 0x9e37_79b9_7f4a_7c15;
        for round in 0..80 {
            let (mut t, mut v) = (0, 0.0);
            let mut samples = Vec::new();
            for _ in 0..200 {
                t += match round % 4 {
                    0 => 1 + (random(&mut state) % 8000) as i64,
                    1 => 1 + (random(&mut state) % 1500) as i64,
                    // At equal distances, or nearly so, with a gap now and then.
                    n => {
                        let gap = 1000 * (1 + i64::from(random(&mut state).is_multiple_of(60)));
                        gap - t % 1000 + (random(&mut state) % (1 + (n as u64 - 2) * 300)) as i64
                    }
                };
                let often = if round % 2 == 0 { 40 } else { 400 };
                v = match random(&mut state) % often {
                    0 => (random(&mut state) % 10) as f64,
                    1 if round % 5 == 0 => f64::NAN,
                    2 if round % 7 == 0 => -v,
                    3 if round % 11 == 0 => f64::INFINITY,
                    n => v + n as f64 / 3.0,
                };
                samples.push((t, v));
            }
            for id in [FunctionId::Rate, FunctionId::Increase, FunctionId::Delta] {
                let step_ms = if round % 4 < 2 { 1 + 333 * (round % 9) } else { 1000 * (1 + round % 3) };
                check(id, &samples, 1000 + 977 * round, step_ms);
                check(id, &[], 1000, 1000);
                check(id, &samples[..1], 1000, 1000);
            }
        }
    }

    #[test]
    fn series_that_need_more_are_left_to_others() {
        let falling: Vec<f64> = (0..100).map(|i| -f64::from(i)).collect();
        assert_eq!(resets(&falling), None);
        assert_eq!(resets(&[3.0, 1.0, f64::NAN, 2.0]), Some(vec![(1, 3.0)]));
    }
}
