//! Sums, averages, first and last samples of a window.

use std::{ops::Range, sync::Arc};

use crate::model::{
    FloatHistogram, KahanSum,
    histogram::{AddOutcome, HistogramAverage, HistogramSum, IncompatibleSchema},
    kahan_add,
};

use super::{
    Notes, Output, Samples, Window,
    sliding::{LongWindows, long_sum},
    sliding_histogram::LongHistograms,
};

/// sum_over_time and avg_over_time over one series.
#[derive(Debug)]
pub(super) struct Sums {
    average: bool,
    floats: LongWindows<KahanSum>,
    histograms: LongHistograms,
}

impl Sums {
    pub(super) fn new(average: bool, steps: usize, samples: &Samples<'_>) -> Self {
        Self {
            average,
            floats: LongWindows::new(steps, samples.fv),
            histograms: LongHistograms::new(steps, samples),
        }
    }

    pub(super) fn at(&mut self, w: &Window<'_>, notes: &mut Notes<'_>) -> Option<Output> {
        if w.is_mixed() {
            notes.mixed();
            return None;
        }
        let weighs = self.average && w.samples.grain.is_some();
        if w.h.is_empty() {
            let counts = if weighs { w.float_counts() } else { None };
            return Some(Output::Float(
                counts.map_or_else(|| self.float(w.samples.fv, &w.f), |c| weighted(w.fv(), c)),
            ));
        }
        if let Some(counts) = w.histogram_counts().filter(|_| weighs) {
            return self.weighted_histograms(w, counts, notes);
        }
        self.histogram(w, notes).map(|h| Output::Histogram(Arc::new(h)))
    }

    /// Of a run of floats that is not empty.
    pub(super) fn float(&mut self, values: &[f64], run: &Range<usize>) -> f64 {
        let n = run.len() as f64;
        match (long_sum(&mut self.floats, values, run), self.average) {
            (Some(sum), true) => sum.sum / n + sum.c / n,
            (Some(sum), false) => sum.value(),
            (None, true) => average(&values[run.clone()]),
            (None, false) => {
                let mut sum = KahanSum::default();
                values[run.clone()].iter().for_each(|v| sum.add(*v));
                sum.value()
            }
        }
    }

    fn histogram(&mut self, w: &Window<'_>, notes: &mut Notes<'_>) -> Option<FloatHistogram> {
        let result = match self.histograms.sum(w.samples, &w.h) {
            Some(mut sum) => {
                if self.average {
                    sum.div(w.h.len() as f64);
                }
                Ok((sum, AddOutcome::default()))
            }
            None => one_by_one(w.hv(), self.average)?,
        };
        let Ok((result, outcome)) = result else {
            notes.mixed_schemas();
            return None;
        };
        if self.histograms.collide(&w.h) {
            notes.collision("aggregation");
        }
        if outcome.bounds_reconciled {
            notes.reconciled("aggregation");
        }
        Some(result)
    }

    /// The average of histograms that stand for several scrapes each.
    fn weighted_histograms(
        &mut self,
        w: &Window<'_>,
        counts: &[f64],
        notes: &mut Notes<'_>,
    ) -> Option<Output> {
        let times = |(h, count): (&Arc<FloatHistogram>, &f64)| {
            let mut h = h.as_ref().clone();
            h.mul(*count);
            h
        };
        let mut all = w.hv().iter().zip(counts).map(times);
        let mut sum = HistogramSum::new(&all.next()?);
        let outcome: Result<_, IncompatibleSchema> =
            all.try_fold(AddOutcome::default(), |all, h| Ok(all.or(sum.add(&h)?)));
        let Ok(outcome) = outcome else {
            notes.mixed_schemas();
            return None;
        };
        if self.histograms.collide(&w.h) {
            notes.collision("aggregation");
        }
        if outcome.bounds_reconciled {
            notes.reconciled("aggregation");
        }
        let mut average = sum.finish();
        average.div(counts.iter().sum());
        Some(Output::Histogram(Arc::new(average)))
    }
}

