//! How the samples of one selector are asked for and merged.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::seams::Reading;
use crate::{
    dedup::{Algorithm, Counters, DedupRequest, Deduplicator, SeriesChunk},
    downsample,
    error::Result,
    model::{Interval, Matcher, Resolution},
    promql::Select,
    series::{Aggr, SampleColumns},
    store::{PartialResponse, ShardInfo},
};

/// What a window of a query sees where data of several resolutions meet.
///
/// See [`SelectOptions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ResolutionSeams {
    /// Replicas are merged resolution by resolution, scraped samples win over downsampled ones,
    /// counters are carried over and extrapolated by the resolution in use, and
    /// `count_over_time` counts scrapes.
    #[default]
    Right,
    /// The samples of all resolutions in one row, as Thanos has them.
    Thanos,
}

/// How a query selects; plain data.
///
/// See [`StoreQueryable`](super::StoreQueryable).
#[derive(Clone, Debug, PartialEq)]
pub struct SelectOptions {
    /// True: series that differ only in replica labels are merged.
    pub dedup: bool,
    /// Labels that tell the replicas of an HA pair apart.
    pub replica_labels: Vec<String>,
    /// How replicas are merged.
    pub algorithm: Algorithm,
    /// What counter functions see of merged replicas.
    pub counters: Counters,
    /// Coarsest resolution allowed, in ms; 0 allows raw data only.
    pub max_resolution_ms: i64,
    /// What windows see where resolutions meet.
    pub seams: ResolutionSeams,
    /// True: no resolution is so coarse that a range holds fewer samples than its function
    /// needs, whichever function it is; the resolution that was allowed is told.
    pub fit_range: bool,
    /// What a failing part does to the answer.
    pub partial_response: PartialResponse,
    /// The part of the series wanted.
    pub shard: Option<ShardInfo>,
    /// Matchers on the `__address__` of stores behind a proxy; see
    /// [`SeriesRequest::store_matchers`](crate::store::SeriesRequest::store_matchers).
    pub store_matchers: Vec<Vec<Matcher>>,
}

impl Default for SelectOptions {
    fn default() -> Self {
        Self {
            dedup: true,
            replica_labels: Vec::new(),
            algorithm: Algorithm::Penalty,
            counters: Counters::Prometheus,
            max_resolution_ms: 0,
            seams: ResolutionSeams::Right,
            fit_range: false,
            partial_response: PartialResponse::Warn,
            shard: None,
            store_matchers: Vec::new(),
        }
    }
}

/// What is decided once for a selector.
#[derive(Debug)]
pub(super) struct Selection {
    pub(super) aggregates: Vec<Aggr>,
    pub(super) max_resolution_ms: i64,
    pub(super) seams: ResolutionSeams,
    /// What is read of downsampled data.
    pub(super) reading: Reading,
    /// True when the function sees windows of samples.
    pub(super) ranged: bool,
    pub(super) merge_replicas: bool,
    pub(super) algorithm: Algorithm,
    pub(super) counters: Counters,
    pub(super) function: String,
    pub(super) interval: Interval,
    /// The interval with what lies just outside of downsampled data.
    pub(super) wide: Interval,
    /// The time that is read: what decides how replicas are merged may lie outside of both.
    pub(super) reads: Interval,
    /// True when the chunks at hand were read for other times, too.
    pub(super) joined: bool,
    /// What chunks that do not decode do to the answer.
    pub(super) partial_response: PartialResponse,
    told: Mutex<BTreeSet<Option<Arc<str>>>>,
    /// Deduplicators that no worker uses now, with their buffers.
    idle: Mutex<Vec<Deduplicator<'static>>>,
}

/// Functions that need two samples in their window.
///
/// Compat: the list of thanos `pkg/query/querier.go`; xrate and its kin are not in it.
const NEED_TWO: [&str; 9] = [
    "rate",
    "irate",
    "increase",
    "delta",
    "idelta",
    "deriv",
    "predict_linear",
    "holt_winters",
    "double_exponential_smoothing",
];

