//! changes and resets: events between neighbouring samples.

use crate::promql::FunctionId;

use super::{Output, Samples, Window, start_time};

/// Events of one series, counted from its first sample on.
#[derive(Debug)]
pub(super) struct Events {
    /// Events up to and including sample `i` of all samples in time order.
    until: Vec<u32>,
}

#[derive(Clone, Copy)]
enum Place {
    Float(usize),
    Histogram(usize),
}

impl Events {
    pub(super) fn new(id: FunctionId, samples: &Samples<'_>) -> Self {
        let until = match id {
            FunctionId::Changes => until(samples, changed),
            _ => until(samples, reset),
        };
        Self { until }
    }

    pub(super) fn at(&self, w: &Window<'_>) -> Output {
        // Both lists are in time order, so a window is one run of all samples.
        Output::Float(self.between(w.f.start + w.h.start, w.f.end + w.h.end))
    }

    /// The events since the newest sample before the range; `None` if the range holds no sample.
    pub(super) fn anchored(&self, w: &Window<'_>) -> Option<Output> {
        let before = |ts: &[i64]| ts.partition_point(|t| *t <= w.start_ms);
        let inside = (w.f.start + before(w.ft())) + (w.h.start + before(w.ht()));
        let end = w.f.end + w.h.end;
        let first = inside.saturating_sub(1).max(w.f.start + w.h.start);
        (inside < end).then(|| Output::Float(self.between(first, end)))
    }

    /// The events after sample `first` and before sample `end`, which is after it.
    #[inline]
    pub(super) fn between(&self, first: usize, end: usize) -> f64 {
        f64::from(self.until[end - 1] - self.until[first])
    }
}

/// The events up to and including each sample.
fn until(samples: &Samples<'_>, event: impl Fn(&Samples<'_>, Place, Place) -> bool) -> Vec<u32> {
    let mut count = 0;
    if samples.ht.is_empty() {
        let counts = (0..samples.ft.len()).map(|i| {
            count += u32::from(i > 0 && event(samples, Place::Float(i - 1), Place::Float(i)));
            count
        });
        return counts.collect();
    }
    let mut until = Vec::with_capacity(samples.ft.len() + samples.ht.len());
    let (mut f, mut h) = (0, 0);
    let mut before = None;
    while f < samples.ft.len() || h < samples.ht.len() {
        let float_next = h == samples.ht.len() || (f < samples.ft.len() && samples.ft[f] <= samples.ht[h]);
        let now = if float_next {
            f += 1;
            Place::Float(f - 1)
        } else {
            h += 1;
            Place::Histogram(h - 1)
        };
        if before.is_some_and(|before| event(samples, before, now)) {
            count += 1;
        }
        until.push(count);
        before = Some(now);
    }
    until
}

#[inline]
fn changed(s: &Samples<'_>, before: Place, now: Place) -> bool {
    match (before, now) {
        (Place::Float(a), Place::Float(b)) => {
            let (a, b) = (s.fv[a], s.fv[b]);
            a != b && !(a.is_nan() && b.is_nan())
        }
        (Place::Histogram(a), Place::Histogram(b)) => !s.hv[b].equals(&s.hv[a]),
        _ => true,
    }
}

#[inline]
fn reset(s: &Samples<'_>, before: Place, now: Place) -> bool {
    match (before, now) {
        (Place::Float(a), Place::Float(b)) => {
            s.fv[b] < s.fv[a] || start_time::is_reset(s.float_start(b), s.ft[b], s.float_start(a), s.ft[a])
        }
        (Place::Histogram(a), Place::Histogram(b)) => {
            start_time::is_reset(s.histogram_start(b), s.ht[b], s.histogram_start(a), s.ht[a])
                || s.hv[b].detect_reset(&s.hv[a])
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(id: FunctionId, values: &[f64], window: std::ops::Range<usize>, want: f64) {
        let ft: Vec<i64> = (0..values.len() as i64).collect();
        let samples = Samples { ft: &ft, fv: values, fs: &[], ht: &[], hv: &[], hs: &[], grain: None };
        let w = Window { samples: &samples, step: 0, t_ms: 0, start_ms: 0, end_ms: 0, f: window, h: 0..0 };
        let Output::Float(got) = Events::new(id, &samples).at(&w) else { panic!("a float") };
        assert_eq!(got, want, "{id:?} {values:?}");
    }

    #[test]
    fn only_events_inside_the_window_count() {
        let values = [3.0, 1.0, 1.0, 2.0, 0.0];
        check(FunctionId::Changes, &values, 0..5, 3.0);
        check(FunctionId::Changes, &values, 1..4, 1.0);
        check(FunctionId::Resets, &values, 0..5, 2.0);
        check(FunctionId::Resets, &values, 1..5, 1.0);
        check(FunctionId::Changes, &[f64::NAN, f64::NAN], 0..2, 0.0);
    }
}
