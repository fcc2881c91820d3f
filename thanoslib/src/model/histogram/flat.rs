//! Histograms as lists of indexed buckets, the form in which they are combined.
//!
//! Spans are compact to keep and awkward to change. Operations that move buckets (coarser
//! schemas, wider zero buckets, other custom bounds) work on sorted `(index, count)` lists and
//! go back to spans at the end. The count is a float, or a float with its compensation.

use super::{
    CounterReset, FloatHistogram, IncompatibleSchema, Span,
    bounds::{CUSTOM_BUCKETS_SCHEMA, exponential_bound},
    buckets::Indexed,
};
use crate::model::kahan_add;

/// What a bucket holds while histograms are combined.
pub(super) trait Cell: Copy + Default {
    /// Adds one value.
    fn plus(self, v: f64) -> Self;
    /// Joins two buckets that became one.
    fn join(self, other: Self) -> Self;
    /// True when the bucket is not empty.
    fn populated(self) -> bool;
}

impl Cell for f64 {
    #[inline]
    fn plus(self, v: f64) -> Self {
        self + v
    }

    #[inline]
    fn join(self, other: Self) -> Self {
        self + other
    }

    #[inline]
    fn populated(self) -> bool {
        self != 0.0
    }
}

/// A value with its compensation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Compensated {
    pub(super) v: f64,
    pub(super) c: f64,
}

impl Cell for Compensated {
    #[inline]
    fn plus(self, v: f64) -> Self {
        let (v, c) = kahan_add(v, self.v, self.c);
        Self { v, c }
    }

    #[inline]
    fn join(self, other: Self) -> Self {
        let joined = self.plus(other.v);
        Self { c: joined.c + other.c, ..joined }
    }

    #[inline]
    fn populated(self) -> bool {
        self.v != 0.0 || self.c != 0.0
    }
}

/// Buckets of one side, ascending by index.
pub(super) type Cells<T> = Vec<(i32, T)>;

/// A histogram with its buckets as lists.
#[derive(Clone, Debug, Default)]
pub(super) struct Flat<T> {
    pub(super) hint: CounterReset,
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) zero_count: T,
    pub(super) count: T,
    pub(super) sum: T,
    pub(super) positive: Cells<T>,
    pub(super) negative: Cells<T>,
    pub(super) custom_values: Vec<f64>,
}

/// What happened beside the addition of two histograms.
///
/// See [`HistogramSum`](super::HistogramSum).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddOutcome {
    /// One side followed a counter reset, the other surely did not.
    pub counter_reset_collision: bool,
    /// Custom bounds differed and were cut to those that both have.
    pub bounds_reconciled: bool,
}

impl AddOutcome {
    /// What happened in either of two additions.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            counter_reset_collision: self.counter_reset_collision || other.counter_reset_collision,
            bounds_reconciled: self.bounds_reconciled || other.bounds_reconciled,
        }
    }
}

impl<T: Cell> Flat<T> {
    /// Takes over the values of `h`.
    pub(super) fn new(h: &FloatHistogram) -> Self {
        let one = |v: f64| T::default().plus(v);
        let cells = |side: Indexed<'_>| side.map(|(i, v)| (i, one(v))).collect();
        Self {
            hint: h.hint,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            zero_count: one(h.zero_count),
            count: one(h.count),
            sum: one(h.sum),
            positive: cells(h.positive()),
            negative: cells(h.negative()),
            custom_values: h.custom_values.clone(),
        }
    }

    /// Adds `sign · other`, after making schemas, zero buckets and bounds agree.
    pub(super) fn add(
        &mut self,
        other: &FloatHistogram,
        sign: f64,
    ) -> Result<AddOutcome, IncompatibleSchema> {
        let custom = self.schema == CUSTOM_BUCKETS_SCHEMA;
        if custom != other.has_custom_buckets() {
            return Err(IncompatibleSchema);
        }
        let mut outcome = AddOutcome::default();
        (self.hint, outcome.counter_reset_collision) = combine_hints(self.hint, other.hint);
        let zero_count = if custom { other.zero_count } else { self.reconcile_zero(other) };
        self.zero_count = self.zero_count.plus(sign * zero_count);
        self.count = self.count.plus(sign * other.count);
        self.sum = self.sum.plus(sign * other.sum);
        if custom {
            outcome.bounds_reconciled = self.add_custom(other, sign);
        } else {
            self.add_exponential(other, sign);
        }
        Ok(outcome)
    }

