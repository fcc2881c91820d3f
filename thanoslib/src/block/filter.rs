//! Which blocks of a bucket count.
//!
//! The filters run in Thanos' order: time, labels, consistency delay, deletion marks, duplicates.
//!
//! Source: Thanos `pkg/block/fetcher.go`.
//!
//! Invariant: moves blocks from a view's `metas` to its `excluded`, nothing else is lost.

use std::{collections::BTreeMap, collections::BTreeSet, sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};

use super::{
    BlockId, BlockMeta, DeletionMark, Mark,
    view::{Excluded, View},
};
use crate::{
    bucket::Bucket,
    error::{ErrorKind, Result},
    model::{Interval, Labels, LabelsBuilder, TimeWindow, Warning, relabel::Relabel},
};

/// Longest deletion mark that is read.
const MARK_BYTES_MAX: u64 = 1 << 20;
/// Blocks of these sources are whole when they appear.
const PROMPT_SOURCES: [&str; 3] = ["compactor", "compactor.repair", "bucket.repair"];

/// Which blocks count; the default lets every complete block through.
///
/// ```
/// use thanoslib::{Bucket, BucketSource, Interval, block::BlockFilter};
/// let filter = BlockFilter { window: Interval::new(0, 86_400_000).into(), ..BlockFilter::gateway() };
/// let first_day = BucketSource::with_filter(Bucket::memory("demo"), filter);
/// # assert!(format!("{first_day:?}").contains("demo"));
/// ```
#[derive(Clone, Debug)]
pub struct BlockFilter {
    /// Only blocks that touch this time. Default: all.
    pub window: TimeWindow,
    /// Only blocks that this keeps, by their external labels and `__block_id`. Default: all.
    pub selector: Option<Arc<Relabel>>,
    /// Only blocks at least this old, unless the compactor made them. Default: zero.
    pub consistency_delay: Duration,
    /// Only blocks that are not marked for deletion, or marked no longer than this ago.
    /// `None`, the default, reads no marks.
    pub deletion_marks_delay: Option<Duration>,
    /// No block whose sources are all part of another. Default: off.
    pub deduplicate: bool,
}

impl Default for BlockFilter {
    fn default() -> Self {
        Self {
            window: TimeWindow::default(),
            selector: None,
            consistency_delay: Duration::ZERO,
            deletion_marks_delay: None,
            deduplicate: false,
        }
    }
}

impl BlockFilter {
    /// What a store gateway shows by default: blocks that were not marked for deletion more
    /// than a day ago, without duplicates.
    pub fn gateway() -> Self {
        Self {
            deletion_marks_delay: Some(Duration::from_secs(24 * 3600)),
            deduplicate: true,
            ..Self::default()
        }
    }

    /// Sorts out the view's metas. Marks are looked for at the blocks of `marked`, if it is
    /// known which have some.
    pub(super) async fn apply(
        &self,
        bucket: &Bucket,
        now_ms: i64,
        concurrency: usize,
        marked: Option<&BTreeSet<BlockId>>,
        view: &mut View,
    ) -> Result<()> {
        let wanted = self.window.at(now_ms);
        exclude(view, Excluded::Time, |_, meta| !touches(meta, wanted));
        if let Some(selector) = &self.selector {
            exclude(view, Excluded::Labels, |id, meta| !keeps(selector, id, meta));
        }
        exclude(view, Excluded::TooFresh, |id, meta| self.too_fresh(id, meta, now_ms));
        if let Some(delay) = self.deletion_marks_delay {
            read_marks(bucket, concurrency, marked, view).await?;
            let delay_ms = millis(delay);
            let due: BTreeSet<BlockId> = view
                .marked
                .iter()
                .filter(|(_, mark)| now_ms.saturating_sub(mark.deletion_time.saturating_mul(1000)) > delay_ms)
                .map(|(id, _)| *id)
                .collect();
            exclude(view, Excluded::MarkedForDeletion, |id, _| due.contains(&id));
        }
        if self.deduplicate {
            let duplicates = duplicates(&view.metas);
            exclude(view, Excluded::Duplicate, |id, _| duplicates.contains(&id));
        }
        Ok(())
    }

