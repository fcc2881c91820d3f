//! Values of queries: intermediate blocks of all steps, and results.

use std::sync::Arc;

use crate::model::{FloatHistogram, Labels, Value, Warnings};

use super::annotations::Annotations;

/// The steps of a query; an instant query has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    /// First step in ms.
    pub start_ms: i64,
    /// Distance of steps in ms; irrelevant for one step.
    pub step_ms: i64,
    /// Number of steps.
    pub count: usize,
}

impl Steps {
    /// Time of step `i` in ms.
    #[inline]
    pub(crate) fn time(self, i: usize) -> i64 {
        self.start_ms.wrapping_add(self.step_ms.wrapping_mul(i as i64))
    }

    /// Time of the last step in ms.
    pub(crate) fn end_ms(self) -> i64 {
        self.time(self.count.saturating_sub(1))
    }

    /// Times of all steps in ms.
    pub(crate) fn iter(self) -> impl ExactSizeIterator<Item = i64> {
        (0..self.count).map(move |i| self.time(i))
    }
}

/// One series of an intermediate result: a float, a histogram or nothing at each step.
///
/// Presence is a bit set, since any NaN is data. A step has a float or a histogram, never
/// both.
#[derive(Clone, Debug, Default)]
pub(crate) struct Block {
    /// Labels, those to be dropped at the end included (delayed name removal).
    pub labels: Labels,
    /// True when the metadata labels fall at the end.
    pub drop_name: bool,
    /// A float for each step; meaningless where `present` is not set.
    pub floats: Vec<f64>,
    /// Steps with a float.
    pub present: BitSet,
    /// Steps with a histogram, ascending.
    pub histograms: Vec<(u32, Arc<FloatHistogram>)>,
}

impl Block {
    /// A block of `steps` steps without values.
    pub(crate) fn new(labels: Labels, steps: usize) -> Self {
        Self {
            labels,
            drop_name: false,
            floats: vec![0.0; steps],
            present: BitSet::new(steps),
            histograms: Vec::new(),
        }
    }

    /// Makes this a block of another series without values; floats are kept, since none counts.
    pub(crate) fn reset(&mut self, labels: &Labels, steps: usize) {
        self.labels.clone_from(labels);
        self.drop_name = false;
        self.floats.resize(steps, 0.0);
        self.present.reset(steps);
        self.histograms.clear();
    }

    /// Sets the float of a step.
    #[inline]
    pub(crate) fn set(&mut self, step: usize, v: f64) {
        self.floats[step] = v;
        self.present.insert(step);
    }

    /// The float at a step.
    #[inline]
    pub(crate) fn float(&self, step: usize) -> Option<f64> {
        self.present.contains(step).then(|| self.floats[step])
    }

    /// The histogram at a step.
    pub(crate) fn histogram(&self, step: usize) -> Option<&Arc<FloatHistogram>> {
        let i = self.histograms.binary_search_by_key(&(step as u32), |(s, _)| *s).ok()?;
        Some(&self.histograms[i].1)
    }

    /// The value at a step.
    pub(crate) fn value(&self, step: usize) -> Option<Value> {
        match self.float(step) {
            Some(v) => Some(Value::Float(v)),
            None => self.histogram(step).map(|h| Value::Histogram(Arc::clone(h))),
        }
    }

    /// True when no step has a value.
    pub(crate) fn is_empty(&self) -> bool {
        self.histograms.is_empty() && self.present.is_empty()
    }
}

/// A set of step numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BitSet(Vec<u64>);

impl BitSet {
    /// An empty set for numbers below `len`.
    pub(crate) fn new(len: usize) -> Self {
        Self(vec![0; len.div_ceil(64)])
    }

    /// Makes this an empty set for numbers below `len`.
    fn reset(&mut self, len: usize) {
        self.0.clear();
        self.0.resize(len.div_ceil(64), 0);
    }

    /// The set of all numbers below `len`.
    pub(crate) fn full(len: usize) -> Self {
        let mut words = vec![u64::MAX; len / 64];
        if !len.is_multiple_of(64) {
            words.push((1 << (len % 64)) - 1);
        }
        Self(words)
    }

    /// Adds a number.
    #[inline]
    pub(crate) fn insert(&mut self, i: usize) {
        self.0[i / 64] |= 1 << (i % 64);
    }

    /// Adds all numbers of a range.
    pub(crate) fn insert_range(&mut self, range: std::ops::Range<usize>) {
        for (word, first) in self.0.iter_mut().zip((0..).step_by(64)).skip(range.start / 64) {
            if first >= range.end {
                return;
            }
            let from = u64::MAX << range.start.saturating_sub(first);
            let until = u64::MAX >> (first + 64).saturating_sub(range.end);
            *word |= from & until;
        }
    }

