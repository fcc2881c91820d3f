//! Series with their chunks.
//!
//! The numbers of encodings on the wire are one less than those of chunk files.

use bytes::Bytes;
use thanoslib::{
    Error, Result,
    chunk::{self, Encoding},
    model::{Aggr, Interval, LabelsRef},
    series::{BatchBuilder, ChunkView, SeriesBatch, SeriesView},
};
use xxhash_rust::xxh64::xxh64;

use super::labels;
use crate::pb::thanos::{self as pb, AggrChunk, Chunk, chunk::Encoding as Wire};

/// Chunk data in one frame of one series; the chunk that crosses it is the frame's last.
///
/// Source: Thanos `pkg/store/tsdb.go`, which takes the labels off this.
pub const FRAME_CHUNKS_MAX_BYTES: usize = 1 << 20;

/// The messages of one series: several when its chunks are too many for one frame.
///
/// # Errors
/// `Corrupt` for a chunk that must be rewritten for peers and does not decode,
/// `Unsupported` for one of another kind.
pub fn parts(series: SeriesView<'_>) -> Result<Vec<pb::Series>> {
    let labels = labels::from_labels(series.labels());
    let room = FRAME_CHUNKS_MAX_BYTES.saturating_sub(series.labels().as_bytes().len());
    let mut out = Vec::with_capacity(1);
    let (mut chunks, mut size) = (Vec::<AggrChunk>::with_capacity(series.chunk_count()), 0);
    for chunk in series.chunks() {
        let opens = chunk.meta.first || chunks.last_mut().is_none_or(|c| slot(c, chunk.meta.aggr).is_some());
        if opens && size >= room {
            out.push(pb::Series { labels: labels.clone(), chunks: std::mem::take(&mut chunks) });
            size = 0;
        }
        if opens {
            let Interval { mint, maxt } = chunk.meta.interval;
            chunks.push(AggrChunk { min_time: mint, max_time: maxt, ..AggrChunk::default() });
        }
        size += chunk.data().len();
        if chunk.meta.encoding == Encoding::None {
            continue;
        }
        let message = from_chunk(chunk).map_err(|e| e.context(series.labels()))?;
        let last = chunks.last_mut().expect("the first chunk opens a window");
        *slot(last, chunk.meta.aggr) = Some(message);
    }
    out.push(pb::Series { labels, chunks });
    Ok(out)
}

fn slot(chunk: &mut AggrChunk, aggr: Aggr) -> &mut Option<Chunk> {
    match aggr {
        Aggr::Raw => &mut chunk.raw,
        Aggr::Count => &mut chunk.count,
        Aggr::Sum => &mut chunk.sum,
        Aggr::Min => &mut chunk.min,
        Aggr::Max => &mut chunk.max,
        Aggr::Counter => &mut chunk.counter,
    }
}

