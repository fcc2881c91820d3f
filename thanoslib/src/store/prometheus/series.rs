//! Series calls: external labels, times, and series without samples.

use std::{collections::BTreeMap, sync::Arc};

use super::{PrometheusStore, seconds};
use crate::{
    context::Context,
    error::{Error, Result},
    model::{Interval, Labels, Matcher},
    series::BatchBuilder,
    store::{
        Frame, SeriesRequest, SeriesStream,
        conform::in_shard,
        external::{consume, overlay},
        merge,
    },
};

/// Series in a batch.
const BATCH_SERIES: usize = 256;

/// Labels of a series as the API gives them.
pub(super) type LabelMap = BTreeMap<String, String>;

impl PrometheusStore {
    pub(super) async fn answer_series(&self, ctx: &Context, request: SeriesRequest) -> Result<SeriesStream> {
        if request.projection.as_ref().is_some_and(|p| p.hash_label.is_empty()) {
            return Err(Error::invalid("a projection needs a label for the hash"));
        }
        let view = self.view();
        let Some(matchers) = consume(&view.external, &request.matchers) else {
            return Ok(merge::ready(Vec::new()));
        };
        if matchers.is_empty() {
            // Compat: words of Thanos `pkg/store/prometheus.go`.
            return Err(Error::invalid("no matchers specified (excluding external labels)"));
        }
        let interval = Interval::new(request.interval.mint.max(view.mint), request.interval.maxt);
        let request = SeriesRequest { matchers, interval, ..request };
        if request.skip_chunks {
            self.labels_only(ctx, &view.external, request).await
        } else {
            self.read(ctx, request).await
        }
    }

    /// Series without samples; replica labels of their own are removed and shards told apart, which
    /// Thanos does only where there are samples.
    async fn labels_only(
        &self,
        ctx: &Context,
        external: &Labels,
        request: SeriesRequest,
    ) -> Result<SeriesStream> {
        let shard = request.shard.filter(|s| s.total >= 1);
        // Series that become one, or fall out, must not use up the limit.
        let exact =
            shard.is_none() && request.without_replica_labels.iter().all(|n| external.get(n).is_some());
        let limit = if exact { request.limit } else { 0 };
        let found = self.series_labels(ctx, request.interval, &request.matchers, limit).await?;
        let mut lease = ctx.budget().reserve(0)?;
        let mut all: Vec<Labels> = Vec::new();
        for map in found {
            let own = Labels::from_pairs(&map);
            let labels = overlay(own.view(), external, &request.without_replica_labels);
            if shard.as_ref().is_some_and(|shard| !in_shard(shard, labels.view())) {
                continue;
            }
            let labels = request.projection.as_ref().map_or_else(|| labels.clone(), |p| p.apply(&labels));
            lease.grow((labels.as_bytes().len() + size_of::<Labels>()) as u64)?;
            all.push(labels);
        }
        all.sort_unstable();
        all.dedup();
        if request.limit > 0 {
            all.truncate(request.limit);
        }
        let lease = Arc::new(lease);
        let batches = all.chunks(BATCH_SERIES).map(|part| {
            let mut out = BatchBuilder::default();
            part.iter().for_each(|labels| out.series(labels.view()));
            Frame::Batch(out.finish().with_lease(Arc::clone(&lease)))
        });
        Ok(merge::ready(batches.collect()))
    }

    /// Labels of all series that match, without external labels; 0 is no limit.
    pub(super) async fn series_labels(
        &self,
        ctx: &Context,
        interval: Interval,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Vec<LabelMap>> {
        let mut params = range(interval);
        if limit > 0 {
            params.push(("limit", limit.to_string()));
        }
        params.push(("match[]", text(matchers)));
        params.sort_unstable();
        Ok(self.client().get::<Vec<LabelMap>>(ctx, &["api", "v1", "series"], &params).await?.data)
    }
}

/// Both ends of an interval as parameters.
pub(super) fn range(interval: Interval) -> Vec<(&'static str, String)> {
    vec![("end", seconds(interval.maxt)), ("start", seconds(interval.mint))]
}

/// Matchers as a selector in PromQL, names that are no identifiers in quotes.
pub(super) fn text(matchers: &[Matcher]) -> String {
    let all: Vec<String> = matchers.iter().map(Matcher::to_string).collect();
    format!("{{{}}}", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MatchOp;

    #[test]
    fn matchers_are_written_as_promql() {
        let check = |op, name: &str, value: &str, want: &str| {
            assert_eq!(text(&[Matcher::new(op, name, value).expect("valid")]), want);
        };
        check(MatchOp::Equal, "a", "x\"y\\z\n", r#"{a="x\"y\\z\n"}"#);
        check(MatchOp::NotRegex, "service.name", "k.*", r#"{"service.name"!~"k.*"}"#);
        check(MatchOp::Equal, "__name__", "käse", r#"{__name__="käse"}"#);
        let two = [Matcher::equal("a", "1"), Matcher::equal("b", "")];
        assert_eq!(text(&two), r#"{a="1", b=""}"#);
    }
}
