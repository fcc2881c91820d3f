//! rate, increase and delta of series that hold floats alone, a group of steps at a time.
//!
//! First the ends of all windows are found, then the arithmetic runs over arrays, without
//! branches. It is that of [`rate`](super::rate), operation by operation, so that results are
//! equal to the bit. Where the windows of a group are alike, with samples at the same distances
//! from their ends, what depends on times alone is computed once.

use crate::promql::{
    Block, FunctionId,
    pace::{GROUP, Ladder},
};

use super::{RangeCall, Samples, plain::Runs, rate::range_seconds, window};

/// Most resets of a series; sums over windows with more are found in other ways.
const RESETS_MAX: usize = 64;

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

impl RangeCall {
    /// Fills `block` and gives the number of samples in all windows; `None` when the series
    /// needs more than this knows.
    pub(super) fn plain_rate(&self, samples: &Samples<'_>, block: &mut Block) -> Option<u64> {
        match self.id {
            FunctionId::Rate | FunctionId::Increase => self.rates::<true>(samples, block),
            FunctionId::Delta => self.rates::<false>(samples, block),
            _ => None,
        }
    }

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
        let mut windows = Windows {
            gaps: [1.0; GROUP],
            before: [0.0; GROUP],
            after: [0.0; GROUP],
            sampled: [0.0; GROUP],
            first: [0.0; GROUP],
            change: [0.0; GROUP],
        };
        let (mut window, mut weight, mut reset) = (0..0, 0, 0);
        let ladder = Ladder::new(line);
        let per_second = self.id == FunctionId::Rate;
        let range = if per_second { range_seconds(self.range_ms) } else { 1.0 };
        let words = block.present.words_mut().iter_mut();
        for (at, (values, word)) in block.floats.chunks_mut(64).zip(words).enumerate() {
            for (group, values) in values.chunks_mut(GROUP).enumerate() {
                let step = at * 64 + group * GROUP;
                let shift = group * GROUP;
                let runs = Runs::of(ft, &window, line.time(step), &ladder, self.range_ms);
                if let (Some(runs), Some(out)) = (runs, values.first_chunk_mut::<GROUP>()) {
                    let inside =
                        |(j, _): &(usize, f64)| *j > runs.get(0).start && *j < runs.get(GROUP - 1).end;
                    // One sample tells no change.
                    let few = runs.len() < 2;
                    let done = few
                        || !resets.iter().any(inside) && windows.alike::<COUNTER>(ft, fv, &runs, range, out);
                    if done {
                        weight += (runs.len() * GROUP) as u64;
                        window = runs.get(GROUP - 1);
                        *word |= if few { 0 } else { ((1 << GROUP) - 1) << shift };
                        continue;
                    }
                }
                for i in 0..values.len() {
                    let end_ms = line.time(step + i);
                    let start_ms = end_ms.saturating_sub(self.range_ms);
                    window::advance(ft, start_ms, end_ms, &mut window);
                    weight += window.len() as u64;
                    if window.len() < 2 {
                        windows.gaps[i] = 1.0;
                        continue;
                    }
                    *word |= 1 << (shift + i);
                    let (ts, vs) = (&ft[window.clone()], &fv[window.clone()]);
                    let (first_t, last_t) = (ts[0], ts[ts.len() - 1]);
                    let (first, last) = (vs[0], vs[vs.len() - 1]);
                    let mut change = last - first;
                    while resets.get(reset).is_some_and(|(j, _)| *j <= window.start) {
                        reset += 1;
                    }
                    let inside = resets[reset..].iter().take_while(|(j, _)| *j < window.end);
                    inside.for_each(|(_, lost)| change += lost);
                    windows.gaps[i] = (vs.len() - 1) as i64 as f64;
                    windows.before[i] = first_t.wrapping_sub(start_ms) as f64;
                    windows.after[i] = end_ms.wrapping_sub(last_t) as f64;
                    windows.sampled[i] = last_t.wrapping_sub(first_t) as f64;
                    windows.first[i] = first;
                    windows.change[i] = change;
                }
                let mut out = [0.0; GROUP];
                let out = &mut out[..values.len()];
                windows.extrapolate::<COUNTER>(range, out);
                values.copy_from_slice(out);
            }
        }
        Some(weight)
    }
}

impl Windows {
    /// Computes a group of windows without resets that have the same number of samples, at the
    /// same distances from their ends; false where they do not.
    #[inline]
    fn alike<const COUNTER: bool>(
        &mut self,
        ft: &[i64],
        fv: &[f64],
        runs: &Runs<'_>,
        range: f64,
        out: &mut [f64; GROUP],
    ) -> bool {
        if !runs.is_alike() {
            return false;
        }
        let (from, to) = (runs.get(0).start, runs.get(0).end - 1);
        let sampled = ft[to].wrapping_sub(ft[from]) as f64;
        let before = ft[from].wrapping_sub(runs.starts().of(0)) as f64;
        let after = runs.ends().of(0).wrapping_sub(ft[to]) as f64;
        let gaps = (runs.len() - 1) as i64 as f64;
        match (fv[from..].first_chunk::<GROUP>(), fv[to..].first_chunk::<GROUP>()) {
            (Some(first), Some(last)) if runs.stride() == 1 => {
                self.first = *first;
                for i in 0..GROUP {
                    self.change[i] = last[i] - first[i];
                }
            }
            _ => {
                for i in 0..GROUP {
                    let (first, last) = (fv[from + i * runs.stride()], fv[to + i * runs.stride()]);
                    (self.first[i], self.change[i]) = (first, last - first);
                }
            }
        }
        let (before_s, factor) = factor(sampled, gaps, before, after);
        // Where the line through the samples surely meets zero before the range begins, by twice
        // the distance, the division that tells when is spared.
        let far = (2.0 * before_s / (sampled / 1000.0)).max(1.0);
        let is_far = |i: usize| (self.change[i] <= 0.0) | (self.first[i] >= self.change[i] * far);
        if COUNTER && (sampled == 0.0 || !(0..GROUP).fold(true, |all, i| all & is_far(i))) {
            self.gaps = [gaps; GROUP];
            self.before = [before; GROUP];
            self.after = [after; GROUP];
            self.sampled = [sampled; GROUP];
            self.extrapolate::<COUNTER>(range, out);
            return true;
        }
        let factor = factor / range;
        for (out, change) in out.iter_mut().zip(&self.change) {
            *out = change * factor;
        }
        true
    }

    /// Each lane's change, extrapolated to the ends of its range and divided by `range`.
    fn extrapolate<const COUNTER: bool>(&self, range: f64, out: &mut [f64]) {
        for (i, out) in out.iter_mut().enumerate() {
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
            *out = self.change[i] * (factor / range);
        }
    }
}

/// How far a window reaches before its first sample, in seconds, and by how much its change grows
/// when it is extrapolated to the ends of the range; for one that does not fall to zero.
fn factor(sampled_ms: f64, gaps: f64, before_ms: f64, after_ms: f64) -> (f64, f64) {
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
fn resets(values: &[f64]) -> Option<Vec<(usize, f64)>> {
    let falls = |w: &[f64]| w[1] < w[0];
    match values.windows(2).map(|w| usize::from(falls(w))).sum() {
        0 => Some(Vec::new()),
        1..=RESETS_MAX => {
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
