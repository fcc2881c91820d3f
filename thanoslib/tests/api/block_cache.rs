//! A restart with a cache file reads no object of blocks that it knows.

use std::{fs, path::Path, sync::Arc};

use thanoslib::{
    block::{BlockCache, BlockMeta, DeletionMark, Discovery, put_mark},
    bucket::{Bucket, CountingMetrics, Operation},
    context::Context,
    model::{Interval, Labels, Strings},
    store::{BlockSet, BucketSource, LabelValuesRequest, SeriesRequest, Store},
};

use crate::support::{BLOCK_MS, Block, Streamed, any, id, labels, start, stream};

const BLOCKS: i64 = 3;

async fn filled() -> Bucket {
    let bucket = Bucket::memory("b");
    let series: Vec<Labels> =
        (0..40).map(|i| labels(&[("__name__", "up"), ("instance", &format!("host-{i:03}"))])).collect();
    for n in 1..=BLOCKS {
        Block::steady(n, &[("cluster", "a")], &series).put(&bucket).await;
    }
    bucket
}

/// Whole objects read, existence asked, attributes asked, ranges read.
fn reads(metrics: &CountingMetrics) -> [u64; 4] {
    [Operation::Get, Operation::Exists, Operation::Attributes, Operation::GetRange]
        .map(|operation| metrics.counts(operation).operations)
}

/// One life of a process: what it answered, and what it read of the bucket before.
struct Life {
    answer: Streamed,
    values: Strings,
    reads: [u64; 4],
    damaged: u64,
}

async fn live(bucket: &Bucket, path: &Path, blocks: i64) -> Life {
    let metrics = Arc::new(CountingMetrics::default());
    let counted = bucket.clone().with_metrics(Arc::<CountingMetrics>::clone(&metrics));
    let cache = Arc::new(BlockCache::open(path).expect("a cache file"));
    let source = BucketSource::new(counted).with_discovery(Discovery::Recursive);
    let source = source.with_cache(Arc::clone(&cache)).with_index_sampling(8);
    let set = BlockSet::new("bucket", Arc::new(source));
    let report = set.sync(&Context::default()).await.expect("a sync");
    assert_eq!((report.loaded as i64, report.gaps.as_slice()), (blocks, &[][..]));
    assert!(metrics.counts(Operation::Iter).operations > 0);
    let reads = reads(&metrics);
    let interval = Interval::new(0, start(BLOCKS) + BLOCK_MS);
    let answer = stream(&set, SeriesRequest::new(interval, vec![any()])).await.expect("an answer");
    let request = LabelValuesRequest::new("instance", interval, vec![]);
    let values = set.label_values(&Context::default(), request).await.expect("values").values;
    Life { answer, values, reads, damaged: cache.damaged() }
}

#[tokio::test]
async fn a_restart_only_lists() {
    let (bucket, dir) = (filled().await, tempfile::tempdir().expect("a folder"));
    let path = dir.path().join("b.blocks");
    let first = live(&bucket, &path, BLOCKS).await;
    assert_eq!((first.answer.series.len(), first.values.len()), (40, 40));
    // For each block its description, and of its index the ends, the symbols, the table.
    assert_eq!(first.reads[0], 3);
    assert!(first.reads[3] >= 6, "{:?}", first.reads);
    let second = live(&bucket, &path, BLOCKS).await;
    assert_eq!((second.reads, second.damaged), ([0; 4], 0));
    assert_eq!((&second.answer, &second.values), (&first.answer, &first.values));
}

#[tokio::test]
async fn what_changes_in_the_bucket_is_seen() {
    let (bucket, dir) = (filled().await, tempfile::tempdir().expect("a folder"));
    let path = dir.path().join("b.blocks");
    live(&bucket, &path, BLOCKS).await;
    let mark = DeletionMark { id: id(1), version: 1, deletion_time: 0, ..DeletionMark::default() };
    assert!(put_mark(&bucket, &mark).await.expect("put"));
    let marked = live(&bucket, &path, BLOCKS - 1).await;
    assert_eq!(marked.reads, [1, 0, 0, 0], "the mark is read, and nothing else");
    // A description that was written again is read again.
    let name = format!("{}/{}", id(2), BlockMeta::FILE);
    let bytes = bucket.get(&name).await.expect("a description");
    let mut meta = BlockMeta::parse(&bytes).expect("a description");
    meta.thanos.labels.insert("cluster".to_owned(), "b".to_owned());
    std::thread::sleep(std::time::Duration::from_millis(5));
    bucket.put(&name, meta.encode().expect("encodes")).await.expect("put");
    let changed = live(&bucket, &path, BLOCKS - 1).await;
    assert_eq!(changed.reads, [2, 0, 0, 0]);
    assert_eq!(changed.answer.series.len(), 80, "series of both clusters");
    for object in ["meta.json", "index", "chunks/000001"] {
        bucket.delete(&format!("{}/{object}", id(3))).await.expect("deleted");
    }
    assert_eq!(live(&bucket, &path, BLOCKS - 2).await.reads, [1, 0, 0, 0]);
}

#[tokio::test]
async fn damage_costs_reads_and_never_an_answer() {
    let (bucket, dir) = (filled().await, tempfile::tempdir().expect("a folder"));
    let path = dir.path().join("b.blocks");
    let sound = live(&bucket, &path, BLOCKS).await;
    let whole = fs::read(&path).expect("a file");
    for at in (0..whole.len()).step_by(211) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        fs::write(&path, &bytes).expect("written");
        let life = live(&bucket, &path, BLOCKS).await;
        assert!(life.damaged > 0 && life.reads != [0; 4], "byte {at}: {:?}", life.reads);
        assert_eq!((&life.answer, &life.values), (&sound.answer, &sound.values), "byte {at}");
        let again = live(&bucket, &path, BLOCKS).await;
        assert_eq!(again.reads, [0; 4], "byte {at}: what was rebuilt is kept");
    }
}
