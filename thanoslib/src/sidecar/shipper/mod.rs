//! Uploads the blocks of a Prometheus, the oldest first.
//!
//! Invariant: changes nothing in the data folder but its own file and folder; a block in the bucket is whole.

mod file;
mod upload;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub use file::ShipperFile;

use super::SidecarMetrics;
use crate::{
    block::{BlockId, BlockMeta},
    bucket::Bucket,
    clock::Clock,
    error::{Error, ErrorKind, Result},
    model::Labels,
};

/// How blocks are uploaded; the defaults are those of Thanos.
///
/// See [`Settings`](super::Settings).
#[derive(Clone, Debug)]
pub struct ShipperSettings {
    /// Data folder of the Prometheus.
    pub data_dir: PathBuf,
    /// Name of the file in it that lists the uploaded blocks.
    pub meta_file: String,
    /// How often new blocks are looked for. Default: 30 s.
    pub interval: Duration,
    /// Uploads compacted blocks, too, that overlap nothing in the bucket.
    pub upload_compacted: bool,
    /// Works with a Prometheus whose compaction does not wait for the uploads.
    pub ignore_unequal_block_size: bool,
    /// A block that cannot be uploaded does not keep later ones from it, and overlaps are allowed.
    pub allow_out_of_order: bool,
    /// A block that cannot be read is passed over.
    pub skip_corrupted: bool,
    /// Notes the SHA-256 of each file.
    pub hash_sha256: bool,
    /// Chunk files of a block that go up at a time; 0 for 4.
    pub concurrency: usize,
}

impl Default for ShipperSettings {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./data"),
            meta_file: "thanos.shipper.json".to_owned(),
            interval: Duration::from_secs(30),
            upload_compacted: false,
            ignore_unequal_block_size: false,
            allow_out_of_order: false,
            skip_corrupted: false,
            hash_sha256: false,
            concurrency: 0,
        }
    }
}

/// External labels as of now.
type LabelsNow = Box<dyn Fn() -> Labels + Send + Sync>;

/// Uploads blocks of one folder into one bucket.
pub(super) struct Shipper {
    bucket: Bucket,
    settings: ShipperSettings,
    labels: LabelsNow,
    clock: Arc<dyn Clock>,
    metrics: Arc<SidecarMetrics>,
}

/// A block of the data folder.
struct LocalBlock {
    dir: PathBuf,
    meta: BlockMeta,
}

impl Shipper {
    pub(super) fn new(
        bucket: Bucket,
        settings: ShipperSettings,
        labels: LabelsNow,
        clock: Arc<dyn Clock>,
        metrics: Arc<SidecarMetrics>,
    ) -> Self {
        Self { bucket, settings, labels, clock, metrics }
    }

    /// Uploads for ever.
    pub(super) async fn run(&self) -> Result<()> {
        let wal = self.settings.data_dir.join("wal");
        if !wal.is_dir() {
            tracing::error!("no folder {}: is the data folder that of the Prometheus?", wal.display());
        }
        loop {
            match self.sync().await {
                Ok(0) => {}
                Ok(uploaded) => tracing::info!(uploaded, "blocks uploaded"),
                Err(e) => tracing::warn!("uploading blocks: {e}"),
            }
            tokio::time::sleep(self.settings.interval).await;
        }
    }

    /// Uploads what is new; gives the number of blocks uploaded.
    ///
    /// # Errors
    /// Those of the first block that could not be uploaded; with uploads out of order, how many.
    pub(super) async fn sync(&self) -> Result<usize> {
        let done = self.sync_once().await;
        self.metrics.dir_syncs.add(1);
        match &done {
            Ok(_) => self.metrics.upload_compacted_done.set(u64::from(self.settings.upload_compacted)),
            Err(_) => {
                self.metrics.dir_sync_failures.add(1);
                self.metrics.upload_compacted_done.set(0);
            }
        }
        done
    }

    async fn sync_once(&self) -> Result<usize> {
        let path = self.settings.data_dir.join(&self.settings.meta_file);
        let known = match ShipperFile::read(&path) {
            Ok(file) => file.uploaded,
            Err(e) => {
                if e.kind() != ErrorKind::NotFound {
                    tracing::warn!("the list of uploaded blocks is begun anew: {e}");
                }
                Vec::new()
            }
        };
        let known: BTreeSet<BlockId> = known.into_iter().collect();
        let mut in_bucket: Option<Vec<BlockMeta>> = None;
        let (mut uploaded, mut failed, mut done) = (0, 0, known.clone());
        let mut aborted = None;
        let (blocks, corrupted) = self.local_blocks()?;
        for block in &blocks {
            let id = block.meta.ulid;
            if known.contains(&id) {
                continue;
            }
            let compacted = block.meta.compaction.level > 1;
            if block.meta.stats.num_samples == 0 || compacted && !self.settings.upload_compacted {
                continue;
            }
            match self.one(block, compacted, &mut in_bucket).await {
                Ok(was_new) => {
                    uploaded += usize::from(was_new);
                    done.insert(id);
                }
                Err(e) => {
                    self.metrics.upload_failures.add(1);
                    let e = e.context(format!("block {id}"));
                    // Later blocks wait, so that the bucket has no gap.
                    if !self.settings.allow_out_of_order {
                        aborted = Some(e);
                        break;
                    }
                    tracing::error!("{e}");
                    failed += 1;
                }
            }
        }
        // Blocks that are gone from the folder need not be known any more.
        let kept = blocks.iter().map(|b| b.meta.ulid).filter(|id| done.contains(id));
        self.write(&path, kept.collect());
        if let Some(e) = aborted {
            return Err(e);
        }
        if failed + corrupted > 0 {
            return Err(Error::unavailable(format!("failed to sync {failed}/{} blocks", failed + corrupted)));
        }
        Ok(uploaded)
    }

