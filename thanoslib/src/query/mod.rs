//! Queries over stores: what the engine selects from, with replicas merged.
//!
//! Invariant: knows stores and replicas; knows neither PromQL's operators nor HTTP.

mod broken;
mod distributed;
mod endpoints;
mod joined;
mod plain;
mod samples;
mod seams;
mod selection;
mod service;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};

pub use distributed::{Distribution, Engines, QueryEngines, RemoteEngine};
pub use endpoints::{
    Balancing, Connect, EndpointConnection, EndpointInfo, EndpointSet, EndpointSettings, EndpointSpec,
    EndpointSpecs, EndpointStatus, MethodConfig, Peer, RetryPolicy, ServiceConfig,
};
pub use selection::{ResolutionSeams, SelectOptions};
pub use service::QueryService;
#[cfg(feature = "http")]
pub(crate) use service::lookback_for;

use crate::{
    context::Context,
    error::{Error, ErrorKind, Result},
    model::{Interval, Labels, Matcher, Resolution, Warning, Warnings},
    promql::{Distributed, LogicalPlan, Queryable, Select, SelectFrame, SelectStream, SelectedSeries},
    series::SeriesBatch,
    store::{Frame, SeriesRequest, SeriesStream, Store},
};
use joined::JoinedSeries;
use samples::{Part, StoredSeries};
use selection::{Selection, reads_raw_only};

/// Remark on an answer whose counters could not be read as Prometheus has them.
const REWRITTEN: &str = "PromQL info: counters of downsampled data have their resets added up, in the whole \
                         of each series concerned";

/// What the engine selects from: a store, with the replicas of each series merged.
///
/// ```no_run
/// # async fn f(store: std::sync::Arc<dyn thanoslib::store::Store>) {
/// use thanoslib::query::{SelectOptions, StoreQueryable};
/// let options = SelectOptions { replica_labels: vec!["replica".into()], ..SelectOptions::default() };
/// let queryable = StoreQueryable::new(store, options);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StoreQueryable {
    store: Arc<dyn Store>,
    options: Arc<SelectOptions>,
    distribution: Option<Arc<Distribution>>,
}

impl StoreQueryable {
    /// Selects from `store`, which keeps the whole contract ([`Conform`](crate::store::Conform)).
    pub fn new(store: Arc<dyn Store>, options: SelectOptions) -> Self {
        Self { store, options: Arc::new(options), distribution: None }
    }

    /// Lets queriers evaluate parts of queries, where that gives the same answer.
    #[must_use]
    pub fn distributed(self, distribution: Arc<Distribution>) -> Self {
        Self { distribution: Some(distribution), ..self }
    }

    /// Label sets of the series that match and have samples in the interval.
    ///
    /// # Errors
    /// Those of the store; under `PartialResponse::Abort` also what else were a warning.
    pub async fn series(
        &self,
        ctx: &Context,
        interval: Interval,
        matchers: Vec<Matcher>,
        limit: usize,
    ) -> Result<(Vec<Labels>, Warnings)> {
        let request = SeriesRequest {
            skip_chunks: true,
            limit,
            max_resolution_ms: self.options.max_resolution_ms,
            ..self.request(SeriesRequest::new(interval, matchers))
        };
        let mut stream = self.store.series(ctx, request).await.map_err(of_series)?;
        let (mut series, mut warnings) = (Vec::new(), Warnings::default());
        let mut lease = ctx.budget().reserve(0)?;
        while let Some(frame) = stream.try_next().await.map_err(of_series)? {
            match frame {
                Frame::Batch(batch) => {
                    lease.grow(batch.size_bytes() as u64)?;
                    series.extend(batch.iter().map(|s| s.labels().to_labels()));
                }
                Frame::Warning(w) => warnings.push(w),
                Frame::Hints(_) => {}
            }
        }
        series.dedup();
        Ok((series, warnings))
    }

    /// What all requests of this queryable have in common.
    fn request(&self, request: SeriesRequest) -> SeriesRequest {
        let options = &self.options;
        SeriesRequest {
            without_replica_labels: if options.dedup { options.replica_labels.clone() } else { Vec::new() },
            shard: options.shard.clone(),
            store_matchers: options.store_matchers.clone(),
            partial_response: options.partial_response,
            ..request
        }
    }
}

#[async_trait]
impl Queryable for StoreQueryable {
    async fn select(&self, ctx: &Context, select: Select) -> Result<SelectStream> {
        let selection = Selection::new(&self.options, &select);
        let request = SeriesRequest {
            max_resolution_ms: selection.max_resolution_ms,
            aggregates: selection.aggregates.clone(),
            hints: select.hints,
            ..self.request(SeriesRequest::new(selection.reads, select.matchers))
        };
        self.grouped(ctx, request, vec![Arc::new(selection)]).await
    }

    fn joins(&self, one: &Select, other: &Select) -> bool {
        let selection = |select| Selection::new(&self.options, select);
        // What was read is told select by select.
        !self.options.fit_range && joined::joins(&selection(one), &selection(other))
    }

    async fn select_joined(&self, ctx: &Context, selects: Vec<Select>) -> Result<SelectStream> {
        let selection = |select: &Select| {
            let mut selection = Selection::new(&self.options, select);
            selection.joined = true;
            Arc::new(selection)
        };
        let selections: Vec<_> = selects.iter().map(selection).collect();
        let interval = joined::around(&selections);
        let Some(first) = selects.into_iter().next() else {
            return Ok(stream::empty().boxed());
        };
        let request = self.request(SeriesRequest::new(interval, first.matchers));
        self.grouped(ctx, request, selections).await
    }

