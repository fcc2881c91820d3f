//! Samples inside windows count towards the limit of a query.

use crate::{
    error::Result, model::FloatHistogram, promql::functions::range::RangeCall, series::SampleColumns,
};

use super::{
    meter::{Meter, histogram_samples},
    subquery::Points,
};

/// Fails when a query would hold too many samples with the largest window over a series.
///
/// Windows are looked at only where all samples of the series were too many.
///
/// # Errors
/// `Limit`.
pub(super) fn check_columns(meter: &Meter, call: &RangeCall, columns: &SampleColumns) -> Result<()> {
    let (floats, histograms) = (&columns.floats, &columns.histograms);
    let most_of_layout = |l: &std::sync::Arc<crate::model::HistogramLayout>| {
        l.positive_spans.len() + l.negative_spans.len() + l.custom_values.len()
    };
    let layout = histograms.layouts.iter().map(most_of_layout).max().unwrap_or(0);
    // No histogram counts more than its buckets, its layout and its fixed parts do.
    let at_most = floats.len() + histograms.len() * (12 + layout) + histograms.buckets.len();
    check(meter, call, &floats.ts, &histograms.ts, at_most, |i| histogram_samples(&histograms.get(i)))
}

/// The same for the values of a subquery.
///
/// # Errors
/// `Limit`.
pub(super) fn check_points(meter: &Meter, call: &RangeCall, points: &Points) -> Result<()> {
    let weigh = |h: &FloatHistogram| histogram_samples(h);
    let at_most = points.ft.len() + points.hv.iter().map(|h| weigh(h) as usize).sum::<usize>();
    check(meter, call, &points.ft, &points.ht, at_most, |i| weigh(&points.hv[i]))
}

fn check(
    meter: &Meter,
    call: &RangeCall,
    ft: &[i64],
    ht: &[i64],
    at_most: usize,
    weigh: impl Fn(usize) -> u64,
) -> Result<()> {
    if meter.has_room(at_most as u64) {
        return Ok(());
    }
    let largest = call.largest_window(ft, ht, weigh);
    meter.hold(largest)?;
    meter.release(largest);
    Ok(())
}
