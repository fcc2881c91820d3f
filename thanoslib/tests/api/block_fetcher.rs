//! What a bucket's blocks are, with broken blocks, marks and failing servers in between.

use std::{sync::Arc, time::Duration};

use thanoslib::{
    ErrorKind,
    block::{BlockFilter, BlockId, BlockMeta, DeletionMark, Excluded, Mark, MetaFetcher, Partial, View},
    bucket::{Bucket, Operation},
    clock::ManualClock,
    context::Context,
    model::{
        Interval, TimeBound, TimeWindow,
        relabel::{Relabel, parse_relabel},
    },
    object_store::memory::InMemory,
    testing::{Effect, Fault, FaultyBucket, When},
};

const HOUR_MS: i64 = 3_600_000;

/// The block that was made at this second.
fn id(second: u64) -> BlockId {
    BlockId::from_parts(second * 1000, 0)
}

async fn add(bucket: &Bucket, second: u64, change: impl FnOnce(&mut BlockMeta) + Send) -> BlockId {
    let ulid = id(second);
    let mut meta = BlockMeta { ulid, version: 1, max_time: 2 * HOUR_MS, ..BlockMeta::default() };
    meta.compaction.sources = vec![ulid];
    meta.thanos.source = "sidecar".to_owned();
    change(&mut meta);
    let text = meta.encode().expect("encodes");
    bucket.put(&format!("{ulid}/meta.json"), text).await.expect("put");
    ulid
}

async fn mark(bucket: &Bucket, id: BlockId, deletion_time: i64) {
    let mark = DeletionMark { id, version: 1, deletion_time, ..DeletionMark::default() };
    bucket.put(&format!("{id}/deletion-mark.json"), mark.encode().expect("encodes")).await.expect("put");
}

async fn fetch(bucket: &Bucket, filter: BlockFilter, now_s: i64) -> View {
    let clock = Arc::new(ManualClock::new(now_s * 1000));
    let fetcher = MetaFetcher::new(bucket.clone(), filter).with_clock(clock);
    fetcher.fetch(&Context::default()).await.expect("fetch")
}

fn kept(view: &View) -> Vec<BlockId> {
    view.metas.keys().copied().collect()
}

#[tokio::test]
async fn partial_blocks_are_told_and_other_folders_ignored() {
    let bucket = Bucket::memory("b");
    let whole = add(&bucket, 1, |_| {}).await;
    bucket.put(&format!("{}/index", id(2)), "x").await.expect("put");
    bucket.put(&format!("{}/meta.json", id(3)), "{\"ulid\":").await.expect("put");
    bucket.put(&format!("{}/meta.json", id(4)), "").await.expect("put");
    bucket.put("debug/metas/x.json", "{}").await.expect("put");
    bucket.put("8ZZZZZZZZZZZZZZZZZZZZZZZZZ/meta.json", "{}").await.expect("put");
    let view = fetch(&bucket, BlockFilter::default(), 0).await;
    assert_eq!(kept(&view), [whole]);
    assert_eq!(view.partial.keys().copied().collect::<Vec<_>>(), [id(2), id(3), id(4)]);
    assert_eq!(view.partial[&id(2)], Partial::NoMeta);
    assert!(matches!(&view.partial[&id(3)], Partial::CorruptMeta(why) if why.contains("JSON")));
    let origins: Vec<&str> = view.warnings.iter().map(|w| w.origin.as_str()).collect();
    assert_eq!(origins, [id(2), id(3), id(4)].map(|id| id.to_string()));
    assert!(view.complete().is_ok(), "partial blocks leave the view complete");
}

