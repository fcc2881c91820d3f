//! `/api/v1/query` and `/api/v1/query_range`.

use std::{fmt::Write, sync::Arc, time::Duration};

use axum::response::Response;

use super::{
    Api,
    error::ApiError,
    json::{self, success},
    measure::Place,
    params::Params,
};
use crate::{
    context::{Context, SpanKind},
    model::{Matcher, duration},
    promql::{
        self, Engine, EngineKind, EngineOptions, Explained, InstantQuery, QueryResult, Queued, RangeQuery,
        StepStats, ast::Expr,
    },
    query::{SelectOptions, lookback_for},
    store::{PartialResponse, ShardInfo},
};

pub(super) async fn instant(api: &Arc<Api>, ctx: &Context, params: &Params) -> Result<Response, ApiError> {
    let (query, options) = instant_query(api, ctx, params)?;
    let ctx = timeout(ctx, params)?;
    query.check().map_err(|e| ApiError::bad_data(e.message()))?;
    let engine = engine(api, params);
    let (engine, ctx, _place) = admitted(api, &engine, engine.queue_instant(&ctx, &query)).await?;
    let (ctx, mut span) = ctx.span("promql_instant_query_exec", SpanKind::Internal);
    span.set("query", || Arc::clone(&query.text));
    let (store, measure) = api.queries.measured(Arc::clone(&api.served.store));
    let queryable = Arc::new(api.queryable(store, options));
    let result = engine.instant(&ctx, queryable, query).await;
    result.as_ref().err().into_iter().for_each(|e| span.fail(e));
    api.queries.ended(ctx.tenant(), &measure);
    respond(params, &result.map_err(|e| ApiError::execution(&e))?)
}

/// The instant query that a request asks for.
pub(super) fn instant_query(
    api: &Arc<Api>,
    ctx: &Context,
    params: &Params,
) -> Result<(InstantQuery, SelectOptions), ApiError> {
    let time_ms = match params.get("time") {
        "" => api.served.clock.now_ms(),
        text => time(text).map_err(|e| ApiError::bad_data(format!("Invalid time value for 'time': {e}")))?,
    };
    timeout_ns(params)?;
    let auto_resolution_ms = i64::try_from(api.settings.instant_resolution.as_millis()).unwrap_or(i64::MAX);
    let options = select_options(api, params, auto_resolution_ms)?;
    let lookback_ms = lookback(api, params, options.max_resolution_ms)?;
    let expr = parse(api, ctx, params)?;
    let query = InstantQuery { expr, text: Arc::from(params.get("query")), time_ms, lookback_ms };
    Ok((query, options))
}

pub(super) async fn range(api: &Arc<Api>, ctx: &Context, params: &Params) -> Result<Response, ApiError> {
    let (query, options) = range_query(api, ctx, params)?;
    let ctx = timeout(ctx, params)?;
    query.check().map_err(|e| ApiError::bad_data(e.message()))?;
    let engine = engine(api, params);
    let (engine, ctx, _place) = admitted(api, &engine, engine.queue_range(&ctx, &query)).await?;
    let (ctx, mut span) = ctx.span("promql_range_query_exec", SpanKind::Internal);
    span.set("query", || Arc::clone(&query.text));
    let (store, measure) = api.queries.measured(Arc::clone(&api.served.store));
    let queryable = Arc::new(api.queryable(store, options));
    let result = engine.range(&ctx, queryable, query).await;
    result.as_ref().err().into_iter().for_each(|e| span.fail(e));
    api.queries.ended(ctx.tenant(), &measure);
    respond(params, &result.map_err(|e| ApiError::execution(&e))?)
}

/// Waits until a query is let in; gives the engine and the context to run it with, and its place.
async fn admitted(api: &Api, engine: &Engine, queued: Queued) -> Result<(Engine, Context, Place), ApiError> {
    let ctx = queued.context().clone();
    let place = api.queries.admit(&api.admission, &ctx).await.map_err(|e| ApiError::admission(&e))?;
    Ok((engine.after(queued), ctx, place))
}