    fn add_exponential(&mut self, other: &FloatHistogram, sign: f64) {
        if other.schema < self.schema {
            self.reduce(other.schema);
        }
        let edge = self.zero_threshold;
        let steps = other.schema.saturating_sub(self.schema);
        // What lies inside the zero bucket was counted there, so it goes before buckets are joined.
        let outside = |cell: &(i32, f64)| exponential_bound(other.schema, cell.0) > edge;
        for (mine, side) in [(&mut self.positive, other.positive()), (&mut self.negative, other.negative())] {
            let side = side.filter(outside);
            if steps == 0 {
                merge(mine, side, sign);
            } else {
                merge(mine, coarser(side, steps).into_iter(), sign);
            }
        }
    }

    /// Returns true when the bounds differed.
    fn add_custom(&mut self, other: &FloatHistogram, sign: f64) -> bool {
        if self.custom_values == other.custom_values {
            merge(&mut self.positive, other.positive(), sign);
            return false;
        }
        let common = intersection(&self.custom_values, &other.custom_values);
        self.positive = rebound(self.positive.iter().copied(), &self.custom_values, &common);
        let theirs = rebound(other.positive(), &other.custom_values, &common);
        merge(&mut self.positive, theirs.into_iter(), sign);
        self.positive.retain(|(_, v)| v.populated());
        self.custom_values = common;
        true
    }

    /// Goes to a coarser schema.
    pub(super) fn reduce(&mut self, schema: i32) {
        let steps = self.schema.saturating_sub(schema);
        if steps > 0 {
            self.positive = coarser(self.positive.iter().copied(), steps);
            self.negative = coarser(self.negative.iter().copied(), steps);
            self.schema = schema;
        }
    }

    /// Widens the narrower zero bucket until both are alike; returns the count of the other's.
    fn reconcile_zero(&mut self, other: &FloatHistogram) -> f64 {
        if self.zero_threshold == other.zero_threshold {
            return other.zero_count;
        }
        if self.zero_threshold.is_nan() || other.zero_threshold.is_nan() {
            return other.zero_count;
        }
        let sides: [Cells<f64>; 2] = [other.positive().collect(), other.negative().collect()];
        let (mut count, mut edge) = (other.zero_count, other.zero_threshold);
        while edge != self.zero_threshold {
            if edge < self.zero_threshold {
                (count, edge) = widened(other.schema, &sides, other.zero_count, self.zero_threshold);
            }
            if edge > self.zero_threshold {
                self.widen_zero(edge);
            }
        }
        count
    }

    /// Widens the zero bucket to at least `edge`; buckets inside move into it.
    fn widen_zero(&mut self, edge: f64) {
        let sides = [std::mem::take(&mut self.positive), std::mem::take(&mut self.negative)];
        (self.zero_count, self.zero_threshold) = widened(self.schema, &sides, self.zero_count, edge);
        let (schema, edge) = (self.schema, self.zero_threshold);
        let [positive, negative] = sides.map(|mut cells| {
            cells.retain(|(i, v)| v.populated() && exponential_bound(schema, *i) > edge);
            cells
        });
        (self.positive, self.negative) = (positive, negative);
    }
}

impl Flat<f64> {
    /// Goes back to spans.
    pub(super) fn into_histogram(self) -> FloatHistogram {
        let (positive_spans, positive_buckets) = spans(self.positive.into_iter());
        let (negative_spans, negative_buckets) = spans(self.negative.into_iter());
        FloatHistogram {
            hint: self.hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum: self.sum,
            positive_spans,
            negative_spans,
            positive_buckets,
            negative_buckets,
            custom_values: self.custom_values,
        }
    }
}