/// The sum or average of histograms, taken in their order; `None` without any.
fn one_by_one(
    hs: &[Arc<FloatHistogram>],
    average: bool,
) -> Option<Result<(FloatHistogram, AddOutcome), IncompatibleSchema>> {
    let (first, rest) = hs.split_first()?;
    let all = AddOutcome::default();
    Some(if average {
        let mut average = HistogramAverage::new(first);
        let outcome = rest.iter().try_fold(all, |all, h| Ok(all.or(average.add(h)?)));
        outcome.map(|outcome| (average.finish(), outcome))
    } else {
        let mut sum = HistogramSum::new(first);
        let outcome = rest.iter().try_fold(all, |all, h| Ok(all.or(sum.add(h)?)));
        outcome.map(|outcome| (sum.finish(), outcome))
    })
}

/// The average of values that stand for several scrapes each.
fn weighted(values: &[f64], counts: &[f64]) -> f64 {
    let (mut sum, mut scrapes) = (KahanSum::default(), 0.0);
    for (v, count) in values.iter().zip(counts) {
        sum.add(v * count);
        scrapes += count;
    }
    sum.value() / scrapes
}

/// The compensated average; a running mean once the sum would overflow.
fn average(values: &[f64]) -> f64 {
    let (mut sum, mut c) = (values[0], 0.0);
    for (i, v) in values.iter().enumerate().skip(1) {
        let (next, next_c) = kahan_add(*v, sum, c);
        if next.is_infinite() {
            return mean(&values[i..], sum / i as f64, c / i as f64, i as f64);
        }
        (sum, c) = (next, next_c);
    }
    let n = values.len() as f64;
    sum / n + c / n
}

/// Goes on with a mean of `before` values.
fn mean(values: &[f64], mut mean: f64, mut c: f64, before: f64) -> f64 {
    let mut count = before;
    for v in values {
        count += 1.0;
        let q = (count - 1.0) / count;
        (mean, c) = kahan_add(v / count, q * mean, q * c);
    }
    mean + c
}

/// first_over_time: at equal times the histogram.
pub(super) fn first(w: &Window<'_>) -> Option<Output> {
    match (w.ft().first(), w.ht().first()) {
        (Some(f), Some(h)) if f < h => Some(Output::Float(w.fv()[0])),
        (Some(_), None) => Some(Output::Float(w.fv()[0])),
        _ => Some(Output::Histogram(Arc::clone(w.hv().first()?))),
    }
}

/// last_over_time: at equal times the histogram.
pub(super) fn last(w: &Window<'_>) -> Option<Output> {
    match (w.ft().last(), w.ht().last()) {
        (Some(f), Some(h)) if f > h => Some(Output::Float(*w.fv().last()?)),
        (Some(_), None) => Some(Output::Float(*w.fv().last()?)),
        _ => Some(Output::Histogram(Arc::clone(w.hv().last()?))),
    }
}

/// ts_of_first_over_time.
pub(super) fn first_time(w: &Window<'_>) -> Option<Output> {
    let t = [w.ft().first(), w.ht().first()].into_iter().flatten().min()?;
    Some(Output::Float(seconds(*t)))
}

/// ts_of_last_over_time.
pub(super) fn last_time(w: &Window<'_>) -> Option<Output> {
    let t = [w.ft().last(), w.ht().last()].into_iter().flatten().max()?;
    Some(Output::Float(seconds(*t)))
}

/// A time as a value.
pub(super) fn seconds(t_ms: i64) -> f64 {
    t_ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_survive_overflow_and_cancellation() {
        let check = |values: &[f64], want: f64| assert_eq!(average(values), want, "{values:?}");
        check(&[1.0, 2.0, 6.0], 3.0);
        check(&[1.0, 1e100, 1.0, -1e100], 0.5);
        check(&[f64::MAX, f64::MAX], f64::MAX);
        check(&[f64::INFINITY, 1.0], f64::INFINITY);
    }
}