    fn write(&self, path: &Path, uploaded: Vec<BlockId>) {
        if let Err(e) = (ShipperFile { uploaded }).write(path) {
            tracing::warn!("the list of uploaded blocks is not written: {e}");
        }
    }

    /// Uploads a block that is not in the bucket; true when it was not.
    async fn one(
        &self,
        block: &LocalBlock,
        compacted: bool,
        in_bucket: &mut Option<Vec<BlockMeta>>,
    ) -> Result<bool> {
        let id = block.meta.ulid;
        if self.bucket.exists(&format!("{id}/{}", BlockMeta::FILE)).await? {
            return Ok(false);
        }
        let labels = (self.labels)();
        if compacted && !self.settings.allow_out_of_order {
            let metas = match in_bucket {
                Some(metas) => metas,
                None => in_bucket.insert(self.metas_in_bucket(&labels).await?),
            };
            check_overlap(&block.meta, metas)?;
        }
        let meta = upload::upload(&self.bucket, &self.settings, block, &labels, self.clock.now_ms()).await?;
        self.metrics.uploads.add(1);
        if let Some(metas) = in_bucket {
            metas.push(meta);
        }
        Ok(true)
    }

    /// Blocks of the data folder by their begin, and how many could not be read.
    fn local_blocks(&self) -> Result<(Vec<LocalBlock>, usize)> {
        let dir = &self.settings.data_dir;
        let unreadable = |e: std::io::Error| {
            Error::unavailable(format!("cannot read {}: {e}", dir.display())).with_source(e)
        };
        let (mut blocks, mut corrupted) = (Vec::new(), 0);
        for entry in std::fs::read_dir(dir).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse::<BlockId>().ok()) else { continue };
            if !entry.path().is_dir() {
                continue;
            }
            match read_meta(&entry.path(), id) {
                Ok(meta) => blocks.push(LocalBlock { dir: entry.path(), meta }),
                Err(e) if self.settings.skip_corrupted => {
                    tracing::error!("block {id} is passed over: {e}");
                    self.metrics.corrupted_blocks.add(1);
                    corrupted += 1;
                }
                Err(e) => return Err(e.context(format!("block {id}"))),
            }
        }
        blocks.sort_by_key(|b| (b.meta.min_time, b.meta.ulid));
        Ok((blocks, corrupted))
    }

    /// Scrapes in the bucket with these labels.
    async fn metas_in_bucket(&self, labels: &Labels) -> Result<Vec<BlockMeta>> {
        let wanted = label_map(labels);
        let mut metas = Vec::new();
        for entry in self.bucket.list("").await? {
            let Ok(id) = entry.base_name().parse::<BlockId>() else { continue };
            match self.bucket.get(&format!("{id}/{}", BlockMeta::FILE)).await {
                Ok(bytes) => {
                    let meta = BlockMeta::parse(&bytes)
                        .map_err(|e| e.context(format!("block {id} in the bucket")))?;
                    if meta.thanos.labels == wanted && meta.thanos.downsample.resolution == 0 {
                        metas.push(meta);
                    }
                }
                // A block that is being uploaded or deleted.
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(metas)
    }
}

/// Fails when a block covers time that another of the same labels covers.
///
/// Compat: Thanos fails as well when two other blocks overlap, and for the downsampled twins of blocks.
fn check_overlap(meta: &BlockMeta, others: &[BlockMeta]) -> Result<()> {
    let other = others.iter().find(|o| meta.min_time < o.max_time && o.min_time < meta.max_time);
    match other {
        None => Ok(()),
        Some(other) => Err(Error::new(
            ErrorKind::Conflict,
            format!("compacted block {} overlaps block {} in the bucket", meta.range(), other),
        )),
    }
}

fn read_meta(dir: &Path, id: BlockId) -> Result<BlockMeta> {
    let path = dir.join(BlockMeta::FILE);
    let bytes = std::fs::read(&path)
        .map_err(|e| Error::corrupt(format!("cannot read {}: {e}", path.display())).with_source(e))?;
    let meta = BlockMeta::parse(&bytes)?;
    if meta.ulid != id {
        return Err(Error::corrupt(format!("{} is of block {}", path.display(), meta.ulid)));
    }
    Ok(meta)
}

fn label_map(labels: &Labels) -> std::collections::BTreeMap<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    labels.iter().map(|l| (text(l.name), text(l.value))).collect()
}

#[cfg(test)]
mod tests;
