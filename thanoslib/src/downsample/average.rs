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
