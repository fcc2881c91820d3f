//! Both forms of an answer to a remote read, as a server writes them.

use super::{
    chunked::read_label,
    wire::{Fields, put_bytes, put_number},
};
use crate::{
    chunk::EncodedChunk,
    encoding::{crc32c, put_snappy_block, put_uvarint, take_snappy_block},
    error::DecodeError,
    model::{CounterReset, FloatHistogram, Interval, Labels, MatchOp, Matcher, SampleColumns, Span},
};

/// Most queries of a request.
const QUERIES_MAX: usize = 64;

/// What a client asks in a remote read.
///
/// ```
/// use thanoslib::{Interval, Matcher, remote::{ReadRequest, encode_read_request}};
/// let body = encode_read_request(Interval::new(0, 60_000), &[Matcher::equal("__name__", "up")]);
/// let request = ReadRequest::read(&body, 1 << 20)?;
/// assert!(request.streamed);
/// assert_eq!(request.queries[0].interval, Interval::new(0, 60_000));
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReadRequest {
    /// What is selected.
    pub queries: Vec<ReadQuery>,
    /// The client takes a stream of chunks; else it takes samples.
    pub streamed: bool,
}

/// One selection of a remote read.
///
/// See [`ReadRequest`].
#[derive(Clone, Debug)]
pub struct ReadQuery {
    /// Times of the samples, both ends inside.
    pub interval: Interval,
    /// All must match.
    pub matchers: Vec<Matcher>,
}

impl ReadRequest {
    /// Reads a body, a snappy block of at most `max` bytes when decompressed.
    ///
    /// # Errors
    /// A body that is no request, or a matcher that is none.
    pub fn read(body: &[u8], max: usize) -> Result<Self, DecodeError> {
        let mut message = Vec::new();
        take_snappy_block(body, max, &mut message)?;
        let (mut queries, mut accepted) = (Vec::new(), Vec::new());
        for field in Fields::new(&message) {
            match field? {
                (1, value) => {
                    if queries.len() == QUERIES_MAX {
                        return Err(DecodeError::new("remote read: too many queries", 0));
                    }
                    queries.push(read_query(value.bytes("remote read: query of another type")?)?);
                }
                (2, value) => value.numbers(|n| accepted.push(n))?,
                _ => {}
            }
        }
        // The first kind of answer that is known counts; samples are the oldest.
        let streamed = accepted.iter().find(|kind| **kind <= 1) == Some(&1);
        Ok(Self { queries, streamed })
    }
}

fn read_query(message: &[u8]) -> Result<ReadQuery, DecodeError> {
    const OTHER: &str = "remote read: time of another type";
    let (mut interval, mut matchers) = (Interval::new(0, 0), Vec::new());
    for field in Fields::new(message) {
        match field? {
            (1, value) => interval.mint = value.number(OTHER)? as i64,
            (2, value) => interval.maxt = value.number(OTHER)? as i64,
            (3, value) => matchers.push(read_matcher(value.bytes("remote read: matcher of another type")?)?),
            _ => {}
        }
    }
    Ok(ReadQuery { interval, matchers })
}

fn read_matcher(message: &[u8]) -> Result<Matcher, DecodeError> {
    let mut op = MatchOp::Equal;
    // Name and value stand one further than those of a label.
    let mut label = Vec::new();
    for field in Fields::new(message) {
        match field? {
            (1, value) => {
                op = match value.number("remote read: matcher of another type")? {
                    0 => MatchOp::Equal,
                    1 => MatchOp::NotEqual,
                    2 => MatchOp::Regex,
                    3 => MatchOp::NotRegex,
                    _ => return Err(DecodeError::new("remote read: matcher of unknown kind", 0)),
                }
            }
            (n @ (2 | 3), value) => {
                put_bytes(&mut label, n - 1, value.bytes("remote read: matcher of another type")?);
            }
            _ => {}
        }
    }
    let (name, value) = read_label(&label)?;
    let text = |bytes| {
        std::str::from_utf8(bytes).map_err(|_| DecodeError::new("remote read: matcher is not UTF-8", 0))
    };
    let (name, value) = (text(name)?, text(value)?);
    Matcher::new(op, name, value).map_err(|_| DecodeError::new("remote read: matcher is no expression", 0))
}

