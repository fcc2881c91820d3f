//! Providers of rows and of chunks become stores that keep the whole contract, whatever they
//! hold and however little memory there is.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use thanoslib::{
    ErrorKind, Result,
    budget::Budget,
    chunk::{Chunk, Encoding, XorAppender},
    context::Context,
    model::{Interval, Labels, Matcher, SampleColumns},
    store::{
        ChunkRow, ChunkSink, ChunkSource, ChunkStore, Frame, SampleSink, SampleSource, Scan, SeriesRequest,
        SourceSettings, SourceStore, Store,
    },
    testing::store_contract,
};

use crate::support::{any, labels, stream};

type Rows = Vec<(Labels, i64, f64)>;
type Series = Vec<(Labels, Vec<(i64, f64)>)>;

/// Rows in the order in which they stand.
#[derive(Debug)]
struct Table(Rows);

#[async_trait]
impl SampleSource for Table {
    async fn scan(&self, ctx: &Context, _: &Scan, sink: &mut SampleSink) -> Result<()> {
        ctx.check()?;
        self.0.iter().try_for_each(|(labels, t, v)| sink.sample(labels, *t, *v))
    }
}

/// Chunks of one series after the other, last first.
#[derive(Debug)]
struct Chunks {
    series: Vec<(Labels, Vec<ChunkRow>)>,
    data: Vec<Bytes>,
    read: AtomicUsize,
    fault: fn(&mut Vec<Bytes>),
}

impl Chunks {
    fn new(series: &Series, per_chunk: usize) -> Self {
        let (mut out, mut data) = (Vec::new(), Vec::new());
        for (labels, samples) in series.iter().rev() {
            let mut rows = Vec::new();
            for run in samples.chunks(per_chunk).rev() {
                let mut chunk = XorAppender::new();
                run.iter().for_each(|(t, v)| chunk.append(*t, *v).expect("a sample"));
                let bytes = Bytes::from(chunk.into_bytes());
                rows.push(ChunkRow {
                    interval: Interval::new(run[0].0, run[run.len() - 1].0),
                    encoding: Encoding::Xor,
                    id: data.len() as u64,
                    size_bytes: bytes.len() as u32,
                });
                data.push(bytes);
            }
            // In two pieces, which the store joins.
            let rest = rows.split_off(rows.len() / 2);
            out.push((labels.clone(), rows));
            out.push((labels.clone(), rest));
        }
        Self { series: out, data, read: AtomicUsize::new(0), fault: |_| () }
    }
}

#[async_trait]
impl ChunkSource for Chunks {
    async fn series(&self, _: &Context, _: &Scan, sink: &mut ChunkSink) -> Result<()> {
        self.series.iter().try_for_each(|(labels, rows)| sink.series(labels, rows.iter().copied()))
    }

    async fn chunks(&self, _: &Context, ids: &[u64]) -> Result<Vec<Bytes>> {
        self.read.fetch_add(ids.len(), Ordering::Relaxed);
        let mut out = ids.iter().map(|id| self.data[*id as usize].clone()).collect();
        (self.fault)(&mut out);
        Ok(out)
    }
}

/// Series whose labels and times are at the edges of what there can be.
fn edges(many: i64) -> Series {
    let long = "x".repeat(5 << 10);
    let mut series = vec![
        (labels(&[("__name__", "one")]), vec![(0, 1.0)]),
        (labels(&[("__name__", "ends"), ("replica", "a"), ("z", "1")]), vec![(i64::MIN, 1.0), (0, 2.0)]),
        (labels(&[("__name__", "ends"), ("replica", "b"), ("a", "1")]), vec![(i64::MAX, 3.0)]),
        (labels(&[("__name__", "long"), ("value", &long)]), vec![(1, 1.0), (2, f64::NAN)]),
        (labels(&[("__name__", "nul"), ("value", "a\0b")]), vec![(1, 1.0)]),
        (labels(&[("__name__", "nul"), ("value", "a")]), vec![(1, 1.0)]),
        (labels(&[("__name__", "nul"), ("value", "a\0")]), vec![(1, 1.0)]),
        (labels(&[("__name__", "many")]), (0..many).map(|t| (t * 7, t as f64)).collect()),
    ];
    series.sort_by(|a, b| a.0.cmp(&b.0));
    series
}

