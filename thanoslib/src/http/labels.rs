//! `/api/v1/labels`, `/api/v1/label/…/values`, `/api/v1/series`.

use std::{collections::BTreeSet, sync::Arc};

use axum::response::Response;
use futures::TryFutureExt;

use super::{
    Api,
    error::ApiError,
    json,
    params::{Params, unescape},
    query::{partial_response, select_options, selector, store_matchers, time},
};
use crate::{
    context::Context,
    error::{Error, Result as StoreResult},
    model::{Interval, Labels, Matcher, Strings, Warning, Warnings, float::Quoted},
    query::{StoreQueryable, proxied},
    store::{LabelNamesRequest, LabelValuesRequest, PartialResponse, union},
};

const TRUNCATED: &str = "results truncated due to limit";

pub(super) async fn names(api: &Arc<Api>, ctx: &Context, params: &Params) -> Result<Response, ApiError> {
    let request = LabelCall::read(api, ctx, params, false)?;
    let (mut names, mut warnings) = (BTreeSet::new(), Warnings::default());
    for matchers in request.sets() {
        let one = LabelNamesRequest {
            limit: request.fetch_limit(),
            partial_response: request.partial_response,
            store_matchers: request.store_matchers.clone(),
            ..LabelNamesRequest::new(request.interval, matchers)
        };
        let answer =
            run(ctx, api.served.store.label_names(ctx, one).map_err(|e| proxied(e, "LabelNames"))).await?;
        names.extend(answer.names);
        warnings.extend(answer.warnings.iter().cloned());
    }
    Ok(list(names.iter().collect(), warnings, request.limit))
}

pub(super) async fn values(
    api: &Arc<Api>,
    ctx: &Context,
    name: &str,
    params: &Params,
) -> Result<Response, ApiError> {
    let raw = unescape(name.as_bytes(), false).unwrap_or_else(|| name.as_bytes().to_vec());
    let name = match String::from_utf8(raw) {
        Ok(name) if !name.is_empty() => name,
        other => {
            let raw = other.map_or_else(|e| e.into_bytes(), String::into_bytes);
            return Err(ApiError::bad_data(format!("invalid label name: {}", Quoted(&raw))));
        }
    };
    let request = LabelCall::read(api, ctx, params, false)?;
    let (mut found, mut warnings) = (Vec::new(), Warnings::default());
    for matchers in request.sets() {
        let one = LabelValuesRequest {
            limit: request.fetch_limit(),
            partial_response: request.partial_response,
            store_matchers: request.store_matchers.clone(),
            ..LabelValuesRequest::new(name.clone(), request.interval, matchers)
        };
        let answer =
            run(ctx, api.served.store.label_values(ctx, one).map_err(|e| proxied(e, "LabelValues"))).await?;
        found.push(answer.values);
        warnings.extend(answer.warnings.iter().cloned());
    }
    Ok(list(union(found), warnings, request.limit))
}

pub(super) async fn series(api: &Arc<Api>, ctx: &Context, params: &Params) -> Result<Response, ApiError> {
    let request = LabelCall::read(api, ctx, params, true)?;
    if request.matcher_sets.is_empty() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    // Compat: a selector without matchers is refused (thanos `pkg/store/proxy.go`).
    if request.matcher_sets.iter().any(Vec::is_empty) {
        let e = Error::invalid(
            "proxy Series(): rpc error: code = InvalidArgument desc = no matchers specified (excluding \
             selector labels)",
        );
        return Err(ApiError::execution(&e));
    }
    let mut options = select_options(api, params, 0)?;
    options.max_resolution_ms = i64::MAX;
    let queryable = StoreQueryable::new(Arc::clone(&api.served.store), options);
    let (mut found, mut warnings) = (BTreeSet::<Labels>::new(), Warnings::default());
    for matchers in request.sets() {
        let answer =
            run(ctx, queryable.series(ctx, request.interval, matchers, request.fetch_limit())).await?;
        found.extend(answer.0);
        warnings.extend(answer.1.iter().cloned());
    }
    let cut = request.limit > 0 && found.len() > request.limit;
    if cut {
        warnings.push(Warning::new(TRUNCATED));
    }
    let kept = if cut { request.limit } else { found.len() };
    let mut out = String::from(r#"{"status":"success","data":"#);
    json::items(&mut out, found.iter().take(kept), json::labels);
    Ok(json::finish(out, &warnings))
}

async fn run<T>(ctx: &Context, call: impl Future<Output = StoreResult<T>> + Send) -> Result<T, ApiError> {
    ctx.run(call).await.map_err(|e| ApiError::execution(&e))
}

/// Parameters that all label calls share.
struct LabelCall {
    interval: Interval,
    matcher_sets: Vec<Vec<Matcher>>,
    limit: usize,
    partial_response: PartialResponse,
    store_matchers: Vec<Vec<Matcher>>,
}

impl LabelCall {
    /// Reads a call of a tenant; `needs_matchers` when one without matchers is refused.
    fn read(api: &Api, ctx: &Context, params: &Params, needs_matchers: bool) -> Result<Self, ApiError> {
        let interval = interval(api, params)?;
        let store_matchers = store_matchers(api, params)?;
        let partial_response = partial_response(api, params)?;
        let mut matcher_sets =
            params.all("match[]").map(|text| selector(api, text)).collect::<Result<Vec<_>, _>>()?;
        if api.settings.tenancy.enforced_label.is_some() {
            if matcher_sets.is_empty() && !needs_matchers {
                matcher_sets.push(Vec::new());
            }
            for matchers in &mut matcher_sets {
                api.settings.tenancy.enforce_matchers(matchers, ctx.tenant());
            }
        }
        Ok(Self { interval, matcher_sets, limit: params.limit()?, partial_response, store_matchers })
    }

    /// One more than asked for shows that something was cut.
    fn fetch_limit(&self) -> usize {
        if self.limit == 0 { 0 } else { self.limit.saturating_add(1) }
    }

    /// The matcher sets, at least one.
    fn sets(&self) -> Vec<Vec<Matcher>> {
        if self.matcher_sets.is_empty() { vec![Vec::new()] } else { self.matcher_sets.clone() }
    }
}

fn interval(api: &Api, params: &Params) -> Result<Interval, ApiError> {
    let bound = |name: &str, default: i64| match params.get(name) {
        "" => Ok(default),
        text => time(text)
            .map_err(|e| ApiError::bad_data(format!("bad_data: Invalid time value for '{name}': {e}"))),
    };
    let range_ms = i64::try_from(api.settings.metadata_range.as_millis()).unwrap_or(i64::MAX);
    let (min, max) = match range_ms {
        0 => (i64::MIN, i64::MAX),
        range_ms => {
            let now = api.served.clock.now_ms();
            (now.saturating_sub(range_ms), now)
        }
    };
    let interval = Interval::new(bound("start", min)?, bound("end", max)?);
    if interval.maxt < interval.mint {
        return Err(ApiError::bad_data("bad_data: end timestamp must not be before start time"));
    }
    Ok(interval)
}

fn list(mut found: Strings, mut warnings: Warnings, limit: usize) -> Response {
    if limit > 0 && found.len() > limit {
        warnings.push(Warning::new(TRUNCATED));
        found.truncate(limit);
    }
    let mut out = String::with_capacity(found.size_bytes() + 3 * found.len() + 64);
    out.push_str(r#"{"status":"success","data":"#);
    json::strings(&mut out, found.iter());
    json::finish(out, &warnings)
}