    fn explain(&self, select: &Select) -> Option<String> {
        let selection = Selection::new(&self.options, select);
        let mut text = match selection::coarsest(selection.max_resolution_ms) {
            Resolution::Raw => "scraped samples".to_owned(),
            Resolution::FiveMinutes => "windows up to 5m".to_owned(),
            Resolution::OneHour => "windows up to 1h".to_owned(),
        };
        if !reads_raw_only(&selection) {
            let names: Vec<_> =
                selection.aggregates.iter().map(|a| format!("{a:?}").to_lowercase()).collect();
            text.push_str(&format!(" by {}", names.join(", ")));
        }
        Some(text)
    }

    fn distribute(&self, plan: &LogicalPlan) -> Option<Distributed> {
        self.distribution.as_ref()?.split(self, plan)
    }

    fn hidden_labels(&self) -> &[String] {
        if self.options.dedup { &self.options.replica_labels } else { &[] }
    }
}

impl StoreQueryable {
    /// Streams the series of a request for one or several selects.
    async fn grouped(
        &self,
        ctx: &Context,
        request: SeriesRequest,
        selections: Vec<Arc<Selection>>,
    ) -> Result<SelectStream> {
        let stream = self.store.series(ctx, request).await.map_err(of_series)?;
        let grouped = Grouping {
            stream,
            open: None,
            ready: VecDeque::new(),
            selections,
            ended: false,
            told: false,
            seen: self.options.fit_range.then(BTreeSet::new),
        };
        Ok(stream::try_unfold(grouped, |mut grouped| async move {
            Ok(grouped.next().await?.map(|frame| (frame, grouped)))
        })
        .boxed())
    }
}

/// An error of a Series call as queries show it.
fn of_series(e: Error) -> Error {
    proxied(e, "Series")
}

/// An error of a call to a store as queries show it.
///
/// Compat: the words of thanos `pkg/query/querier.go`. What the query itself ended with is not of
/// the store.
pub(crate) fn proxied(e: Error, call: &str) -> Error {
    match e.kind() {
        ErrorKind::Cancelled | ErrorKind::Timeout => e,
        _ => e.context(format_args!("proxy {call}()")),
    }
}

/// Turns batches into series whose parts may lie in several batches.
struct Grouping {
    stream: SeriesStream,
    /// The last series of the batch before, which may go on.
    open: Option<(Labels, Part, Vec<Part>)>,
    ready: VecDeque<SelectFrame>,
    /// Of each select that is answered.
    selections: Vec<Arc<Selection>>,
    ended: bool,
    /// True when the answer carries [`REWRITTEN`].
    told: bool,
    /// Resolutions of the chunks so far, where they are to be told.
    seen: Option<BTreeSet<Resolution>>,
}

impl Grouping {
    async fn next(&mut self) -> Result<Option<SelectFrame>> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Ok(Some(frame));
            }
            if self.ended {
                return Ok(None);
            }
            match self.stream.try_next().await.map_err(of_series)? {
                Some(Frame::Batch(batch)) => self.take(batch),
                Some(Frame::Warning(w)) => self.ready.push_back(SelectFrame::Warning(w)),
                Some(Frame::Hints(_)) => {}
                None => {
                    self.ended = true;
                    let last = self.open.take().map(|(labels, first, more)| self.series(labels, first, more));
                    self.ready.extend(last.map(|s| SelectFrame::Series(vec![s])));
                    if let Some(seen) = self.seen.take().filter(|seen| !seen.is_empty()) {
                        let texts = self.selections.iter().map(|s| s.resolution_text(&seen));
                        self.ready.extend(texts.map(|t| SelectFrame::Warning(Warning::new(t))));
                    }
                }
            }
        }
    }

    fn take(&mut self, batch: SeriesBatch) {
        let batch = Arc::new(batch);
        let mut done = Vec::with_capacity(batch.len());
        for (index, series) in batch.iter().enumerate() {
            let part = Part { batch: Arc::clone(&batch), index };
            match &mut self.open {
                Some((labels, _, more)) if labels.view() == series.labels() => more.push(part),
                _ => {
                    let next = (series.labels().to_labels(), part, Vec::new());
                    if let Some((labels, first, more)) = self.open.replace(next) {
                        done.push(self.series(labels, first, more));
                    }
                }
            }
        }
        if !done.is_empty() {
            self.ready.push_back(SelectFrame::Series(done));
        }
    }

    fn series(&mut self, labels: Labels, first: Part, more: Vec<Part>) -> SelectedSeries {
        let [selection] = self.selections.as_slice() else {
            // Raw data has neither resolutions to tell nor counters with resets added up.
            let data = JoinedSeries::new(&first, &more, &self.selections);
            return SelectedSeries { labels, data: Box::new(data) };
        };
        let data = StoredSeries { first, more, selection: Arc::clone(selection) };
        if let Some(seen) = &mut self.seen {
            seen.extend(data.resolutions());
        }
        if !self.told && selection.rewrites_aggregates() && data.has_counter_aggregates() {
            self.told = true;
            self.ready.push_back(SelectFrame::Warning(Warning::new(REWRITTEN)));
        }
        SelectedSeries { labels, data: Box::new(data) }
    }
}