#[tokio::test]
async fn a_failing_read_or_another_version_leaves_the_view_incomplete() {
    let store = FaultyBucket::new(Arc::new(InMemory::new()));
    let bucket = store.bucket();
    let (one, two) = (add(&bucket, 1, |_| {}).await, add(&bucket, 2, |_| {}).await);
    store.inject(Fault::new(When::Nth(1), Effect::Fail).on(Operation::Get).at(&format!("{two}/*")));
    let fetcher = MetaFetcher::new(bucket.clone(), BlockFilter::default());
    let view = fetcher.fetch(&Context::default()).await.expect("fetch");
    assert_eq!(kept(&view), [one]);
    assert_eq!(view.warnings[0].origin, two.to_string());
    assert_eq!(view.complete().expect_err("incomplete").kind(), ErrorKind::Unavailable);

    let view = fetcher.fetch(&Context::default()).await.expect("fetch");
    assert_eq!(kept(&view.complete().expect("complete")), [one, two]);
    store.inject(Fault::new(When::Always, Effect::Fail).on(Operation::Get));
    let view = fetcher.fetch(&Context::default()).await.expect("fetch");
    assert_eq!(kept(&view.complete().expect("complete")), [one, two], "known metas are not read again");

    store.heal();
    add(&bucket, 3, |meta| meta.version = 2).await;
    let view = fetcher.fetch(&Context::default()).await.expect("fetch");
    assert_eq!(kept(&view), [one, two]);
    assert!(view.error.expect("incomplete").message().contains("version 2"));

    store.inject(Fault::new(When::Always, Effect::Deny).on(Operation::Iter));
    let failed = fetcher.fetch(&Context::default()).await.expect_err("no listing");
    assert_eq!(failed.kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn deletion_marks_hide_a_block_after_the_delay() {
    let store = FaultyBucket::new(Arc::new(InMemory::new()));
    let bucket = store.bucket();
    let (plain, marked, broken) =
        (add(&bucket, 1, |_| {}).await, add(&bucket, 2, |_| {}).await, add(&bucket, 3, |_| {}).await);
    mark(&bucket, marked, 100_000).await;
    bucket.put(&format!("{broken}/deletion-mark.json"), "{").await.expect("put");
    let filter = BlockFilter::gateway();
    let view = fetch(&bucket, filter.clone(), 100_000 + 86_400).await;
    assert_eq!(kept(&view), [plain, marked, broken], "a mark hides nothing at once");
    assert_eq!(view.marked[&marked].deletion_time, 100_000);
    assert_eq!(view.warnings[0].origin, broken.to_string());
    let view = fetch(&bucket, filter.clone(), 100_000 + 86_401).await;
    assert_eq!(kept(&view), [plain, broken]);
    assert_eq!(view.excluded[&marked], Excluded::MarkedForDeletion);

    store.inject(Fault::new(When::Always, Effect::Fail).at("*/deletion-mark.json"));
    let fetcher = MetaFetcher::new(bucket, filter);
    assert!(fetcher.fetch(&Context::default()).await.is_err(), "an unread mark fails the fetch");
}

#[tokio::test]
async fn fresh_blocks_wait_unless_the_compactor_made_them() {
    let bucket = Bucket::memory("b");
    let by_id = add(&bucket, 1000, |_| {}).await;
    let uploaded = add(&bucket, 500, |meta| {
        meta.thanos.upload_time = thanoslib::block::UploadTime::from_unix_ms(1_000_000);
    })
    .await;
    let compacted = add(&bucket, 1001, |meta| meta.thanos.source = "compactor".to_owned()).await;
    let filter = BlockFilter { consistency_delay: Duration::from_secs(60), ..BlockFilter::default() };
    assert_eq!(kept(&fetch(&bucket, filter.clone(), 1059).await), [compacted]);
    assert_eq!(kept(&fetch(&bucket, filter, 1060).await), [uploaded, by_id, compacted]);
}

#[tokio::test]
async fn time_and_duplicates_leave_blocks_out() {
    let bucket = Bucket::memory("b");
    let (a, b) = (add(&bucket, 1, |_| {}).await, add(&bucket, 2, |_| {}).await);
    let both = add(&bucket, 3, |meta| meta.compaction.sources = vec![a, b]).await;
    let again = add(&bucket, 4, |meta| meta.compaction.sources = vec![b, a]).await;
    let coarse = add(&bucket, 5, |meta| {
        meta.compaction.sources = vec![a];
        meta.thanos.downsample.resolution = 300_000;
    })
    .await;
    let sourceless = add(&bucket, 6, |meta| meta.compaction.sources.clear()).await;
    let late = add(&bucket, 7, |meta| (meta.min_time, meta.max_time) = (9 * HOUR_MS, 10 * HOUR_MS)).await;
    let filter = BlockFilter { deduplicate: true, ..BlockFilter::default() };
    let view = fetch(&bucket, filter.clone(), 0).await;
    assert_eq!(kept(&view), [both, coarse, sourceless, late]);
    for id in [a, b, again] {
        assert_eq!(view.excluded[&id], Excluded::Duplicate);
    }
    let at = |mint, maxt| BlockFilter { window: Interval::new(mint, maxt).into(), ..BlockFilter::default() };
    let check = async |mint, maxt, want: bool| {
        let view = fetch(&bucket, at(mint, maxt), 0).await;
        assert_eq!(view.metas.contains_key(&late), want, "{mint} {maxt}");
        assert_eq!(view.excluded.contains_key(&late), !want, "{mint} {maxt}");
    };
    check(0, 9 * HOUR_MS - 1, false).await;
    check(0, 9 * HOUR_MS, true).await;
    check(10 * HOUR_MS, 11 * HOUR_MS, true).await;
    check(10 * HOUR_MS + 1, 11 * HOUR_MS, false).await;
}

#[tokio::test]
async fn a_window_moves_with_the_clock() {
    let bucket = Bucket::memory("b");
    let block = add(&bucket, 1, |meta| (meta.min_time, meta.max_time) = (0, HOUR_MS)).await;
    let min = TimeBound::FromNow(-HOUR_MS);
    let filter =
        BlockFilter { window: TimeWindow { min, ..TimeWindow::default() }, ..BlockFilter::default() };
    assert_eq!(kept(&fetch(&bucket, filter.clone(), 7200).await), [block]);
    let view = fetch(&bucket, filter, 7201).await;
    assert_eq!(view.excluded[&block], Excluded::Time);
}

#[tokio::test]
async fn a_selector_chooses_by_labels_and_id() {
    let bucket = Bucket::memory("b");
    let labelled = |cluster: &str| {
        let labels = [("cluster".to_owned(), cluster.to_owned())].into();
        move |meta: &mut BlockMeta| meta.thanos.labels = labels
    };
    let eu = add(&bucket, 1, labelled("eu1")).await;
    let us = add(&bucket, 2, labelled("us1")).await;
    let check = async |yaml: &str, want: &[BlockId]| {
        let rules = parse_relabel(yaml).expect("rules");
        let selector = Some(Arc::new(Relabel::selector(&rules).expect("a selector")));
        let view = fetch(&bucket, BlockFilter { selector, ..BlockFilter::default() }, 0).await;
        assert_eq!(kept(&view), want, "{yaml}");
        assert_eq!(view.excluded.len(), 2 - want.len(), "{yaml}");
        assert!(view.excluded.values().all(|why| *why == Excluded::Labels), "{yaml}");
    };
    check("- {action: keep, source_labels: [cluster], regex: eu.*}", &[eu]).await;
    check("- {action: drop, source_labels: [cluster], regex: eu.*}", &[us]).await;
    check(&format!("- {{action: keep, source_labels: [__block_id], regex: {us}}}"), &[us]).await;
    check("- {action: keep, source_labels: [cluster], regex: none}", &[]).await;
    let rewrites = parse_relabel("- {action: labeldrop, regex: cluster}").expect("a rule");
    let e = Relabel::selector(&rewrites).expect_err("it rewrites");
    assert_eq!(e.message(), "unsupported relabel action: labeldrop");
}
