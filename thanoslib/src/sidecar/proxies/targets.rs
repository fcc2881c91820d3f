//! Scrape targets.

use async_trait::async_trait;
use serde::Deserialize;

use super::{PrometheusApis, TextMap, time, warnings};
use crate::{
    apis::{ActiveTarget, TargetHealth, TargetState, TargetsAnswer, TargetsApi, TargetsRequest},
    context::Context,
    error::Result,
    model::duration::UnixTime,
    store::prometheus::or_default,
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Discovery {
    #[serde(deserialize_with = "or_default")]
    active_targets: Vec<ActiveJson>,
    #[serde(deserialize_with = "or_default")]
    dropped_targets: Vec<DroppedJson>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ActiveJson {
    discovered_labels: TextMap,
    labels: TextMap,
    #[serde(deserialize_with = "or_default")]
    scrape_pool: String,
    #[serde(deserialize_with = "or_default")]
    scrape_url: String,
    #[serde(deserialize_with = "or_default")]
    global_url: String,
    #[serde(deserialize_with = "or_default")]
    last_error: String,
    #[serde(deserialize_with = "time")]
    last_scrape: Option<UnixTime>,
    #[serde(deserialize_with = "or_default")]
    last_scrape_duration: f64,
    #[serde(deserialize_with = "or_default")]
    health: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct DroppedJson {
    discovered_labels: TextMap,
}

#[async_trait]
impl TargetsApi for PrometheusApis {
    async fn targets(&self, ctx: &Context, request: TargetsRequest) -> Result<TargetsAnswer> {
        let state = match request.state {
            TargetState::Any => None,
            TargetState::Active => Some("active"),
            TargetState::Dropped => Some("dropped"),
        };
        let params: Vec<_> = state.into_iter().map(|state| ("state", state.to_owned())).collect();
        let path = ["api", "v1", "targets"];
        let answer = self.store.client().get::<Discovery>(ctx, &path, &params).await?;
        let found = answer.data;
        Ok(TargetsAnswer {
            active: found.active_targets.into_iter().map(|target| self.active(target)).collect(),
            dropped: found.dropped_targets.iter().map(|t| self.overlay(&t.discovered_labels)).collect(),
            warnings: warnings(answer.warnings),
        })
    }
}

impl PrometheusApis {
    fn active(&self, target: ActiveJson) -> ActiveTarget {
        let health = match target.health.to_ascii_lowercase().as_str() {
            "up" => TargetHealth::Up,
            "down" => TargetHealth::Down,
            _ => TargetHealth::Unknown,
        };
        ActiveTarget {
            discovered_labels: self.overlay(&target.discovered_labels),
            labels: self.overlay(&target.labels),
            scrape_pool: target.scrape_pool,
            scrape_url: target.scrape_url,
            global_url: target.global_url,
            last_error: target.last_error,
            last_scrape: target.last_scrape,
            last_scrape_seconds: target.last_scrape_duration,
            health,
        }
    }
}
