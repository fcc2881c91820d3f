//! Type, help and unit of metrics.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::Deserialize;

use super::{PrometheusApis, warnings};
use crate::{
    apis::{MetadataAnswer, MetadataApi, MetadataRequest, MetricMetadata},
    context::Context,
    error::Result,
    store::prometheus::or_default,
};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MetaJson {
    #[serde(rename = "type", deserialize_with = "or_default")]
    kind: String,
    #[serde(deserialize_with = "or_default")]
    help: String,
    #[serde(deserialize_with = "or_default")]
    unit: String,
}

#[async_trait]
impl MetadataApi for PrometheusApis {
    async fn metadata(&self, ctx: &Context, request: MetadataRequest) -> Result<MetadataAnswer> {
        let mut params = Vec::new();
        params.extend(request.limit.map(|limit| ("limit", limit.to_string())));
        if !request.metric.is_empty() {
            params.push(("metric", request.metric));
        }
        let path = ["api", "v1", "metadata"];
        let client = self.store.client();
        let answer = client.get::<BTreeMap<String, Option<Vec<MetaJson>>>>(ctx, &path, &params).await?;
        let of = |meta: MetaJson| MetricMetadata { kind: meta.kind, help: meta.help, unit: meta.unit };
        let metrics = answer.data.into_iter().map(|(name, metas)| {
            let metas = metas.unwrap_or_default().into_iter().map(of);
            (name, metas.collect())
        });
        Ok(MetadataAnswer { metrics: metrics.collect(), warnings: warnings(answer.warnings) })
    }
}
