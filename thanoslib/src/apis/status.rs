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

impl TsdbStatistics {
    /// The statistics of both together.
    ///
    /// Compat: counts add up, distinct values take the greater, a least time of 0 or below counts as
    /// not known (thanos `pkg/status/statuspb/custom.go`).
    #[must_use]
    pub fn joined(self, other: Self) -> Self {
        let (a, b) = (self.head, other.head);
        let mint = match (a.mint, b.mint) {
            (a, b) if a <= 0 => b,
            (a, b) if b <= 0 => a,
            (a, b) => a.min(b),
        };
        let head = HeadStatistics {
            series: a.series.saturating_add(b.series),
            label_pairs: a.label_pairs.saturating_add(b.label_pairs),
            chunks: a.chunks.saturating_add(b.chunks),
            mint,
            maxt: a.maxt.max(b.maxt),
        };
        Self {
            head,
            series_by_metric: join(self.series_by_metric, other.series_by_metric, u64::saturating_add),
            values_by_label: join(self.values_by_label, other.values_by_label, Ord::max),
            bytes_by_label: join(self.bytes_by_label, other.bytes_by_label, u64::saturating_add),
            series_by_pair: join(self.series_by_pair, other.series_by_pair, u64::saturating_add),
        }
    }
}

/// Both lists, those of one name as one, by name.
fn join(a: Vec<Statistic>, b: Vec<Statistic>, both: fn(u64, u64) -> u64) -> Vec<Statistic> {
    let mut by_name: BTreeMap<String, u64> = BTreeMap::new();
    for Statistic { name, value } in a.into_iter().chain(b) {
        by_name.entry(name).and_modify(|v| *v = both(*v, value)).or_insert(value);
    }
    by_name.into_iter().map(|(name, value)| Statistic { name, value }).collect()
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
