//! Uploads from a data folder into a bucket in memory.

use std::fs;

use super::*;
use crate::clock::ManualClock;

struct Setup {
    dir: tempfile::TempDir,
    bucket: Bucket,
    metrics: Arc<SidecarMetrics>,
}

fn id(n: u64) -> BlockId {
    BlockId::from_parts(n, 0)
}

impl Setup {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("tempdir"),
            bucket: Bucket::memory("test"),
            metrics: Arc::default(),
        }
    }

    /// A block with two chunk files.
    fn block(&self, n: u64, change: impl FnOnce(&mut BlockMeta)) -> PathBuf {
        let mut meta = BlockMeta { ulid: id(n), version: 1, ..BlockMeta::default() };
        (meta.min_time, meta.max_time) = (n as i64 * 10, n as i64 * 10 + 10);
        meta.stats.num_samples = 1;
        meta.compaction.level = 1;
        change(&mut meta);
        let dir = self.dir.path().join(id(n).to_string());
        fs::create_dir_all(dir.join("chunks")).expect("a folder");
        for (name, text) in
            [("chunks/000002", "two"), ("chunks/000001", "first"), ("index", "index"), ("tombstones", "")]
        {
            fs::write(dir.join(name), text).expect("written");
        }
        fs::write(dir.join(BlockMeta::FILE), meta.encode().expect("JSON")).expect("written");
        dir
    }

    fn shipper(
        &self,
        labels: &'static [(&'static str, &'static str)],
        change: impl FnOnce(&mut ShipperSettings),
    ) -> Shipper {
        let mut settings =
            ShipperSettings { data_dir: self.dir.path().to_owned(), ..ShipperSettings::default() };
        change(&mut settings);
        let labels = Box::new(move || Labels::from_pairs(labels.iter().copied()));
        let clock = Arc::new(ManualClock::new(1_500));
        Shipper::new(self.bucket.clone(), settings, labels, clock, Arc::clone(&self.metrics))
    }

    fn listed(&self) -> Vec<BlockId> {
        ShipperFile::read(&self.dir.path().join("thanos.shipper.json"))
            .map(|f| f.uploaded)
            .unwrap_or_default()
    }

    async fn objects(&self, n: u64) -> Vec<String> {
        let all =
            futures::TryStreamExt::try_collect::<Vec<_>>(self.bucket.list_recursive(&id(n).to_string()));
        let mut names: Vec<String> = all.await.expect("listed").into_iter().map(|e| e.name).collect();
        names.sort();
        names.iter().filter_map(|n| n.split_once('/')).map(|(_, name)| name.to_owned()).collect()
    }

    async fn meta(&self, n: u64) -> BlockMeta {
        let bytes = self.bucket.get(&format!("{}/meta.json", id(n))).await.expect("uploaded");
        BlockMeta::parse(&bytes).expect("sound")
    }
}

const LABELS: &[(&str, &str)] = &[("cluster", "eu")];

#[tokio::test]
async fn blocks_go_up_with_the_labels_of_the_moment() {
    let setup = Setup::new();
    let dir = setup.block(1, |m| {
        m.thanos.labels =
            [("cluster", "old"), ("kept", "1")].map(|(n, v)| (n.to_owned(), v.to_owned())).into();
    });
    let before = fs::read(dir.join(BlockMeta::FILE)).expect("there");
    let shipper = setup.shipper(LABELS, |s| s.hash_sha256 = true);
    assert_eq!(shipper.sync().await.expect("uploaded"), 1);
    assert_eq!(setup.objects(1).await, ["chunks/000001", "chunks/000002", "index", "meta.json"]);
    let meta = setup.meta(1).await;
    assert_eq!(
        meta.thanos.labels.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>(),
        ["cluster=eu", "kept=1"]
    );
    assert_eq!((meta.thanos.source.as_str(), meta.thanos.version), ("sidecar", 1));
    assert_eq!(meta.thanos.segment_files, ["000001", "000002"]);
    assert_eq!(meta.thanos.upload_time.unix_ms(), Some(1_500));
    let files: Vec<_> = meta.thanos.files.iter().map(|f| (f.rel_path.as_str(), f.size_bytes)).collect();
    assert_eq!(files, [("chunks/000001", 5), ("chunks/000002", 3), ("index", 5), ("meta.json", 0)]);
    let hash = meta.thanos.files[1].hash.as_ref().expect("noted");
    assert_eq!(hash.value, "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3");
    assert_eq!(fs::read(dir.join(BlockMeta::FILE)).expect("there"), before, "untouched");
    assert!(!setup.dir.path().join("thanos/upload").join(id(1).to_string()).exists());
    assert_eq!(setup.listed(), [id(1)]);
    // What is listed is not asked for again, even when a compactor has deleted it.
    setup.bucket.delete(&format!("{}/meta.json", id(1))).await.expect("deleted");
    assert_eq!(shipper.sync().await.expect("nothing to do"), 0);
    assert!(!setup.bucket.exists(&format!("{}/meta.json", id(1))).await.expect("asked"));
    // The list forgets blocks that are gone; what is in the bucket is not uploaded anew.
    fs::remove_dir_all(dir).expect("removed");
    setup.block(2, |_| {});
    setup.bucket.put(&format!("{}/meta.json", id(2)), "{}").await.expect("put");
    assert_eq!(shipper.sync().await.expect("nothing to do"), 0);
    assert_eq!(setup.listed(), [id(2)]);
    assert_eq!((setup.metrics.uploads.get(), setup.metrics.dir_syncs.get()), (1, 3));
}