    fn too_fresh(&self, id: BlockId, meta: &BlockMeta, now_ms: i64) -> bool {
        let made_ms = meta
            .thanos
            .upload_time
            .unix_ms()
            .unwrap_or_else(|| i64::try_from(id.time_ms()).expect("an id has 48 bits of milliseconds"));
        let delay_ms = millis(self.consistency_delay);
        delay_ms > 0
            && now_ms.saturating_sub(made_ms) < delay_ms
            && !PROMPT_SOURCES.contains(&meta.thanos.source.as_str())
    }
}

/// Compat: a block that ends where the time begins counts as touching it.
fn touches(meta: &BlockMeta, wanted: Interval) -> bool {
    meta.max_time >= wanted.mint && meta.min_time <= wanted.maxt
}

/// Compat: a block that is left without any label is left out, too.
fn keeps(selector: &Relabel, id: BlockId, meta: &BlockMeta) -> bool {
    let labels = labels_with_id(&Labels::from_pairs(&meta.thanos.labels), id);
    selector.apply(labels.view()).is_some_and(|labels| !labels.is_empty())
}

/// External labels of a block, and `__block_id`, by which blocks are chosen.
pub(crate) fn labels_with_id(external: &Labels, id: BlockId) -> Labels {
    LabelsBuilder::from_labels(external.view()).set("__block_id", id.to_string()).labels()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn exclude(view: &mut View, why: Excluded, leave_out: impl Fn(BlockId, &BlockMeta) -> bool) {
    let excluded = &mut view.excluded;
    view.metas.retain(|id, meta| {
        let out = leave_out(*id, meta);
        if out {
            excluded.insert(*id, why);
        }
        !out
    });
}

/// Reads the deletion marks of the blocks that are left; an unreadable text is no mark.
async fn read_marks(
    bucket: &Bucket,
    concurrency: usize,
    marked: Option<&BTreeSet<BlockId>>,
    view: &mut View,
) -> Result<()> {
    let may_be_marked = |id: &BlockId| marked.is_none_or(|m| m.contains(id));
    let ids: Vec<BlockId> = view.metas.keys().copied().filter(may_be_marked).collect();
    let read: Vec<(BlockId, Result<Option<DeletionMark>>)> = stream::iter(ids)
        .map(|id| async move {
            let name = format!("{id}/{}", DeletionMark::FILE);
            match bucket.get_at_most(&name, MARK_BYTES_MAX).await {
                Ok(bytes) => match DeletionMark::parse(&bytes) {
                    Ok(mark) => Ok((id, Ok(Some(mark)))),
                    Err(e) if e.kind() == ErrorKind::Corrupt => Ok((id, Err(e.context(name)))),
                    Err(e) => Err(e.context(name)),
                },
                Err(e) if e.kind() == ErrorKind::NotFound => Ok((id, Ok(None))),
                Err(e) => Err(e),
            }
        })
        .buffer_unordered(concurrency)
        .try_collect()
        .await?;
    for (id, mark) in read {
        match mark {
            Ok(Some(mark)) => drop(view.marked.insert(id, mark)),
            Ok(None) => {}
            Err(e) => view.warnings.push(Warning::new(format!("mark ignored: {e}")).origin(id.to_string())),
        }
    }
    Ok(())
}

/// Blocks that an other of their group, with as many sources or more, contains.
fn duplicates(metas: &BTreeMap<BlockId, Arc<BlockMeta>>) -> BTreeSet<BlockId> {
    let mut groups: BTreeMap<String, Vec<(BlockId, BTreeSet<BlockId>)>> = BTreeMap::new();
    for (id, meta) in metas {
        // A block that names no sources is its own: nothing else holds its samples.
        let sources = match meta.compaction.sources.as_slice() {
            [] => BTreeSet::from([*id]),
            sources => sources.iter().copied().collect(),
        };
        groups.entry(meta.group_key()).or_default().push((*id, sources));
    }
    let mut out = BTreeSet::new();
    for mut group in groups.into_values() {
        group.sort_by(|(a_id, a), (b_id, b)| b.len().cmp(&a.len()).then(a_id.cmp(b_id)));
        let mut holders: BTreeMap<BlockId, Vec<usize>> = BTreeMap::new();
        for (i, (id, sources)) in group.iter().enumerate() {
            let first = sources.first().and_then(|first| holders.get(first));
            if first.is_some_and(|kept| kept.iter().any(|k| sources.is_subset(&group[*k].1))) {
                out.insert(*id);
                continue;
            }
            for source in sources {
                holders.entry(*source).or_default().push(i);
            }
        }
    }
    out
}