fn from_chunk(chunk: ChunkView<'_>) -> Result<Chunk> {
    let encoding = chunk.meta.encoding;
    // Peers know the three oldest encodings only.
    let (encoding, data) = match chunk::transcode(chunk::Chunk { encoding, data: chunk.data() })? {
        Some((encoding, data)) => (encoding, Bytes::from(data)),
        None => (encoding, chunk.bytes()),
    };
    let wire = match encoding {
        Encoding::Xor => Wire::Xor,
        Encoding::Histogram => Wire::Histogram,
        Encoding::FloatHistogram => Wire::FloatHistogram,
        other => return Err(Error::unsupported(format!("no peer knows chunk encoding {other:?}"))),
    };
    Ok(Chunk { r#type: wire.into(), hash: xxh64(&data, 0), data })
}

/// The encoding of a number on the wire.
fn to_encoding(wire: i32) -> Option<Encoding> {
    Some(match Wire::try_from(wire).ok()? {
        Wire::Xor => Encoding::Xor,
        Wire::Histogram => Encoding::Histogram,
        Wire::FloatHistogram => Encoding::FloatHistogram,
    })
}

/// Turns the series of one stream into batches; frames of one series are joined.
#[derive(Debug, Default)]
pub struct Decoder {
    builder: BatchBuilder,
    /// Flat labels of the series seen last.
    last: Vec<u8>,
    started: bool,
}

impl Decoder {
    /// Adds the next series of the stream.
    ///
    /// # Errors
    /// `Corrupt` when the labels descend, `Unsupported` for an unknown encoding.
    pub fn push(&mut self, series: &pb::Series) -> Result<()> {
        let mut flat = Vec::with_capacity(self.last.len());
        labels::append_flat(&series.labels, &mut flat);
        let (this, last) = (LabelsRef::from_flat(&flat), LabelsRef::from_flat(&self.last));
        if self.started && this < last {
            return Err(Error::corrupt(format!("series out of order: {this} after {last}")));
        }
        if !self.started || this != last || self.builder.is_empty() {
            self.builder.series(this);
        }
        for (i, chunk) in series.chunks.iter().enumerate() {
            push_chunk(&mut self.builder, chunk).map_err(|e| e.context(format!("{this}: chunks[{i}]")))?;
        }
        self.started = true;
        self.last = flat;
        Ok(())
    }

    /// The series since the last batch, if there are any.
    pub fn finish(&mut self) -> Option<SeriesBatch> {
        (!self.builder.is_empty()).then(|| self.builder.finish())
    }
}

fn push_chunk(builder: &mut BatchBuilder, chunk: &AggrChunk) -> Result<()> {
    let interval = Interval::new(chunk.min_time, chunk.max_time);
    let subs = [
        ("raw", Aggr::Raw, &chunk.raw),
        ("count", Aggr::Count, &chunk.count),
        ("sum", Aggr::Sum, &chunk.sum),
        ("min", Aggr::Min, &chunk.min),
        ("max", Aggr::Max, &chunk.max),
        ("counter", Aggr::Counter, &chunk.counter),
    ];
    let mut first = true;
    for (field, aggr, sub) in subs {
        let Some(sub) = sub else { continue };
        let encoding = to_encoding(sub.r#type).ok_or_else(|| {
            Error::unsupported(format!("{field}.type: unknown chunk encoding {}", sub.r#type))
        })?;
        builder.chunk(interval, aggr, encoding, first, sub.data.clone());
        first = false;
    }
    if first {
        builder.chunk(interval, Aggr::Raw, Encoding::None, true, Bytes::new());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use thanoslib::model::Labels;

    use super::*;

    const AT: Interval = Interval::new(10, 20);

    fn batch(chunks: &[(Aggr, Encoding, bool, Bytes)]) -> SeriesBatch {
        let mut builder = BatchBuilder::default();
        builder.series(Labels::from_pairs([("a", "1")]).view());
        for (aggr, encoding, first, data) in chunks {
            builder.chunk(AT, *aggr, *encoding, *first, data.clone());
        }
        builder.finish()
    }

    fn encode(batch: &SeriesBatch) -> Result<Vec<pb::Series>> {
        parts(batch.get(0).expect("one series"))
    }

    fn read(batch: &SeriesBatch) -> Vec<(Aggr, Encoding, bool, Interval, Bytes)> {
        let chunks = batch.iter().flat_map(|s| s.chunks().collect::<Vec<_>>());
        chunks.map(|c| (c.meta.aggr, c.meta.encoding, c.meta.first, c.meta.interval, c.bytes())).collect()
    }

    #[test]
    fn chunks_survive_the_wire_without_a_copy() {
        let data = Bytes::from_static(b"0123456789");
        let check = |chunks: &[(Aggr, Encoding, bool, Bytes)], windows: usize| {
            let before = batch(chunks);
            let messages = encode(&before).expect("known encodings");
            assert_eq!(messages[0].chunks.len(), windows);
            let mut decoder = Decoder::default();
            messages.iter().for_each(|m| decoder.push(m).expect("our own message"));
            let after = decoder.finish().expect("one series");
            assert_eq!(read(&after), read(&before));
            let same = read(&after).iter().zip(chunks).all(|(a, b)| a.4.as_ptr() == b.3.as_ptr());
            assert!(same || chunks.iter().all(|c| c.3.is_empty()), "chunk data was copied");
        };
        check(&[(Aggr::Raw, Encoding::Xor, true, data.clone())], 1);
        check(
            &[
                (Aggr::Raw, Encoding::Histogram, true, data.clone()),
                (Aggr::Raw, Encoding::FloatHistogram, true, data.slice(3..)),
            ],
            2,
        );
        check(
            &[
                (Aggr::Count, Encoding::Xor, true, data.clone()),
                (Aggr::Sum, Encoding::Xor, false, data.slice(1..)),
                (Aggr::Min, Encoding::Xor, false, data.slice(2..)),
                (Aggr::Max, Encoding::Xor, false, data.slice(3..)),
                (Aggr::Counter, Encoding::Xor, false, data.slice(4..)),
                (Aggr::Sum, Encoding::Xor, true, data.slice(5..)),
            ],
            2,
        );
        check(&[(Aggr::Raw, Encoding::None, true, Bytes::new())], 1);
    }

    #[test]
    fn numbers_of_encodings_are_those_of_the_wire() {
        let data = Bytes::from_static(b"abc");
        let check = |encoding: Encoding, want: Option<i32>| {
            let got = encode(&batch(&[(Aggr::Raw, encoding, true, data.clone())]));
            let raw = got.map(|m| m[0].chunks[0].raw.clone().expect("a raw chunk"));
            assert_eq!(raw.as_ref().ok().map(|c| c.r#type), want);
            match raw {
                Ok(chunk) => assert_eq!(chunk.hash, xxh64(b"abc", 0)),
                Err(e) => assert_eq!(e.kind(), thanoslib::ErrorKind::Unsupported),
            }
        };
        check(Encoding::Xor, Some(0));
        check(Encoding::Histogram, Some(1));
        check(Encoding::FloatHistogram, Some(2));
        check(Encoding::Aggr, None);
        for wire in [3, 4, 5, -1, 255] {
            let chunk = Chunk { r#type: wire, ..Chunk::default() };
            let aggr = AggrChunk { sum: Some(chunk), ..AggrChunk::default() };
            let series = pb::Series { labels: Vec::new(), chunks: vec![AggrChunk::default(), aggr] };
            let error = Decoder::default().push(&series).expect_err("unknown encoding");
            assert_eq!(
                error.to_string(),
                format!("{{}}: chunks[1]: sum.type: unknown chunk encoding {wire}")
            );
        }
    }

    #[test]
    fn chunks_with_start_timestamps_are_rewritten_for_peers() {
        let check = |encoding, data: &'static [u8], want: Option<(i32, &[u8])>| {
            let got = encode(&batch(&[(Aggr::Raw, encoding, true, Bytes::from_static(data))]));
            let raw = got.ok().and_then(|m| m[0].chunks[0].raw.clone());
            assert_eq!(raw.as_ref().map(|c| (c.r#type, &c.data[..])), want);
        };
        let xor2 = b"\x00\x01\x00\x82\xcc\xc9\xfd\xf9\x62\x6c\x35\x4a\xa2\x0f\x0f\xe1\x02";
        let xor = b"\x00\x01\x82\xcc\xc9\xfd\xf9\x62\x6c\x35\x4a\xa2\x0f\x0f\xe1\x02";
        check(Encoding::Xor2, xor2, Some((0, xor)));
        check(Encoding::Xor2, &xor2[..9], None);
    }

    #[test]
    fn a_long_series_is_split_and_joined_again() {
        let data = Bytes::from(vec![7; 400 << 10]);
        let chunks = vec![(Aggr::Raw, Encoding::Xor, true, data); 7];
        let before = batch(&chunks);
        let messages = encode(&before).expect("known encodings");
        let counts: Vec<_> = messages.iter().map(|m| m.chunks.len()).collect();
        assert_eq!(counts, [3, 3, 1]);
        let mut decoder = Decoder::default();
        messages.iter().for_each(|m| decoder.push(m).expect("our own message"));
        let after = decoder.finish().expect("one series");
        assert_eq!((after.len(), read(&after)), (1, read(&before)));
    }

    #[test]
    fn a_series_may_go_on_but_not_come_back() {
        let series = |value: &'static str| pb::Series {
            labels: labels::from_labels(Labels::from_pairs([("a", value)]).view()),
            chunks: vec![AggrChunk::default()],
        };
        let mut decoder = Decoder::default();
        for value in ["1", "1", "2"] {
            decoder.push(&series(value)).expect("ascending");
        }
        let batch = decoder.finish().expect("two series");
        assert_eq!(batch.iter().map(|s| s.chunk_count()).collect::<Vec<_>>(), [2, 1]);
        assert!(decoder.finish().is_none());
        decoder.push(&series("2")).expect("goes on in the next batch");
        assert_eq!(decoder.finish().map(|b| b.len()), Some(1));
        let error = decoder.push(&series("1")).expect_err("descending");
        assert_eq!(error.to_string(), r#"series out of order: {a="1"} after {a="2"}"#);
    }
}
