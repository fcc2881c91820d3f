//! Looks for blocks of a bucket that are damaged or overlap.
//!
//! Invariant: changes nothing; what cannot be repaired is refused before anything is looked at.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
    time::Duration,
};

use object_store::path::Path;

use super::ls::write_failed;
use crate::{
    block::{
        BlockFilter, BlockId, BlockMeta, MetaFetcher, ObjectReader, VerifyReport, VerifySettings,
        verify_block,
    },
    bucket::Bucket,
    context::Context,
    error::{Error, Result},
    model::TimeRange,
};

/// What to look for.
///
/// ```
/// use thanoslib::tools::Issue;
/// let issue = Issue::parse("overlapped_blocks", false)?;
/// assert_eq!(issue, Issue::OverlappedBlocks);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Issue {
    /// Indexes that are damaged or hold what compaction cannot take.
    IndexKnownIssues,
    /// Blocks of one group whose times overlap.
    OverlappedBlocks,
    /// Blocks that were compacted twice from the same sources.
    DuplicatedCompaction,
}

impl Issue {
    /// The name, as flags spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Issue::IndexKnownIssues => "index_known_issues",
            Issue::OverlappedBlocks => "overlapped_blocks",
            Issue::DuplicatedCompaction => "duplicated_compaction",
        }
    }

    /// Reads a name; when `repair` is asked for, only of an issue that has a repair.
    ///
    /// # Errors
    /// `Invalid` for other names.
    pub fn parse(name: &str, repair: bool) -> Result<Self> {
        let all = [Issue::IndexKnownIssues, Issue::OverlappedBlocks, Issue::DuplicatedCompaction];
        let found = all.into_iter().find(|i| i.as_str() == name);
        // Compat: Thanos `pkg/verifier/verify.go` has two lists of names.
        let found = found.filter(|i| !repair || *i != Issue::OverlappedBlocks);
        found.ok_or_else(|| Error::invalid(format!("no such issue ID {name}")))
    }
}

/// How a bucket is verified.
///
/// ```
/// use thanoslib::{Bucket, Context, tools::{BucketVerifySettings, verify_bucket}};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (settings, mut log) = (BucketVerifySettings::default(), Vec::new());
/// let found = verify_bucket(&Context::default(), &Bucket::memory("demo"), &settings, &mut log).await?;
/// assert_eq!((found.blocks, found.issues()), (0, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BucketVerifySettings {
    /// What to look for. Default: damaged indexes and overlaps.
    pub issues: Vec<Issue>,
    /// Only these blocks; all when empty, the default.
    pub ids: Vec<BlockId>,
    /// Whether to repair. Default: no.
    pub repair: bool,
    /// How long after marking a repaired block is deleted. Default: zero.
    pub delete_delay: Duration,
    /// How each block is verified. Default: without chunks.
    pub block: VerifySettings,
}

impl Default for BucketVerifySettings {
    fn default() -> Self {
        Self {
            issues: vec![Issue::IndexKnownIssues, Issue::OverlappedBlocks],
            ids: Vec::new(),
            repair: false,
            delete_delay: Duration::ZERO,
            block: VerifySettings { chunks: false, ..VerifySettings::default() },
        }
    }
}

/// Blocks of one group whose times overlap.
///
/// See [`BucketVerifySettings`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// Resolution and hash of the external labels.
    pub group: String,
    /// The time that they share, at least two of them at each moment.
    pub range: TimeRange,
    /// The blocks, ordered by their start.
    pub blocks: Vec<BlockId>,
}

/// What was found in a bucket.
///
/// See [`BucketVerifySettings`].
#[derive(Clone, Debug, Default)]
pub struct VerifiedBucket {
    /// Blocks looked at.
    pub blocks: usize,
    /// Blocks with damaged indexes, and what is wrong.
    pub damaged: BTreeMap<BlockId, VerifyReport>,
    /// Overlaps.
    pub overlaps: Vec<Overlap>,
    /// Blocks compacted twice: the one to keep, and the others.
    pub duplicates: Vec<(BlockId, Vec<BlockId>)>,
}

impl VerifiedBucket {
    /// How many issues there are.
    pub fn issues(&self) -> usize {
        self.damaged.len() + self.overlaps.len() + self.duplicates.len()
    }
}

