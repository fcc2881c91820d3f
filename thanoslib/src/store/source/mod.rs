//! The ways in for providers: rows in any order, or chunks, become a store.
//!
//! Invariant: what a provider gives is charged to the budget of the request before it is kept.

mod chunks;
mod rows;
mod spill;

use std::{collections::BTreeSet, fmt, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use futures::{StreamExt, stream};

pub use chunks::{ChunkRow, ChunkSink, ChunkSource, ChunkStore};
pub use rows::SampleSink;

use super::{
    Abilities, Frame, LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, SeriesRequest,
    SeriesStream, Store, StoreInfo, TsdbInfo, conform::sort_and_cut, merge,
};
use crate::{
    budget::Lease,
    context::Context,
    error::Result,
    model::{Interval, Labels, LabelsRef, Matcher},
};

/// Gives samples row by row, in any order: the least that a provider of metrics must write.
///
/// [`SourceStore`] turns it into a [`Store`]: it applies the matchers, sorts, drops repeated
/// times, encodes chunks and answers label calls.
///
/// ```
/// use thanoslib::{Result, context::Context, model::{Interval, Labels}};
/// use thanoslib::store::{SampleSink, SampleSource, Scan};
///
/// #[derive(Debug)]
/// struct Answer;
///
/// #[async_trait::async_trait]
/// impl SampleSource for Answer {
///     async fn scan(&self, _: &Context, scan: &Scan, sink: &mut SampleSink) -> Result<()> {
///         let labels = Labels::from_pairs([("__name__", "answer")]);
///         sink.sample(&labels, scan.interval.mint, 42.0)
///     }
/// }
/// ```
#[async_trait]
pub trait SampleSource: fmt::Debug + Send + Sync + 'static {
    /// Puts every sample inside the interval whose labels may match into the sink.
    ///
    /// Rows may come in any order and may match nothing; the sink sorts and filters. A
    /// source that can, uses the matchers to read less. Errors of the sink must be passed on.
    async fn scan(&self, ctx: &Context, scan: &Scan, sink: &mut SampleSink) -> Result<()>;

    /// The time there is data for, if it is known; all time by default.
    fn interval(&self) -> Interval {
        Interval::ALL
    }
}

/// What a [`SampleSource`] or a [`ChunkSource`] is asked for.
///
/// See [`SampleSource`].
#[derive(Clone, Debug)]
pub struct Scan {
    /// Wanted time, both ends inside.
    pub interval: Interval,
    /// All must match; none means all series.
    pub matchers: Vec<Matcher>,
    /// True when only labels are wanted: one sample of each series is enough.
    pub labels_only: bool,
}

/// How a [`SourceStore`] works; plain data.
///
/// See [`SourceStore`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSettings {
    /// Folder for temporary files, which hold rows that memory does not. Without one, a scan
    /// whose rows do not fit the budget of its request fails with `Limit`.
    pub spill_dir: Option<PathBuf>,
    /// Bytes of rows that one scan holds in memory at most before it uses the folder; at least
    /// [`SourceSettings::ROWS_BYTES_MIN`].
    pub rows_bytes_max: u64,
}

impl SourceSettings {
    /// The least that [`SourceSettings::rows_bytes_max`] can be.
    pub const ROWS_BYTES_MIN: u64 = 64 << 10;
}

impl Default for SourceSettings {
    /// No folder; 64 MiB of rows.
    fn default() -> Self {
        Self { spill_dir: None, rows_bytes_max: 64 << 20 }
    }
}

/// A [`Store`] over a [`SampleSource`].
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::{Context, Interval, LabelNamesRequest, Labels, Result, store::*};
///
/// #[derive(Debug)]
/// struct Answer;
///
/// #[async_trait::async_trait]
/// impl SampleSource for Answer {
///     async fn scan(&self, _: &Context, _: &Scan, sink: &mut SampleSink) -> Result<()> {
///         sink.sample(&Labels::from_pairs([("__name__", "answer")]), 60_000, 42.0)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let settings = SourceSettings { spill_dir: Some(std::env::temp_dir()), ..SourceSettings::default() };
/// let site = Labels::from_pairs([("site", "home")]);
/// let store = SourceStore::with_settings(Arc::new(Answer), site, settings);
/// let request = LabelNamesRequest::new(Interval::ALL, Vec::new());
/// assert_eq!(store.label_names(&Context::default(), request).await?.names, ["__name__", "site"]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SourceStore {
    source: Arc<dyn SampleSource>,
    external: Labels,
    settings: SourceSettings,
}

impl SourceStore {
    /// A store whose series get these external labels.
    ///
    /// The answer is a store that keeps the whole contract: external labels, replica labels,
    /// sharding and limits are done by [`Conform`](super::Conform).
    pub fn conforming(source: Arc<dyn SampleSource>, external: Labels) -> Arc<dyn Store> {
        Self::with_settings(source, external, SourceSettings::default())
    }