    /// Removes a number.
    #[inline]
    pub(crate) fn remove(&mut self, i: usize) {
        self.0[i / 64] &= !(1 << (i % 64));
    }

    /// True when the number is in the set.
    #[inline]
    pub(crate) fn contains(&self, i: usize) -> bool {
        self.0[i / 64] >> (i % 64) & 1 == 1
    }

    /// How many numbers are in the set.
    pub(crate) fn count(&self) -> usize {
        self.0.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// True without numbers.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|w| *w == 0)
    }

    /// The numbers in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(i, word)| {
            let mut word = *word;
            std::iter::from_fn(move || {
                let bit = word.trailing_zeros() as usize;
                (bit < 64).then(|| {
                    word &= word - 1;
                    i * 64 + bit
                })
            })
        })
    }

    /// The 64-bit words, lowest numbers first.
    pub(crate) fn words(&self) -> &[u64] {
        &self.0
    }

    /// The words to change; bits of numbers beyond the length must stay unset.
    pub(crate) fn words_mut(&mut self) -> &mut [u64] {
        &mut self.0
    }

    /// Adds the numbers of `other`, a set of the same length.
    pub(crate) fn union(&mut self, other: &BitSet) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
    }

    /// Keeps the numbers that are in `other`, a set of the same length.
    pub(crate) fn intersect(&mut self, other: &BitSet) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= b);
    }

    /// Removes the numbers of `other`, a set of the same length.
    pub(crate) fn subtract(&mut self, other: &BitSet) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= !b);
    }

    /// The smallest number that is in both sets.
    pub(crate) fn first_common(&self, other: &BitSet) -> Option<usize> {
        let both = self.0.iter().zip(&other.0).map(|(a, b)| a & b);
        both.enumerate().find(|(_, w)| *w != 0).map(|(i, w)| i * 64 + w.trailing_zeros() as usize)
    }
}

/// Answer of a query.
///
/// See [`Engine`](super::Engine).
#[derive(Clone, Debug)]
pub struct QueryResult {
    /// The value.
    pub value: QueryValue,
    /// What the engine remarks about the query.
    pub annotations: Annotations,
    /// Gaps of the data.
    pub warnings: Warnings,
    /// What the query cost.
    pub stats: QueryStats,
    /// What each operator cost, if the engine was [to analyze](super::Engine::analyzing).
    pub analysis: Option<super::Explained>,
}

/// Value of a query.
///
/// See [`Engine`](super::Engine).
#[derive(Clone, Debug)]
pub enum QueryValue {
    /// A float at the evaluation time.
    Scalar {
        /// Evaluation time in ms.
        t_ms: i64,
        /// Value.
        v: f64,
    },
    /// A string at the evaluation time.
    String {
        /// Evaluation time in ms.
        t_ms: i64,
        /// Value, any bytes.
        s: Vec<u8>,
    },
    /// A sample for each series.
    Vector(Vec<VectorSample>),
    /// Samples of each series, in label order.
    Matrix(Vec<MatrixSeries>),
}

/// One series of an instant vector.
///
/// See [`Engine`](super::Engine).
#[derive(Clone, Debug)]
pub struct VectorSample {
    /// Labels.
    pub labels: Labels,
    /// Time in ms.
    pub t_ms: i64,
    /// Value.
    pub value: Value,
}

/// One series of a matrix.
///
/// See [`Engine`](super::Engine).
#[derive(Clone, Debug, Default)]
pub struct MatrixSeries {
    /// Labels.
    pub labels: Labels,
    /// Float samples in time order.
    pub floats: Vec<(i64, f64)>,
    /// Histogram samples in time order.
    pub histograms: Vec<(i64, Arc<FloatHistogram>)>,
}

/// What one step of a query cost.
///
/// See [`QueryStats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepStats {
    /// Time of the step in ms.
    pub t_ms: i64,
    /// Samples that operators looked at.
    pub total_samples: u64,
    /// Those that the window of the step before did not hold.
    pub read_samples: u64,
}

/// What a query cost.
///
/// See [`Engine`](super::Engine).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueryStats {
    /// Samples that operators looked at, each as often as a step did; a histogram counts by its
    /// size.
    pub total_samples: u64,
    /// The same without samples of a window that the window of the step before held.
    pub read_samples: u64,
    /// Most samples held at a time.
    pub peak_samples: u64,
    /// The samples of each step, with
    /// [`per_step_stats`](super::EngineOptions::per_step_stats); else empty.
    pub steps: Vec<StepStats>,
    /// Seconds from planning to the end of evaluation.
    pub eval_seconds: f64,
    /// Seconds spent waiting for admission.
    pub queue_seconds: f64,
}
