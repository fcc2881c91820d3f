//! Frames by hand are frames by prost, both ways.

use bytes::Bytes;
use prost::Message;
use thanoslib::{
    ErrorKind, Result,
    chunk::Encoding,
    model::{Aggr, Interval, Labels},
    series::{BatchBuilder, SeriesBatch},
};
use xxhash_rust::xxh64::xxh64;

use super::{FrameBuilder, FrameReader, Received, SeriesFrame};
use crate::{
    convert,
    pb::thanos::{AggrChunk, Chunk, Series, SeriesResponse, series_response::Result as Frame},
};

const AT: Interval = Interval::new(10, 20);

type Part = (Aggr, Encoding, bool, Bytes);

fn batch(chunks: &[Part]) -> SeriesBatch {
    let mut builder = BatchBuilder::default();
    builder.series(Labels::from_pairs([("a", "1")]).view());
    for (aggr, encoding, first, data) in chunks {
        builder.chunk(AT, *aggr, *encoding, *first, data.clone());
    }
    builder.finish()
}

/// The frames of a batch, each checked against what prost makes of the same message.
fn frames(batch: SeriesBatch, per_frame: usize) -> Result<Vec<Bytes>> {
    let mut frames = FrameBuilder::new(per_frame);
    frames.batch(batch)?;
    frames.flush();
    let mut out = Vec::new();
    while let Some(frame) = frames.pop() {
        let bytes = frame.encoded();
        let message = SeriesResponse::decode(bytes.clone()).expect("prost reads it");
        assert_eq!(message.encode_to_vec(), bytes, "not what prost writes");
        out.push(bytes);
    }
    Ok(out)
}

fn messages(batch: SeriesBatch) -> Result<Vec<Series>> {
    let message = |bytes: Bytes| match SeriesResponse::decode(bytes).expect("prost reads it").result {
        Some(Frame::Series(series)) => series,
        other => panic!("no series: {other:?}"),
    };
    Ok(frames(batch, 0)?.into_iter().map(message).collect())
}

fn read(batch: &SeriesBatch) -> Vec<(Aggr, Encoding, bool, Interval, Bytes)> {
    let chunks = batch.iter().flat_map(|s| s.chunks().collect::<Vec<_>>());
    chunks.map(|c| (c.meta.aggr, c.meta.encoding, c.meta.first, c.meta.interval, c.bytes())).collect()
}

fn decode(frames: &[Bytes]) -> SeriesBatch {
    let mut reader = FrameReader::default();
    for frame in frames {
        assert_eq!(reader.read(frame.clone()).expect("our own frame"), Received::Series);
    }
    let held: usize = frames.iter().map(Bytes::len).sum();
    assert!(reader.held_bytes() >= held, "what is held is charged");
    reader.finish().expect("series")
}