impl Selection {
    pub(super) fn new(options: &SelectOptions, select: &Select) -> Self {
        let hints = &select.hints;
        let ranged = hints.range_ms > 0;
        let mut function = hints.func.as_str();
        let mut max_resolution_ms = options.max_resolution_ms;
        if ranged && NEED_TWO.contains(&function) {
            max_resolution_ms = max_resolution_ms.min(hints.range_ms / 2);
        } else if ranged && options.fit_range {
            let needed = if function.starts_with('x') { 2 } else { 1 };
            max_resolution_ms = max_resolution_ms.min(hints.range_ms / needed);
        }
        let merge_replicas = options.dedup && !options.replica_labels.is_empty();
        let mut wide = select.interval;
        if options.seams == ResolutionSeams::Right {
            if function == "count_values" {
                // Its name begins like that of a function that counts scrapes; it counts values.
                function = "";
            }
            if ranged && Reading::of(function, ranged).looks_outside() {
                let by = coarsest(max_resolution_ms).window_ms();
                wide = Interval::new(wide.mint.saturating_sub(by), wide.maxt.saturating_add(by));
            }
        }
        Self {
            aggregates: downsample::aggregates_for(function).to_vec(),
            max_resolution_ms,
            seams: options.seams,
            reading: Reading::of(function, ranged),
            ranged,
            merge_replicas,
            algorithm: options.algorithm,
            counters: options.counters,
            function: function.to_owned(),
            interval: select.interval,
            wide,
            reads: if merge_replicas { options.algorithm.reads(wide) } else { wide },
            joined: false,
            partial_response: options.partial_response,
            told: Mutex::default(),
            idle: Mutex::default(),
        }
    }

    /// The stores of chunks that do not decode, as far as they were told.
    pub(super) fn told(&self) -> MutexGuard<'_, BTreeSet<Option<Arc<str>>>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The remark on the resolutions that an answer was made of.
    pub(super) fn resolution_text(&self, seen: &BTreeSet<Resolution>) -> String {
        let name = |r: &Resolution| match r {
            Resolution::Raw => "scraped samples",
            Resolution::FiveMinutes => "windows of 5m",
            Resolution::OneHour => "windows of 1h",
        };
        let names: Vec<_> = seen.iter().map(name).collect();
        let function = if self.function.is_empty() { "a selector" } else { self.function.as_str() };
        format!("PromQL info: {function} reads {}", names.join(", "))
    }

    /// Lends a deduplicator for one series; each worker gets its own, and leaves its buffers
    /// to the next series.
    fn deduplicate<'s, T>(
        &'s self,
        request: DedupRequest<'s>,
        work: impl FnOnce(&mut Deduplicator<'_>) -> T,
    ) -> T {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle().pop();
        let mut dedup = match kept {
            Some(kept) => kept.with_request(request),
            None => Deduplicator::new(request),
        };
        let out = work(&mut dedup);
        idle().push(dedup.with_request(DedupRequest { function: "", ..self.request() }));
        out
    }

    /// Appends the samples of chunks, replicas merged if they are to be.
    pub(super) fn merge<'s>(
        &'s self,
        chunks: &[SeriesChunk<'_>],
        request: DedupRequest<'s>,
        out: &mut SampleColumns,
    ) -> Result<()> {
        self.deduplicate(request, |dedup| {
            if self.merge_replicas {
                dedup.dedup(&[chunks], out)?;
            } else {
                dedup.concat(chunks, out)?;
            }
            Ok(())
        })
    }

    /// What the deduplicator is asked for.
    pub(super) fn request(&self) -> DedupRequest<'_> {
        DedupRequest {
            algorithm: self.algorithm,
            counters: self.counters,
            function: &self.function,
            interval: self.interval,
        }
    }

    /// True when resets of raw counters are added up, too.
    pub(super) fn adds_up_resets(&self) -> bool {
        self.counters == Counters::Thanos && self.aggregates == [Aggr::Counter]
    }

    /// True when counters of downsampled data are read as Thanos reads them although they
    /// should be as Prometheus has them: there is no other way to read these.
    pub(super) fn rewrites_aggregates(&self) -> bool {
        self.counters == Counters::Prometheus && self.aggregates == [Aggr::Counter]
    }
}

/// True when no data is coarse enough for another resolution than that of scrapes.
pub(super) fn reads_raw_only(selection: &Selection) -> bool {
    coarsest(selection.max_resolution_ms) == Resolution::Raw
}

/// The coarsest resolution allowed.
pub(super) fn coarsest(max_resolution_ms: i64) -> Resolution {
    let allowed = |r: &&Resolution| r.window_ms() <= max_resolution_ms;
    Resolution::ALL.iter().rev().find(allowed).copied().unwrap_or(Resolution::Raw)
}