/// The range query that a request asks for.
pub(super) fn range_query(
    api: &Arc<Api>,
    ctx: &Context,
    params: &Params,
) -> Result<(RangeQuery, SelectOptions), ApiError> {
    let start_ms = time(params.get("start")).map_err(ApiError::bad_data)?;
    let end_ms = time(params.get("end")).map_err(ApiError::bad_data)?;
    if end_ms < start_ms {
        return Err(ApiError::bad_data("end timestamp must not be before start time"));
    }
    let span_ms = end_ms.saturating_sub(start_ms);
    let step_ms = step(api, params, span_ms)?;
    api.queries.spans(span_ms);
    timeout_ns(params)?;
    let options = select_options(api, params, step_ms / 5)?;
    let lookback_ms = lookback(api, params, options.max_resolution_ms)?;
    let expr = parse(api, ctx, params)?;
    let query =
        RangeQuery { expr, text: Arc::from(params.get("query")), start_ms, end_ms, step_ms, lookback_ms };
    Ok((query, options))
}

/// A time in ms; the text says what is wrong.
pub(super) fn time(text: &str) -> Result<i64, String> {
    duration::parse_api_time(text).map(|t| t.ms()).map_err(|e| e.to_string())
}

fn step(api: &Api, params: &Params, span_ms: i64) -> Result<i64, ApiError> {
    let step_ns = match params.get("step") {
        "" => (span_ms / 1000 / 250)
            .max(api.settings.default_step.as_secs() as i64)
            .saturating_mul(1_000_000_000),
        text => duration_ns(text).map_err(|e| ApiError::bad_data(format!("'step' parameter: {e}")))?,
    };
    if step_ns <= 0 {
        return Err(ApiError::bad_data(
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    // A step below a millisecond is no step in milliseconds: it asks for too many points.
    let step_ms = step_ns / NS_PER_MS;
    if step_ms == 0 || span_ms / step_ms > api.settings.steps_max {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution \
             (?step=XX)",
        ));
    }
    Ok(step_ms)
}

const NS_PER_MS: i64 = 1_000_000;

/// A duration in nanoseconds; the text says what is wrong.
fn duration_ns(text: &str) -> Result<i64, String> {
    duration::parse_api_duration(text).map_err(|e| e.to_string())
}

/// `timeout` in nanoseconds, if it is given.
fn timeout_ns(params: &Params) -> Result<Option<i64>, ApiError> {
    match params.get("timeout") {
        "" => Ok(None),
        text => duration_ns(text).map(Some).map_err(ApiError::bad_data),
    }
}

fn timeout(ctx: &Context, params: &Params) -> Result<Context, ApiError> {
    Ok(match timeout_ns(params)? {
        None => ctx.clone(),
        Some(ns) => ctx.with_timeout(Duration::from_nanos(u64::try_from(ns).unwrap_or(0))),
    })
}

/// True when a request wants to know what its operators cost.
fn analyzes(params: &Params) -> bool {
    matches!(params.get("analyze"), "true" | "1")
}

/// The engine as a request wants it.
fn engine(api: &Api, params: &Params) -> Engine {
    let own = api.served.engine.options();
    let kind = match params.get("engine") {
        "thanos" => EngineKind::Thanos,
        "" => api.settings.engine,
        _ => EngineKind::Prometheus,
    };
    let engine = api.served.engine.counted_as(kind).with_options(EngineOptions {
        // Compat: Prometheus' engine knows the functions of Thanos under no setting.
        x_functions: own.x_functions && params.get("engine") != "prometheus",
        per_step_stats: own.per_step_stats && params.get("stats") == "all",
        ..own.clone()
    });
    if analyzes(params) && params.get("engine") == "thanos" { engine.analyzing() } else { engine }
}

/// The expression of a request, bound to its tenant.
fn parse(api: &Api, ctx: &Context, params: &Params) -> Result<Expr, ApiError> {
    let tenancy = &api.settings.tenancy;
    let mut expr = promql::parse(params.get("query"), engine(api, params).options())
        .map_err(|e| tenancy.parse_error(&e))?;
    tenancy.enforce(&mut expr, ctx.tenant());
    Ok(expr)
}

/// The select options that a request's parameters ask for.
pub(super) fn select_options(
    api: &Api,
    params: &Params,
    auto_resolution_ms: i64,
) -> Result<SelectOptions, ApiError> {
    let settings = &api.settings;
    let dedup = params.flag("dedup", true)?;
    let asked: Vec<String> = params.all("replicaLabels[]").map(str::to_owned).collect();
    let replica_labels = if asked.is_empty() { settings.replica_labels.clone() } else { asked };
    let store_matchers = store_matchers(api, params)?;
    let partial_response = partial_response(api, params)?;
    let max_resolution_ms = match params.get("max_source_resolution") {
        "" if settings.auto_downsampling => auto_resolution_ms,
        "" => 0,
        "auto" => auto_resolution_ms,
        text => {
            duration_ns(text)
                .map_err(|e| ApiError::bad_data(format!("'max_source_resolution' parameter: {e}")))?
                / NS_PER_MS
        }
    };
    if max_resolution_ms < 0 {
        return Err(ApiError::bad_data(
            "negative 'max_source_resolution' is not accepted. Try a positive integer",
        ));
    }
    let shard = shard_info(params.get("shard_info"))?;
    match params.get("engine") {
        "" | "prometheus" | "thanos" => {}
        other => return Err(ApiError::bad_data(format!("'{other}' bad engine"))),
    }
    Ok(SelectOptions {
        dedup,
        replica_labels,
        algorithm: settings.algorithm,
        counters: settings.counters,
        max_resolution_ms,
        seams: settings.seams,
        fit_range: settings.fit_range,
        partial_response,
        shard,
        store_matchers,
    })
}

/// `storeMatch[]` of a request.
pub(super) fn store_matchers(api: &Api, params: &Params) -> Result<Vec<Vec<Matcher>>, ApiError> {
    params.all("storeMatch[]").map(|text| selector(api, text)).collect()
}

/// `partial_response` of a request.
pub(super) fn partial_response(api: &Api, params: &Params) -> Result<PartialResponse, ApiError> {
    let warn = params.flag("partial_response", api.settings.partial_response)?;
    Ok(if warn { PartialResponse::Warn } else { PartialResponse::Abort })
}

fn lookback(api: &Api, params: &Params, max_resolution_ms: i64) -> Result<Option<i64>, ApiError> {
    let asked = match params.get("lookback_delta") {
        "" => 0,
        text => {
            duration_ns(text).map_err(|e| ApiError::bad_data(format!("'lookback_delta' parameter: {e}")))?
                / NS_PER_MS
        }
    };
    if asked > 0 {
        return Ok(Some(asked));
    }
    if !api.settings.dynamic_lookback {
        return Ok(None);
    }
    Ok(lookback_for(api.served.engine.options().lookback_ms, max_resolution_ms))
}

/// `shard_info` as JSON: `{"shard_index":0,"total_shards":2,"by":true,"labels":["a"]}`.
fn shard_info(text: &str) -> Result<Option<ShardInfo>, ApiError> {
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Wire {
        shard_index: i64,
        total_shards: i64,
        by: bool,
        labels: Vec<String>,
    }
    if text.is_empty() {
        return Ok(None);
    }
    let wire: Wire = serde_json::from_str(text)
        .map_err(|e| ApiError::bad_data(format!("could not unmarshal parameter shard_info: {e}")))?;
    if wire.total_shards < 1 {
        return Ok(None);
    }
    Ok(Some(ShardInfo {
        index: wire.shard_index as u64,
        total: wire.total_shards as u64,
        by: wire.by,
        labels: wire.labels,
    }))
}

/// The matchers of a selector such as `match[]`.
pub(super) fn selector(api: &Api, text: &str) -> Result<Vec<Matcher>, ApiError> {
    promql::parse_selector(text, api.served.engine.options()).map_err(|e| ApiError::bad_data(e.to_string()))
}

fn respond(params: &Params, result: &QueryResult) -> Result<Response, ApiError> {
    let mut out = String::from(r#"{"status":"success","data":{"#);
    json::write_value(&mut out, &result.value);
    if !params.get("stats").is_empty() {
        stats(&mut out, result);
    }
    out.push_str(r#","analysis":"#);
    out.push_str(&result.analysis.as_ref().map_or_else(|| "{}".to_owned(), Explained::to_json));
    out.push('}');
    // Compat: only one of the engines upstream can tell.
    let analyze = analyzes(params) && result.analysis.is_none();
    let mut warnings: Vec<String> = result.warnings.iter().map(ToString::to_string).collect();
    if result.warnings.omitted() > 0 {
        warnings.push(format!("{} more warnings omitted", result.warnings.omitted()));
    }
    // Only gaps of the data keep an answer out of caches; remarks on the query do not.
    let no_store = warnings.iter().any(|w| !w.starts_with("PromQL "));
    let no_store = no_store || analyze;
    if analyze {
        warnings.push("Query not analyzable; change engine to 'thanos'.".to_owned());
    }
    // Compat: infos stand among the warnings (thanos `pkg/api/api.go`).
    warnings.extend(result.annotations.texts());
    if !warnings.is_empty() {
        out.push_str(r#","warnings":"#);
        json::items(&mut out, warnings.iter(), |out, w| json::html_safe_text(out, w));
    }
    out.push('}');
    Ok(success(out, no_store))
}

/// Appends what the query cost.
///
/// Compat: of Thanos' answers and in their order; what newer Prometheus servers tell beside it
/// comes with the counts of single steps.
fn stats(out: &mut String, result: &QueryResult) {
    let s = &result.stats;
    let total_seconds = s.eval_seconds + s.queue_seconds;
    let timings = [
        ("evalTotalTime", total_seconds),
        ("resultSortTime", 0.0),
        ("queryPreparationTime", 0.0),
        ("innerEvalTime", s.eval_seconds),
        ("execQueueTime", s.queue_seconds),
        ("execTotalTime", total_seconds),
    ];
    out.push_str(r#","stats":{"timings":{"#);
    let timings = timings.map(|(name, seconds)| format!("\"{name}\":{seconds}"));
    out.push_str(&timings.join(","));
    out.push_str(r#"},"samples":{"#);
    let by_step = |out: &mut String, name: &str, of: fn(&StepStats) -> u64| {
        let _ = write!(out, "\"{name}\":");
        json::items(out, s.steps.iter(), |out, step| {
            let _ = write!(out, "[{},{}]", step.t_ms as f64 / 1000.0, of(step));
        });
        out.push(',');
    };
    if !s.steps.is_empty() {
        by_step(out, "totalQueryableSamplesPerStep", |step| step.total_samples);
    }
    let _ = write!(out, "\"totalQueryableSamples\":{},", s.total_samples);
    if !s.steps.is_empty() {
        by_step(out, "samplesReadPerStep", |step| step.read_samples);
        let _ = write!(out, "\"samplesRead\":{},", s.read_samples);
    }
    let _ = write!(out, "\"peakSamples\":{}}}}}", s.peak_samples);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::{QueryStats, QueryValue};

    #[test]
    fn statistics_are_those_of_thanos_and_by_step_those_of_prometheus() {
        let check = |steps: Vec<StepStats>, want: &str| {
            let stats = QueryStats {
                total_samples: 5,
                read_samples: 3,
                peak_samples: 4,
                eval_seconds: 0.5,
                queue_seconds: 0.25,
                steps,
            };
            let value = QueryValue::Scalar { t_ms: 0, v: 0.0 };
            let result = QueryResult {
                value,
                annotations: Default::default(),
                warnings: Default::default(),
                stats,
                analysis: None,
            };
            let mut out = String::new();
            super::stats(&mut out, &result);
            let timings = r#","stats":{"timings":{"evalTotalTime":0.75,"resultSortTime":0,"queryPreparationTime":0,"innerEvalTime":0.5,"execQueueTime":0.25,"execTotalTime":0.75},"#;
            assert_eq!(out.strip_prefix(timings), Some(want));
        };
        check(Vec::new(), r#""samples":{"totalQueryableSamples":5,"peakSamples":4}}"#);
        let step = |t_ms, total_samples, read_samples| StepStats { t_ms, total_samples, read_samples };
        check(
            vec![step(1_500, 2, 2), step(61_500, 3, 1)],
            r#""samples":{"totalQueryableSamplesPerStep":[[1.5,2],[61.5,3]],"totalQueryableSamples":5,"samplesReadPerStep":[[1.5,2],[61.5,1]],"samplesRead":3,"peakSamples":4}}"#,
        );
    }
}
