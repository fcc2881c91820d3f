//! PromQL at another endpoint.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::{
    context::Context,
    error::Result,
    model::{Matcher, Warning},
    promql::MatrixSeries,
    store::ShardInfo,
};

/// Evaluates PromQL.
///
/// See [`QueryService`](crate::query::QueryService).
#[async_trait]
pub trait QueryApi: fmt::Debug + Send + Sync + 'static {
    /// Streams the series of the result.
    async fn query(&self, ctx: &Context, request: RemoteQuery) -> Result<QueryStream>;
}

/// The answer of [`QueryApi::query`].
pub type QueryStream = BoxStream<'static, Result<QueryFrame>>;

/// One item of a [`QueryStream`].
///
/// See [`QueryApi`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum QueryFrame {
    /// Series of the result. A vector has one sample for each, a scalar is a series without labels.
    Series(Vec<MatrixSeries>),
    /// A remark or a known gap.
    Warning(Warning),
    /// What the query cost; comes last.
    Stats {
        /// Samples that operators looked at.
        samples_total: i64,
        /// Most samples held at a time.
        samples_peak: i64,
    },
}

/// A query for another endpoint.
///
/// ```
/// use thanoslib::apis::{QueryTime, RemoteQuery};
/// let query = RemoteQuery::new("sum(up)", QueryTime::Instant { t_ms: Some(60_000) });
/// assert!(query.dedup && query.replica_labels.is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct RemoteQuery {
    /// PromQL.
    pub text: String,
    /// The times wanted; whole seconds travel on the wire.
    pub time: QueryTime,
    /// Longest time it may take; `None` leaves it to the endpoint.
    pub timeout: Option<Duration>,
    /// Coarsest resolution allowed, in ms; 0 leaves it to the endpoint.
    pub max_resolution_ms: i64,
    /// Labels that tell replicas apart; none leaves it to the endpoint.
    pub replica_labels: Vec<String>,
    /// Matchers on the address of stores; those that match any of the lists are asked.
    pub store_matchers: Vec<Vec<Matcher>>,
    /// True: replicas are merged.
    pub dedup: bool,
    /// True: a failing store is a warning.
    pub partial_response: bool,
    /// The part of the series wanted.
    pub shard: Option<ShardInfo>,
    /// How far instant selectors look back, in ms; 0 leaves it to the endpoint.
    pub lookback_ms: i64,
    /// Engine wanted.
    pub engine: QueryEngine,
    /// The logical plan as JSON, for endpoints that prefer it to the text.
    pub plan: Option<Vec<u8>>,
    /// Series in one frame on the wire; 0 or 1 for single series.
    pub batch_series: usize,
}

impl RemoteQuery {
    /// A query as a querier asks its leaves: replicas merged, partial answers refused.
    pub fn new(text: impl Into<String>, time: QueryTime) -> Self {
        Self {
            text: text.into(),
            time,
            timeout: None,
            max_resolution_ms: 0,
            replica_labels: Vec::new(),
            store_matchers: Vec::new(),
            dedup: true,
            partial_response: false,
            shard: None,
            lookback_ms: 0,
            engine: QueryEngine::Default,
            plan: None,
            batch_series: 64,
        }
    }
}

/// Times of a [`RemoteQuery`].
///
/// ```
/// use thanoslib::apis::{QueryTime, RemoteQuery};
/// let query = RemoteQuery::new("up", QueryTime::Range { start_ms: 0, end_ms: 60_000, step_ms: 15_000 });
/// assert_eq!(query.text, "up");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryTime {
    /// One time in ms; `None` is the time of evaluation.
    Instant {
        /// The time.
        t_ms: Option<i64>,
    },
    /// Steps from start to end, both inside, in ms.
    Range {
        /// First step.
        start_ms: i64,
        /// No step is later.
        end_ms: i64,
        /// Time between steps.
        step_ms: i64,
    },
}

/// Engine that a [`RemoteQuery`] asks for.
///
/// See [`RemoteQuery`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum QueryEngine {
    /// That of the endpoint.
    #[default]
    Default,
    /// The one that behaves as Prometheus'.
    Prometheus,
    /// The one that behaves as Thanos'.
    Thanos,
}
