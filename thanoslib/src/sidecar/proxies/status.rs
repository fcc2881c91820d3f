//! Statistics of the head.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::Deserialize;

use super::{PrometheusApis, warnings};
use crate::{
    apis::{HeadStatistics, Statistic, TsdbStatistics, TsdbStatusAnswer, TsdbStatusApi, TsdbStatusRequest},
    context::Context,
    error::{Error, Result},
    store::prometheus::or_default,
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StatusJson {
    #[serde(deserialize_with = "or_default")]
    head_stats: HeadJson,
    #[serde(deserialize_with = "or_default")]
    series_count_by_metric_name: Vec<EntryJson>,
    #[serde(deserialize_with = "or_default")]
    label_value_count_by_label_name: Vec<EntryJson>,
    #[serde(deserialize_with = "or_default")]
    memory_in_bytes_by_label_name: Vec<EntryJson>,
    #[serde(deserialize_with = "or_default")]
    series_count_by_label_value_pair: Vec<EntryJson>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct HeadJson {
    num_series: u64,
    num_label_pairs: i64,
    chunk_count: i64,
    min_time: i64,
    max_time: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EntryJson {
    name: String,
    value: u64,
}

#[async_trait]
impl TsdbStatusApi for PrometheusApis {
    async fn tsdb_status(&self, ctx: &Context, request: TsdbStatusRequest) -> Result<TsdbStatusAnswer> {
        if !self.store.is_refreshed() {
            return Err(Error::unavailable("not ready"));
        }
        let external = self.store.external_labels();
        let matches = request.matchers.iter().all(|m| m.matches_labels(external.view()));
        // A Prometheus has the one tenant without a name.
        if !matches || !request.tenant.is_empty() {
            return Ok(TsdbStatusAnswer::default());
        }
        let limit = (request.limit > 0).then(|| ("limit", request.limit.to_string()));
        let params: Vec<_> = limit.into_iter().collect();
        let path = ["api", "v1", "status", "tsdb"];
        let answer = self.store.client().get::<StatusJson>(ctx, &path, &params).await?;
        let (status, head) = (&answer.data, &answer.data.head_stats);
        let list = |entries: &[EntryJson]| {
            entries.iter().map(|e| Statistic { name: e.name.clone(), value: e.value }).collect()
        };
        let statistics = TsdbStatistics {
            head: HeadStatistics {
                series: head.num_series,
                label_pairs: head.num_label_pairs,
                chunks: head.chunk_count,
                mint: head.min_time,
                maxt: head.max_time,
            },
            series_by_metric: list(&status.series_count_by_metric_name),
            values_by_label: list(&status.label_value_count_by_label_name),
            bytes_by_label: list(&status.memory_in_bytes_by_label_name),
            series_by_pair: list(&status.series_count_by_label_value_pair),
        };
        Ok(TsdbStatusAnswer {
            tenants: BTreeMap::from([(String::new(), statistics)]),
            warnings: warnings(answer.warnings),
        })
    }
}
