//! A damaged block answers, warns or fails, and never answers wrongly in silence.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use thanoslib::{
    ErrorKind,
    bucket::Bucket,
    context::Context,
    model::Labels,
    promql::{self, Engine, EngineOptions, QueryValue, RangeQuery},
    query::{SelectOptions, StoreQueryable},
    runtime::Inline,
    store::{BlockSet, BucketSource, FolderSource},
};

use crate::support::{Block, id, labels};

/// Far more than any query here takes; one that meets it does not end.
const ENDLESS: Duration = Duration::from_secs(60);

/// Files of a block of a few series, by name.
fn files() -> BTreeMap<String, Vec<u8>> {
    let dir = tempfile::tempdir().expect("a folder");
    let series: Vec<Labels> = ["a", "b", "c"]
        .iter()
        .flat_map(|job| ["up", "down"].map(|name| labels(&[("__name__", name), ("job", job)])))
        .collect();
    let block = Block::steady(1, &[("cluster", "eu")], &series).write(dir.path());
    let names = ["meta.json", "index", "chunks/000001"];
    names.iter().map(|n| ((*n).to_owned(), std::fs::read(block.join(n)).expect("a file"))).collect()
}

/// What a query over a set of blocks gave: its values as text and whether it told of gaps.
#[derive(Debug, PartialEq)]
enum Outcome {
    Answer { values: String, warned: bool },
    Failed(ErrorKind),
}

async fn ask(set: BlockSet) -> Outcome {
    let ctx = Context::default().with_timeout(ENDLESS);
    if let Err(e) = set.sync(&ctx).await {
        return Outcome::Failed(e.kind());
    }
    let options = EngineOptions::default();
    let text = r#"sum by (job) (rate(up{job=~"a|b"}[5m])) + count by (job) ({__name__=~"d.*"})"#;
    let expr = promql::parse(text, &options).expect("a query");
    let query = RangeQuery {
        expr,
        text: Arc::from(text),
        start_ms: 600_000,
        end_ms: 7_000_000,
        step_ms: 800_000,
        lookback_ms: None,
    };
    let queryable = Arc::new(StoreQueryable::new(Arc::new(set), SelectOptions::default()));
    match Engine::new(options, Arc::new(Inline)).range(&ctx, queryable, query).await {
        Ok(result) => {
            let QueryValue::Matrix(series) = &result.value else { panic!("a range query gives a matrix") };
            let values = series.iter().map(|s| format!("{} {:?}\n", s.labels, s.floats)).collect();
            Outcome::Answer { values, warned: !result.warnings.is_empty() }
        }
        Err(e) => Outcome::Failed(e.kind()),
    }
}

async fn from_bucket(files: &BTreeMap<String, Vec<u8>>) -> Outcome {
    let bucket = Bucket::memory("b");
    for (name, bytes) in files {
        bucket.put(&format!("{}/{name}", id(1)), Bytes::copy_from_slice(bytes)).await.expect("put");
    }
    ask(BlockSet::new("bucket", Arc::new(BucketSource::new(bucket)))).await
}

async fn from_folder(dir: &Path, files: &BTreeMap<String, Vec<u8>>) -> Outcome {
    let block = dir.join(id(1).to_string());
    std::fs::create_dir_all(block.join("chunks")).expect("a folder");
    for (name, bytes) in files {
        std::fs::write(block.join(name), bytes).expect("written");
    }
    ask(BlockSet::new("folder", Arc::new(FolderSource::new(dir, Labels::empty()).expect("a folder")))).await
}

/// Files with each damage in turn, and what was done.
fn damaged(every: usize) -> impl Iterator<Item = (String, BTreeMap<String, Vec<u8>>)> {
    let whole = files();
    let names: Vec<String> = whole.keys().cloned().collect();
    let at = |len: usize| (0..len).step_by(every);
    let cases: Vec<(String, usize, Option<u8>)> = names
        .iter()
        .flat_map(|name| {
            let len = whole[name].len();
            let cuts = at(len).map(|i| (name.clone(), i, None));
            let flips = at(len).map(|i| (name.clone(), i, Some(1 << (i / every % 8))));
            cuts.chain(flips).collect::<Vec<_>>()
        })
        .collect();
    cases.into_iter().map(move |(name, i, flip)| {
        let mut files = whole.clone();
        let bytes = files.get_mut(&name).expect("a file");
        match flip {
            Some(bit) => bytes[i] ^= bit,
            None => bytes.truncate(i),
        }
        (format!("{name} {} {i}", if flip.is_some() { "flipped at" } else { "cut at" }), files)
    })
}

/// A damage must be told, unless the answer is the same without the damaged part. In
/// `meta.json`, which has no checksum, a flip may make another sound description.
fn judge(case: &str, got: &Outcome, sound: &Outcome) {
    match got {
        Outcome::Failed(kind) => assert_ne!(*kind, ErrorKind::Timeout, "{case}: the query does not end"),
        Outcome::Answer { warned: true, .. } => {}
        quiet => assert!(case.starts_with("meta.json") || quiet == sound, "{case}: {quiet:?}"),
    }
}

#[tokio::test]
async fn damage_in_a_bucket_is_told() {
    let sound = from_bucket(&files()).await;
    assert!(matches!(&sound, Outcome::Answer { values, warned: false } if values.lines().count() == 2));
    let mut told = 0;
    for (case, files) in damaged(13) {
        let got = from_bucket(&files).await;
        judge(&case, &got, &sound);
        told += u32::from(got != sound);
    }
    assert!(told > 100, "damage makes a difference: {told}");
}

#[tokio::test]
async fn damage_in_a_folder_is_told() {
    let sound = from_folder(tempfile::tempdir().expect("a folder").path(), &files()).await;
    assert!(matches!(&sound, Outcome::Answer { values, warned: false } if values.lines().count() == 2));
    for (case, files) in damaged(31) {
        let dir = tempfile::tempdir().expect("a folder");
        judge(&case, &from_folder(dir.path(), &files).await, &sound);
    }
}
