//! Blocks come, go and break, and the rest answers.

use std::{
    fs::File,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use thanoslib::{
    ErrorKind,
    block::{BlockId, BlockMeta, DeletionMark, Mark, ParentMeta},
    bucket::{Bucket, Operation},
    clock::{Clock, SystemClock},
    context::Context,
    model::{Interval, Labels, Matcher},
    object_store::memory::InMemory,
    store::{
        BlockSet, BucketSource, FolderSource, LabelNamesRequest, LabelValuesRequest, PartialResponse,
        SeriesRequest, Store, SyncReport,
    },
    testing::{Effect, Fault, FaultyBucket, When},
};

use crate::support::{self, BLOCK_MS, Block, any, id, labels, start, stream};

const EU: &[(&str, &str)] = &[("cluster", "eu")];

fn up() -> Labels {
    labels(&[("__name__", "up")])
}

/// Puts block `n` of one series `up` into a bucket.
async fn put(bucket: &Bucket, n: i64) -> BlockId {
    let block = Block::steady(n, EU, &[up()]);
    block.put(bucket).await;
    block.id
}

async fn sync(set: &BlockSet) -> SyncReport {
    set.sync(&Context::default()).await.expect("a sync")
}

async fn change_meta(bucket: &Bucket, id: BlockId, change: impl FnOnce(&mut BlockMeta)) {
    let name = format!("{id}/{}", BlockMeta::FILE);
    let mut meta = BlockMeta::parse(&bucket.get(&name).await.expect("a meta")).expect("a meta");
    change(&mut meta);
    bucket.put(&name, meta.encode().expect("encodes")).await.expect("put");
}

/// Samples of `up` per block that a request for all time gets, by chunks, and the warnings.
async fn answer(set: &BlockSet) -> (usize, Vec<String>) {
    let request = SeriesRequest::new(Interval::ALL, vec![Matcher::equal("__name__", "up")]);
    let got = stream(set, request).await.expect("an answer");
    (got.series.iter().map(|(_, chunks)| chunks).sum(), got.warnings)
}

/// Chunks of `up` in one block.
const CHUNKS: usize = 4;

#[tokio::test]
async fn a_sync_picks_up_new_blocks_and_drops_vanished_ones() {
    let bucket = Bucket::memory("b");
    let one = put(&bucket, 1).await;
    let set = support::block_set(&bucket).await;
    assert_eq!((set.block_ids(), answer(&set).await), (vec![one], (CHUNKS, vec![])));
    let two = put(&bucket, 2).await;
    assert_eq!(set.block_ids(), [one], "nothing changes between syncs");
    let report = sync(&set).await;
    assert_eq!((report.loaded, report.opened, report.dropped), (2, 1, 0));
    assert_eq!((set.block_ids(), answer(&set).await), (vec![one, two], (2 * CHUNKS, vec![])));
    bucket.delete(&format!("{one}/meta.json")).await.expect("delete");
    let report = sync(&set).await;
    assert_eq!((report.loaded, report.opened, report.dropped), (1, 0, 1));
    assert_eq!((set.block_ids(), answer(&set).await), (vec![two], (CHUNKS, vec![])));
}

#[tokio::test]
async fn a_set_tells_what_its_blocks_hold() {
    let bucket = Bucket::memory("b");
    let set = support::block_set(&bucket).await;
    assert_eq!((set.info().interval, set.info().tsdbs), (None, vec![]));
    for n in [1, 2, 4] {
        put(&bucket, n).await;
    }
    sync(&set).await;
    let info = set.info();
    assert_eq!(info.label_sets, [labels(EU)]);
    assert_eq!(info.interval, Some(Interval::new(start(1), start(5))));
    let stretches: Vec<Interval> = info.tsdbs.iter().map(|t| t.interval).collect();
    assert_eq!(stretches, [Interval::new(start(1), start(3)), Interval::new(start(4), start(5))]);
}

#[tokio::test]
async fn marked_partial_and_superseded_blocks_are_left_out() {
    let bucket = Bucket::memory("b");
    let now_s = SystemClock.now_ms() / 1000;
    let mut ids = Vec::new();
    for n in 1..=6 {
        ids.push(put(&bucket, n).await);
    }
    for (n, deletion_time) in [(1, now_s - 25 * 3600), (2, now_s - 23 * 3600)] {
        let mark = DeletionMark { id: id(n), version: 1, deletion_time, ..DeletionMark::default() };
        let name = format!("{}/{}", id(n), DeletionMark::FILE);
        bucket.put(&name, mark.encode().expect("encodes")).await.expect("put");
    }
    bucket.delete(&format!("{}/meta.json", id(3))).await.expect("delete");
    change_meta(&bucket, id(6), |meta| meta.compaction.sources = vec![id(4), id(5), id(6)]).await;
    let set = support::block_set(&bucket).await;
    assert_eq!(set.block_ids(), [id(2), id(6)]);
    assert_eq!(answer(&set).await, (2 * CHUNKS, vec![]), "these are no gaps");
}

#[tokio::test]
async fn a_block_without_a_sound_index_is_left_out_with_a_warning_until_it_is_mended() {
    let bucket = Bucket::memory("b");
    let (one, two) = (put(&bucket, 1).await, put(&bucket, 2).await);
    let index = format!("{one}/index");
    let whole = bucket.get(&index).await.expect("an index");
    bucket.put(&index, whole.slice(..whole.len() / 2)).await.expect("put");
    let set = support::block_set(&bucket).await;
    assert_eq!(set.block_ids(), [two]);
    let (chunks, warnings) = answer(&set).await;
    assert_eq!(chunks, CHUNKS);
    assert!(warnings.len() == 1 && warnings[0].contains(&one.to_string()), "{warnings:?}");
    let later = Interval::new(start(2), start(3));
    let got = stream(&*set, SeriesRequest::new(later, vec![any()])).await.expect("an answer");
    assert_eq!(got.warnings, Vec::<String>::new(), "the broken block has no part in this time");
    bucket.put(&index, whole).await.expect("put");
    assert_eq!(sync(&set).await.opened, 1);
    assert_eq!(answer(&set).await, (2 * CHUNKS, vec![]));
}

#[tokio::test]
async fn requests_without_partial_answers_fail_when_a_block_is_left_out() {
    let bucket = Bucket::memory("b");
    let (one, _) = (put(&bucket, 1).await, put(&bucket, 2).await);
    bucket.put(&format!("{one}/index"), "x").await.expect("put");
    let set = support::block_set(&bucket).await;
    let partial_response = PartialResponse::Abort;
    let ctx = Context::default();
    let request = SeriesRequest { partial_response, ..SeriesRequest::new(Interval::ALL, vec![any()]) };
    let series = stream(&*set, request).await.expect_err("an abort");
    let request = LabelNamesRequest { partial_response, ..LabelNamesRequest::new(Interval::ALL, vec![]) };
    let names = set.label_names(&ctx, request).await.expect_err("an abort");
    let request =
        LabelValuesRequest { partial_response, ..LabelValuesRequest::new("job", Interval::ALL, vec![]) };
    let values = set.label_values(&ctx, request).await.expect_err("an abort");
    for e in [series, names, values] {
        assert!(e.kind() == ErrorKind::Unavailable && e.message().contains(&one.to_string()), "{e}");
    }
    let warned = set.label_names(&ctx, LabelNamesRequest::new(Interval::ALL, vec![])).await.expect("names");
    assert_eq!((warned.names.len(), warned.warnings.iter().count()), (2, 1));
}

#[tokio::test]
async fn a_broken_block_does_not_concern_requests_for_other_producers() {
    let bucket = Bucket::memory("b");
    let one = put(&bucket, 1).await;
    Block::steady(2, &[("cluster", "us")], &[up()]).put(&bucket).await;
    bucket.put(&format!("{one}/index"), "x").await.expect("put");
    let set = support::block_set(&bucket).await;
    let asked = async |cluster: &str| {
        let matchers = vec![Matcher::equal("__name__", "up"), Matcher::equal("cluster", cluster)];
        let partial_response = PartialResponse::Abort;
        stream(&*set, SeriesRequest { partial_response, ..SeriesRequest::new(Interval::ALL, matchers) }).await
    };
    assert_eq!(asked("us").await.expect("an answer").series.len(), 1);
    asked("eu").await.expect_err("its block is missing");
}

#[tokio::test]
async fn a_flipped_chunk_byte_is_a_warning_that_names_the_block() {
    let bucket = Bucket::memory("b");
    let (one, _) = (put(&bucket, 1).await, put(&bucket, 2).await);
    let name = format!("{one}/chunks/000001");
    let mut chunks = bucket.get(&name).await.expect("chunks").to_vec();
    let middle = chunks.len() / 2;
    chunks[middle] ^= 0x10;
    bucket.put(&name, chunks).await.expect("put");
    let set = support::block_set(&bucket).await;
    let (_, warnings) = answer(&set).await;
    assert!(warnings.len() == 1 && warnings[0].contains(&one.to_string()), "{warnings:?}");
    assert!(warnings[0].contains("checksum"), "{warnings:?}");
    let router = support::router(set);
    let later = support::get(&router, "/api/v1/query_range?query=up&start=7600&end=7660&step=15").await;
    assert!(later.success()["warnings"].is_null(), "the sound block answers alone");
    let range = "/api/v1/query_range?query=up&start=0&end=7260&step=60";
    let answer = support::get(&router, range).await.success();
    let values = answer["data"]["result"][0]["values"].as_array().map_or(0, Vec::len);
    assert!(values > 0, "the rest answers: {answer}");
    assert!(answer["warnings"][0].as_str().is_some_and(|w| w.contains(&one.to_string())), "{answer}");
    let (kind, text) = support::get(&router, &format!("{range}&partial_response=false")).await.failure(422);
    assert!(kind == "execution" && text.contains(&one.to_string()), "{text}");
}

#[tokio::test]
async fn a_listing_with_holes_drops_no_block() {
    let faulty = FaultyBucket::new(Arc::new(InMemory::new()));
    let bucket = faulty.bucket();
    let (one, two) = (put(&bucket, 1).await, put(&bucket, 2).await);
    let set = support::block_set(&bucket).await;
    let fresh = BlockSet::new("fresh", Arc::new(BucketSource::new(bucket.clone())));
    faulty.inject(Fault::new(When::Always, Effect::Fail).on(Operation::Get).at(&format!("{one}/meta.json")));
    let report = sync(&fresh).await;
    assert_eq!((fresh.block_ids(), report.gaps.len()), (vec![two], 1), "{:?}", report.gaps);
    faulty.inject(Fault::new(When::Always, Effect::Fail));
    set.sync(&Context::default()).await.expect_err("nothing can be listed");
    assert_eq!(set.block_ids(), [one, two]);
    faulty.heal();
    assert_eq!(sync(&fresh).await.loaded, 2);
}

#[tokio::test]
async fn a_bucket_that_fails_while_a_query_reads_is_a_warning() {
    let faulty = FaultyBucket::new(Arc::new(InMemory::new()));
    let bucket = faulty.bucket();
    let (one, _) = (put(&bucket, 1).await, put(&bucket, 2).await);
    let set = support::block_set(&bucket).await;
    faulty.inject(Fault::new(When::Always, Effect::Fail).at(&format!("{one}/*")));
    let (chunks, warnings) = answer(&set).await;
    assert_eq!(chunks, CHUNKS);
    assert!(warnings.len() == 1 && warnings[0].contains(&one.to_string()), "{warnings:?}");
}

#[tokio::test]
async fn block_matchers_choose_blocks() {
    let bucket = Bucket::memory("b");
    let (_, two) = (put(&bucket, 1).await, put(&bucket, 2).await);
    let set = support::block_set(&bucket).await;
    let count = async |matcher| {
        let block_matchers = vec![matcher];
        let request = SeriesRequest { block_matchers, ..SeriesRequest::new(Interval::ALL, vec![any()]) };
        stream(&*set, request).await.expect("an answer").series.iter().map(|s| s.1).sum::<usize>()
    };
    assert_eq!(count(Matcher::equal("__block_id", two.to_string())).await, CHUNKS);
    assert_eq!(count(Matcher::equal("cluster", "eu")).await, 2 * CHUNKS);
    assert_eq!(count(Matcher::equal("cluster", "us")).await, 0);
}

#[tokio::test(start_paused = true)]
async fn the_loop_syncs_until_its_shutdown() {
    let bucket = Bucket::memory("b");
    put(&bucket, 1).await;
    let set = BlockSet::new("looped", Arc::new(BucketSource::new(bucket)));
    let mut reports = Vec::new();
    let shutdown = tokio::time::sleep(Duration::from_secs(150));
    set.run(Duration::from_secs(60), shutdown, |name, report| {
        reports.push((name.to_owned(), report.expect("a sync").opened));
    })
    .await;
    let looped = |opened| ("looped".to_owned(), opened);
    assert_eq!(reports, [looped(1), looped(0), looped(0)]);
}

#[tokio::test]
async fn a_folder_serves_its_blocks_under_its_own_labels() {
    let dir = tempfile::tempdir().expect("a folder");
    for n in 1..=3 {
        Block::steady(n, EU, &[up()]).write(dir.path());
    }
    // Prometheus deletes the parents of a compacted block only later.
    let name = dir.path().join(id(3).to_string()).join(BlockMeta::FILE);
    let mut meta = BlockMeta::parse(&std::fs::read(&name).expect("a file")).expect("a meta");
    let range = meta.range();
    meta.compaction.parents = vec![ParentMeta { ulid: id(2), min_time: range.mint, max_time: range.maxt }];
    std::fs::write(&name, meta.encode().expect("encodes")).expect("written");
    let over = labels(&[("cluster", "here"), ("replica", "a")]);
    let source = FolderSource::new(dir.path(), over.clone()).expect("a folder");
    let set = BlockSet::new("folder", Arc::new(source));
    assert_eq!(sync(&set).await.gaps, Vec::<String>::new());
    assert_eq!(set.block_ids(), [id(1), id(3)]);
    let got = stream(&set, SeriesRequest::new(Interval::ALL, vec![any()])).await.expect("an answer");
    let want = labels(&[("__name__", "up"), ("cluster", "here"), ("replica", "a")]);
    assert_eq!(got.series, [(want, 2 * CHUNKS)]);
    assert!(FolderSource::new(dir.path().join("none"), over).is_err());
}

#[tokio::test]
async fn what_only_the_wal_holds_is_told_as_a_gap_with_its_time() {
    let dir = tempfile::tempdir().expect("a folder");
    Block::steady(1, EU, &[up()]).write(dir.path());
    let wal = dir.path().join("wal");
    std::fs::create_dir(&wal).expect("a folder");
    let segment = wal.join("00000007");
    std::fs::write(&segment, b"records").expect("written");
    let written = UNIX_EPOCH + Duration::from_millis(3 * BLOCK_MS as u64);
    File::options().append(true).open(&segment).expect("a file").set_modified(written).expect("a time");
    let set = BlockSet::new("folder", Arc::new(FolderSource::new(dir.path(), Labels::empty()).expect("it")));
    let report = sync(&set).await;
    assert_eq!(report.gaps.len(), 1);
    for part in ["write-ahead log", "newer than 1970-01-01T02:00:00Z", "last write at 1970-01-01T06:00:00Z"] {
        assert!(report.gaps[0].contains(part), "{:?}", report.gaps);
    }
    let warnings = async |mint, maxt| {
        let request = SeriesRequest::new(Interval::new(mint, maxt), vec![any()]);
        stream(&set, request).await.expect("an answer").warnings.len()
    };
    assert_eq!(warnings(0, BLOCK_MS - 1).await, 0, "the blocks hold this time");
    assert_eq!(warnings(0, BLOCK_MS).await, 1);
    assert_eq!(warnings(2 * BLOCK_MS, 9 * BLOCK_MS).await, 1);
    assert_eq!(warnings(3 * BLOCK_MS + 1, 9 * BLOCK_MS).await, 0, "nothing was written since");
}
