//! How the samples of one selector are asked for and merged.

use std::sync::{Mutex, PoisonError};

use crate::{
    dedup::{Algorithm, Counters, DedupRequest, Deduplicator},
    downsample,
    model::Interval,
    promql::Select,
    series::Aggr,
    store::{PartialResponse, ShardInfo},
};

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
    /// What a failing part does to the answer.
    pub partial_response: PartialResponse,
    /// The part of the series wanted.
    pub shard: Option<ShardInfo>,
}

impl Default for SelectOptions {
    fn default() -> Self {
        Self {
            dedup: true,
            replica_labels: Vec::new(),
            algorithm: Algorithm::Penalty,
            counters: Counters::Prometheus,
            max_resolution_ms: 0,
            partial_response: PartialResponse::Warn,
            shard: None,
        }
    }
}

/// What is decided once for a selector.
#[derive(Debug)]
pub(super) struct Selection {
    pub(super) aggregates: Vec<Aggr>,
    pub(super) max_resolution_ms: i64,
    pub(super) merge_replicas: bool,
    pub(super) algorithm: Algorithm,
    pub(super) counters: Counters,
    pub(super) function: String,
    pub(super) interval: Interval,
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
        let mut max_resolution_ms = options.max_resolution_ms;
        if hints.range_ms > 0 && NEED_TWO.contains(&hints.func.as_str()) {
            max_resolution_ms = max_resolution_ms.min(hints.range_ms / 2);
        }
        Self {
            aggregates: downsample::aggregates_for(&hints.func).to_vec(),
            max_resolution_ms,
            merge_replicas: options.dedup && !options.replica_labels.is_empty(),
            algorithm: options.algorithm,
            counters: options.counters,
            function: hints.func.clone(),
            interval: select.interval,
            idle: Mutex::default(),
        }
    }

    /// Lends a deduplicator for one series; each worker gets its own, and leaves its buffers
    /// to the next series.
    pub(super) fn deduplicate<T>(&self, work: impl FnOnce(&mut Deduplicator<'_>) -> T) -> T {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle().pop();
        let mut dedup = match kept {
            Some(kept) => kept.with_request(self.request()),
            None => Deduplicator::new(self.request()),
        };
        let out = work(&mut dedup);
        idle().push(dedup.with_request(DedupRequest { function: "", ..self.request() }));
        out
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