#[tokio::test]
async fn empty_and_compacted_blocks_stay() {
    let setup = Setup::new();
    setup.block(1, |m| m.stats.num_samples = 0);
    setup.block(2, |m| m.compaction.level = 2);
    fs::create_dir(setup.dir.path().join("wal")).expect("a folder");
    assert_eq!(setup.shipper(LABELS, |_| {}).sync().await.expect("nothing to do"), 0);
    assert!(setup.listed().is_empty());
    let text = fs::read_to_string(setup.dir.path().join("thanos.shipper.json")).expect("written");
    assert!(text.contains("null"), "{text}");
    let compacted = setup.shipper(LABELS, |s| s.upload_compacted = true);
    assert_eq!(compacted.sync().await.expect("uploaded"), 1);
    assert_eq!((setup.listed(), setup.metrics.upload_compacted_done.get()), (vec![id(2)], 1));
    // The next one overlaps it; one of other labels would not matter.
    setup.block(3, |m| (m.compaction.level, m.min_time, m.max_time) = (2, 29, 40));
    let e = compacted.sync().await.expect_err("overlap");
    assert_eq!(e.kind(), ErrorKind::Conflict);
    assert_eq!(setup.metrics.upload_compacted_done.get(), 0);
    let other = setup.shipper(&[("cluster", "us")], |s| s.upload_compacted = true);
    assert_eq!(other.sync().await.expect("uploaded"), 1);
}

#[tokio::test]
async fn an_older_block_keeps_later_ones_waiting() {
    let setup = Setup::new();
    let first = setup.block(1, |_| {});
    setup.block(2, |_| {});
    fs::remove_file(first.join("index")).expect("removed");
    let e = setup.shipper(LABELS, |_| {}).sync().await.expect_err("no index");
    assert!(e.message().contains("index"), "{e}");
    assert!(setup.objects(2).await.is_empty() && setup.listed().is_empty());
    let e = setup.shipper(LABELS, |s| s.allow_out_of_order = true).sync().await.expect_err("no index");
    assert!(e.message().contains("failed to sync 1/1"), "{e}");
    assert_eq!((setup.listed(), setup.metrics.upload_failures.get()), (vec![id(2)], 2));
    // A leftover of an upload that was cut off is no obstacle, nor is what it left in the bucket.
    let left = setup.dir.path().join("thanos/upload").join(id(1).to_string()).join("chunks");
    fs::create_dir_all(&left).expect("a folder");
    fs::write(left.join("000009"), "old").expect("written");
    fs::write(first.join("index"), "index").expect("written");
    assert_eq!(setup.shipper(LABELS, |_| {}).sync().await.expect("uploaded"), 1);
    assert_eq!(setup.objects(1).await.len(), 4);
    assert_eq!(setup.listed(), [id(1), id(2)]);
}

#[tokio::test]
async fn broken_blocks_and_missing_labels_are_told() {
    let setup = Setup::new();
    setup.block(2, |_| {});
    let e = setup.shipper(&[], |_| {}).sync().await.expect_err("no labels");
    assert!(e.message().contains("empty external labels are not allowed for Thanos block."), "{e}");
    let broken = setup.block(1, |_| {});
    fs::write(broken.join(BlockMeta::FILE), "{").expect("written");
    let e = setup.shipper(LABELS, |_| {}).sync().await.expect_err("broken");
    assert!(e.message().contains(&id(1).to_string()), "{e}");
    let e = setup.shipper(LABELS, |s| s.skip_corrupted = true).sync().await.expect_err("told");
    assert!(e.message().contains("failed to sync 0/1"), "{e}");
    assert_eq!((setup.listed(), setup.metrics.corrupted_blocks.get()), (vec![id(2)], 1));
    fs::write(setup.dir.path().join("thanos.shipper.json"), "{").expect("written");
    fs::remove_dir_all(broken).expect("removed");
    assert_eq!(setup.shipper(LABELS, |_| {}).sync().await.expect("in the bucket"), 0);
    assert_eq!(setup.listed(), [id(2)]);
}