/// Looks for issues in the blocks of a bucket that are not marked for deletion, and writes a line
/// about each finding to `out`.
///
/// # Errors
/// `Unsupported` for a repair; `Invalid` for ids together with issues that are about several
/// blocks; when not all blocks can be seen, or `out` fails. What is found is no error.
pub async fn verify_bucket(
    ctx: &Context,
    bucket: &Bucket,
    settings: &BucketVerifySettings,
    out: &mut (dyn io::Write + Send),
) -> Result<VerifiedBucket> {
    if let Some(issue) = settings.issues.first().filter(|_| settings.repair) {
        let issue = issue.as_str();
        return Err(Error::unsupported(format!(
            "repair of {issue} is not supported: run without --repair to see what is wrong"
        )));
    }
    if !settings.ids.is_empty()
        && let Some(issue) = settings.issues.iter().find(|i| **i != Issue::IndexKnownIssues)
    {
        return Err(Error::invalid(format!("{}: id matching is not supported", issue.as_str())));
    }
    let filter = BlockFilter { deletion_marks_delay: Some(Duration::ZERO), ..BlockFilter::default() };
    let view = MetaFetcher::new(bucket.clone(), filter).fetch(ctx).await?.complete()?;
    for warning in &view.warnings {
        tracing::warn!("{warning}");
    }
    let mut metas = view.metas;
    if !settings.ids.is_empty() {
        metas.retain(|id, _| settings.ids.contains(id));
        if let Some(id) = settings.ids.iter().find(|id| !metas.contains_key(*id)) {
            return Err(Error::not_found(format!("no block {id}, or it is marked for deletion")));
        }
    }
    let mut found = VerifiedBucket { blocks: metas.len(), ..VerifiedBucket::default() };
    let issues: BTreeSet<Issue> = settings.issues.iter().copied().collect();
    for issue in issues {
        match issue {
            Issue::IndexKnownIssues => indexes(ctx, bucket, settings, &metas, &mut found, out).await?,
            Issue::OverlappedBlocks => {
                found.overlaps = overlaps(&metas);
                for overlap in &found.overlaps {
                    let blocks: Vec<_> = overlap.blocks.iter().map(ToString::to_string).collect();
                    let (group, range) = (&overlap.group, overlap.range);
                    line(out, &format!("{} group {group} {range}: {}", issue.as_str(), blocks.join(" ")))?;
                }
            }
            Issue::DuplicatedCompaction => {
                found.duplicates = duplicates(&metas);
                for (kept, others) in &found.duplicates {
                    let others: Vec<_> = others.iter().map(ToString::to_string).collect();
                    line(out, &format!("{} {kept} again as {}", issue.as_str(), others.join(" ")))?;
                }
            }
        }
    }
    out.flush().map_err(write_failed)?;
    Ok(found)
}

fn line(out: &mut (dyn io::Write + Send), text: &str) -> Result<()> {
    writeln!(out, "{text}").map_err(write_failed)
}

async fn indexes(
    ctx: &Context,
    bucket: &Bucket,
    settings: &BucketVerifySettings,
    metas: &BTreeMap<BlockId, Arc<BlockMeta>>,
    found: &mut VerifiedBucket,
    out: &mut (dyn io::Write + Send),
) -> Result<()> {
    for id in metas.keys() {
        let reader = ObjectReader::new(Arc::clone(bucket.store()), Path::from(id.to_string()));
        let report = verify_block(ctx, &reader, &settings.block).await.map_err(|e| e.context(id))?;
        if report.is_sound() {
            continue;
        }
        for finding in &report.findings {
            line(out, &format!("{} {id} {finding}", Issue::IndexKnownIssues.as_str()))?;
        }
        for (kind, count) in &report.counts {
            let listed = report.findings.iter().filter(|f| f.kind == *kind).count() as u64;
            if *count > listed {
                let more = count - listed;
                line(out, &format!("{} {id} {kind:?}: {more} more", Issue::IndexKnownIssues.as_str()))?;
            }
        }
        for problem in report.health.problems() {
            tracing::warn!(block = %id, "detected issue: {problem}");
        }
        found.damaged.insert(*id, report);
    }
    Ok(())
}

/// The metas of each group, by start, then end, then id.
fn groups(metas: &BTreeMap<BlockId, Arc<BlockMeta>>) -> BTreeMap<String, Vec<&BlockMeta>> {
    let mut groups: BTreeMap<String, Vec<&BlockMeta>> = BTreeMap::new();
    for meta in metas.values() {
        groups.entry(meta.group_key()).or_default().push(meta);
    }
    for group in groups.values_mut() {
        group.sort_by_key(|m| (m.min_time, m.max_time, m.ulid));
    }
    groups
}

/// Runs of blocks of which each begins before the ones before it end.
fn overlaps(metas: &BTreeMap<BlockId, Arc<BlockMeta>>) -> Vec<Overlap> {
    let mut out: Vec<Overlap> = Vec::new();
    for (group, metas) in groups(metas) {
        let mut last: Option<(&BlockMeta, i64)> = None;
        let mut running = false;
        for meta in metas {
            match last {
                Some((before, end)) if meta.min_time < end => {
                    let shared_end = end.min(meta.max_time);
                    match out.last_mut().filter(|_| running) {
                        Some(overlap) => {
                            overlap.blocks.push(meta.ulid);
                            overlap.range.maxt = overlap.range.maxt.max(shared_end);
                        }
                        None => out.push(Overlap {
                            group: group.clone(),
                            range: TimeRange::new(meta.min_time, shared_end),
                            blocks: vec![before.ulid, meta.ulid],
                        }),
                    }
                    running = true;
                    if meta.max_time > end {
                        last = Some((meta, meta.max_time));
                    }
                }
                _ => {
                    running = false;
                    last = Some((meta, meta.max_time));
                }
            }
        }
    }
    out
}

