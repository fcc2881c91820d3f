//! Exemplars: samples with labels of their own, such as the id of a trace.

use std::fmt;

use async_trait::async_trait;

use crate::{
    context::Context,
    error::Result,
    model::{Interval, Labels, Warnings},
    store::PartialResponse,
};

/// Tells the exemplars of series.
///
/// See [`JoinedExemplars`](super::JoinedExemplars).
#[async_trait]
pub trait ExemplarsApi: fmt::Debug + Send + Sync + 'static {
    /// The exemplars of all series that a selector of the query selects.
    async fn exemplars(&self, ctx: &Context, request: ExemplarsRequest) -> Result<ExemplarsAnswer>;
}

/// Which exemplars.
///
/// ```
/// use thanoslib::{Interval, apis::ExemplarsRequest, store::PartialResponse};
/// let request = ExemplarsRequest {
///     query: "rate(requests_bucket[5m])".to_owned(),
///     interval: Interval::new(0, 60_000),
///     partial_response: PartialResponse::Warn,
/// };
/// assert_eq!(request.interval.maxt, 60_000);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExemplarsRequest {
    /// PromQL; what its selectors select is wanted.
    pub query: String,
    /// Requested time, both ends inside.
    pub interval: Interval,
    /// What a failing part does to the answer.
    pub partial_response: PartialResponse,
}

/// Exemplars with the known gaps.
///
/// See [`ExemplarsApi`].
#[derive(Clone, Debug, Default)]
pub struct ExemplarsAnswer {
    /// By series, in label order.
    pub series: Vec<ExemplarSeries>,
    /// Known gaps.
    pub warnings: Warnings,
}

/// The exemplars of one series.
///
/// ```
/// use thanoslib::{Labels, apis::{Exemplar, ExemplarSeries}};
/// let trace = Exemplar { labels: Labels::from_pairs([("trace_id", "a1")]), v: 0.25, t_ms: 1_000 };
/// let series = ExemplarSeries { exemplars: vec![trace], ..ExemplarSeries::default() };
/// assert_eq!(series.exemplars[0].v, 0.25);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExemplarSeries {
    /// Labels of the series.
    pub labels: Labels,
    /// In time order.
    pub exemplars: Vec<Exemplar>,
}

/// A sample with labels of its own.
///
/// See [`ExemplarSeries`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exemplar {
    /// Its own labels.
    pub labels: Labels,
    /// Value.
    pub v: f64,
    /// Time in ms.
    pub t_ms: i64,
}