/// The hint of a combination, and whether the hints contradict each other.
pub(super) fn combine_hints(a: CounterReset, b: CounterReset) -> (CounterReset, bool) {
    use CounterReset::{Gauge, NotReset, Reset, Unknown};
    match (a, b) {
        _ if a == b => (a, false),
        (Gauge, _) | (_, Gauge) => (Gauge, false),
        (Reset, NotReset) | (NotReset, Reset) => (Unknown, true),
        _ => (Unknown, false),
    }
}

/// Count and edge of the zero bucket once it reaches `edge`, or further where `edge` cuts a
/// populated bucket.
pub(super) fn widened<T: Cell>(schema: i32, sides: &[Cells<T>; 2], zero_count: T, mut edge: f64) -> (T, f64) {
    let populated = || sides.iter().flatten().filter(|(_, v)| v.populated());
    loop {
        let cut = populated().find_map(|(i, _)| {
            let upper = exponential_bound(schema, *i);
            (upper > edge && exponential_bound(schema, i.saturating_sub(1)) < edge).then_some(upper)
        });
        match cut {
            Some(upper) => edge = upper,
            None => break,
        }
    }
    let inside = populated().filter(|(i, _)| exponential_bound(schema, *i) <= edge);
    (inside.fold(zero_count, |sum, (_, v)| sum.join(*v)), edge)
}

/// Buckets of a schema that is `steps` coarser.
pub(super) fn coarser<T: Cell>(cells: impl Iterator<Item = (i32, T)>, steps: i32) -> Cells<T> {
    let mut out: Cells<T> = Vec::with_capacity(cells.size_hint().0 / 2 + 1);
    let steps = steps.clamp(0, 40);
    for (index, v) in cells {
        let index = (((i64::from(index) - 1) >> steps) + 1) as i32;
        match out.last_mut() {
            Some((last, sum)) if *last == index => *sum = sum.join(v),
            _ => out.push((index, v)),
        }
    }
    out
}

/// Bounds that are in both lists.
pub(super) fn intersection(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut out = Vec::new();
    let mut b = b.iter().copied().peekable();
    for &bound in a {
        while b.next_if(|x| *x < bound).is_some() {}
        out.extend(b.next_if(|x| *x == bound));
    }
    out
}

/// Moves each bucket to the first of the new bounds that is not below its own.
pub(super) fn rebound<T: Cell>(cells: impl Iterator<Item = (i32, T)>, from: &[f64], to: &[f64]) -> Cells<T> {
    let mut out: Cells<T> = Vec::new();
    for (index, v) in cells {
        let upper = super::bounds::custom_bound(from, index);
        let index = i32::try_from(to.partition_point(|b| *b < upper)).unwrap_or(i32::MAX);
        match out.last_mut() {
            Some((last, sum)) if *last == index => *sum = sum.join(v),
            _ => out.push((index, v)),
        }
    }
    out
}

/// Adds `sign · other` bucket by bucket.
pub(super) fn merge<T: Cell>(cells: &mut Cells<T>, other: impl Iterator<Item = (i32, f64)>, sign: f64) {
    let mut missing: Cells<T> = Vec::new();
    let mut at = 0;
    for (index, v) in other {
        while cells.get(at).is_some_and(|(i, _)| *i < index) {
            at += 1;
        }
        match cells.get_mut(at) {
            Some((i, sum)) if *i == index => *sum = sum.plus(sign * v),
            _ => missing.push((index, T::default().plus(sign * v))),
        }
    }
    if !missing.is_empty() {
        cells.append(&mut missing);
        cells.sort_by_key(|(i, _)| *i);
    }
}

/// Spans and counts of sorted buckets.
pub(super) fn spans<T>(cells: impl Iterator<Item = (i32, T)>) -> (Vec<Span>, Vec<T>) {
    let mut spans: Vec<Span> = Vec::new();
    let mut counts = Vec::with_capacity(cells.size_hint().0);
    // Index after the last bucket so far.
    let mut end = 0i64;
    for (index, v) in cells {
        let index = i64::from(index);
        match spans.last_mut() {
            Some(span) if index <= end => span.length += 1,
            _ => {
                let offset = (index - end).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
                spans.push(Span { offset, length: 1 });
            }
        }
        end = index + 1;
        counts.push(v);
    }
    (spans, counts)
}
