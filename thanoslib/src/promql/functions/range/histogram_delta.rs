//! The change of a histogram over a window.

use crate::model::{CounterReset, FloatHistogram, histogram::IncompatibleSchema};

use super::{Notes, Window, start_time};

/// Last less first histogram of a window of at least two, resets added for counters.
pub(super) fn delta(w: &Window<'_>, counter: bool, notes: &mut Notes<'_>) -> Option<FloatHistogram> {
    let hs = w.hv();
    let (first, last) = (hs.first()?, hs.last()?);
    let middle = hs.get(1..hs.len() - 1)?;
    let gauge = |h: &FloatHistogram| h.hint == CounterReset::Gauge;
    if counter && (gauge(first) || gauge(last)) {
        notes.not_a_counter();
    }
    let reset = |i: usize, before: &FloatHistogram| {
        let at = w.h.start + i;
        let s = w.samples;
        let (start, before_start) = (s.histogram_start(at), s.histogram_start(at - 1));
        start_time::is_reset(start, s.ht[at], before_start, s.ht[at - 1]) || hs[i].detect_reset(before)
    };
    if counter {
        warn_of_overlaps(w, notes);
    }
    // A first sample that is reset away at once tells nothing but its layout.
    let empty = (counter && reset(1, first)).then(|| FloatHistogram {
        schema: hs[1].schema,
        custom_values: hs[1].custom_values.clone(),
        ..FloatHistogram::default()
    });
    let start: &FloatHistogram = empty.as_ref().unwrap_or(first);
    let custom = start.has_custom_buckets();
    if last.has_custom_buckets() != custom {
        notes.mixed_schemas();
        return None;
    }
    let mut schema = start.schema.min(last.schema);
    if counter {
        for h in middle {
            if gauge(h) {
                notes.not_a_counter();
            }
            schema = schema.min(h.schema);
            if h.has_custom_buckets() != custom {
                notes.mixed_schemas();
                return None;
            }
        }
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
    if counter {
        let mut before = start;
        for (i, h) in hs.iter().enumerate().skip(1) {
            if reset(i, before) {
                match change.add(before) {
                    Ok(outcome) if outcome.bounds_reconciled => notes.reconciled("addition"),
                    Ok(_) => {}
                    Err(_) => {
                        notes.mixed_schemas();
                        return None;
                    }
                }
            }
            before = h;
        }
    } else if !gauge(first) || !gauge(last) {
        notes.not_a_gauge();
    }
    change.hint = CounterReset::Gauge;
    change.compact(0);
    Some(change)
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

fn warn_of_overlaps(w: &Window<'_>, notes: &mut Notes<'_>) {
    let s = w.samples;
    let overlaps =
        |i: usize| start_time::overlaps(s.histogram_start(i), s.histogram_start(i - 1), s.ht[i - 1]);
    if !s.hs.is_empty() && (w.h.start + 1..w.h.end).any(overlaps) {
        notes.overlapping_start();
    }
}
