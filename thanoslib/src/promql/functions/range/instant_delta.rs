//! irate and idelta: the change between the two newest samples.

use std::{ops::Range, sync::Arc};

use crate::{model::CounterReset, promql::FunctionId};

use super::{Notes, Output, Samples, Window, start_time};

pub(super) fn at(id: FunctionId, w: &Window<'_>, notes: &mut Notes<'_>) -> Option<Output> {
    let rate = id == FunctionId::Irate;
    if w.len() < 2 {
        return None;
    }
    // The newest two of the two lists together: how many of them are floats?
    let (ft, ht) = (w.ft(), w.ht());
    let time = |ts: &[i64], back: usize| ts.len().checked_sub(back).map(|i| ts[i]);
    let newest_floats = match (time(ft, 1), time(ft, 2), time(ht, 1), time(ht, 2)) {
        (Some(_), f2, Some(h1), _) if f2.is_some_and(|f2| f2 >= h1) => 2,
        (Some(f1), _, Some(_), h2) if h2.is_some_and(|h2| h2 > f1) => 0,
        (Some(_), _, Some(_), _) => 1,
        (Some(_), ..) => 2,
        (None, ..) => 0,
    };
    match newest_floats {
        2 => floats(w.samples, &w.f, rate).map(Output::Float),
        0 => histograms_at(w, rate, notes),
        _ => {
            notes.mixed();
            None
        }
    }
}

/// Of the newest two of a run of floats.
#[inline]
pub(super) fn floats(s: &Samples<'_>, run: &Range<usize>, rate: bool) -> Option<f64> {
    if run.len() < 2 {
        return None;
    }
    let (new, old) = (run.end - 1, run.end - 2);
    let elapsed_ms = s.ft[new] - s.ft[old];
    if elapsed_ms == 0 {
        return None;
    }
    let reset = rate
        && (s.fv[new] < s.fv[old]
            || start_time::is_reset(s.float_start(new), s.ft[new], s.float_start(old), s.ft[old]));
    let change = if reset { s.fv[new] } else { s.fv[new] - s.fv[old] };
    Some(if rate { change / (elapsed_ms as f64 / 1000.0) } else { change })
}

fn histograms_at(w: &Window<'_>, rate: bool, notes: &mut Notes<'_>) -> Option<Output> {
    let (new, old) = (w.h.end - 1, w.h.end - 2);
    let s = w.samples;
    let elapsed_ms = s.ht[new] - s.ht[old];
    if elapsed_ms == 0 {
        return None;
    }
    let gauges = [new, old].iter().filter(|i| s.hv[**i].hint == CounterReset::Gauge).count();
    if rate && gauges > 0 {
        notes.not_a_counter();
    }
    if !rate && gauges < 2 {
        notes.not_a_gauge();
    }
    let reset = rate
        && (start_time::is_reset(s.histogram_start(new), s.ht[new], s.histogram_start(old), s.ht[old])
            || s.hv[new].detect_reset(&s.hv[old]));
    let mut change = s.hv[new].as_ref().clone();
    if !reset {
        match change.sub(&s.hv[old]) {
            Ok(outcome) if outcome.bounds_reconciled => notes.reconciled("subtraction"),
            Ok(_) => {}
            Err(_) => {
                notes.mixed_schemas();
                return None;
            }
        }
    }
    change.hint = CounterReset::Gauge;
    change.compact(0);
    if rate {
        change.div(elapsed_ms as f64 / 1000.0);
    }
    Some(Output::Histogram(Arc::new(change)))
}