/// Overlapping blocks that are equal in times, level, sources and numbers.
fn duplicates(metas: &BTreeMap<BlockId, Arc<BlockMeta>>) -> Vec<(BlockId, Vec<BlockId>)> {
    let mut out = Vec::new();
    for group in groups(metas).into_values() {
        let mut taken = BTreeSet::new();
        for (i, meta) in group.iter().enumerate() {
            if taken.contains(&meta.ulid) {
                continue;
            }
            let equal = |m: &&&BlockMeta| {
                (m.min_time, m.max_time, m.compaction.level, &m.compaction.sources, m.stats)
                    == (
                        meta.min_time,
                        meta.max_time,
                        meta.compaction.level,
                        &meta.compaction.sources,
                        meta.stats,
                    )
            };
            let others: Vec<BlockId> =
                group.get(i + 1..).unwrap_or_default().iter().filter(equal).map(|m| m.ulid).collect();
            if !others.is_empty() {
                taken.extend(others.iter().copied());
                out.push((meta.ulid, others));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{block::Compaction, error::ErrorKind};

    fn metas(blocks: &[(u128, i64, i64, &str)]) -> BTreeMap<BlockId, Arc<BlockMeta>> {
        let meta = |(n, min_time, max_time, label): &(u128, i64, i64, &str)| {
            let ulid = BlockId::from_parts(1, *n);
            let mut meta =
                BlockMeta { ulid, min_time: *min_time, max_time: *max_time, ..BlockMeta::default() };
            meta.thanos.labels.insert("l".to_owned(), (*label).to_owned());
            meta.compaction = Compaction { level: 2, sources: vec![BlockId::default()], ..meta.compaction };
            (ulid, Arc::new(meta))
        };
        blocks.iter().map(meta).collect()
    }

    #[test]
    fn overlaps_are_runs_of_a_group() {
        let check = |blocks: &[(u128, i64, i64, &str)], want: &[(&[u128], i64, i64)]| {
            let got = overlaps(&metas(blocks));
            let want: Vec<_> = want
                .iter()
                .map(|(ids, mint, maxt)| {
                    let ids: Vec<_> = ids.iter().map(|n| BlockId::from_parts(1, *n)).collect();
                    (ids, TimeRange::new(*mint, *maxt))
                })
                .collect();
            assert_eq!(got.into_iter().map(|o| (o.blocks, o.range)).collect::<Vec<_>>(), want);
        };
        check(&[(1, 0, 10, "a"), (2, 10, 20, "a"), (3, 5, 15, "b")], &[]);
        check(&[(1, 0, 10, "a"), (2, 9, 20, "a"), (3, 20, 30, "a")], &[(&[1, 2], 9, 10)]);
        check(&[(1, 0, 10, "a"), (2, 5, 20, "a"), (3, 15, 30, "a")], &[(&[1, 2, 3], 5, 20)]);
        check(&[(1, 0, 100, "a"), (2, 5, 10, "a"), (3, 50, 60, "a")], &[(&[1, 2, 3], 5, 60)]);
        check(
            &[(1, 0, 10, "a"), (2, 0, 10, "a"), (3, 20, 40, "a"), (4, 30, 35, "a")],
            &[(&[1, 2], 0, 10), (&[3, 4], 30, 35)],
        );
    }

    #[test]
    fn duplicates_are_equal_in_all_that_counts() {
        let blocks =
            metas(&[(1, 0, 10, "a"), (2, 0, 10, "a"), (3, 0, 10, "b"), (4, 0, 11, "a"), (5, 0, 10, "a")]);
        let id = |n| BlockId::from_parts(1, n);
        assert_eq!(duplicates(&blocks), [(id(1), vec![id(2), id(5)])]);
    }

    #[tokio::test]
    async fn what_cannot_be_done_is_refused() {
        let bucket = Bucket::memory("b");
        let check = async |settings: BucketVerifySettings, want: ErrorKind| {
            let e = verify_bucket(&Context::default(), &bucket, &settings, &mut io::sink()).await;
            assert_eq!(e.expect_err("refused").kind(), want);
        };
        let default = BucketVerifySettings::default;
        let ids = vec![BlockId::default()];
        check(BucketVerifySettings { repair: true, ..default() }, ErrorKind::Unsupported).await;
        check(BucketVerifySettings { ids: ids.clone(), ..default() }, ErrorKind::Invalid).await;
        let issues = vec![Issue::IndexKnownIssues];
        check(BucketVerifySettings { ids, issues, ..default() }, ErrorKind::NotFound).await;
        assert!(Issue::parse("overlapped_blocks", false).is_ok());
        assert!(Issue::parse("overlapped_blocks", true).is_err());
        let e = Issue::parse("x", false).expect_err("unknown");
        assert_eq!(e.to_string(), "no such issue ID x");
    }
}