#[test]
fn chunks_survive_the_wire_and_stay_in_their_frame() {
    let data = Bytes::from_static(b"0123456789");
    let check = |chunks: &[Part], windows: usize| {
        let before = batch(chunks);
        let frames = frames(before.clone(), 0).expect("known encodings");
        assert_eq!(messages(before.clone()).expect("known")[0].chunks.len(), windows);
        let after = decode(&frames);
        assert_eq!(read(&after), read(&before));
        let inside = |c: &Bytes| {
            let (frame, chunk) = (frames[0].as_ptr_range(), c.as_ptr_range());
            c.is_empty() || (frame.start <= chunk.start && chunk.end <= frame.end)
        };
        assert!(read(&after).iter().all(|c| inside(&c.4)), "chunk data was copied");
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
    check(&[], 0);
}

#[test]
fn numbers_of_encodings_are_those_of_the_wire() {
    let data = Bytes::from_static(b"abc");
    let check = |encoding: Encoding, want: Option<i32>| {
        let got = messages(batch(&[(Aggr::Raw, encoding, true, data.clone())]));
        let raw = got.map(|m| m[0].chunks[0].raw.clone().expect("a raw chunk"));
        assert_eq!(raw.as_ref().ok().map(|c| c.r#type), want);
        match raw {
            Ok(chunk) => assert_eq!(chunk.hash, xxh64(b"abc", 0)),
            Err(e) => assert_eq!(e.kind(), ErrorKind::Unsupported),
        }
    };
    check(Encoding::Xor, Some(0));
    check(Encoding::Histogram, Some(1));
    check(Encoding::FloatHistogram, Some(2));
    check(Encoding::Aggr, None);
    for wire in [3, 4, 5, -1, 255] {
        let chunk = Chunk { r#type: wire, ..Chunk::default() };
        let aggr = AggrChunk { sum: Some(chunk), ..AggrChunk::default() };
        let series = Series { labels: Vec::new(), chunks: vec![AggrChunk::default(), aggr] };
        let want = format!("{{}}: chunks[1]: sum.type: unknown chunk encoding {wire}");
        let error = FrameReader::default().push(&series).expect_err("unknown encoding");
        assert_eq!(error.to_string(), want);
        let frame = SeriesFrame::from(Frame::Series(series)).encoded();
        let error = FrameReader::default().read(frame).expect_err("unknown encoding");
        assert_eq!((error.to_string(), error.kind()), (want, ErrorKind::Unsupported));
    }
}

#[test]
fn chunks_with_start_timestamps_are_rewritten_for_peers() {
    let check = |encoding, data: &'static [u8], want: Option<(i32, &[u8])>| {
        let got = messages(batch(&[(Aggr::Raw, encoding, true, Bytes::from_static(data))]));
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
    let before = batch(&vec![(Aggr::Raw, Encoding::Xor, true, data); 7]);
    let counts: Vec<_> = messages(before.clone()).expect("known").iter().map(|m| m.chunks.len()).collect();
    assert_eq!(counts, [3, 3, 1]);
    for per_frame in [0, 64] {
        let after = decode(&frames(before.clone(), per_frame).expect("known encodings"));
        assert_eq!((after.len(), read(&after)), (1, read(&before)));
    }
}

#[test]
fn a_series_may_go_on_but_not_come_back() {
    let frame = |value: &'static str| {
        let labels = convert::from_labels(Labels::from_pairs([("a", value)]).view());
        SeriesFrame::from(Frame::Series(Series { labels, chunks: vec![AggrChunk::default()] })).encoded()
    };
    let mut reader = FrameReader::default();
    for value in ["1", "1", "2"] {
        reader.read(frame(value)).expect("ascending");
    }
    let batch = reader.finish().expect("two series");
    assert_eq!(batch.iter().map(|s| s.chunk_count()).collect::<Vec<_>>(), [2, 1]);
    assert!(reader.finish().is_none());
    reader.read(frame("2")).expect("goes on in the next batch");
    assert_eq!(reader.finish().map(|b| b.len()), Some(1));
    let error = reader.read(frame("1")).expect_err("descending");
    assert_eq!(error.to_string(), r#"series out of order: {a="1"} after {a="2"}"#);
}

#[test]
fn odd_frames_mean_what_prost_reads() {
    let check = |bytes: &[u8]| {
        let by_hand = {
            let mut reader = FrameReader::default();
            let got = reader.read(Bytes::copy_from_slice(bytes));
            got.ok().map(|received| (received, series(&mut reader)))
        };
        let by_prost = SeriesResponse::decode(bytes).ok().and_then(|message| {
            let mut reader = FrameReader::default();
            let received = match message.result {
                Some(Frame::Warning(text)) => Received::Warning(text),
                Some(Frame::Hints(hints)) => Received::Hints(hints),
                Some(Frame::Series(one)) => {
                    reader.push(&one).ok()?;
                    Received::Series
                }
                Some(Frame::Batch(list)) => {
                    list.series.iter().try_for_each(|s| reader.push(s)).ok()?;
                    Received::Series
                }
                None => Received::Series,
            };
            Some((received, series(&mut reader)))
        });
        assert_eq!(by_hand, by_prost, "{bytes:x?}");
    };
    let series = |names: &[&str]| {
        let labels = names.iter().map(|n| crate::pb::thanos::Label {
            name: Bytes::copy_from_slice(n.as_bytes()),
            value: Bytes::from_static(b"v"),
        });
        let chunk = Chunk { r#type: 1, data: Bytes::from_static(b"data"), hash: 7 };
        let window = AggrChunk { min_time: -5, max_time: 9, sum: Some(chunk), ..AggrChunk::default() };
        let series = Series { labels: labels.collect(), chunks: vec![window] };
        SeriesFrame::from(Frame::Series(series)).encoded().to_vec()
    };
    check(&[]);
    check(&series(&["a", "b"]));
    check(&series(&["b", "a", "a"]));
    // Twice the same field is merged, another one replaces it.
    check(&[series(&["a"]), series(&["b"])].concat());
    check(&[series(&["a"]), vec![0x12, 1, b'w']].concat());
    check(&[vec![0x12, 1, b'w'], series(&["a"])].concat());
    // Fields that are not known, inside and outside.
    check(&[vec![0x78, 1], series(&["a"]), vec![0x4b, 0x4c]].concat());
    check(&[0x0a, 4, 0x78, 1, 0x12, 0]);
    // A sub-chunk that is there twice.
    check(&[0x0a, 12, 0x12, 10, 0x1a, 3, 0x12, 1, 7, 0x1a, 3, 0x08, 1, 0x00]);
    check(&[0x0a, 11, 0x12, 9, 0x1a, 3, 0x12, 1, 7, 0x1a, 2, 0x08, 1]);
    // Labels behind chunks.
    check(&[0x0a, 9, 0x12, 0, 0x0a, 5, 0x0a, 1, b'x', 0x12, 0]);
    check(&[0x0a, 10, 0x12, 0, 0x0a, 6, 0x0a, 1, b'x', 0x12, 1, b'y']);
    check(&[0x22, 0]);
    check(&[0x22, 2, 0x0a, 0]);
    check(&[0x1a, 3, 0x0a, 1, 0xff]);
    check(&[0x1a, 3, 0x0a, 1, b'u']);
    let whole = series(&["a", "b"]);
    for end in 0..whole.len() {
        check(&whole[..end]);
    }
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bent = whole.clone();
            bent[at] ^= 1 << bit;
            check(&bent);
        }
    }
}

/// Every series that was read, as text.
fn series(reader: &mut FrameReader) -> Vec<String> {
    let Some(batch) = reader.finish() else { return Vec::new() };
    batch.iter().map(|s| format!("{} {:?}", s.labels(), read_one(s))).collect()
}

fn read_one(series: thanoslib::series::SeriesView<'_>) -> Vec<String> {
    let show = |c: thanoslib::series::ChunkView<'_>| {
        format!(
            "{:?} {:?} {} {} {:?}",
            c.meta.aggr,
            c.meta.encoding,
            c.meta.first,
            c.meta.interval,
            c.bytes()
        )
    };
    series.chunks().map(show).collect()
}

mod frames {
    use super::*;

    /// One step of an answer: series with the sizes of their only chunks, or a warning.
    enum Step {
        Series(&'static [usize]),
        Warning,
    }

    fn check(per_frame: usize, steps: &[Step], want: &[&str]) {
        let mut frames = FrameBuilder::new(per_frame);
        let mut n = 0;
        for step in steps {
            match step {
                Step::Series(sizes) => {
                    let mut builder = BatchBuilder::default();
                    for size in *sizes {
                        n += 1;
                        builder.series(Labels::from_pairs([("n", n.to_string())]).view());
                        let data = Bytes::from(vec![0; *size]);
                        builder.chunk(Interval::new(0, 1), Aggr::Raw, Encoding::Xor, true, data);
                    }
                    frames.batch(builder.finish()).expect("known encodings");
                }
                Step::Warning => frames.warning("gap".to_owned()),
            }
        }
        frames.flush();
        let mut got = Vec::new();
        while let Some(frame) = frames.pop() {
            let message = frame.message().expect("our own frame");
            got.push(match message.result.expect("a frame holds something") {
                Frame::Series(_) => "series".to_owned(),
                Frame::Batch(b) => format!("batch {}", b.series.len()),
                Frame::Warning(_) => "warning".to_owned(),
                Frame::Hints(_) => "hints".to_owned(),
            });
        }
        assert_eq!(got, want);
    }

    #[test]
    fn fill_over_batches_and_keep_their_order() {
        use Step::{Series, Warning};
        check(0, &[Series(&[1, 1]), Warning], &["series", "series", "warning"]);
        check(1, &[Series(&[1, 1])], &["series", "series"]);
        check(3, &[Series(&[1]), Warning, Series(&[1])], &["batch 1", "warning", "batch 1"]);
        check(3, &[Series(&[1, 1]), Series(&[1, 1])], &["batch 3", "batch 1"]);
        check(64, &[Series(&[])], &[]);
    }

    #[test]
    fn hold_less_when_series_are_large() {
        use Step::Series;
        check(64, &[Series(&[1 << 20, 1, 1 << 19, 1 << 19, 5])], &["batch 1", "batch 3", "batch 1"]);
    }
}
