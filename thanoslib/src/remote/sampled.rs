//! The answer with samples, which old servers give.

use super::{
    chunked::read_label,
    wire::{Field, Fields, zigzag},
};
use crate::{
    encoding::take_snappy_block,
    error::DecodeError,
    model::{
        CounterReset, FloatColumn, FloatHistogram, FloatHistogramColumn, Histogram, IntHistogramColumn, Span,
    },
};

/// Most buckets of one side of a histogram that is taken.
const BUCKETS_MAX: usize = 1 << 20;

/// The samples of an answer, decoded series by series.
///
/// Source: Prometheus `prompb/remote.proto`, `ReadResponse`; `prompb/types.proto`.
///
/// ```
/// use thanoslib::remote::{SampledAnswer, SampledSeries};
/// // One result with one series without samples, as a snappy block.
/// let answer = SampledAnswer::read(b"\x0c\x2c\x0a\x0a\x0a\x08\x0a\x06\x0a\x01a\x12\x01b", 1 << 20)?;
/// let mut series = SampledSeries::default();
/// for bytes in answer.series()? {
///     series.read(bytes?)?;
///     assert_eq!(series.labels, [(&b"a"[..], &b"b"[..])]);
/// }
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SampledAnswer(Vec<u8>);

impl SampledAnswer {
    /// Decompresses a body; `max` is the most bytes it may have then.
    ///
    /// # Errors
    /// A body that is no snappy block, or too long a one.
    pub fn read(body: &[u8], max: usize) -> Result<Self, DecodeError> {
        let mut out = Vec::new();
        take_snappy_block(body, max, &mut out)?;
        Ok(Self(out))
    }

    /// Bytes that the answer holds.
    pub fn size_bytes(&self) -> usize {
        self.0.len()
    }

    /// The bytes of each series, for [`SampledSeries::read`].
    ///
    /// # Errors
    /// An answer to other than one query.
    pub fn series(&self) -> Result<impl Iterator<Item = Result<&[u8], DecodeError>>, DecodeError> {
        let mut results = Vec::new();
        for field in Fields::new(&self.0) {
            if let (1, value) = field? {
                results.push(value.bytes("remote read: result of another type")?);
                if results.len() > 1 {
                    break;
                }
            }
        }
        let [result] = results[..] else {
            return Err(DecodeError::new("remote read: not one result for one query", 0));
        };
        Ok(Fields::new(result).filter_map(|field| match field {
            Ok((1, value)) => Some(value.bytes("remote read: series of another type")),
            Ok(_) => None,
            Err(e) => Some(Err(e)),
        }))
    }
}

/// A series of an answer with samples.
///
/// See [`SampledAnswer`].
#[derive(Debug, Default)]
pub struct SampledSeries<'a> {
    /// Names and values in the order of the message.
    pub labels: Vec<(&'a [u8], &'a [u8])>,
    /// Float samples.
    pub floats: FloatColumn,
    /// Native histograms with integer counts.
    pub int_histograms: IntHistogramColumn,
    /// Native histograms with float counts.
    pub float_histograms: FloatHistogramColumn,
}

