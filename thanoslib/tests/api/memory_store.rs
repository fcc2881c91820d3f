//! The memory store finds series through its index and shows readers one moment.

use futures::TryStreamExt;
use thanoslib::{
    ErrorKind,
    chunk::Chunk,
    context::Context,
    model::{Interval, Labels, Matcher, SampleColumns},
    store::{Frame, LabelNamesRequest, LabelValuesRequest, MemoryStore, SeriesRequest, SeriesStream, Store},
};

use crate::support::{any, labels};

fn up(i: usize) -> Labels {
    labels(&[("__name__", "up"), ("i", &format!("{i:03}"))])
}

/// Series of an answer, with the times and values of each chunk.
async fn read(stream: SeriesStream) -> Vec<(Labels, Vec<Vec<(i64, f64)>>)> {
    let mut out = Vec::new();
    for frame in stream.try_collect::<Vec<_>>().await.expect("an answer") {
        let Frame::Batch(batch) = frame else { continue };
        for series in batch.iter() {
            let chunks = series.chunks().map(|c| {
                let mut samples = SampleColumns::default();
                let chunk = Chunk { encoding: c.meta.encoding, data: c.data() };
                chunk.decode_into(&mut samples).expect("a sound chunk");
                samples.floats.ts.into_iter().zip(samples.floats.vs).collect()
            });
            out.push((series.labels().to_labels(), chunks.collect()));
        }
    }
    out
}

fn request(interval: Interval) -> SeriesRequest {
    SeriesRequest::new(interval, vec![any()])
}

#[tokio::test]
async fn samples_become_chunks_of_120() {
    let store = MemoryStore::new(Labels::empty());
    for t in 0..300 {
        store.push(&up(1), t, t as f64).expect("in order");
    }
    let answer = store.series(&Context::default(), request(Interval::ALL)).await.expect("an answer");
    let series = read(answer).await;
    let sizes: Vec<usize> = series[0].1.iter().map(Vec::len).collect();
    assert_eq!(sizes, [120, 120, 60]);
    let all: Vec<(i64, f64)> = series[0].1.concat();
    assert_eq!(all, (0..300).map(|t| (t, t as f64)).collect::<Vec<_>>());
    let answer = store.series(&Context::default(), request(Interval::new(130, 150))).await;
    assert_eq!(read(answer.expect("an answer")).await[0].1.len(), 1, "only the chunk that overlaps");
    assert_eq!(store.info().interval, Some(Interval::new(0, 299)));
}

#[test]
fn samples_out_of_order_are_refused() {
    let store = MemoryStore::new(Labels::empty());
    let check = |t: i64, v: f64, want: Option<ErrorKind>| {
        assert_eq!(store.push(&up(1), t, v).err().map(|e| e.kind()), want, "{t} {v}");
    };
    check(10, 1.0, None);
    check(10, 1.0, None);
    check(10, 2.0, Some(ErrorKind::Conflict));
    check(9, 1.0, Some(ErrorKind::Conflict));
    check(i64::MIN, 1.0, Some(ErrorKind::Conflict));
    check(i64::MAX, f64::NAN, None);
    check(i64::MAX, f64::NAN, None);
    check(i64::MAX, 1.0, Some(ErrorKind::Conflict));
    assert_eq!(store.info().interval, Some(Interval::new(10, i64::MAX)));
}

#[tokio::test]
async fn readers_see_the_store_as_it_was() {
    let store = MemoryStore::new(Labels::empty());
    for i in 0..600 {
        store.push(&up(i), 1, 1.0).expect("in order");
    }
    let before = store.series(&Context::default(), request(Interval::ALL)).await.expect("an answer");
    for i in 0..700 {
        store.push(&up(i), 2, 2.0).expect("in order");
    }
    let before = read(before).await;
    assert_eq!(before.len(), 600);
    assert!(before.iter().all(|(_, chunks)| chunks == &[vec![(1, 1.0)]]));
    let after = store.series(&Context::default(), request(Interval::ALL)).await.expect("an answer");
    let after = read(after).await;
    assert!(after.is_sorted_by(|a, b| a.0 < b.0));
    assert_eq!((after.len(), &after[0].1), (700, &vec![vec![(1, 1.0), (2, 2.0)]]));
}

#[tokio::test]
async fn label_calls_look_at_matchers_and_time() {
    let store = MemoryStore::new(Labels::empty());
    for (i, t) in [(1, 10), (2, 20), (3, 30)] {
        store.push(&up(i), t, 1.0).expect("in order");
    }
    store.push(&labels(&[("__name__", "down"), ("zone", "z")]), 40, 1.0).expect("in order");
    let ctx = Context::default();
    let values = async |interval, matchers: &[Matcher]| {
        let request = LabelValuesRequest::new("i", interval, matchers.to_vec());
        store.label_values(&ctx, request).await.expect("values").values
    };
    let names = async |interval, matchers: &[Matcher]| {
        let request = LabelNamesRequest::new(interval, matchers.to_vec());
        store.label_names(&ctx, request).await.expect("names").names
    };
    assert_eq!(values(Interval::ALL, &[]).await, ["001", "002", "003"]);
    assert_eq!(values(Interval::new(15, 35), &[]).await, ["002", "003"]);
    assert_eq!(values(Interval::new(15, 35), &[Matcher::equal("i", "003")]).await, ["003"]);
    assert_eq!(values(Interval::ALL, &[Matcher::equal("__name__", "down")]).await, [] as [&str; 0]);
    assert_eq!(names(Interval::ALL, &[]).await, ["__name__", "i", "zone"]);
    assert_eq!(names(Interval::new(31, 50), &[]).await, ["__name__", "zone"]);
    assert_eq!(names(Interval::ALL, &[Matcher::equal("zone", "")]).await, ["__name__", "i"]);
}
