//! Histogram counters of several layers as one line whose resets are real ones.

use super::{cover::Pick, layer::Layer};
use crate::{
    model::{CounterReset, FloatHistogram, Resolution},
    series::FloatHistogramColumn,
};

/// How far ahead the pace of a histogram is looked for.
const PACE_MS: i64 = Resolution::FiveMinutes.window_ms();

/// Appends the line of a histogram counter.
///
/// Downsampling adds up resets chunk by chunk, each from the first value of its own. So where
/// chunks of windows meet, and at seams, a fall is mostly none of the counter: the histogram
/// goes on from what was reached, by no more than it grows right after. Chunks of scrapes fall
/// only at resets, which stay.
pub(super) fn join(layers: &[Layer<'_>], line: &[Pick], out: &mut FloatHistogramColumn) {
    let mut before: Option<(usize, FloatHistogram)> = None;
    // What is added to stored histograms.
    let mut raised: Option<FloatHistogram> = None;
    for p in line {
        let layer = &layers[p.layer];
        let histograms = &layer.samples.histograms;
        let h = histograms.get(p.index);
        if h.hint == CounterReset::Gauge {
            out.push_from(histograms, p.index);
            continue;
        }
        let mut goes_on = false;
        if let Some((last_layer, last)) = &before {
            let seam = *last_layer != p.layer;
            if seam || layer.window_ms > 0 {
                goes_on = true;
                if falls(&h, last) || (seam && h.schema != last.schema) {
                    raised = carry(layers, p, &h, last, raised.as_ref(), out.ts.last().copied());
                    goes_on = raised.is_some();
                }
            } else if h.detect_reset(last) {
                raised = None;
            }
        }
        let mut given = h.clone();
        match &raised {
            Some(by) if given.add(by).is_ok() => {
                given.hint = h.hint;
            }
            Some(_) => {
                raised = None;
                goes_on = false;
                given = h.clone();
            }
            None => {}
        }
        if goes_on {
            given.hint = CounterReset::NotReset;
        }
        out.push(p.t_ms, &given);
        before = Some((p.layer, h));
    }
}

/// True when the values of a histogram, its hint aside, say that it was reset.
fn falls(h: &FloatHistogram, before: &FloatHistogram) -> bool {
    if h.hint == CounterReset::Unknown {
        return h.detect_reset(before);
    }
    FloatHistogram { hint: CounterReset::Unknown, ..h.clone() }.detect_reset(before)
}

/// What to add to histograms from `p` on, so that they go on from `last`, raised by `raised`.
///
/// `None` when they can not be compared: then a reset is all that can be said.
fn carry(
    layers: &[Layer<'_>],
    p: &Pick,
    h: &FloatHistogram,
    last: &FloatHistogram,
    raised: Option<&FloatHistogram>,
    last_ms: Option<i64>,
) -> Option<FloatHistogram> {
    let mut reached = last.clone();
    if let Some(by) = raised {
        reached.add(by).ok()?;
    }
    let mut reduced = h.clone();
    reduced.reduce_schema(last.schema.min(h.schema));
    let mut step = reduced.clone();
    if falls(&reduced, last) {
        let layer = &layers[p.layer];
        let gap = p.t_ms.saturating_sub(last_ms?).max(layer.interval_ms);
        step = match pace(layer, p.index, gap) {
            Some(paced) if paced.count < step.count => paced,
            _ => step,
        };
    } else {
        step.sub(last).ok()?;
    }
    reached.add(&step).ok()?;
    reached.sub(&reduced).ok()?;
    reached.hint = CounterReset::Unknown;
    Some(reached)
}

/// What a histogram grows within `gap_ms`, as seen right after sample `i` of its layer.
fn pace(layer: &Layer<'_>, i: usize, gap_ms: i64) -> Option<FloatHistogram> {
    let histograms = &layer.samples.histograms;
    let first = histograms.get(i);
    let until = histograms.ts[i].saturating_add(PACE_MS.max(layer.window_ms));
    let far = histograms.ts.partition_point(|t| *t <= until).saturating_sub(1);
    let mut step = [far, i + 1].into_iter().filter(|k| *k > i && *k < histograms.len()).find_map(|k| {
        let mut h = histograms.get(k);
        if falls(&h, &first) {
            return None;
        }
        h.sub(&first).ok()?;
        h.mul(gap_ms as f64 / histograms.ts[k].saturating_sub(histograms.ts[i]) as f64);
        Some(h)
    })?;
    step.hint = CounterReset::Unknown;
    Some(step)
}
