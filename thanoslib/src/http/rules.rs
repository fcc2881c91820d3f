//! `/api/v1/rules` and `/api/v1/alerts`.

use std::{fmt::Write, sync::Arc};

use axum::response::Response;

use super::{Api, error::ApiError, json, params::Params, query::selector};
use crate::{
    apis::{
        Alert, AlertInstance, AlertState, RecordingRule, Rule, RuleGroup, RuleKind, RulesAnswer, RulesRequest,
    },
    context::Context,
    store::PartialResponse,
};

pub(super) async fn rules(api: &Arc<Api>, ctx: &Context, params: &Params) -> Result<Response, ApiError> {
    let kind = match params.get("type") {
        "" => RuleKind::All,
        "alert" => RuleKind::Alert,
        "record" => RuleKind::Record,
        other => return Err(ApiError::bad_data(format!("invalid rules parameter type='{other}'"))),
    };
    for text in params.all("match[]") {
        // Compat: the proxy of rules finds the fault, not the API (thanos `pkg/api/query/v1.go`).
        selector(api, text).map_err(|e| {
            ApiError::internal(format!("error retrieving rules: parser ParseMetricSelector: {}", e.message()))
        })?;
    }
    let texts = |name| params.all(name).map(str::to_owned).collect();
    let request = RulesRequest {
        kind,
        partial_response: strategy(api),
        matchers: texts("match[]"),
        rule_names: texts("rule_name[]"),
        rule_groups: texts("rule_group[]"),
        files: texts("file[]"),
    };
    let answer = ask(api, ctx, request).await?;
    let mut out = String::from(r#"{"status":"success","data":{"groups":"#);
    json::items(&mut out, answer.groups.iter(), group);
    out.push('}');
    Ok(json::finish(out, &answer.warnings))
}

pub(super) async fn alerts(api: &Arc<Api>, ctx: &Context) -> Result<Response, ApiError> {
    let request =
        RulesRequest { kind: RuleKind::Alert, partial_response: strategy(api), ..RulesRequest::default() };
    let answer = ask(api, ctx, request).await?;
    let alerts: Vec<&AlertInstance> = answer
        .groups
        .iter()
        .flat_map(|g| &g.rules)
        .filter_map(|rule| match rule {
            Rule::Alert(alert) => Some(&alert.alerts),
            Rule::Recording(_) => None,
        })
        .flatten()
        .collect();
    let mut out = String::from(r#"{"status":"success","data":{"alerts":"#);
    // Compat: no alert at all is null.
    match alerts.is_empty() {
        true => out.push_str("null"),
        false => json::items(&mut out, alerts.into_iter(), instance),
    }
    out.push('}');
    Ok(json::finish(out, &answer.warnings))
}

async fn ask(api: &Api, ctx: &Context, request: RulesRequest) -> Result<RulesAnswer, ApiError> {
    let Some(rules) = &api.served.apis.rules else { return Ok(RulesAnswer::default()) };
    let answer = ctx.run(rules.rules(ctx, request)).await;
    answer.map_err(|e| ApiError::beside_series("error retrieving rules", &e))
}

fn strategy(api: &Api) -> PartialResponse {
    if api.settings.rules_partial_response { PartialResponse::Warn } else { PartialResponse::Abort }
}

fn group(out: &mut String, group: &RuleGroup) {
    out.push_str(r#"{"name":"#);
    json::html_safe_text(out, &group.name);
    out.push_str(r#","file":"#);
    json::html_safe_text(out, &group.file);
    out.push_str(r#","rules":"#);
    json::items(out, group.rules.iter(), |out, rule| match rule {
        Rule::Recording(rule) => recording(out, rule),
        Rule::Alert(rule) => alert(out, rule),
    });
    out.push_str(r#","interval":"#);
    json::number(out, group.interval_seconds);
    out.push_str(r#","evaluationTime":"#);
    json::number(out, group.evaluation_seconds);
    out.push_str(r#","lastEvaluation":"#);
    json::time(out, group.last_evaluation);
    // Writing to a String cannot fail, here and below.
    let _ = write!(
        out,
        r#","limit":{},"partialResponseStrategy":"{}"}}"#,
        group.limit,
        strategy_name(group.partial_response)
    );
}

fn recording(out: &mut String, rule: &RecordingRule) {
    out.push_str(r#"{"name":"#);
    json::html_safe_text(out, &rule.name);
    out.push_str(r#","query":"#);
    json::html_safe_text(out, &rule.query);
    out.push_str(r#","labels":"#);
    json::html_safe_labels(out, &rule.labels);
    out.push_str(r#","health":"#);
    json::html_safe_text(out, &rule.health);
    last_error(out, &rule.last_error);
    out.push_str(r#","evaluationTime":"#);
    json::number(out, rule.evaluation_seconds);
    out.push_str(r#","lastEvaluation":"#);
    json::time(out, rule.last_evaluation);
    out.push_str(r#","type":"recording"}"#);
}

fn alert(out: &mut String, rule: &Alert) {
    let _ = write!(out, r#"{{"state":"{}","name":"#, state_name(rule.state));
    json::html_safe_text(out, &rule.name);
    out.push_str(r#","query":"#);
    json::html_safe_text(out, &rule.query);
    out.push_str(r#","duration":"#);
    json::number(out, rule.duration_seconds);
    out.push_str(r#","labels":"#);
    json::html_safe_labels(out, &rule.labels);
    out.push_str(r#","annotations":"#);
    json::html_safe_labels(out, &rule.annotations);
    out.push_str(r#","alerts":"#);
    json::items(out, rule.alerts.iter(), instance);
    out.push_str(r#","health":"#);
    json::html_safe_text(out, &rule.health);
    last_error(out, &rule.last_error);
    out.push_str(r#","evaluationTime":"#);
    json::number(out, rule.evaluation_seconds);
    out.push_str(r#","lastEvaluation":"#);
    json::time(out, rule.last_evaluation);
    out.push_str(r#","keepFiringFor":"#);
    json::number(out, rule.keep_firing_for_seconds);
    out.push_str(r#","type":"alerting"}"#);
}

fn instance(out: &mut String, alert: &AlertInstance) {
    out.push_str(r#"{"labels":"#);
    json::html_safe_labels(out, &alert.labels);
    out.push_str(r#","annotations":"#);
    json::html_safe_labels(out, &alert.annotations);
    let _ = write!(out, r#","state":"{}""#, state_name(alert.state));
    if alert.active_at.is_some() {
        out.push_str(r#","activeAt":"#);
        json::time(out, alert.active_at);
    }
    out.push_str(r#","value":"#);
    json::html_safe_text(out, &alert.value);
    let _ = write!(out, r#","partialResponseStrategy":"{}"}}"#, strategy_name(alert.partial_response));
}

fn last_error(out: &mut String, error: &str) {
    if !error.is_empty() {
        out.push_str(r#","lastError":"#);
        json::html_safe_text(out, error);
    }
}

fn strategy_name(strategy: PartialResponse) -> &'static str {
    match strategy {
        PartialResponse::Warn => "WARN",
        PartialResponse::Abort => "ABORT",
    }
}

fn state_name(state: AlertState) -> &'static str {
    match state {
        AlertState::Unknown => "unknown",
        AlertState::Inactive => "inactive",
        AlertState::Pending => "pending",
        AlertState::Firing => "firing",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Labels, duration::UnixTime};

    #[test]
    fn groups_are_rendered_in_the_order_of_upstream() {
        let at = UnixTime { secs: 1_795_377_456, nanos: 290_009_159 };
        let rule = RecordingRule {
            name: "demo:one".to_owned(),
            query: "vector(1) > 0".to_owned(),
            labels: Labels::from_pairs([("cluster", "edge")]),
            health: "ok".to_owned(),
            evaluation_seconds: 0.000_037_432,
            last_evaluation: Some(at),
            ..RecordingRule::default()
        };
        let on = AlertInstance { state: AlertState::Firing, value: "1e+00".to_owned(), ..Default::default() };
        let off = Alert {
            name: "Off".to_owned(),
            state: AlertState::Firing,
            alerts: vec![on],
            last_error: "boom".to_owned(),
            ..Alert::default()
        };
        let all = RuleGroup {
            name: "g".to_owned(),
            file: "f.yml".to_owned(),
            rules: vec![Rule::Recording(rule), Rule::Alert(off)],
            interval_seconds: 7.0,
            limit: 10,
            partial_response: PartialResponse::Abort,
            ..RuleGroup::default()
        };
        let mut out = String::new();
        group(&mut out, &all);
        let want = r#"{"name":"g","file":"f.yml","rules":[{"name":"demo:one","query":"vector(1) \u003e 0","labels":{"cluster":"edge"},"health":"ok","evaluationTime":0.000037432,"lastEvaluation":"2026-11-22T19:57:36.290009159Z","type":"recording"},{"state":"firing","name":"Off","query":"","duration":0,"labels":{},"annotations":{},"alerts":[{"labels":{},"annotations":{},"state":"firing","value":"1e+00","partialResponseStrategy":"WARN"}],"health":"","lastError":"boom","evaluationTime":0,"lastEvaluation":"0001-01-01T00:00:00Z","keepFiringFor":0,"type":"alerting"}],"interval":7,"evaluationTime":0,"lastEvaluation":"0001-01-01T00:00:00Z","limit":10,"partialResponseStrategy":"ABORT"}"#;
        assert_eq!(out, want);
    }
}
