//! `/api/v1/metadata`.

use std::sync::Arc;

use axum::response::Response;

use super::{Api, error::ApiError, json, params::Params};
use crate::{
    apis::{MetadataAnswer, MetadataRequest},
    context::Context,
    store::PartialResponse,
};

pub(super) async fn metadata(api: &Arc<Api>, ctx: &Context, params: &Params) -> Result<Response, ApiError> {
    let limit: i32 = match params.get("limit") {
        "" => -1,
        // Compat: the text shows the number that was not read.
        text => text.parse().map_err(|_| ApiError::bad_data("invalid metric metadata limit='0'"))?,
    };
    let partial_response = match api.settings.metadata_partial_response {
        true => PartialResponse::Warn,
        false => PartialResponse::Abort,
    };
    let request = MetadataRequest {
        metric: params.get("metric").to_owned(),
        limit: limit.try_into().ok(),
        partial_response,
    };
    let answer = match &api.served.apis.metadata {
        None => MetadataAnswer::default(),
        Some(metadata) => {
            let answer = ctx.run(metadata.metadata(ctx, request)).await;
            answer.map_err(|e| ApiError::beside_series("retrieving metadata", &e))?
        }
    };
    let mut out = String::from(r#"{"status":"success","data":{"#);
    for (i, (metric, all)) in answer.metrics.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        json::html_safe_text(&mut out, metric);
        out.push(':');
        json::items(&mut out, all.iter(), |out, one| {
            out.push_str(r#"{"type":"#);
            json::html_safe_text(out, &one.kind);
            out.push_str(r#","help":"#);
            json::html_safe_text(out, &one.help);
            out.push_str(r#","unit":"#);
            json::html_safe_text(out, &one.unit);
            out.push('}');
        });
    }
    out.push('}');
    Ok(json::finish(out, &answer.warnings))
}
