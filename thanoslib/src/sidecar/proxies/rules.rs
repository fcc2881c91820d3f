//! Rules and alerts.

use async_trait::async_trait;
use serde::Deserialize;

use super::{PrometheusApis, TextMap, time, warnings};
use crate::{
    apis::{
        Alert, AlertInstance, AlertState, RecordingRule, Rule, RuleGroup, RuleKind, RulesAnswer, RulesApi,
        RulesRequest,
    },
    context::Context,
    error::{Error, Result},
    model::duration::UnixTime,
    store::{PartialResponse, prometheus::or_default},
};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Discovery {
    #[serde(deserialize_with = "or_default")]
    groups: Vec<GroupJson>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct GroupJson {
    #[serde(deserialize_with = "or_default")]
    name: String,
    #[serde(deserialize_with = "or_default")]
    file: String,
    #[serde(deserialize_with = "or_default")]
    rules: Vec<RuleJson>,
    #[serde(deserialize_with = "or_default")]
    interval: f64,
    #[serde(deserialize_with = "or_default")]
    limit: i64,
    #[serde(deserialize_with = "or_default")]
    evaluation_time: f64,
    #[serde(deserialize_with = "time")]
    last_evaluation: Option<UnixTime>,
}

/// A rule of either kind; what one kind lacks is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RuleJson {
    #[serde(rename = "type", deserialize_with = "or_default")]
    kind: String,
    #[serde(deserialize_with = "or_default")]
    name: String,
    #[serde(deserialize_with = "or_default")]
    query: String,
    labels: TextMap,
    #[serde(deserialize_with = "or_default")]
    health: String,
    #[serde(deserialize_with = "or_default")]
    last_error: String,
    #[serde(deserialize_with = "or_default")]
    evaluation_time: f64,
    #[serde(deserialize_with = "time")]
    last_evaluation: Option<UnixTime>,
    #[serde(deserialize_with = "or_default")]
    state: String,
    #[serde(deserialize_with = "or_default")]
    duration: f64,
    #[serde(deserialize_with = "or_default")]
    keep_firing_for: f64,
    annotations: TextMap,
    #[serde(deserialize_with = "or_default")]
    alerts: Vec<AlertJson>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AlertJson {
    labels: TextMap,
    annotations: TextMap,
    #[serde(deserialize_with = "or_default")]
    state: String,
    #[serde(deserialize_with = "time")]
    active_at: Option<UnixTime>,
    #[serde(deserialize_with = "or_default")]
    value: String,
}

#[async_trait]
impl RulesApi for PrometheusApis {
    async fn rules(&self, ctx: &Context, request: RulesRequest) -> Result<RulesAnswer> {
        let kind = match request.kind {
            RuleKind::All => None,
            RuleKind::Alert => Some("alert"),
            RuleKind::Record => Some("record"),
        };
        let params: Vec<_> = kind.into_iter().map(|kind| ("type", kind.to_owned())).collect();
        let path = ["api", "v1", "rules"];
        let answer = self.store.client().get::<Discovery>(ctx, &path, &params).await?;
        let groups = answer.data.groups.into_iter().map(|group| self.group(group));
        Ok(RulesAnswer { groups: groups.collect::<Result<_>>()?, warnings: warnings(answer.warnings) })
    }
}

impl PrometheusApis {
    fn group(&self, group: GroupJson) -> Result<RuleGroup> {
        Ok(RuleGroup {
            name: group.name,
            file: group.file,
            rules: group.rules.into_iter().map(|rule| self.rule(rule)).collect::<Result<_>>()?,
            interval_seconds: group.interval,
            evaluation_seconds: group.evaluation_time,
            last_evaluation: group.last_evaluation,
            // Compat: a Prometheus knows no partial answers (Thanos `pkg/rules/prometheus.go`).
            partial_response: PartialResponse::Abort,
            limit: group.limit,
        })
    }

    fn rule(&self, rule: RuleJson) -> Result<Rule> {
        let labels = self.overlay(&rule.labels);
        match rule.kind.as_str() {
            "recording" => Ok(Rule::Recording(RecordingRule {
                name: rule.name,
                query: rule.query,
                labels,
                health: rule.health,
                last_error: rule.last_error,
                evaluation_seconds: rule.evaluation_time,
                last_evaluation: rule.last_evaluation,
            })),
            "alerting" => Ok(Rule::Alert(Alert {
                state: state(&rule.state),
                name: rule.name,
                query: rule.query,
                duration_seconds: rule.duration,
                keep_firing_for_seconds: rule.keep_firing_for,
                labels,
                annotations: rule.annotations.labels(),
                alerts: rule.alerts.into_iter().map(instance).collect(),
                health: rule.health,
                last_error: rule.last_error,
                evaluation_seconds: rule.evaluation_time,
                last_evaluation: rule.last_evaluation,
            })),
            other => Err(Error::internal(format!("rule {:?} is of unknown type {other:?}", rule.name))),
        }
    }
}

fn instance(alert: AlertJson) -> AlertInstance {
    AlertInstance {
        labels: alert.labels.labels(),
        annotations: alert.annotations.labels(),
        state: state(&alert.state),
        active_at: alert.active_at,
        value: alert.value,
        partial_response: PartialResponse::Warn,
    }
}

fn state(text: &str) -> AlertState {
    match text.to_ascii_lowercase().as_str() {
        "inactive" => AlertState::Inactive,
        "pending" => AlertState::Pending,
        "firing" => AlertState::Firing,
        _ => AlertState::Unknown,
    }
}
