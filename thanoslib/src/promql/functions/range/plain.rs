//! Functions of series that hold scraped floats alone, with windows that hold their range alone.
//!
//! Most series are such. Their windows are walked by a loop made for each function, which keeps
//! the edges in registers and counts the samples on the way. The arithmetic is that of the
//! kernels, which take runs of floats; [`plain_rate`](super::plain_rate) has its own.

use std::ops::Range;

use crate::{
    error::Result,
    promql::{
        Block, FunctionId,
        pace::{GROUP, Ladder},
        plan::Line,
    },
};

use super::{
    Notes, RangeCall, Samples, changes, extremes, instant_delta, lanes, over_time, over_time::seconds,
    regression, runs::Runs, sliding::LongWindows, smoothing, spread, window,
};

/// The windows of one series.
#[derive(Clone, Copy, Debug)]
struct Walk<'s> {
    times: &'s [i64],
    ends: Line,
    range_ms: i64,
}

impl Walk<'_> {
    /// Fills `block` with what `of` makes of each window that holds a sample, told by the number
    /// of the step and the run of samples; gives the number of samples in all windows.
    ///
    /// # Errors
    /// The first one of `of`.
    #[inline]
    fn fill(
        self,
        block: &mut Block,
        mut of: impl FnMut(usize, Range<usize>) -> Result<Option<f64>>,
    ) -> Result<u64> {
        self.fill_groups(block, |_, _| false, &mut of)
    }

    /// As [`fill`](Self::fill); `group` may fill the steps of a group of windows at once, each of
    /// which then has a value, or decline.
    #[inline]
    fn fill_groups(
        self,
        block: &mut Block,
        mut group: impl FnMut(&Runs, &mut [f64; GROUP]) -> bool,
        of: &mut impl FnMut(usize, Range<usize>) -> Result<Option<f64>>,
    ) -> Result<u64> {
        let (mut window, mut weight, ladder) = (0..0, 0, Ladder::new(self.ends));
        let words = block.present.words_mut().iter_mut();
        for (at, (values, word)) in block.floats.chunks_mut(64).zip(words).enumerate() {
            for (part, values) in values.chunks_mut(GROUP).enumerate() {
                let (step, mut present) = (at * 64 + part * GROUP, 0);
                let runs = Runs::of(self.times, &window, self.ends.time(step), &ladder, self.range_ms);
                if let (Some(runs), Some(values)) = (runs, values.first_chunk_mut::<GROUP>()) {
                    weight += (runs.len() * GROUP) as u64;
                    window = runs.get(GROUP - 1);
                    if group(&runs, values) {
                        present = (1 << GROUP) - 1;
                    } else {
                        for (i, value) in values.iter_mut().enumerate() {
                            if let Some(v) = of(step + i, runs.get(i))? {
                                *value = v;
                                present |= 1 << i;
                            }
                        }
                    }
                } else {
                    for (i, value) in values.iter_mut().enumerate() {
                        let end_ms = self.ends.time(step + i);
                        let start_ms = end_ms.saturating_sub(self.range_ms);
                        window::advance(self.times, start_ms, end_ms, &mut window);
                        weight += window.len() as u64;
                        if window.is_empty() {
                            continue;
                        }
                        if let Some(v) = of(step + i, window.clone())? {
                            *value = v;
                            present |= 1 << i;
                        }
                    }
                }
                *word |= present << (part * GROUP);
            }
        }
        Ok(weight)
    }
}

