//! `/api/v1/targets`.

use std::{fmt::Write, sync::Arc};

use axum::response::Response;

use super::{Api, error::ApiError, json, params::Params};
use crate::{
    apis::{ActiveTarget, TargetHealth, TargetState, TargetsAnswer, TargetsRequest},
    context::Context,
    store::PartialResponse,
};

pub(super) async fn targets(api: &Arc<Api>, ctx: &Context, params: &Params) -> Result<Response, ApiError> {
    let state = match params.get("state") {
        "" | "any" => TargetState::Any,
        "active" => TargetState::Active,
        "dropped" => TargetState::Dropped,
        other => return Err(ApiError::bad_data(format!("invalid targets parameter state='{other}'"))),
    };
    let partial_response = match api.settings.targets_partial_response {
        true => PartialResponse::Warn,
        false => PartialResponse::Abort,
    };
    let answer = match &api.served.apis.targets {
        None => TargetsAnswer::default(),
        Some(targets) => {
            let answer = ctx.run(targets.targets(ctx, TargetsRequest { state, partial_response })).await;
            answer.map_err(|e| ApiError::beside_series("retrieving targets", &e))?
        }
    };
    let mut out = String::from(r#"{"status":"success","data":{"activeTargets":"#);
    json::items(&mut out, answer.active.iter(), active);
    out.push_str(r#","droppedTargets":"#);
    json::items(&mut out, answer.dropped.iter(), |out, labels| {
        out.push_str(r#"{"discoveredLabels":"#);
        json::html_safe_labels(out, labels);
        out.push('}');
    });
    out.push('}');
    Ok(json::finish(out, &answer.warnings))
}

fn active(out: &mut String, target: &ActiveTarget) {
    out.push_str(r#"{"discoveredLabels":"#);
    json::html_safe_labels(out, &target.discovered_labels);
    out.push_str(r#","labels":"#);
    json::html_safe_labels(out, &target.labels);
    for (name, text) in [
        ("scrapePool", &target.scrape_pool),
        ("scrapeUrl", &target.scrape_url),
        ("globalUrl", &target.global_url),
        ("lastError", &target.last_error),
    ] {
        // Writing to a String cannot fail, here and below.
        let _ = write!(out, ",\"{name}\":");
        json::html_safe_text(out, text);
    }
    out.push_str(r#","lastScrape":"#);
    json::time(out, target.last_scrape);
    out.push_str(r#","lastScrapeDuration":"#);
    json::number(out, target.last_scrape_seconds);
    let health = match target.health {
        TargetHealth::Down => "down",
        TargetHealth::Up => "up",
        TargetHealth::Unknown => "unknown",
    };
    let _ = write!(out, r#","health":"{health}"}}"#);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Labels;

    #[test]
    fn a_target_is_rendered_in_the_order_of_upstream() {
        let target = ActiveTarget {
            labels: Labels::from_pairs([("job", "demo")]),
            scrape_pool: "demo".to_owned(),
            health: TargetHealth::Up,
            ..ActiveTarget::default()
        };
        let mut out = String::new();
        active(&mut out, &target);
        let want = r#"{"discoveredLabels":{},"labels":{"job":"demo"},"scrapePool":"demo","scrapeUrl":"","globalUrl":"","lastError":"","lastScrape":"0001-01-01T00:00:00Z","lastScrapeDuration":0,"health":"up"}"#;
        assert_eq!(out, want);
    }
}