/// The rows of some series, mixed by a fixed rule.
fn mixed(series: &Series) -> Rows {
    let mut rows: Rows =
        series.iter().flat_map(|(l, s)| s.iter().map(|(t, v)| (l.clone(), *t, *v))).collect();
    let mut state = 7_u64;
    for i in (1..rows.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        rows.swap(i, (state >> 33) as usize % (i + 1));
    }
    rows
}

async fn read(store: &Arc<dyn Store>, ctx: &Context, request: SeriesRequest) -> Result<Series> {
    let mut out: Series = Vec::new();
    let mut stream = store.series(ctx, request).await?;
    while let Some(frame) = stream.try_next().await? {
        let Frame::Batch(batch) = frame else { continue };
        for series in batch.iter() {
            let mut samples = SampleColumns::default();
            for c in series.chunks() {
                Chunk { encoding: c.meta.encoding, data: c.data() }.decode_into(&mut samples)?;
            }
            let samples = samples.floats.ts.into_iter().zip(samples.floats.vs);
            match out.last_mut() {
                Some((labels, all)) if labels.view() == series.labels() => all.extend(samples),
                _ => out.push((series.labels().to_labels(), samples.collect())),
            }
        }
    }
    Ok(out)
}

fn every() -> SeriesRequest {
    SeriesRequest::new(Interval::ALL, vec![any()])
}

/// As text, since NaN is not equal to itself.
fn same(got: &Series, want: &Series) {
    for (got, want) in got.iter().zip(want) {
        assert!(format!("{got:?}") == format!("{want:?}"), "other samples of {}", want.0);
    }
    assert_eq!(got.len(), want.len());
}

fn spilling(dir: &Path, rows_bytes_max: u64) -> SourceSettings {
    SourceSettings { spill_dir: Some(dir.to_owned()), rows_bytes_max }
}

#[tokio::test]
async fn every_level_keeps_the_contract_at_the_edges() {
    let series = edges(1000);
    let dir = tempfile::tempdir().expect("a folder");
    let external = labels(&[("cluster", "eu"), ("m", "x")]);
    for external in [Labels::empty(), external] {
        let rows = || Arc::new(Table(mixed(&series)));
        let stores = [
            ("rows", SourceStore::conforming(rows(), external.clone())),
            ("chunks", ChunkStore::conforming(Arc::new(Chunks::new(&series, 120)), external.clone())),
        ];
        for (name, store) in stores {
            store_contract(&store).await.unwrap_or_else(|e| panic!("{name} {external}: {e}"));
            if external.is_empty() {
                same(&read(&store, &Context::default(), every()).await.expect("an answer"), &series);
            }
        }
    }
    let series = edges(4000);
    let rows = Arc::new(Table(mixed(&series)));
    let store = SourceStore::with_settings(rows, Labels::empty(), spilling(dir.path(), 0));
    store_contract(&store).await.unwrap_or_else(|e| panic!("spilled: {e}"));
    same(&read(&store, &Context::default(), every()).await.expect("an answer"), &series);
    assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 0, "no file is left");
}

#[tokio::test]
async fn a_replica_label_that_is_not_last_is_removed_and_the_series_sorted_anew() {
    let series = edges(1000);
    let store = ChunkStore::conforming(Arc::new(Chunks::new(&series, 120)), Labels::empty());
    let request = SeriesRequest { without_replica_labels: vec!["replica".to_owned()], ..every() };
    let got = stream(&*store, request).await.expect("an answer").labels();
    assert!(got.is_sorted_by(|a, b| a < b), "{got:?}");
    // Stored, the series of replica a comes before that of b; without the label it is behind.
    let at = |labels: Labels| got.iter().position(|l| *l == labels).expect("the series");
    assert!(
        at(labels(&[("__name__", "ends"), ("a", "1")])) < at(labels(&[("__name__", "ends"), ("z", "1")]))
    );
}

