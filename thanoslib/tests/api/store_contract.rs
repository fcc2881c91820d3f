//! The contract suite passes on the library's stores and notices each broken promise.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream as streams};
use thanoslib::{
    Result,
    bucket::Bucket,
    context::Context,
    model::{Interval, Labels, Matcher},
    series::{BatchBuilder, SeriesView},
    store::{
        BlockSet, Conform, Fanout, FolderSource, Frame, LabelNames, LabelNamesRequest, LabelValues,
        LabelValuesRequest, Member, MemoryStore, SampleSink, SampleSource, Scan, SeriesRequest, SeriesStream,
        SourceStore, Store, StoreInfo,
    },
    testing::store_contract,
};

use crate::{
    conform::add,
    support::{self, Block, labels},
};

/// Series whose order changes when labels come and go.
fn series() -> Vec<Labels> {
    let mut out = vec![labels(&[("__name__", "up")]), labels(&[("__name__", "up"), ("zone", "é.*")])];
    for replica in ["A", "B"] {
        for i in 0..9 {
            let i = i.to_string();
            out.push(labels(&[("__name__", "up"), ("instance", &i), ("replica", replica)]));
            out.push(labels(&[
                ("__name__", "down"),
                ("instance", &i),
                ("replica", replica),
                ("b", "x\\\"y"),
            ]));
        }
    }
    out.sort();
    out
}

fn memory(external: &[(&str, &str)]) -> MemoryStore {
    let store = MemoryStore::new(labels(external));
    for (i, series) in series().iter().enumerate() {
        add(&store, series, 1_000 + i as i64);
    }
    store
}

/// Rows in no order.
#[derive(Debug)]
struct Rows;

#[async_trait]
impl SampleSource for Rows {
    async fn scan(&self, _: &Context, scan: &Scan, sink: &mut SampleSink) -> Result<()> {
        for t_ms in [3, 1, 2] {
            for series in series().iter().rev() {
                sink.sample(series, t_ms, 1.0)?;
            }
        }
        assert!(scan.interval.mint <= scan.interval.maxt);
        Ok(())
    }

    fn interval(&self) -> Interval {
        Interval::new(1, 3)
    }
}

async fn check(name: &str, store: Arc<dyn Store>) {
    if let Err(e) = store_contract(&store).await {
        panic!("{name}: {e}");
    }
}

#[tokio::test]
async fn stores_of_the_library_keep_the_contract() {
    let eu = labels(&[("cluster", "eu"), ("m", "x")]);
    let conforming = |store: MemoryStore, external: &Labels| -> Arc<dyn Store> {
        Arc::new(Conform::new(Arc::new(store), external.clone()))
    };
    check("memory", Arc::new(memory(&[]))).await;
    check("conforming memory", conforming(memory(&[]), &eu)).await;
    check("twice conforming memory", Arc::new(Conform::new(conforming(memory(&[]), &eu), Labels::empty())))
        .await;
    check("source", SourceStore::conforming(Arc::new(Rows), Labels::empty())).await;
    check("source with labels", SourceStore::conforming(Arc::new(Rows), eu.clone())).await;
    let bucket = Bucket::memory("b");
    for (n, cluster) in [(1, "eu"), (2, "eu"), (3, "us")] {
        Block::steady(n, &[("cluster", cluster)], &series()).put(&bucket).await;
    }
    let blocks = support::block_set(&bucket).await;
    check("blocks of a bucket", Arc::clone(&blocks) as Arc<dyn Store>).await;
    let dir = tempfile::tempdir().expect("a folder");
    for n in 1..=2 {
        Block::steady(n, &[], &series()).write(dir.path());
    }
    let source = FolderSource::new(dir.path(), labels(&[("host", "h")])).expect("a folder");
    let folder = BlockSet::new("folder", Arc::new(source));
    folder.sync(&Context::default()).await.expect("a sync");
    check("blocks of a folder", Arc::new(folder)).await;
    let member = |name: &str, store| Member { name: name.to_owned(), store };
    let members = vec![
        member("memory", conforming(memory(&[]), &eu)),
        member("source", SourceStore::conforming(Arc::new(Rows), labels(&[("cluster", "asia")]))),
        member("blocks", blocks),
    ];
    check("fanout", Arc::new(Fanout::new("query", members))).await;
}

#[tokio::test]
async fn an_empty_store_cannot_be_judged() {
    let empty: Arc<dyn Store> = Arc::new(MemoryStore::new(Labels::empty()));
    let e = store_contract(&empty).await.expect_err("nothing to judge");
    assert!(e.message().contains("at least one series"), "{e}");
}

/// How a store breaks its promises.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Unsorted,
    RepeatsSeries,
    IgnoresMatchers,
    AnswersWithoutMatchers,
    NamesTooMany,
    NamesUnsorted,
    NamesIgnoreMatchers,
    ValuesWrong,
    ValuesUnsorted,
    ValuesIgnoreMatchers,
    ValuesOfUnknownLabels,
    HoldsNoTime,
    TimeTooShort,
    DataBeforeItsTime,
    ClaimsSharding,
    ClaimsLimits,
    ClaimsReplicaLabels,
}

/// A sound store with one fault.
#[derive(Debug)]
struct Broken {
    inner: MemoryStore,
    fault: Fault,
}

/// A batch of these series.
fn batch<'a>(series: impl Iterator<Item = SeriesView<'a>>) -> Result<Frame> {
    let mut out = BatchBuilder::default();
    series.for_each(|s| out.copy(s));
    Ok(Frame::Batch(out.finish()))
}

