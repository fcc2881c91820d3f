//! Series of samples, `prometheus_copy.TimeSeries`.

use std::sync::Arc;

use thanoslib::{
    Error, Result,
    model::{CounterReset, FloatHistogram, Histogram, Span},
    promql::MatrixSeries,
};

use super::labels::{from_labels, to_labels};
use crate::pb::prometheus_copy::{
    self as pb, BucketSpan, Sample, TimeSeries,
    histogram::{Count, ResetHint, ZeroCount},
};

impl From<&MatrixSeries> for TimeSeries {
    fn from(series: &MatrixSeries) -> Self {
        let sample = |&(timestamp, value): &(i64, f64)| Sample { value, timestamp };
        Self {
            labels: from_labels(series.labels.view()),
            samples: series.floats.iter().map(sample).collect(),
            exemplars: Vec::new(),
            histograms: series.histograms.iter().map(|(t, h)| from_histogram(*t, h)).collect(),
        }
    }
}

impl TryFrom<&TimeSeries> for MatrixSeries {
    type Error = Error;

    /// # Errors
    /// `Corrupt` with the path of the first field that cannot be understood.
    fn try_from(series: &TimeSeries) -> Result<Self> {
        let histograms = series.histograms.iter().enumerate();
        let histograms = histograms.map(|(i, h)| {
            let float = to_histogram(h).map_err(|e| e.context(format!("histograms[{i}]")))?;
            Ok((h.timestamp, Arc::new(float)))
        });
        Ok(Self {
            labels: to_labels(&series.labels),
            floats: series.samples.iter().map(|s| (s.timestamp, s.value)).collect(),
            histograms: histograms.collect::<Result<_>>()?,
        })
    }
}

/// A float histogram of a peer; whole counts become floats.
///
/// # Errors
/// `Corrupt` when buckets and spans do not fit, or for an unknown schema.
pub fn to_histogram(h: &pb::Histogram) -> Result<FloatHistogram> {
    let hint = match ResetHint::try_from(h.reset_hint) {
        Ok(ResetHint::Unknown) => CounterReset::Unknown,
        Ok(ResetHint::Yes) => CounterReset::Reset,
        Ok(ResetHint::No) => CounterReset::NotReset,
        Ok(ResetHint::Gauge) => CounterReset::Gauge,
        Err(_) => return Err(Error::corrupt(format!("reset_hint: unknown value {}", h.reset_hint))),
    };
    if !matches!(h.schema, -4..=8 | CUSTOM_BUCKETS) {
        return Err(Error::corrupt(format!("schema: unknown value {}", h.schema)));
    }
    let whole = matches!(h.count, Some(Count::CountInt(_)));
    let buckets = |deltas: &[i64], counts: &[f64]| if whole { deltas.len() } else { counts.len() };
    fits("positive_spans", &h.positive_spans, buckets(&h.positive_deltas, &h.positive_counts))?;
    fits("negative_spans", &h.negative_spans, buckets(&h.negative_deltas, &h.negative_counts))?;
    let spans = |list: &[BucketSpan]| -> Vec<Span> {
        list.iter().map(|s| Span { offset: s.offset, length: s.length }).collect()
    };
    let (positive_spans, negative_spans) = (spans(&h.positive_spans), spans(&h.negative_spans));
    if let Some(Count::CountInt(count)) = h.count {
        let zero_count = match h.zero_count {
            Some(ZeroCount::ZeroCountInt(n)) => n,
            Some(ZeroCount::ZeroCountFloat(_)) => {
                return Err(Error::corrupt("zero_count: float beside a whole count"));
            }
            None => 0,
        };
        return Ok(FloatHistogram::from(&Histogram {
            hint,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            zero_count,
            count,
            sum: h.sum,
            positive_spans,
            negative_spans,
            positive_deltas: h.positive_deltas.clone(),
            negative_deltas: h.negative_deltas.clone(),
            custom_values: h.custom_values.clone(),
        }));
    }
    Ok(FloatHistogram {
        hint,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        zero_count: match h.zero_count {
            Some(ZeroCount::ZeroCountFloat(n)) => n,
            Some(ZeroCount::ZeroCountInt(_)) => {
                return Err(Error::corrupt("zero_count: whole beside a float count"));
            }
            None => 0.0,
        },
        count: match h.count {
            Some(Count::CountFloat(n)) => n,
            _ => 0.0,
        },
        sum: h.sum,
        positive_spans,
        negative_spans,
        positive_buckets: h.positive_counts.clone(),
        negative_buckets: h.negative_counts.clone(),
        custom_values: h.custom_values.clone(),
    })
}