    /// As [`SourceStore::conforming`], with settings.
    pub fn with_settings(
        source: Arc<dyn SampleSource>,
        external: Labels,
        settings: SourceSettings,
    ) -> Arc<dyn Store> {
        let inner = Arc::new(Self { source, external: external.clone(), settings });
        Arc::new(super::Conform::new(inner, external))
    }

    async fn collect(&self, ctx: &Context, scan: Scan) -> Result<rows::Merged> {
        let mut sink = SampleSink::new(ctx, scan.clone(), self.settings.clone())?;
        ctx.run(self.source.scan(ctx, &scan, &mut sink)).await?;
        sink.finish()
    }
}

#[async_trait]
impl Store for SourceStore {
    fn info(&self) -> StoreInfo {
        info(self.source.interval(), &self.external)
    }

    async fn series(&self, ctx: &Context, request: SeriesRequest) -> Result<SeriesStream> {
        let Some(scan) = Scan::of_series(request) else { return Ok(merge::ready(Vec::new())) };
        let merged = self.collect(ctx, scan).await?;
        let batches = stream::try_unfold((merged, ctx.clone()), |(mut merged, ctx)| async move {
            ctx.check()?;
            Ok(merged.next_batch()?.map(|batch| (Frame::Batch(batch), (merged, ctx))))
        });
        Ok(batches.boxed())
    }

    async fn label_names(&self, ctx: &Context, request: LabelNamesRequest) -> Result<LabelNames> {
        label_names(self, ctx, request).await
    }

    async fn label_values(&self, ctx: &Context, request: LabelValuesRequest) -> Result<LabelValues> {
        label_values(self, ctx, request).await
    }
}

#[async_trait]
impl ScanLabels for SourceStore {
    async fn each_labels(&self, ctx: &Context, scan: Scan, each: &mut EachLabels<'_>) -> Result<()> {
        self.collect(ctx, scan).await?.each_labels(each)
    }
}

impl Scan {
    /// What a request for series scans; `None` for one without matchers, which selects nothing.
    fn of_series(request: SeriesRequest) -> Option<Self> {
        let SeriesRequest { interval, matchers, skip_chunks: labels_only, .. } = request;
        (!matchers.is_empty()).then_some(Self { interval, matchers, labels_only })
    }
}

/// Takes the labels of one series after the other.
type EachLabels<'f> = dyn FnMut(LabelsRef<'_>) -> Result<()> + Send + 'f;

/// Gives the labels of the series that a scan finds; label calls are the same over any source.
#[async_trait]
trait ScanLabels: Sync {
    async fn each_labels(&self, ctx: &Context, scan: Scan, each: &mut EachLabels<'_>) -> Result<()>;
}

async fn label_names(of: &impl ScanLabels, ctx: &Context, request: LabelNamesRequest) -> Result<LabelNames> {
    let scan = Scan { interval: request.interval, matchers: request.matchers, labels_only: true };
    let mut found = Strings::new(ctx)?;
    of.each_labels(ctx, scan, &mut |labels| labels.iter().try_for_each(|l| found.add(l.name))).await?;
    Ok(LabelNames { names: found.finish(request.limit), ..LabelNames::default() })
}

async fn label_values(
    of: &impl ScanLabels,
    ctx: &Context,
    request: LabelValuesRequest,
) -> Result<LabelValues> {
    let scan = Scan { interval: request.interval, matchers: request.matchers, labels_only: true };
    let mut found = Strings::new(ctx)?;
    let mut each = |labels: LabelsRef<'_>| labels.get(&request.label).map_or(Ok(()), |v| found.add(v));
    of.each_labels(ctx, scan, &mut each).await?;
    Ok(LabelValues { values: found.finish(request.limit).into_iter().collect(), ..LabelValues::default() })
}

/// What a store over a source says of itself: that it does nothing but answer.
fn info(interval: Interval, external: &Labels) -> StoreInfo {
    StoreInfo {
        component: "store",
        label_sets: if external.is_empty() { Vec::new() } else { vec![external.clone()] },
        interval: Some(interval),
        tsdbs: vec![TsdbInfo { labels: external.clone(), interval }],
        abilities: Abilities::default(),
        blocks_hash: None,
    }
}

/// Distinct strings of an answer, charged to the budget of its request.
struct Strings {
    lease: Lease,
    found: BTreeSet<String>,
}

impl Strings {
    fn new(ctx: &Context) -> Result<Self> {
        Ok(Self { lease: ctx.budget().reserve(0)?, found: BTreeSet::new() })
    }

    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        let text = String::from_utf8_lossy(bytes);
        if !self.found.contains(&*text) {
            self.lease.grow(text.len() as u64 + 48)?;
            self.found.insert(text.into_owned());
        }
        Ok(())
    }

    fn finish(self, limit: usize) -> Vec<String> {
        let mut list = self.found.into_iter().collect();
        sort_and_cut(&mut list, limit);
        list
    }
}
