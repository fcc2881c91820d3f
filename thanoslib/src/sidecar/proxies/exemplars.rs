//! Exemplars.

use async_trait::async_trait;
use serde::{Deserialize, Deserializer, de};

use super::{PrometheusApis, TextMap, warnings};
use crate::{
    apis::{Exemplar, ExemplarSeries, ExemplarsAnswer, ExemplarsApi, ExemplarsRequest},
    context::Context,
    error::Result,
    model::float::parse_float,
    store::prometheus::{or_default, seconds},
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SeriesJson {
    series_labels: TextMap,
    #[serde(deserialize_with = "or_default")]
    exemplars: Vec<ExemplarJson>,
}

#[derive(Debug, Deserialize)]
struct ExemplarJson {
    #[serde(default)]
    labels: TextMap,
    #[serde(deserialize_with = "value")]
    value: f64,
    /// Seconds.
    timestamp: f64,
}

fn value<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    let text = String::deserialize(d)?;
    parse_float(&text).map_err(|_| de::Error::custom(format!("{text:?} is no number")))
}

#[async_trait]
impl ExemplarsApi for PrometheusApis {
    async fn exemplars(&self, ctx: &Context, request: ExemplarsRequest) -> Result<ExemplarsAnswer> {
        let params = [
            ("end", seconds(request.interval.maxt)),
            ("query", request.query),
            ("start", seconds(request.interval.mint)),
        ];
        let path = ["api", "v1", "query_exemplars"];
        let answer = self.store.client().get::<Vec<SeriesJson>>(ctx, &path, &params).await?;
        let of = |e: ExemplarJson| Exemplar {
            labels: e.labels.labels(),
            v: e.value,
            t_ms: (e.timestamp * 1000.0).round() as i64,
        };
        let mut series: Vec<ExemplarSeries> = answer
            .data
            .into_iter()
            .map(|s| ExemplarSeries {
                labels: self.overlay(&s.series_labels),
                exemplars: s.exemplars.into_iter().map(of).collect(),
            })
            .collect();
        // External labels can change the order.
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(ExemplarsAnswer { series, warnings: warnings(answer.warnings) })
    }
}
