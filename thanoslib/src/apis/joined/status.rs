//! The statistics of many endpoints.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use futures::FutureExt;

use super::{ApiMembers, JoinSettings, What, gather};
use crate::{
    apis::{Statistic, TsdbStatistics, TsdbStatusAnswer, TsdbStatusApi, TsdbStatusRequest},
    context::Context,
    error::Result,
    store::may_match,
};

/// The statistics of many endpoints, added up by tenant.
///
/// See [`JoinedRules`](super::JoinedRules).
#[derive(Debug)]
pub struct JoinedStatus {
    members: Arc<dyn ApiMembers<dyn TsdbStatusApi>>,
    settings: JoinSettings,
}

impl JoinedStatus {
    /// The statistics of `members`.
    pub fn new(members: Arc<dyn ApiMembers<dyn TsdbStatusApi>>, settings: JoinSettings) -> Self {
        Self { members, settings }
    }
}

#[async_trait]
impl TsdbStatusApi for JoinedStatus {
    async fn tsdb_status(&self, ctx: &Context, request: TsdbStatusRequest) -> Result<TsdbStatusAnswer> {
        let what = What { things: "tsdb statistics", clients: "status" };
        let mut members = self.members.api_members();
        members.retain(|member| may_match(&member.label_sets, &request.matchers));
        let timeout = self.settings.response_timeout;
        let asked = request.clone();
        let (answers, warnings) =
            gather(ctx, what, members, request.partial_response, timeout, move |ctx, member| {
                let request = asked.clone();
                async move { member.api.tsdb_status(&ctx, request).await }.boxed()
            })
            .await?;
        let mut all = TsdbStatusAnswer { warnings, ..TsdbStatusAnswer::default() };
        for answer in answers {
            all.warnings.extend(answer.warnings.iter().cloned());
            for (tenant, statistics) in answer.tenants {
                all.tenants.entry(tenant).or_default().add(&statistics);
            }
        }
        Ok(all)
    }
}

impl TsdbStatistics {
    /// Adds the statistics of another head: counts add up, distinct values of a label are at
    /// least as many as in either. The lists are sorted then, greatest first.
    ///
    /// Source: Thanos `pkg/status/statuspb/custom.go`; a time of 0 or below counts as unknown.
    pub fn add(&mut self, other: &Self) {
        let head = &mut self.head;
        head.series = head.series.saturating_add(other.head.series);
        head.label_pairs = head.label_pairs.saturating_add(other.head.label_pairs);
        head.chunks = head.chunks.saturating_add(other.head.chunks);
        if head.mint <= 0 || (other.head.mint > 0 && other.head.mint < head.mint) {
            head.mint = other.head.mint;
        }
        head.maxt = head.maxt.max(other.head.maxt);
        join(&mut self.series_by_metric, &other.series_by_metric, u64::saturating_add);
        join(&mut self.values_by_label, &other.values_by_label, u64::max);
        join(&mut self.bytes_by_label, &other.bytes_by_label, u64::saturating_add);
        join(&mut self.series_by_pair, &other.series_by_pair, u64::saturating_add);
    }

    /// Cuts the lists to `limit` entries; 0 leaves them.
    pub fn cut(&mut self, limit: usize) {
        if limit > 0 {
            self.series_by_metric.truncate(limit);
            self.values_by_label.truncate(limit);
            self.bytes_by_label.truncate(limit);
            self.series_by_pair.truncate(limit);
        }
    }
}

/// Joins two lists by name; the greatest values come first, equal ones by name.
fn join(list: &mut Vec<Statistic>, other: &[Statistic], both: fn(u64, u64) -> u64) {
    let mut values: BTreeMap<String, u64> = BTreeMap::new();
    for statistic in std::mem::take(list).iter().chain(other) {
        let known = values.get(&statistic.name).map_or(statistic.value, |v| both(*v, statistic.value));
        values.insert(statistic.name.clone(), known);
    }
    list.extend(values.into_iter().map(|(name, value)| Statistic { name, value }));
    list.sort_by(|a, b| b.value.cmp(&a.value).then_with(|| a.name.cmp(&b.name)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apis::HeadStatistics;

    #[test]
    fn statistics_add_up() {
        let list = |pairs: &[(&str, u64)]| -> Vec<Statistic> {
            pairs.iter().map(|(name, value)| Statistic { name: (*name).to_owned(), value: *value }).collect()
        };
        let of = |series, mint, maxt, entries: &[(&str, u64)]| TsdbStatistics {
            head: HeadStatistics { series, mint, maxt, ..HeadStatistics::default() },
            series_by_metric: list(entries),
            values_by_label: list(entries),
            ..TsdbStatistics::default()
        };
        let mut all = TsdbStatistics::default();
        all.add(&of(2, 0, 5, &[("a", 1)]));
        all.add(&of(3, 7, 9, &[("b", 4), ("a", 2), ("c", 3)]));
        all.add(&of(1, 8, 8, &[]));
        assert_eq!((all.head.series, all.head.mint, all.head.maxt), (6, 7, 9));
        assert_eq!(all.series_by_metric, list(&[("b", 4), ("a", 3), ("c", 3)]));
        assert_eq!(all.values_by_label, list(&[("b", 4), ("c", 3), ("a", 2)]));
        all.cut(1);
        assert_eq!(all.series_by_metric, list(&[("b", 4)]));
        all.cut(0);
        assert_eq!(all.values_by_label.len(), 1);
    }
}
