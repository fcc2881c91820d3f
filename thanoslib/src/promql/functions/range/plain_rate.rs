//! rate, increase and delta of series that hold floats alone, 64 steps at a time.
//!
//! First the ends of all windows are found, then the arithmetic runs over arrays, without
//! branches. It is that of [`rate`](super::rate), operation by operation, so that results are
//! equal to the bit.

use crate::promql::{Block, FunctionId};

use super::{RangeCall, Samples, rate::range_seconds, window};

/// Steps that are computed at a time: those of one word of a bit set.
const LANES: usize = 64;
/// Most resets of a series; sums over windows with more are found in other ways.
const RESETS_MAX: usize = 64;

/// What is known of the windows of some steps; times in ms.
struct Windows {
    /// Samples less one; 1 where a window has too few.
    gaps: [f64; LANES],
    /// From the start of the range to the first sample.
    before: [f64; LANES],
    /// From the last sample to the end of the range.
    after: [f64; LANES],
    /// From the first sample to the last one.
    sampled: [f64; LANES],
    first: [f64; LANES],
    /// Last value less the first one, resets made good.
    change: [f64; LANES],
}

impl RangeCall {
    /// Fills `block` and gives the number of samples in all windows; `None` when the series
    /// needs more than this knows.
    pub(super) fn plain_rate(&self, samples: &Samples<'_>, block: &mut Block) -> Option<u64> {
        let counter = match self.id {
            FunctionId::Rate | FunctionId::Increase => true,
            FunctionId::Delta => false,
            _ => return None,
        };
        if self.extension.is_some()
            || !samples.ht.is_empty()
            || !samples.fs.is_empty()
            || samples.grain.is_some()
        {
            return None;
        }
        let line = self.reference.line(self.steps)?;
        let resets = if counter { resets(samples.fv)? } else { Vec::new() };
        let mut windows = Windows {
            gaps: [1.0; LANES],
            before: [0.0; LANES],
            after: [0.0; LANES],
            sampled: [0.0; LANES],
            first: [0.0; LANES],
            change: [0.0; LANES],
        };
        let (mut window, mut weight, mut reset) = (0..0, 0, 0);
        let per_second = self.id == FunctionId::Rate;
        let range = if per_second { range_seconds(self.range_ms) } else { 1.0 };
        let words = block.present.words_mut().iter_mut();
        for (at, (values, word)) in block.floats.chunks_mut(LANES).zip(words).enumerate() {
            for i in 0..values.len() {
                let end_ms = line.time(at * LANES + i);
                let start_ms = end_ms.saturating_sub(self.range_ms);
                window::advance(samples.ft, start_ms, end_ms, &mut window);
                weight += window.len() as u64;
                if window.len() < 2 {
                    windows.gaps[i] = 1.0;
                    continue;
                }
                *word |= 1 << i;
                let (ts, vs) = (&samples.ft[window.clone()], &samples.fv[window.clone()]);
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
            let mut out = [0.0; LANES];
            if counter {
                windows.extrapolate::<true>(range, &mut out);
            } else {
                windows.extrapolate::<false>(range, &mut out);
            }
            values.copy_from_slice(&out[..values.len()]);
        }
        Some(weight)
    }
}

impl Windows {
    /// Each lane's change, extrapolated to the ends of its range and divided by `range`.
    fn extrapolate<const COUNTER: bool>(&self, range: f64, out: &mut [f64; LANES]) {
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
        for round in 0..60 {
            let (mut t, mut v) = (0, 0.0);
            let mut samples = Vec::new();
            for _ in 0..200 {
                t += 1 + (random(&mut state) % if round % 3 == 0 { 8000 } else { 1500 }) as i64;
                v = match random(&mut state) % 40 {
                    0 => (random(&mut state) % 10) as f64,
                    1 if round % 5 == 0 => f64::NAN,
                    2 if round % 7 == 0 => -v,
                    3 if round % 11 == 0 => f64::INFINITY,
                    n => v + n as f64 / 3.0,
                };
                samples.push((t, v));
            }
            for id in [FunctionId::Rate, FunctionId::Increase, FunctionId::Delta] {
                check(id, &samples, 1000 + 977 * round, 1 + 333 * (round % 9));
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
