//! Statistics of heads.

use std::{collections::BTreeMap, fmt};

use async_trait::async_trait;

use crate::{
    context::Context,
    error::Result,
    model::{Matcher, Warnings},
    store::PartialResponse,
};

/// Tells what the newest data of a component consists of.
///
/// ```
/// use thanoslib::{Context, Result, apis::{TsdbStatistics, TsdbStatusAnswer, TsdbStatusApi, TsdbStatusRequest}};
/// /// Knows one thing.
/// #[derive(Debug)]
/// struct One;
///
/// #[async_trait::async_trait]
/// impl TsdbStatusApi for One {
///     async fn tsdb_status(&self, _: &Context, request: TsdbStatusRequest) -> Result<TsdbStatusAnswer> {
///         let _most = request.limit;
///         let tenants = [(String::new(), TsdbStatistics::default())].into();
///         Ok(TsdbStatusAnswer { tenants, ..TsdbStatusAnswer::default() })
///     }
/// }
/// ```
#[async_trait]
pub trait TsdbStatusApi: fmt::Debug + Send + Sync + 'static {
    /// Statistics by tenant.
    async fn tsdb_status(&self, ctx: &Context, request: TsdbStatusRequest) -> Result<TsdbStatusAnswer>;
}

/// Which statistics.
///
/// ```
/// use thanoslib::{Matcher, apis::TsdbStatusRequest};
/// let request = TsdbStatusRequest { matchers: vec![Matcher::equal("cluster", "eu1")], ..Default::default() };
/// assert_eq!(request.limit, 10);
/// ```
#[derive(Clone, Debug)]
pub struct TsdbStatusRequest {
    /// Of this tenant only; empty for all.
    pub tenant: String,
    /// Entries of each list.
    pub limit: usize,
    /// Matchers on external labels; a component that they do not match answers nothing.
    pub matchers: Vec<Matcher>,
    /// What a failing part does to the answer.
    pub partial_response: PartialResponse,
}

impl Default for TsdbStatusRequest {
    /// All tenants, ten entries.
    fn default() -> Self {
        Self {
            tenant: String::new(),
            limit: 10,
            matchers: Vec::new(),
            partial_response: PartialResponse::Warn,
        }
    }
}

/// Statistics with the known gaps.
///
/// See [`TsdbStatusApi`].
#[derive(Clone, Debug, Default)]
pub struct TsdbStatusAnswer {
    /// By tenant; a component without tenants uses the empty name.
    pub tenants: BTreeMap<String, TsdbStatistics>,
    /// Known gaps.
    pub warnings: Warnings,
}

/// What a head consists of.
///
/// ```
/// use thanoslib::apis::TsdbStatistics;
/// assert_eq!(TsdbStatistics::default().head.series, 0);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TsdbStatistics {
    /// Numbers of the whole head.
    pub head: HeadStatistics,
    /// Series by name of the metric.
    pub series_by_metric: Vec<Statistic>,
    /// Distinct values by name of the label.
    pub values_by_label: Vec<Statistic>,
    /// Bytes of values by name of the label.
    pub bytes_by_label: Vec<Statistic>,
    /// Series by label and value, written `name=value`.
    pub series_by_pair: Vec<Statistic>,
}

/// Numbers of a whole head.
///
/// See [`TsdbStatistics`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadStatistics {
    /// Series.
    pub series: u64,
    /// Distinct pairs of label and value.
    pub label_pairs: i64,
    /// Chunks.
    pub chunks: i64,
    /// Time of the oldest sample in ms.
    pub mint: i64,
    /// Time of the newest sample in ms.
    pub maxt: i64,
}

/// One entry of a list.
///
/// See [`TsdbStatistics`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistic {
    /// What is counted.
    pub name: String,
    /// How much there is.
    pub value: u64,
}
