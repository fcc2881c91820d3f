//! `/api/v1/query_explain` and `/api/v1/query_range_explain`.

use std::sync::Arc;

use axum::response::Response;

use super::{
    Api,
    error::ApiError,
    json::success,
    params::Params,
    query::{instant_query, range_query},
};
use crate::{
    context::Context,
    promql::{EngineKind, Explained},
};

/// Names the operators of an instant query.
pub(super) fn instant(api: &Arc<Api>, ctx: &Context, params: &Params) -> Result<Response, ApiError> {
    explainable(api, params)?;
    let (query, options) = instant_query(api, ctx, params)?;
    let queryable = api.queryable(Arc::clone(&api.served.store), options);
    answer(api.served.engine.explain_instant(&queryable, query))
}

/// Names the operators of a range query.
pub(super) fn range(api: &Arc<Api>, ctx: &Context, params: &Params) -> Result<Response, ApiError> {
    explainable(api, params)?;
    let (query, options) = range_query(api, ctx, params)?;
    let queryable = api.queryable(Arc::clone(&api.served.store), options);
    answer(api.served.engine.explain_range(&queryable, query))
}

fn answer(explained: crate::error::Result<Explained>) -> Result<Response, ApiError> {
    let explained = explained.map_err(|e| ApiError::bad_data(e.message()))?;
    let body = format!(r#"{{"status":"success","data":{}}}"#, explained.to_json());
    Ok(success(body, false))
}

/// Compat: one of the engines upstream explains nothing, and it is the default one.
fn explainable(api: &Api, params: &Params) -> Result<(), ApiError> {
    match params.get("engine") {
        "thanos" => Ok(()),
        "" if api.settings.engine == EngineKind::Thanos => Ok(()),
        "" | "prometheus" => Err(ApiError::bad_data("engine type must be 'thanos'")),
        other => Err(ApiError::bad_data(format!("'{other}' bad engine"))),
    }
}
