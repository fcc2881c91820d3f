//! Type, help and unit of metrics.

use std::{collections::BTreeMap, fmt};

use async_trait::async_trait;

use crate::{context::Context, error::Result, model::Warnings, store::PartialResponse};

/// Tells what is known of metrics.
///
/// ```
/// use thanoslib::{Context, Result, apis::{MetadataAnswer, MetadataApi, MetadataRequest, MetricMetadata}};
/// /// Knows one thing.
/// #[derive(Debug)]
/// struct One;
///
/// #[async_trait::async_trait]
/// impl MetadataApi for One {
///     async fn metadata(&self, _: &Context, request: MetadataRequest) -> Result<MetadataAnswer> {
///         let up = MetricMetadata { kind: "gauge".to_owned(), ..MetricMetadata::default() };
///         let all = [("up".to_owned(), vec![up])].into_iter();
///         let metrics = all.filter(|(name, _)| ["", name].contains(&request.metric.as_str())).collect();
///         Ok(MetadataAnswer { metrics, ..MetadataAnswer::default() })
///     }
/// }
/// ```
#[async_trait]
pub trait MetadataApi: fmt::Debug + Send + Sync + 'static {
    /// What targets said of their metrics.
    async fn metadata(&self, ctx: &Context, request: MetadataRequest) -> Result<MetadataAnswer>;
}

/// Which metrics.
///
/// ```
/// use thanoslib::apis::MetadataRequest;
/// let up = MetadataRequest { metric: "up".to_owned(), ..MetadataRequest::default() };
/// assert_eq!(up.limit, None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataRequest {
    /// This metric only; empty for all.
    pub metric: String,
    /// Most metrics wanted; `None` for all, 0 for none.
    pub limit: Option<usize>,
    /// What a failing part does to the answer.
    pub partial_response: PartialResponse,
}

/// What is known of metrics, with the known gaps.
///
/// See [`MetadataApi`].
#[derive(Clone, Debug, Default)]
pub struct MetadataAnswer {
    /// By name of the metric, each different description once.
    pub metrics: BTreeMap<String, Vec<MetricMetadata>>,
    /// Known gaps.
    pub warnings: Warnings,
}

/// What a target says of a metric.
///
/// ```
/// use thanoslib::apis::MetricMetadata;
/// let up = MetricMetadata { kind: "gauge".to_owned(), ..MetricMetadata::default() };
/// assert!(up.help.is_empty() && up.unit.is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricMetadata {
    /// Type: `counter`, `gauge`, …
    pub kind: String,
    /// Help text.
    pub help: String,
    /// Unit.
    pub unit: String,
}
