//! Window averages: sums divided by counts.

use crate::{
    error::{Error, Result},
    series::{FloatColumn, SampleColumns},
};

/// Appends sum / count of each window to `out`; sums are floats or float histograms.
///
/// A count of 0 divides as IEEE 754 says. Counts, zero counts and buckets of a histogram are
/// divided like its sum.
///
/// # Errors
/// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) where a window has only one of the two or
/// their times differ; `out` then holds the windows before.
pub fn average(counts: &FloatColumn, sums: &SampleColumns, out: &mut SampleColumns) -> Result<()> {
    let (floats, histograms) = (&sums.floats, &sums.histograms);
    let len = if histograms.is_empty() { floats.len() } else { histograms.len() };
    for i in 0..len.min(counts.len()) {
        let (t, count) = (counts.ts[i], counts.vs[i]);
        let at = if histograms.is_empty() { floats.ts[i] } else { histograms.ts[i] };
        if at != t {
            return Err(Error::corrupt("sum and count timestamps not aligned"));
        }
        if histograms.is_empty() {
            out.floats.push(t, floats.vs[i] / count);
            continue;
        }
        let first = out.histograms.buckets.len();
        out.histograms.push_from(histograms, i);
        let h = &mut out.histograms;
        for v in [&mut h.counts, &mut h.zero_counts, &mut h.sums].into_iter().filter_map(|c| c.last_mut()) {
            *v /= count;
        }
        for bucket in &mut h.buckets[first..] {
            *bucket /= count;
        }
    }
    if len == counts.len() {
        return Ok(());
    }
    Err(Error::corrupt("sum and count iterator not aligned"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CounterReset, FloatHistogram, Span};

    #[test]
    fn every_number_of_a_histogram_is_divided() {
        let histogram = |by: f64| FloatHistogram {
            hint: CounterReset::Gauge,
            zero_count: 2.0 / by,
            count: 12.0 / by,
            sum: 30.0 / by,
            positive_spans: vec![Span { offset: 0, length: 1 }],
            negative_spans: vec![Span { offset: 0, length: 1 }],
            positive_buckets: vec![6.0 / by],
            negative_buckets: vec![4.0 / by],
            ..FloatHistogram::default()
        };
        let (mut counts, mut sums, mut out) =
            (FloatColumn::default(), SampleColumns::default(), SampleColumns::default());
        for (t, by) in [(10, 2.0), (20, 4.0), (30, 4.0)] {
            counts.push(t, by);
            sums.histograms.push(t, &histogram(1.0));
        }
        average(&counts, &sums, &mut out).expect("aligned");
        let got: Vec<_> = (0..3).map(|i| out.histograms.get(i)).collect();
        assert_eq!(got, [histogram(2.0), histogram(4.0), histogram(4.0)]);
        counts.ts[2] = 31;
        assert!(average(&counts, &sums, &mut out).is_err());
    }
}