impl RangeCall {
    /// Fills `block` and gives the number of samples in all windows; `None` when the series or
    /// the call needs more than this knows.
    ///
    /// # Errors
    /// Bad parameters.
    pub(super) fn plain(
        &self,
        samples: &Samples<'_>,
        block: &mut Block,
        notes: &mut Notes<'_>,
    ) -> Result<Option<u64>> {
        use FunctionId as F;
        if let Some(weight) = self.plain_rate(samples, block) {
            return Ok(Some(weight));
        }
        if self.extension.is_some()
            || self.reach != Default::default()
            || !samples.ht.is_empty()
            || samples.grain.is_some()
        {
            return Ok(None);
        }
        let Some(ends) = self.reference.line(self.steps) else { return Ok(None) };
        let walk = Walk { times: samples.ft, ends, range_ms: self.range_ms };
        let (ft, fv) = (samples.ft, samples.fv);
        // As many values as times: then a window of times is one of values without a look.
        let fv = &fv[..ft.len()];
        let weight = match self.id {
            F::CountOverTime => walk.fill(block, |_, run| Ok(Some(run.len() as f64))),
            F::PresentOverTime | F::AbsentOverTime => walk.fill(block, |_, _| Ok(Some(1.0))),
            F::FirstOverTime => walk.fill(block, |_, run| Ok(Some(fv[run.start]))),
            F::LastOverTime => walk.fill(block, |_, run| Ok(Some(fv[run.end - 1]))),
            F::TsOfFirstOverTime => walk.fill(block, |_, run| Ok(Some(seconds(ft[run.start])))),
            F::TsOfLastOverTime => walk.fill(block, |_, run| Ok(Some(seconds(ft[run.end - 1])))),
            F::MinOverTime | F::MaxOverTime | F::TsOfMinOverTime | F::TsOfMaxOverTime => {
                let mut kernel = extremes::Extreme::new(self.id, samples);
                let smallest = self.id == F::MinOverTime;
                let of_values = smallest || self.id == F::MaxOverTime;
                walk.fill_groups(
                    block,
                    |runs, out| of_values && lanes::extremes(fv, runs, smallest, out),
                    &mut |_, run| Ok(Some(kernel.float(ft, &run))),
                )
            }
            F::SumOverTime | F::AvgOverTime => {
                let average = self.id == F::AvgOverTime;
                let mut kernel = over_time::Sums::new(average, self.steps.count, samples);
                walk.fill_groups(block, |runs, out| lanes::sums(fv, runs, average, out), &mut |_, run| {
                    Ok(Some(kernel.float(fv, &run)))
                })
            }
            F::StddevOverTime | F::StdvarOverTime => {
                let root = self.id == F::StddevOverTime;
                let mut long = LongWindows::new(self.steps.count, fv);
                walk.fill_groups(block, |runs, out| lanes::deviations(fv, runs, root, out), &mut |_, run| {
                    Ok(Some(spread::deviation_of_floats(fv, &run, root, &mut long)))
                })
            }
            F::Irate => walk.fill(block, |_, run| Ok(instant_delta::floats(samples, &run, true))),
            F::Idelta => walk.fill(block, |_, run| Ok(instant_delta::floats(samples, &run, false))),
            F::Changes | F::Resets => {
                let kernel = changes::Events::new(self.id, samples);
                walk.fill(block, |_, run| Ok(Some(kernel.between(run.start, run.end))))
            }
            F::QuantileOverTime => {
                let mut scratch = Vec::new();
                walk.fill(block, |step, run| {
                    let q = self.param(0, step)?;
                    spread::check_quantile(q, notes);
                    Ok(Some(spread::quantile_of_floats(&fv[run], q, &mut scratch)))
                })
            }
            F::MadOverTime => {
                let mut scratch = Vec::new();
                walk.fill(block, |_, run| Ok(Some(spread::mad_of_floats(&fv[run], &mut scratch))))
            }
            F::Deriv => {
                let mut kernel = regression::Lines::new(self.steps.count, samples);
                walk.fill(block, |_, run| Ok((run.len() >= 2).then(|| kernel.slope(samples, &run))))
            }
            F::PredictLinear => {
                let mut kernel = regression::Lines::new(self.steps.count, samples);
                walk.fill(block, |step, run| {
                    let (t_ms, after) = (self.steps.time(step), self.param(0, step)?);
                    Ok((run.len() >= 2).then(|| kernel.value(samples, &run, t_ms, after)))
                })
            }
            F::DoubleExponentialSmoothing => walk.fill(block, |step, run| {
                let (sf, tf) = (self.param(0, step)?, self.param(1, step)?);
                smoothing::check_factors(sf, tf)?;
                Ok((run.len() >= 2).then(|| smoothing::level(&fv[run], sf, tf)))
            }),
            _ => return Ok(None),
        };
        weight.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Reach;
    use super::*;
    use crate::{
        model::Labels,
        promql::{Annotations, Grain, Steps, plan::Reference},
    };

    const FUNCTIONS: [FunctionId; 23] = [
        FunctionId::CountOverTime,
        FunctionId::PresentOverTime,
        FunctionId::AbsentOverTime,
        FunctionId::FirstOverTime,
        FunctionId::LastOverTime,
        FunctionId::TsOfFirstOverTime,
        FunctionId::TsOfLastOverTime,
        FunctionId::MinOverTime,
        FunctionId::MaxOverTime,
        FunctionId::TsOfMinOverTime,
        FunctionId::TsOfMaxOverTime,
        FunctionId::SumOverTime,
        FunctionId::AvgOverTime,
        FunctionId::StddevOverTime,
        FunctionId::StdvarOverTime,
        FunctionId::Irate,
        FunctionId::Idelta,
        FunctionId::Changes,
        FunctionId::Resets,
        FunctionId::QuantileOverTime,
        FunctionId::MadOverTime,
        FunctionId::Deriv,
        FunctionId::PredictLinear,
    ];

    fn call(id: FunctionId, range_ms: i64, step_ms: i64, param: f64) -> RangeCall {
        let steps = Steps { start_ms: -5000, step_ms, count: 150 };
        RangeCall {
            id,
            steps,
            reference: Reference { at_ms: None, offset_ms: 300 },
            range_ms,
            extension: None,
            reach: Reach::default(),
            params: vec![vec![param; steps.count]; 2],
            vector_position: None,
            first_position: None,
        }
    }

    /// The block of a call, by this file or by windows, with its weight or error.
    fn run(call: &RangeCall, samples: &Samples<'_>, plain: bool) -> (Block, Result<u64>) {
        let (mut annotations, labels) = (Annotations::default(), Labels::empty());
        let mut notes = Notes::new(&mut annotations, &labels, None, None);
        let mut block = Block::new(Labels::empty(), call.steps.count);
        let weight = if plain {
            call.plain(samples, &mut block, &mut notes).map(|weight| weight.expect("a plain series"))
        } else {
            call.windows(samples, &mut block, &mut notes).map(|()| call.weight(samples))
        };
        (block, weight)
    }

    fn check(call: &RangeCall, samples: &[(i64, f64)]) {
        let (ft, fv): (Vec<i64>, Vec<f64>) = samples.iter().copied().unzip();
        let samples = Samples { ft: &ft, fv: &fv, fs: &[], ht: &[], hv: &[], hs: &[], grain: None };
        let (got, weight) = run(call, &samples, true);
        let (want, want_weight) = run(call, &samples, false);
        assert_eq!(weight.expect("good parameters"), want_weight.expect("good parameters"));
        assert_eq!(got.present, want.present, "{:?}", call.id);
        for i in want.present.iter() {
            assert_eq!(got.floats[i].to_bits(), want.floats[i].to_bits(), "{:?} step {i}", call.id);
        }
    }

    #[test]
    fn results_are_those_of_windows_for_all_functions() {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        for round in 0..30 {
            let (mut t, mut v) = (0, 0.0);
            let mut samples = Vec::new();
            for _ in 0..200 {
                t += match round % 4 {
                    0 => random(8000) as i64,
                    1 => random(1500) as i64,
                    // At equal distances, or nearly so, with a gap now and then.
                    n => {
                        1000 * (1 + i64::from(random(60) == 0)) - t % 1000 + random(1 + (n - 2) * 300) as i64
                    }
                };
                v = match random(40) {
                    0 => random(10) as f64,
                    1 if round % 5 == 0 => f64::NAN,
                    2 if round % 7 == 0 => f64::INFINITY,
                    3..6 => v,
                    n => v + n as f64 / 3.0 - 5.0,
                };
                samples.push((t, v));
            }
            let step_ms = if round % 4 < 2 { 1 + 333 * (round % 9) } else { 1000 * (1 + round % 3) };
            let range_ms = 1000 + if round % 4 < 2 { 2977 } else { 1900 } * round;
            for id in FUNCTIONS.into_iter().chain([FunctionId::DoubleExponentialSmoothing]) {
                let call = call(id, range_ms as i64, step_ms as i64, 0.3);
                check(&call, &samples);
                check(&call, &[]);
                check(&call, &samples[..1]);
            }
        }
    }

    #[test]
    fn bad_parameters_are_refused_as_by_windows() {
        let samples =
            Samples { ft: &[0, 1], fv: &[1.0, 2.0], fs: &[], ht: &[], hv: &[], hs: &[], grain: None };
        let check = |call: &RangeCall| {
            let message = |plain| run(call, &samples, plain).1.expect_err("a bad parameter").to_string();
            assert_eq!(message(true), message(false));
        };
        check(&call(FunctionId::DoubleExponentialSmoothing, 1000, 1000, 1.5));
        check(&RangeCall { params: Vec::new(), ..call(FunctionId::PredictLinear, 1000, 1000, 1.0) });
        check(&RangeCall { params: Vec::new(), ..call(FunctionId::QuantileOverTime, 1000, 1000, 1.0) });
    }

    #[test]
    fn what_needs_more_is_left_to_windows() {
        let of = |grain| Samples { ft: &[0], fv: &[1.0], fs: &[], ht: &[], hv: &[], hs: &[], grain };
        let check = |call: &RangeCall, samples: &Samples<'_>| {
            let (mut annotations, labels) = (Annotations::default(), Labels::empty());
            let mut notes = Notes::new(&mut annotations, &labels, None, None);
            let mut block = Block::new(Labels::empty(), 150);
            let weight = call.plain(samples, &mut block, &mut notes).expect("good parameters");
            assert_eq!(weight, None);
        };
        let count = call(FunctionId::CountOverTime, 1000, 1000, 1.0);
        let grain = Grain::default();
        check(&count, &of(Some(&grain)));
        check(&RangeCall { reach: Reach { before_ms: 1, after_ms: 0 }, ..count }, &of(None));
        check(&call(FunctionId::Xrate, 1000, 1000, 1.0), &of(None));
    }
}