#[async_trait]
impl Store for Broken {
    fn info(&self) -> StoreInfo {
        let mut info = self.inner.info();
        let held = info.interval.expect("series");
        match self.fault {
            Fault::HoldsNoTime => info.interval = None,
            Fault::TimeTooShort => info.interval = Some(Interval::new(held.mint, held.mint)),
            Fault::DataBeforeItsTime => info.interval = Some(Interval::new(held.mint + 1, held.maxt)),
            Fault::ClaimsSharding => info.abilities.sharding = true,
            Fault::ClaimsLimits => info.abilities.limit = true,
            Fault::ClaimsReplicaLabels => info.abilities.without_replica_labels = true,
            _ => {}
        }
        info
    }

    async fn series(&self, ctx: &Context, mut request: SeriesRequest) -> Result<SeriesStream> {
        match self.fault {
            Fault::IgnoresMatchers => request.matchers.truncate(1),
            Fault::AnswersWithoutMatchers if request.matchers.is_empty() => {
                request.matchers.push(support::any());
            }
            // Chunks lie at one time each; a request for the rest of the time finds them all.
            Fault::DataBeforeItsTime if request.interval.maxt >= 1_000 => request.interval = Interval::ALL,
            _ => {}
        }
        let frames: Vec<Frame> = self.inner.series(ctx, request).await?.try_collect().await?;
        let frames: Vec<Result<Frame>> = frames
            .into_iter()
            .map(|frame| match (frame, self.fault) {
                (Frame::Batch(b), Fault::Unsorted) => {
                    let mut all: Vec<SeriesView<'_>> = b.iter().collect();
                    all.reverse();
                    batch(all.into_iter())
                }
                (Frame::Batch(b), Fault::RepeatsSeries) => batch(b.iter().flat_map(|s| [s, s])),
                (frame, _) => Ok(frame),
            })
            .collect();
        Ok(streams::iter(frames).boxed())
    }

    async fn label_names(&self, ctx: &Context, mut request: LabelNamesRequest) -> Result<LabelNames> {
        if matches!(self.fault, Fault::NamesIgnoreMatchers) {
            request.matchers.clear();
        }
        let mut answer = self.inner.label_names(ctx, request).await?;
        match self.fault {
            Fault::NamesTooMany => answer.names.push("zzz".to_owned()),
            Fault::NamesUnsorted => answer.names.reverse(),
            _ => {}
        }
        Ok(answer)
    }

    async fn label_values(&self, ctx: &Context, mut request: LabelValuesRequest) -> Result<LabelValues> {
        if matches!(self.fault, Fault::ValuesIgnoreMatchers) {
            request.matchers.clear();
        }
        let unknown = series().iter().all(|l| l.get(&request.label).is_none());
        let mut answer = self.inner.label_values(ctx, request).await?;
        match self.fault {
            Fault::ValuesWrong => answer.values.truncate(answer.values.len().saturating_sub(1)),
            Fault::ValuesUnsorted => {
                let values: Vec<&str> = answer.values.iter().collect();
                answer.values = values.into_iter().rev().collect();
            }
            Fault::ValuesOfUnknownLabels if unknown => answer.values.push(""),
            _ => {}
        }
        Ok(answer)
    }
}

/// The suite says this of a store with the fault.
async fn notices(fault: Fault, text: &str) {
    let broken: Arc<dyn Store> = Arc::new(Broken { inner: memory(&[]), fault });
    let e = store_contract(&broken).await.expect_err("a broken promise");
    assert!(e.message().contains(text), "{fault:?}: {e}");
}

#[tokio::test]
async fn broken_promises_about_series_are_noticed() {
    notices(Fault::Unsorted, "series do not ascend").await;
    notices(Fault::RepeatsSeries, "series do not ascend").await;
    notices(Fault::IgnoresMatchers, "series for ").await;
    notices(Fault::AnswersWithoutMatchers, "series without matchers").await;
}

#[tokio::test]
async fn broken_promises_about_labels_are_noticed() {
    notices(Fault::NamesTooMany, "label names").await;
    notices(Fault::NamesUnsorted, "label names").await;
    notices(Fault::NamesIgnoreMatchers, "label names for ").await;
    notices(Fault::ValuesWrong, "values of ").await;
    notices(Fault::ValuesUnsorted, "values of ").await;
    notices(Fault::ValuesIgnoreMatchers, "values of ").await;
    notices(Fault::ValuesOfUnknownLabels, "values of an unknown label").await;
}

#[tokio::test]
async fn broken_promises_about_time_are_noticed() {
    notices(Fault::HoldsNoTime, "holds no time").await;
    notices(Fault::TimeTooShort, "series of the advertised time").await;
    notices(Fault::DataBeforeItsTime, "series before the advertised time").await;
}

#[tokio::test]
async fn claims_that_are_not_kept_are_noticed() {
    notices(Fault::ClaimsSharding, "all shards together").await;
    notices(Fault::ClaimsLimits, "limit 1").await;
    notices(Fault::ClaimsReplicaLabels, "series without ").await;
}

/// Nothing is claimed: what the store lacks `Conform` does.
#[tokio::test]
async fn a_matcher_is_all_that_a_plain_store_needs() {
    let store: Arc<dyn Store> = Arc::new(Conform::new(Arc::new(memory(&[])), Labels::empty()));
    let request = SeriesRequest::new(Interval::ALL, vec![Matcher::equal("instance", "3")]);
    let got = support::stream(&*store, request).await.expect("an answer");
    assert_eq!(got.labels().len(), 4);
}
