//! The easiest way in: rows in any order become a store.

use std::{collections::BTreeMap, fmt, sync::Arc};

use async_trait::async_trait;

use super::{
    Abilities, Frame, LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, SeriesRequest,
    SeriesStream, Store, StoreInfo, TsdbInfo, conform::sort_and_cut, merge,
};
use crate::{
    budget::Lease,
    chunk::{Encoding, XorAppender},
    context::Context,
    error::Result,
    model::{Interval, Labels, Matcher},
    series::{Aggr, BatchBuilder},
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

/// What a [`SampleSource`] is asked for.
#[derive(Clone, Debug)]
pub struct Scan {
    /// Wanted time, both ends inside.
    pub interval: Interval,
    /// All must match; none means all series.
    pub matchers: Vec<Matcher>,
    /// True when only labels are wanted: one sample of each series is enough.
    pub labels_only: bool,
}

/// Takes the rows of a [`SampleSource`] and charges them to the budget of the request.
#[derive(Debug)]
pub struct SampleSink {
    scan: Scan,
    lease: Lease,
    series: BTreeMap<Labels, Vec<(i64, f64)>>,
}

/// What one more series costs beside its labels and samples.
const SERIES_BYTES: u64 = 96;

impl SampleSink {
    fn new(ctx: &Context, scan: Scan) -> Result<Self> {
        Ok(Self { scan, lease: ctx.budget().reserve(0)?, series: BTreeMap::new() })
    }

    /// Takes one sample; those outside the interval or of other series are dropped.
    ///
    /// # Errors
    /// `Limit` when the budget of the request is used up.
    pub fn sample(&mut self, labels: &Labels, t_ms: i64, v: f64) -> Result<()> {
        if !self.scan.interval.contains(t_ms) {
            return Ok(());
        }
        if let Some(samples) = self.series.get_mut(labels) {
            if self.scan.labels_only {
                return Ok(());
            }
            self.lease.grow(16)?;
            samples.push((t_ms, v));
            return Ok(());
        }
        if self.scan.matchers.iter().all(|m| m.matches_labels(labels.view())) {
            self.lease.grow(SERIES_BYTES + labels.as_bytes().len() as u64 + 16)?;
            self.series.insert(labels.clone(), vec![(t_ms, v)]);
        }
        Ok(())
    }
}

/// A [`Store`] over a [`SampleSource`].
#[derive(Debug)]
pub struct SourceStore {
    source: Arc<dyn SampleSource>,
    external: Labels,
}

/// Samples in a chunk, as Prometheus cuts them.
const CHUNK_SAMPLES: usize = 120;

impl SourceStore {
    /// A store whose series get these external labels.
    ///
    /// The answer is a store that keeps the whole contract: external labels, replica labels,
    /// sharding and limits are done by [`Conform`](super::Conform).
    pub fn conforming(source: Arc<dyn SampleSource>, external: Labels) -> Arc<dyn Store> {
        let inner = Arc::new(Self { source, external: external.clone() });
        Arc::new(super::Conform::new(inner, external))
    }

    async fn collect(&self, ctx: &Context, scan: Scan) -> Result<SampleSink> {
        let mut sink = SampleSink::new(ctx, scan.clone())?;
        ctx.run(self.source.scan(ctx, &scan, &mut sink)).await?;
        Ok(sink)
    }
}

#[async_trait]
impl Store for SourceStore {
    fn info(&self) -> StoreInfo {
        let interval = self.source.interval();
        StoreInfo {
            component: "store",
            label_sets: if self.external.is_empty() { Vec::new() } else { vec![self.external.clone()] },
            interval: Some(interval),
            tsdbs: vec![TsdbInfo { labels: self.external.clone(), interval }],
            abilities: Abilities::default(),
        }
    }

    async fn series(&self, ctx: &Context, request: SeriesRequest) -> Result<SeriesStream> {
        if request.matchers.is_empty() {
            return Ok(merge::ready(Vec::new()));
        }
        let scan = Scan {
            interval: request.interval,
            matchers: request.matchers.clone(),
            labels_only: request.skip_chunks,
        };
        let SampleSink { series, lease, .. } = self.collect(ctx, scan).await?;
        let lease = Arc::new(lease);
        let mut frames = Vec::new();
        let mut out = BatchBuilder::default();
        for (labels, mut samples) in series {
            out.series(labels.view());
            if !request.skip_chunks {
                // Stable: of equal times the row that came first stays.
                samples.sort_by_key(|(t, _)| *t);
                samples.dedup_by_key(|(t, _)| *t);
                for run in samples.chunks(CHUNK_SAMPLES) {
                    append_chunk(&mut out, run)?;
                }
            }
            if out.len() >= 256 {
                ctx.check()?;
                frames.push(Frame::Batch(out.finish().with_lease(Arc::clone(&lease))));
            }
        }
        if !out.is_empty() {
            frames.push(Frame::Batch(out.finish().with_lease(lease)));
        }
        Ok(merge::ready(frames))
    }

    async fn label_names(&self, ctx: &Context, request: LabelNamesRequest) -> Result<LabelNames> {
        let scan = Scan { interval: request.interval, matchers: request.matchers, labels_only: true };
        let sink = self.collect(ctx, scan).await?;
        let labels = sink.series.keys().flat_map(Labels::iter);
        let mut names = labels.map(|l| String::from_utf8_lossy(l.name).into_owned()).collect();
        sort_and_cut(&mut names, request.limit);
        Ok(LabelNames { names, ..LabelNames::default() })
    }

    async fn label_values(&self, ctx: &Context, request: LabelValuesRequest) -> Result<LabelValues> {
        let scan = Scan { interval: request.interval, matchers: request.matchers, labels_only: true };
        let sink = self.collect(ctx, scan).await?;
        let found = sink.series.keys().filter_map(|l| l.get(&request.label));
        let mut values = found.map(|v| String::from_utf8_lossy(v).into_owned()).collect();
        sort_and_cut(&mut values, request.limit);
        Ok(LabelValues { values, ..LabelValues::default() })
    }
}

fn append_chunk(out: &mut BatchBuilder, run: &[(i64, f64)]) -> Result<()> {
    let (Some((mint, _)), Some((maxt, _))) = (run.first(), run.last()) else { return Ok(()) };
    let mut chunk = XorAppender::default();
    for (t, v) in run {
        chunk.append(*t, *v)?;
    }
    out.chunk_copied(Interval::new(*mint, *maxt), Aggr::Raw, Encoding::Xor, true, chunk.bytes());
    Ok(())
}