const CUSTOM_BUCKETS: i32 = thanoslib::model::histogram::CUSTOM_BUCKETS_SCHEMA;

fn fits(path: &str, spans: &[BucketSpan], buckets: usize) -> Result<()> {
    let named: u64 = spans.iter().map(|s| u64::from(s.length)).sum();
    match named == buckets as u64 {
        true => Ok(()),
        false => Err(Error::corrupt(format!("{path}: {named} buckets, but {buckets} counts"))),
    }
}

/// A histogram with float counts for a message.
pub fn from_histogram(t_ms: i64, h: &FloatHistogram) -> pb::Histogram {
    let spans = |list: &[Span]| -> Vec<BucketSpan> {
        list.iter().map(|s| BucketSpan { offset: s.offset, length: s.length }).collect()
    };
    let hint = match h.hint {
        CounterReset::Unknown => ResetHint::Unknown,
        CounterReset::Reset => ResetHint::Yes,
        CounterReset::NotReset => ResetHint::No,
        CounterReset::Gauge => ResetHint::Gauge,
    };
    pb::Histogram {
        sum: h.sum,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        negative_spans: spans(&h.negative_spans),
        negative_deltas: Vec::new(),
        negative_counts: h.negative_buckets.clone(),
        positive_spans: spans(&h.positive_spans),
        positive_deltas: Vec::new(),
        positive_counts: h.positive_buckets.clone(),
        reset_hint: hint.into(),
        timestamp: t_ms,
        custom_values: h.custom_values.clone(),
        count: Some(Count::CountFloat(h.count)),
        zero_count: Some(ZeroCount::ZeroCountFloat(h.zero_count)),
    }
}

#[cfg(test)]
mod tests {
    use thanoslib::model::Labels;

    use super::*;

    fn histogram() -> FloatHistogram {
        FloatHistogram {
            hint: CounterReset::NotReset,
            schema: 1,
            zero_threshold: 0.001,
            zero_count: 1.5,
            count: 6.5,
            sum: -3.0,
            positive_spans: vec![Span { offset: -2, length: 1 }, Span { offset: 3, length: 1 }],
            negative_spans: vec![Span { offset: 0, length: 1 }],
            positive_buckets: vec![1.0, 2.0],
            negative_buckets: vec![2.0],
            custom_values: Vec::new(),
        }
    }

    #[test]
    fn series_survive_the_wire() {
        let want = MatrixSeries {
            labels: Labels::from_pairs([("a", "b")]),
            floats: vec![(-5, 0.5), (7, f64::INFINITY)],
            histograms: vec![(9, Arc::new(histogram()))],
        };
        let got = MatrixSeries::try_from(&TimeSeries::from(&want)).expect("our own message");
        assert_eq!((got.labels, got.floats), (want.labels, want.floats));
        assert_eq!(got.histograms, want.histograms);
    }

    #[test]
    fn whole_counts_become_floats_and_nonsense_is_refused() {
        let whole = pb::Histogram {
            count: Some(Count::CountInt(5)),
            zero_count: Some(ZeroCount::ZeroCountInt(1)),
            positive_spans: vec![BucketSpan { offset: 0, length: 2 }],
            positive_deltas: vec![1, 2],
            ..Default::default()
        };
        let got = to_histogram(&whole).expect("a histogram");
        assert_eq!((got.count, got.zero_count, &got.positive_buckets[..]), (5.0, 1.0, &[1.0, 3.0][..]));
        let check = |change: fn(&mut pb::Histogram), want: &str| {
            let mut h = whole.clone();
            change(&mut h);
            let error = to_histogram(&h).expect_err(want);
            assert_eq!((error.kind(), error.message()), (thanoslib::ErrorKind::Corrupt, want));
        };
        check(|h| h.schema = 9, "schema: unknown value 9");
        check(|h| h.reset_hint = 4, "reset_hint: unknown value 4");
        check(|h| h.positive_deltas.clear(), "positive_spans: 2 buckets, but 0 counts");
        check(|h| h.negative_deltas.push(1), "negative_spans: 0 buckets, but 1 counts");
        let float = Some(ZeroCount::ZeroCountFloat(1.0));
        assert!(to_histogram(&pb::Histogram { zero_count: float, ..whole.clone() }).is_err());
    }
}
