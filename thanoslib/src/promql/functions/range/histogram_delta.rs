//! The change of a histogram over a window.

use std::ops::Range;

use crate::model::{CounterReset, FloatHistogram, histogram::IncompatibleSchema};

use super::{Notes, Samples, Window, start_time};

/// What the histograms of a series tell of windows over them, as ascending indices.
#[derive(Debug)]
pub(super) struct HistogramDelta {
    counter: bool,
    /// Those with a reset since the one before.
    resets: Vec<usize>,
    /// Gauges.
    gauges: Vec<usize>,
    /// Those with custom buckets after others, and the reverse.
    switches: Vec<usize>,
    /// Those with another schema than the one before.
    schemas: Vec<usize>,
    /// Those whose start timestamp overlaps the one before.
    overlaps: Vec<usize>,
}

/// Adds a part of what came between histogram `i` and the one before it.
pub(super) fn add_part(
    change: &mut FloatHistogram,
    w: &Window<'_>,
    i: usize,
    part: f64,
) -> Result<(), IncompatibleSchema> {
    let (before, h) = (&w.samples.hv[i - 1], &w.samples.hv[i]);
    let mut step = h.as_ref().clone();
    if !h.detect_reset(before) {
        step.sub(before)?;
    }
    step.mul(part);
    change.add(&step)?;
    change.hint = CounterReset::Gauge;
    Ok(())
}

/// The indices that lie in a range.
fn inside(indices: &[usize], range: Range<usize>) -> &[usize] {
    let from = indices.partition_point(|i| *i < range.start);
    let until = indices.partition_point(|i| *i < range.end);
    indices.get(from..until).unwrap_or_default()
}

fn is_gauge(h: &FloatHistogram) -> bool {
    h.hint == CounterReset::Gauge
}

fn is_reset(s: &Samples<'_>, i: usize, before: &FloatHistogram) -> bool {
    let (start, before_start) = (s.histogram_start(i), s.histogram_start(i - 1));
    start_time::is_reset(start, s.ht[i], before_start, s.ht[i - 1]) || s.hv[i].detect_reset(before)
}

impl HistogramDelta {
    pub(super) fn new(counter: bool, s: &Samples<'_>) -> Self {
        let where_pair = |wanted: &dyn Fn(usize) -> bool| {
            if counter { (1..s.hv.len()).filter(|i| wanted(*i)).collect() } else { Vec::new() }
        };
        let pair = |i: usize| (&s.hv[i - 1], &s.hv[i]);
        Self {
            counter,
            resets: where_pair(&|i| is_reset(s, i, &s.hv[i - 1])),
            gauges: (0..s.hv.len()).filter(|i| is_gauge(&s.hv[*i])).collect(),
            switches: where_pair(&|i| pair(i).0.has_custom_buckets() != pair(i).1.has_custom_buckets()),
            schemas: where_pair(&|i| pair(i).0.schema != pair(i).1.schema),
            overlaps: where_pair(&|i| {
                start_time::overlaps(s.histogram_start(i), s.histogram_start(i - 1), s.ht[i - 1])
            }),
        }
    }

    /// Last less first histogram of a window of at least two, resets added for counters.
    pub(super) fn at(&self, w: &Window<'_>, notes: &mut Notes<'_>) -> Option<FloatHistogram> {
        let hs = w.hv();
        let (first, last) = (hs.first()?, hs.last()?);
        if hs.len() < 2 {
            return None;
        }
        if self.counter && (is_gauge(first) || is_gauge(last)) {
            notes.not_a_counter();
        }
        if !inside(&self.overlaps, w.h.start + 1..w.h.end).is_empty() {
            notes.overlapping_start();
        }
        // A first sample that is reset away at once tells nothing but its layout.
        let second = w.h.start + 1;
        let reset_away = !inside(&self.resets, second..second + 1).is_empty();
        let empty = reset_away.then(|| FloatHistogram {
            schema: hs[1].schema,
            custom_values: hs[1].custom_values.clone(),
            ..FloatHistogram::default()
        });
        let start: &FloatHistogram = empty.as_ref().unwrap_or(first);
        if last.has_custom_buckets() != start.has_custom_buckets() {
            notes.mixed_schemas();
            return None;
        }
        let mut schema = start.schema.min(last.schema);
        if self.counter {
            let base = if reset_away { second } else { w.h.start };
            schema = schema.min(self.middle_schema(w, base, notes)?);
        }
        let mut change = last.as_ref().clone();
        change.reduce_schema(schema);
        match change.sub(start) {
            Ok(outcome) if outcome.bounds_reconciled => notes.reconciled("subtraction"),
            Ok(_) => {}
            Err(_) => {
                notes.mixed_schemas();
                return None;
            }
        }
        if !(self.counter || is_gauge(first) && is_gauge(last)) {
            notes.not_a_gauge();
        }
        // The layout of a first sample that was reset away may still count as one.
        let again = empty.as_ref().filter(|e| is_reset(w.samples, second, e));
        let resets = inside(&self.resets, second + 1..w.h.end);
        for before in again.into_iter().chain(resets.iter().map(|i| w.samples.hv[i - 1].as_ref())) {
            match change.add(before) {
                Ok(outcome) if outcome.bounds_reconciled => notes.reconciled("addition"),
                Ok(_) => {}
                Err(_) => {
                    notes.mixed_schemas();
                    return None;
                }
            }
        }
        change.hint = CounterReset::Gauge;
        change.compact(0);
        Some(change)
    }

    /// The coarsest schema between `base`, whose layout the first sample has, and the last
    /// sample of the window; `None` where exponential and custom buckets mix.
    fn middle_schema(&self, w: &Window<'_>, base: usize, notes: &mut Notes<'_>) -> Option<i32> {
        let last = w.h.end - 1;
        let switch = inside(&self.switches, base + 1..last).first();
        let looked_at = w.h.start + 1..switch.map_or(last, |i| i + 1);
        if !inside(&self.gauges, looked_at).is_empty() {
            notes.not_a_counter();
        }
        if switch.is_some() {
            notes.mixed_schemas();
            return None;
        }
        let others = inside(&self.schemas, base + 1..last).iter().map(|i| w.samples.hv[*i].schema);
        Some(others.fold(w.samples.hv[base].schema, i32::min))
    }
}
