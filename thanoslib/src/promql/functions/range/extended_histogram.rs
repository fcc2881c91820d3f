//! Differences of histograms at the edges of anchored and smoothed ranges.

use std::sync::Arc;

use crate::model::{CounterReset, FloatHistogram};

use super::{
    Notes, Window,
    extended::{Extended, edges},
    interpolate::{self, add, subtract},
};

impl Extended {
    /// The change of the histograms of a window, not compacted.
    pub(super) fn histograms(&self, w: &Window<'_>, notes: &mut Notes<'_>) -> Option<FloatHistogram> {
        let (ts, hs) = (w.samples.ht, w.samples.hv);
        let (first, last) = edges(ts, &w.h, w.start_ms, w.end_ms, self.smoothed)?;
        self.check_layouts(&hs[first..=last], notes)?;
        let mut between = |i: usize, t_ms| {
            interpolate::histogram((ts[i], &hs[i]), (ts[i + 1], &hs[i + 1]), t_ms, self.counter, notes)
        };
        let left = if self.smoothed && ts[first] < w.start_ms {
            between(first, w.start_ms)?
        } else {
            hs[first].as_ref().clone()
        };
        let right = if self.smoothed && last > w.h.start && ts[last] > w.end_ms {
            between(last - 1, w.end_ms)?
        } else {
            hs[last].as_ref().clone()
        };
        if !self.counter && (left.hint != CounterReset::Gauge || right.hint != CounterReset::Gauge) {
            notes.not_a_gauge();
        }
        let mut change = right.clone();
        subtract(&mut change, &left, notes)?;
        if self.counter
            && let Some(lost) = self.lost_histograms(w, (first, &left), (last, &right), notes)?
        {
            add(&mut change, &lost, notes)?;
        }
        change.hint = CounterReset::Gauge;
        Some(change)
    }

    /// Remarks on gauges below a counter function; `None` when exponential and custom buckets mix.
    fn check_layouts(&self, hs: &[Arc<FloatHistogram>], notes: &mut Notes<'_>) -> Option<()> {
        let custom = hs.first()?.has_custom_buckets();
        for h in hs {
            if h.has_custom_buckets() != custom {
                notes.mixed_schemas();
                return None;
            }
            if self.counter && h.hint == CounterReset::Gauge {
                notes.not_a_counter();
            }
        }
        Some(())
    }

    /// What resets took away between the edges, if there was one; the outer `None` when it could
    /// not be added up.
    ///
    /// The last sample stays out: the value at the right edge stands for it, with its hint.
    fn lost_histograms(
        &self,
        w: &Window<'_>,
        (first, left): (usize, &FloatHistogram),
        (last, right): (usize, &FloatHistogram),
        notes: &mut Notes<'_>,
    ) -> Option<Option<FloatHistogram>> {
        let hs = w.samples.hv;
        let is_reset = |i: usize| self.resets.binary_search(&i).is_ok();
        let (mut next, mut before) = (first + 1, left);
        if self.smoothed && w.samples.ht[first] < w.start_ms && is_reset(next) {
            // The value at the left edge lies after this reset.
            before = &hs[next];
            next += 1;
        }
        if next > last {
            return Some(None);
        }
        let mut lost: Option<FloatHistogram> = None;
        let mut take = |h: &FloatHistogram| match &mut lost {
            Some(lost) => add(lost, h, notes),
            none => {
                *none = Some(h.clone());
                Some(())
            }
        };
        if next < last {
            if hs[next].detect_reset(before) {
                take(before)?;
            }
            let from = self.resets.partition_point(|i| *i <= next);
            for i in self.resets[from..].iter().take_while(|i| **i < last) {
                take(&hs[i - 1])?;
            }
            before = &hs[last - 1];
        }
        if right.detect_reset(before) {
            take(before)?;
        }
        Some(lost)
    }
}