/// Appends a frame of a streamed answer: chunks of a series of the query of that number.
///
/// Source: Prometheus `storage/remote/chunked.go`, `prompb/remote.proto`.
pub fn put_chunked_frame(out: &mut Vec<u8>, labels: &Labels, chunks: &[EncodedChunk], query: u64) {
    let (mut series, mut part) = (Vec::new(), Vec::new());
    put_labels(&mut series, labels);
    for chunk in chunks {
        part.clear();
        put_number(&mut part, 1, chunk.interval.mint as u64);
        put_number(&mut part, 2, chunk.interval.maxt as u64);
        put_number(&mut part, 3, chunk.encoding as u64);
        put_bytes(&mut part, 4, &chunk.data);
        put_bytes(&mut series, 2, &part);
    }
    let mut message = Vec::new();
    put_bytes(&mut message, 1, &series);
    put_number(&mut message, 2, query);
    put_uvarint(out, message.len() as u64);
    out.extend_from_slice(&crc32c(&message).to_be_bytes());
    out.extend_from_slice(&message);
}

/// An answer with samples, while it is made.
///
/// ```
/// use thanoslib::{Labels, SampleColumns, remote::{SampledAnswer, SampledWriter}};
/// let mut answer = SampledWriter::default();
/// let mut samples = SampleColumns::default();
/// samples.floats.push(1000, 2.5);
/// answer.series(&Labels::from_pairs([("a", "b")]), &samples);
/// answer.end_query();
/// let read = SampledAnswer::read(&answer.finish(), 1 << 20)?;
/// assert_eq!(read.series()?.count(), 1);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct SampledWriter {
    /// The queries that are done.
    message: Vec<u8>,
    /// The series of the query that is not.
    result: Vec<u8>,
    series: Vec<u8>,
    part: Vec<u8>,
}

impl SampledWriter {
    /// Appends a series with its samples.
    pub fn series(&mut self, labels: &Labels, samples: &SampleColumns) {
        self.series.clear();
        put_labels(&mut self.series, labels);
        for (t, v) in samples.floats.ts.iter().zip(&samples.floats.vs) {
            self.part.clear();
            put_double(&mut self.part, 1, *v);
            put_number(&mut self.part, 2, *t as u64);
            put_bytes(&mut self.series, 2, &self.part);
        }
        for i in 0..samples.histograms.len() {
            self.part.clear();
            let t_ms = samples.histograms.ts.get(i).copied().unwrap_or_default();
            put_histogram(&mut self.part, t_ms, &samples.histograms.get(i));
            put_bytes(&mut self.series, 4, &self.part);
        }
        put_bytes(&mut self.result, 1, &self.series);
    }

    /// The series of the next query follow.
    pub fn end_query(&mut self) {
        put_bytes(&mut self.message, 1, &self.result);
        self.result.clear();
    }

    /// Bytes so far.
    pub fn size_bytes(&self) -> usize {
        self.message.len() + self.result.len()
    }

    /// The body: a snappy block.
    pub fn finish(self) -> Vec<u8> {
        let mut body = Vec::new();
        put_snappy_block(&mut body, &self.message);
        body
    }
}

fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    let mut message = Vec::new();
    for label in labels.iter() {
        message.clear();
        put_bytes(&mut message, 1, label.name);
        put_bytes(&mut message, 2, label.value);
        put_bytes(out, 1, &message);
    }
}

fn put_histogram(out: &mut Vec<u8>, t_ms: i64, h: &FloatHistogram) {
    put_double(out, 2, h.count);
    put_double(out, 3, h.sum);
    put_zigzag(out, 4, i64::from(h.schema));
    put_double(out, 5, h.zero_threshold);
    put_double(out, 7, h.zero_count);
    put_spans(out, 8, &h.negative_spans);
    put_doubles(out, 10, &h.negative_buckets);
    put_spans(out, 11, &h.positive_spans);
    put_doubles(out, 13, &h.positive_buckets);
    let hint = match h.hint {
        CounterReset::Unknown => 0,
        CounterReset::Reset => 1,
        CounterReset::NotReset => 2,
        CounterReset::Gauge => 3,
    };
    put_number(out, 14, hint);
    put_number(out, 15, t_ms as u64);
    put_doubles(out, 16, &h.custom_values);
}