#[tokio::test]
async fn rows_beyond_memory_go_through_a_file() {
    let wide: Series = (0..300)
        .map(|i| (labels(&[("__name__", "up"), ("i", &format!("{i:03}"))]), Vec::new()))
        .map(|(l, _): (Labels, Vec<(i64, f64)>)| (l, (0..400).map(|t| (t * 15, t as f64)).collect()))
        .collect();
    let mut rows = mixed(&wide);
    // Of equal times the first row stays, also when it lies in a file already.
    let again: Rows = rows.iter().step_by(5).map(|(l, t, _)| (l.clone(), *t, -1.0)).collect();
    rows.extend(again);
    let source: Arc<dyn SampleSource> = Arc::new(Table(rows));
    let dir = tempfile::tempdir().expect("a folder");
    let budget = || Budget::new("query", 3 << 19);

    let ctx = Context::new(budget());
    let store = SourceStore::conforming(Arc::clone(&source), Labels::empty());
    let error = read(&store, &ctx, every()).await.map(|s| s.len()).expect_err("more rows than memory");
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.message().contains("of 1572864 bytes held"), "{error}");
    assert_eq!(ctx.budget().used(), 0);

    for rows_bytes_max in [0, 400_000, 1 << 30] {
        let ctx = Context::new(budget());
        let settings = spilling(dir.path(), rows_bytes_max);
        let store = SourceStore::with_settings(Arc::clone(&source), Labels::empty(), settings);
        same(&read(&store, &ctx, every()).await.expect("an answer"), &wide);
        assert_eq!(ctx.budget().used(), 0);
    }
    let missing = spilling(&dir.path().join("none"), 100_000);
    let store = SourceStore::with_settings(source, Labels::empty(), missing);
    let error = read(&store, &Context::default(), every()).await.map(|s| s.len()).expect_err("no folder");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn chunks_are_read_only_when_they_are_wanted() {
    let series = edges(1000);
    let source = Arc::new(Chunks::new(&series, 100));
    let store = ChunkStore::conforming(Arc::clone(&source) as Arc<dyn ChunkSource>, Labels::empty());
    let skip = SeriesRequest { skip_chunks: true, ..every() };
    assert_eq!(read(&store, &Context::default(), skip).await.expect("labels").len(), series.len());
    assert_eq!(source.read.load(Ordering::Relaxed), 0);
    let some = SeriesRequest::new(Interval::new(0, 699), vec![Matcher::equal("__name__", "many")]);
    let got = read(&store, &Context::default(), some).await.expect("an answer");
    assert_eq!((got.len(), got[0].1.len()), (1, 100));
    assert_eq!(source.read.load(Ordering::Relaxed), 1);
    let ctx = Context::new(Budget::new("query", 1_000));
    let error = read(&store, &ctx, every()).await.map(|s| s.len()).expect_err("more chunks than memory");
    assert_eq!((error.kind(), ctx.budget().used()), (ErrorKind::Limit, 0));
}

#[tokio::test]
async fn broken_chunk_sources_are_told() {
    let check = async |fault: fn(&mut Vec<Bytes>), text: &str| {
        let source = Chunks { fault, ..Chunks::new(&edges(1000), 120) };
        let store = ChunkStore::conforming(Arc::new(source), Labels::empty());
        let error = read(&store, &Context::default(), every()).await.map(|s| s.len()).expect_err(text);
        assert!(error.message().contains(text), "{error}");
    };
    check(|data| drop(data.pop()), "chunks where").await;
    check(|data| data[0] = Bytes::from(vec![0; 9_000]), "its source said").await;
}
