//! The messages of a streamed answer: series with their chunks as bytes.

use std::ops::Range;

use bytes::Bytes;

use super::wire::Fields;
use crate::{chunk::Encoding, error::DecodeError, model::Interval};

/// One message of a streamed answer: a series, or a part of one, and seldom several.
///
/// Source: Prometheus `prompb/remote.proto`, `ChunkedReadResponse`.
///
/// ```
/// use bytes::Bytes;
/// use thanoslib::remote::{ChunkedFrame, ChunkedSeries};
/// let frame = ChunkedFrame::new(Bytes::from_static(b"\x0a\x08\x0a\x06\x0a\x01a\x12\x01b"));
/// let mut series = ChunkedSeries::default();
/// for bytes in frame.series() {
///     series.read(bytes?)?;
///     assert_eq!(series.labels, [(&b"a"[..], &b"b"[..])]);
/// }
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ChunkedFrame(Bytes);

impl ChunkedFrame {
    /// A message as [`FrameReader`](super::FrameReader) gives it.
    pub fn new(message: Bytes) -> Self {
        Self(message)
    }

    /// The bytes of each series, for [`ChunkedSeries::read`].
    pub fn series(&self) -> impl Iterator<Item = Result<&[u8], DecodeError>> {
        Fields::new(&self.0).filter_map(|field| match field {
            Ok((1, value)) => Some(value.bytes("remote read: series of another type")),
            Ok((2, value)) => match value.number("remote read: query index of another type") {
                Ok(0) => None,
                Ok(_) => Some(Err(DecodeError::new("remote read: answer to a query that was not sent", 0))),
                Err(e) => Some(Err(e)),
            },
            Ok(_) => None,
            Err(e) => Some(Err(e)),
        })
    }

    /// The message.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// Where a part of this message lies in it.
    pub fn range(&self, part: &[u8]) -> Range<usize> {
        // An empty part may lie anywhere.
        let at = if part.is_empty() { 0 } else { part.as_ptr().addr().wrapping_sub(self.0.as_ptr().addr()) };
        at..at.saturating_add(part.len())
    }
}

/// A series of a message, or a part of one.
///
/// See [`ChunkedFrame`].
#[derive(Clone, Debug, Default)]
pub struct ChunkedSeries<'a> {
    /// Names and values in the order of the message.
    pub labels: Vec<(&'a [u8], &'a [u8])>,
    /// Chunks in the order of the message.
    pub chunks: Vec<RemoteChunk<'a>>,
}

/// A chunk of a series.
///
/// See [`ChunkedSeries`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RemoteChunk<'a> {
    /// First and last sample.
    pub interval: Interval,
    /// How the samples are encoded.
    pub encoding: Encoding,
    /// The encoded samples.
    pub data: &'a [u8],
}

impl<'a> ChunkedSeries<'a> {
    /// Reads a series in place of the one before; memory is used again.
    ///
    /// # Errors
    /// Bytes that are no series, or a chunk of unknown encoding.
    pub fn read(&mut self, series: &'a [u8]) -> Result<(), DecodeError> {
        self.labels.clear();
        self.chunks.clear();
        for field in Fields::new(series) {
            match field? {
                (1, value) => {
                    self.labels.push(read_label(value.bytes("remote read: label of another type")?)?)
                }
                (2, value) => {
                    self.chunks.push(read_chunk(value.bytes("remote read: chunk of another type")?)?)
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Name and value of a label.
pub(super) fn read_label(message: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    let (mut name, mut value): (&[u8], &[u8]) = (b"", b"");
    for field in Fields::new(message) {
        match field? {
            (1, text) => name = text.bytes("remote read: label name of another type")?,
            (2, text) => value = text.bytes("remote read: label value of another type")?,
            _ => {}
        }
    }
    Ok((name, value))
}

fn read_chunk(message: &[u8]) -> Result<RemoteChunk<'_>, DecodeError> {
    let mut chunk = RemoteChunk { interval: Interval::new(0, 0), encoding: Encoding::None, data: b"" };
    for field in Fields::new(message) {
        match field? {
            (1, t) => chunk.interval.mint = t.number("remote read: chunk time of another type")? as i64,
            (2, t) => chunk.interval.maxt = t.number("remote read: chunk time of another type")? as i64,
            (3, kind) => {
                let kind = kind.number("remote read: chunk type of another type")?;
                let known = u8::try_from(kind).ok().and_then(Encoding::from_u8);
                // Aggregates are Thanos' own and never come from a Prometheus.
                chunk.encoding = known.filter(|e| *e != Encoding::Aggr).unwrap_or(Encoding::None);
            }
            (4, data) => chunk.data = data.bytes("remote read: chunk data of another type")?,
            _ => {}
        }
    }
    if chunk.encoding == Encoding::None {
        return Err(DecodeError::new("remote read: chunk of unknown encoding", 0));
    }
    Ok(chunk)
}

#[cfg(test)]
mod tests {
    use super::super::wire::{put_bytes, put_number};
    use super::*;

    fn chunk(kind: u64) -> Vec<u8> {
        let mut out = Vec::new();
        put_number(&mut out, 1, (-5i64) as u64);
        put_number(&mut out, 2, 7);
        put_number(&mut out, 3, kind);
        put_bytes(&mut out, 4, b"data");
        put_number(&mut out, 9, 1);
        out
    }

    fn frame(kinds: &[u64]) -> ChunkedFrame {
        let (mut series, mut out) = (Vec::new(), Vec::new());
        put_bytes(&mut series, 1, b"\x0a\x01a\x12\x01b");
        kinds.iter().for_each(|kind| put_bytes(&mut series, 2, &chunk(*kind)));
        put_bytes(&mut out, 1, &series);
        put_bytes(&mut out, 1, &[]);
        ChunkedFrame::new(Bytes::from(out))
    }

    #[test]
    fn series_are_read_in_place() {
        let frame = frame(&[1, 6]);
        let bytes: Vec<_> = frame.series().collect::<Result<_, _>>().expect("sound");
        let mut series = ChunkedSeries::default();
        series.read(bytes[0]).expect("sound");
        let want = |encoding| RemoteChunk { interval: Interval::new(-5, 7), encoding, data: b"data" };
        assert_eq!(series.chunks, [want(Encoding::Xor), want(Encoding::FloatHistogramSt)]);
        assert_eq!(frame.bytes()[frame.range(series.chunks[0].data)], *b"data");
        assert!(frame.range(b"").is_empty());
        series.read(bytes[1]).expect("empty");
        assert!(series.labels.is_empty() && series.chunks.is_empty());
    }

    #[test]
    fn unknown_encodings_and_other_queries_are_refused() {
        for kind in [0, 7, 255, 256 + 1] {
            let frame = frame(&[kind]);
            let bytes = frame.series().next().expect("one").expect("sound");
            let e = ChunkedSeries::default().read(bytes).expect_err("unknown");
            assert_eq!(e.what, "remote read: chunk of unknown encoding");
        }
        let other = ChunkedFrame::new(Bytes::from_static(&[0x10, 1]));
        assert!(other.series().next().expect("one").is_err());
    }
}