fn put_spans(out: &mut Vec<u8>, field: u64, spans: &[Span]) {
    for span in spans {
        let mut message = Vec::new();
        put_zigzag(&mut message, 1, i64::from(span.offset));
        put_number(&mut message, 2, u64::from(span.length));
        put_bytes(out, field, &message);
    }
}

fn put_zigzag(out: &mut Vec<u8>, field: u64, n: i64) {
    put_number(out, field, ((n << 1) ^ (n >> 63)) as u64);
}

fn put_double(out: &mut Vec<u8>, field: u64, v: f64) {
    put_uvarint(out, field << 3 | 1);
    out.extend_from_slice(&v.to_bits().to_le_bytes());
}

fn put_doubles(out: &mut Vec<u8>, field: u64, values: &[f64]) {
    if !values.is_empty() {
        put_uvarint(out, field << 3 | 2);
        put_uvarint(out, values.len() as u64 * 8);
        values.iter().for_each(|v| out.extend_from_slice(&v.to_bits().to_le_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::{SampledAnswer, SampledSeries, encode_read_request};

    #[test]
    fn requests_come_back_as_they_were_sent() {
        let matchers = [
            Matcher::equal("__name__", "up"),
            Matcher::new(MatchOp::NotRegex, "job", "a|b").expect("valid"),
            Matcher::new(MatchOp::NotEqual, "x", "").expect("valid"),
        ];
        let body = encode_read_request(Interval::new(-5, 9), &matchers);
        let request = ReadRequest::read(&body, 1 << 10).expect("sound");
        assert!(request.streamed);
        let [query] = &request.queries[..] else { panic!("one query") };
        assert_eq!((query.interval, query.matchers.as_slice()), (Interval::new(-5, 9), &matchers[..]));
        assert!(ReadRequest::read(&body, 3).is_err() && ReadRequest::read(b"xyz", 100).is_err());
        let mut plain = Vec::new();
        put_snappy_block(&mut plain, &[0x0a, 0]);
        assert!(!ReadRequest::read(&plain, 100).expect("old").streamed);
        for bad in
            [&b"\x0a\x04\x1a\x02\x08\x09"[..], b"\x0a\x06\x1a\x04\x08\x02\x1a\x00", b"\x0a\x02\x0a\x00"]
        {
            let mut body = Vec::new();
            put_snappy_block(&mut body, bad);
            // A kind of matcher, an empty name, a time that is a text.
            let _ = ReadRequest::read(&body, 100);
        }
    }

    #[test]
    fn samples_come_back_as_they_were_written() {
        let histogram = FloatHistogram {
            hint: CounterReset::Gauge,
            schema: 1,
            zero_threshold: 0.5,
            zero_count: 1.5,
            count: 10.0,
            sum: -3.25,
            positive_spans: vec![Span { offset: -2, length: 2 }],
            negative_spans: vec![Span { offset: 1, length: 1 }],
            positive_buckets: vec![1.0, 2.0],
            negative_buckets: vec![4.0],
            custom_values: Vec::new(),
        };
        let mut samples = SampleColumns::default();
        samples.floats.push(-7, f64::INFINITY);
        samples.histograms.push(8, &histogram);
        let mut writer = SampledWriter::default();
        writer.series(&Labels::from_pairs([("a", "b")]), &samples);
        writer.end_query();
        let answer = SampledAnswer::read(&writer.finish(), 1 << 20).expect("sound");
        let bytes: Vec<_> = answer.series().expect("one query").collect::<Result<_, _>>().expect("sound");
        let mut series = SampledSeries::default();
        series.read(bytes[0]).expect("sound");
        assert_eq!(
            (series.floats.ts.as_slice(), series.floats.vs.as_slice()),
            (&[-7][..], &[f64::INFINITY][..])
        );
        assert_eq!(series.float_histograms.get(0), histogram);
        assert_eq!(series.labels, [(&b"a"[..], &b"b"[..])]);
    }
}