impl<'a> SampledSeries<'a> {
    /// Reads a series in place of the one before; memory is used again.
    ///
    /// # Errors
    /// Bytes that are no series, and histograms whose buckets are not those of their spans.
    pub fn read(&mut self, series: &'a [u8]) -> Result<(), DecodeError> {
        self.labels.clear();
        self.floats.clear();
        self.int_histograms.clear();
        self.float_histograms.clear();
        for field in Fields::new(series) {
            match field? {
                (1, value) => {
                    self.labels.push(read_label(value.bytes("remote read: label of another type")?)?)
                }
                (2, value) => {
                    let (t_ms, v) = read_sample(value.bytes("remote read: sample of another type")?)?;
                    self.floats.push(t_ms, v);
                }
                (4, value) => {
                    let parts = Parts::read(value.bytes("remote read: histogram of another type")?)?;
                    match parts.is_float {
                        true => self.float_histograms.push(parts.t_ms, &parts.float()?),
                        false => self.int_histograms.push(parts.t_ms, &parts.int()?),
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn read_sample(message: &[u8]) -> Result<(i64, f64), DecodeError> {
    let (mut t_ms, mut v) = (0, 0.0);
    for field in Fields::new(message) {
        match field? {
            (1, value) => v = value.double("remote read: value of another type")?,
            (2, value) => t_ms = value.number("remote read: timestamp of another type")? as i64,
            _ => {}
        }
    }
    Ok((t_ms, v))
}

/// The fields of a histogram of either kind.
#[derive(Default)]
struct Parts {
    is_float: bool,
    count: (u64, f64),
    sum: f64,
    schema: i64,
    zero_threshold: f64,
    zero_count: (u64, f64),
    negative_spans: Vec<Span>,
    negative_deltas: Vec<i64>,
    negative_counts: Vec<f64>,
    positive_spans: Vec<Span>,
    positive_deltas: Vec<i64>,
    positive_counts: Vec<f64>,
    hint: CounterReset,
    t_ms: i64,
    custom_values: Vec<f64>,
}

impl Parts {
    fn read(message: &[u8]) -> Result<Self, DecodeError> {
        const OTHER: &str = "remote read: histogram field of another type";
        let mut h = Self::default();
        for field in Fields::new(message) {
            let (number, value) = field?;
            match number {
                1 => h.count.0 = value.number(OTHER)?,
                2 => {
                    h.count.1 = value.double(OTHER)?;
                    h.is_float = true;
                }
                3 => h.sum = value.double(OTHER)?,
                4 => h.schema = value.zigzag(OTHER)?,
                5 => h.zero_threshold = value.double(OTHER)?,
                6 => h.zero_count.0 = value.number(OTHER)?,
                7 => h.zero_count.1 = value.double(OTHER)?,
                8 => h.negative_spans.push(read_span(value.bytes(OTHER)?)?),
                9 => push_deltas(value, &mut h.negative_deltas)?,
                10 => value.doubles(&mut h.negative_counts)?,
                11 => h.positive_spans.push(read_span(value.bytes(OTHER)?)?),
                12 => push_deltas(value, &mut h.positive_deltas)?,
                13 => value.doubles(&mut h.positive_counts)?,
                14 => {
                    h.hint = match value.number(OTHER)? {
                        1 => CounterReset::Reset,
                        2 => CounterReset::NotReset,
                        3 => CounterReset::Gauge,
                        _ => CounterReset::Unknown,
                    }
                }
                15 => h.t_ms = value.number(OTHER)? as i64,
                16 => value.doubles(&mut h.custom_values)?,
                _ => {}
            }
        }
        Ok(h)
    }

    fn schema(&self) -> Result<i32, DecodeError> {
        i32::try_from(self.schema)
            .map_err(|_| DecodeError::new("remote read: histogram schema out of range", 0))
    }

    fn int(self) -> Result<Histogram, DecodeError> {
        check_buckets(&self.positive_spans, self.positive_deltas.len())?;
        check_buckets(&self.negative_spans, self.negative_deltas.len())?;
        Ok(Histogram {
            hint: self.hint,
            schema: self.schema()?,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count.0,
            count: self.count.0,
            sum: self.sum,
            positive_spans: self.positive_spans,
            negative_spans: self.negative_spans,
            positive_deltas: self.positive_deltas,
            negative_deltas: self.negative_deltas,
            custom_values: self.custom_values,
        })
    }

    fn float(self) -> Result<FloatHistogram, DecodeError> {
        check_buckets(&self.positive_spans, self.positive_counts.len())?;
        check_buckets(&self.negative_spans, self.negative_counts.len())?;
        Ok(FloatHistogram {
            hint: self.hint,
            schema: self.schema()?,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count.1,
            count: self.count.1,
            sum: self.sum,
            positive_spans: self.positive_spans,
            negative_spans: self.negative_spans,
            positive_buckets: self.positive_counts,
            negative_buckets: self.negative_counts,
            custom_values: self.custom_values,
        })
    }
}

fn push_deltas(value: Field<'_>, out: &mut Vec<i64>) -> Result<(), DecodeError> {
    value.numbers(|n| out.push(zigzag(n)))
}

fn read_span(message: &[u8]) -> Result<Span, DecodeError> {
    const OTHER: &str = "remote read: span of another type";
    let mut span = Span::default();
    for field in Fields::new(message) {
        match field? {
            (1, value) => span.offset = value.zigzag(OTHER)? as i32,
            (2, value) => span.length = value.number(OTHER)? as u32,
            _ => {}
        }
    }
    Ok(span)
}

/// The number of buckets must be the one that the spans say.
fn check_buckets(spans: &[Span], buckets: usize) -> Result<(), DecodeError> {
    let said: u64 = spans.iter().map(|s| u64::from(s.length)).sum();
    match said == buckets as u64 && buckets <= BUCKETS_MAX {
        true => Ok(()),
        false => Err(DecodeError::new("remote read: histogram buckets do not fit their spans", 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::{put_bytes, put_number};
    use super::*;
    use crate::encoding::put_snappy_block;

    fn double(out: &mut Vec<u8>, field: u64, v: f64) {
        crate::encoding::put_uvarint(out, field << 3 | 1);
        out.extend_from_slice(&v.to_le_bytes());
    }

    fn histogram(float: bool, buckets: usize) -> Vec<u8> {
        let mut out = Vec::new();
        match float {
            true => double(&mut out, 2, 5.5),
            false => put_number(&mut out, 1, 5),
        }
        double(&mut out, 3, 2.5);
        put_number(&mut out, 4, 6);
        put_bytes(&mut out, 11, &[0x08, 0x03, 0x10, 0x02]);
        match float {
            true => (0..buckets).for_each(|_| double(&mut out, 13, 1.5)),
            false => put_bytes(&mut out, 12, &[4; 2][..buckets]),
        }
        put_number(&mut out, 14, 3);
        put_number(&mut out, 15, 3_000);
        out
    }

    fn body(results: usize, histograms: &[Vec<u8>]) -> Vec<u8> {
        let (mut series, mut result, mut plain, mut out) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        put_bytes(&mut series, 1, b"\x0a\x01a\x12\x01b");
        let mut sample = Vec::new();
        double(&mut sample, 1, 0.5);
        put_number(&mut sample, 2, 1_000);
        put_bytes(&mut series, 2, &sample);
        histograms.iter().for_each(|h| put_bytes(&mut series, 4, h));
        put_bytes(&mut result, 1, &series);
        (0..results).for_each(|_| put_bytes(&mut plain, 1, &result));
        put_snappy_block(&mut out, &plain);
        out
    }

    #[test]
    fn samples_of_all_kinds_are_read() {
        let answer = SampledAnswer::read(&body(1, &[histogram(false, 2), histogram(true, 2)]), 1 << 20)
            .expect("sound");
        let bytes: Vec<_> = answer.series().expect("one").collect::<Result<_, _>>().expect("sound");
        let mut series = SampledSeries::default();
        series.read(bytes[0]).expect("sound");
        assert_eq!((series.floats.ts.as_slice(), series.floats.vs.as_slice()), (&[1_000][..], &[0.5][..]));
        let spans = vec![Span { offset: -2, length: 2 }];
        let want = Histogram {
            hint: CounterReset::Gauge,
            schema: 3,
            count: 5,
            sum: 2.5,
            positive_spans: spans.clone(),
            positive_deltas: vec![2, 2],
            ..Histogram::default()
        };
        assert_eq!((series.int_histograms.ts[0], series.int_histograms.get(0)), (3_000, want));
        let got = series.float_histograms.get(0);
        assert_eq!((got.count, got.positive_buckets, got.positive_spans), (5.5, vec![1.5, 1.5], spans));
    }

    #[test]
    fn wrong_answers_are_refused() {
        let check = |body: &[u8], want: &str| {
            let e = SampledAnswer::read(body, 1 << 10).and_then(|answer| {
                let mut series = SampledSeries::default();
                for bytes in answer.series()? {
                    series.read(bytes?)?;
                }
                Ok(())
            });
            assert_eq!(e.expect_err(want).what, want);
        };
        check(b"", "snappy: corrupt block");
        check(&body(0, &[]), "remote read: not one result for one query");
        check(&body(2, &[]), "remote read: not one result for one query");
        check(&body(1, &[histogram(false, 1)]), "remote read: histogram buckets do not fit their spans");
        check(&body(1, &[histogram(true, 0)]), "remote read: histogram buckets do not fit their spans");
        check(&body(1, &[vec![0; 5000]]), "snappy: block is too long");
    }
}
