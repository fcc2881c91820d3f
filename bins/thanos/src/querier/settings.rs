//! From flags to settings of the library.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail};
use thanoslib::{
    context::AdmissionSettings,
    dedup::{Algorithm, Counters},
    http::{self, CertificateField, RemoteRead, Telemetry, Tenancy},
    model::duration,
    promql::{ActiveQueryFile, Engine, EngineKind, EngineOptions},
    query::ResolutionSeams,
};

use super::flags::{AnswerFlags, EngineFlags, MemoryFlags, TelemetryFlags, TenancyFlags, WebFlags, listed};

/// The version of Thanos that we are compatible with, as `/api/v1/status/buildinfo` gives it.
pub(crate) const THANOS_VERSION: &str = "0.43.0";

/// How many requests of a kind run, and for how much memory.
pub(crate) fn admission(memory: &MemoryFlags, running_max: usize) -> Result<AdmissionSettings> {
    let bytes_max = duration::parse_size(&memory.max_memory).context("--query.max-memory")?;
    Ok(AdmissionSettings { running_max, bytes_max, ..AdmissionSettings::default() })
}

/// Memory of all queries together, in bytes.
pub(crate) fn memory_limit_bytes(memory: &MemoryFlags) -> Result<u64> {
    duration::parse_size(&memory.limit).context("--memory.limit")
}

/// Settings of the HTTP API; `shown` are the flags that it tells.
pub(crate) fn http_settings(
    engine: &EngineFlags,
    answers: &AnswerFlags,
    memory: &MemoryFlags,
    shown: BTreeMap<String, String>,
) -> Result<http::Settings> {
    let algorithm = match answers.dedup_func.as_str() {
        "penalty" => Algorithm::Penalty,
        "chain" => Algorithm::Chain,
        "interval" => Algorithm::Interval,
        other => bail!("unknown --deduplication.func {other:?}"),
    };
    let counters = match answers.dedup_counters.as_str() {
        "thanos" => Counters::Thanos,
        _ => Counters::Prometheus,
    };
    let seams = match engine.resolution_seams.as_str() {
        "thanos" => ResolutionSeams::Thanos,
        _ => ResolutionSeams::Right,
    };
    Ok(http::Settings {
        timeout: engine.timeout.0,
        selects_max: engine.max_concurrent_select,
        // Compat: queries are distributed by the engine of Thanos only.
        engine: match (engine.engine.as_str(), engine.mode.as_str()) {
            ("thanos", _) | (_, "distributed") => EngineKind::Thanos,
            _ => EngineKind::Prometheus,
        },
        mode: if engine.mode == "distributed" { "distributed" } else { "local" },
        admission: admission(memory, engine.max_concurrent)?,
        replica_labels: listed(&answers.replica_label),
        algorithm,
        counters,
        default_step: engine.default_step.0,
        partial_response: answers.query_partial,
        auto_downsampling: answers.auto_downsampling,
        instant_resolution: answers.instant_resolution.0,
        seams,
        fit_range: engine.fit_range,
        metadata_range: answers.metadata_range.0,
        dynamic_lookback: engine.dynamic_lookback,
        rules_partial_response: answers.rule_partial,
        targets_partial_response: answers.target_partial,
        metadata_partial_response: answers.metadata_partial,
        exemplars_partial_response: answers.exemplar_partial,
        status_partial_response: answers.status_partial,
        flags: shown,
        version: THANOS_VERSION.to_owned(),
        ..http::Settings::default()
    })
}

/// How queries are told apart in the metrics.
pub(crate) fn telemetry(flags: &TelemetryFlags) -> Result<Telemetry> {
    let ascending = |name: &str, bounds: &[f64]| {
        if !bounds.is_sorted_by(|a, b| a < b) {
            bail!("--query.telemetry.request-{name}-quantiles: not ascending");
        }
        Ok(bounds.to_vec())
    };
    Ok(Telemetry {
        seconds: ascending("duration-seconds", &flags.duration)?,
        samples: ascending("samples", &flags.samples)?,
        series: ascending("series-seconds", &flags.series)?,
    })
}

/// The engine with the file of its running queries; what a process before left there is logged.
pub(crate) fn tracked(evaluator: Engine, engine: &EngineFlags) -> Result<Engine> {
    if engine.active_query_path.is_empty() {
        return Ok(evaluator);
    }
    let dir = Path::new(&engine.active_query_path);
    let (file, left) =
        ActiveQueryFile::open(dir, engine.max_concurrent).context("--query.active-query-path")?;
    if let Some(queries) = left {
        tracing::info!(queries, "these queries did not finish in the last run");
    }
    Ok(evaluator.tracked(Arc::new(file)))
}

/// The same settings for those that ask over the web.
pub(crate) fn web(settings: http::Settings, web: &WebFlags, tenancy: &TenancyFlags) -> http::Settings {
    http::Settings {
        cors: !web.disable_cors,
        admin: web.enable_admin_api,
        remote_read: web.enable_remote_read.then(RemoteRead::default),
        tenancy: Tenancy {
            header: tenancy.header.clone(),
            default_tenant: tenancy.default_tenant.clone(),
            certificate_field: CertificateField::by_name(&tenancy.certificate_field),
            enforced_label: tenancy.enforce.then(|| tenancy.label.clone()),
        },
        ..settings
    }
}

/// Options of the PromQL engine.
pub(crate) fn engine_options(engine: &EngineFlags, memory: &MemoryFlags) -> Result<EngineOptions> {
    let ms =
        |name: &str, d: Duration| i64::try_from(d.as_millis()).map_err(|_| anyhow!("--{name} is too long"));
    let defaults = EngineOptions::default();
    let lookback_ms = match ms("query.lookback-delta", engine.lookback_delta.0)? {
        0 => defaults.lookback_ms,
        ms => ms,
    };
    let mut options = EngineOptions {
        lookback_ms,
        subquery_step_ms: ms("query.default-evaluation-interval", engine.evaluation_interval.0)?,
        samples_max: memory.max_samples,
        x_functions: engine.x_functions,
        ..defaults
    };
    for feature in engine.enable_feature.iter().flat_map(|f| f.split(',')).filter(|f| !f.is_empty()) {
        match feature {
            "promql-experimental-functions" => options.experimental_functions = true,
            "promql-extended-range-selectors" => options.extended_range_selectors = true,
            "promql-binop-fill-modifiers" => options.fill_modifiers = true,
            "promql-delayed-name-removal" => options.delayed_name_removal = true,
            "type-and-unit-labels" => options.type_and_unit_labels = true,
            "use-start-timestamps" => options.start_timestamps = true,
            "promql-per-step-stats" => options.per_step_stats = true,
            // Always on, as upstream.
            "promql-at-modifier" | "promql-negative-offset" | "promql-duration-expr" | "query-pushdown" => {}
            // Compat: upstream starts with any name.
            other => tracing::warn!("--enable-feature={other} has no effect: no such feature"),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        engine: EngineFlags,
        #[command(flatten)]
        answers: AnswerFlags,
        #[command(flatten)]
        memory: MemoryFlags,
    }

    fn flags(args: &[&str]) -> Command {
        Command::parse_from(["query"].iter().chain(args))
    }

    fn settings(args: &[&str]) -> http::Settings {
        let Command { engine, answers, memory } = flags(args);
        http_settings(&engine, &answers, &memory, BTreeMap::new()).expect("valid")
    }

    #[test]
    fn defaults_are_those_of_the_library() {
        let Command { engine, memory, .. } = flags(&[]);
        assert_eq!(engine_options(&engine, &memory).expect("valid"), EngineOptions::default());
        let (own, library) = (settings(&[]), http::Settings::default());
        assert_eq!(
            (own.timeout, own.default_step, own.seams),
            (library.timeout, library.default_step, library.seams)
        );
        assert_eq!(
            (own.algorithm, own.counters, own.partial_response),
            (library.algorithm, library.counters, true)
        );
    }

    #[test]
    fn flags_reach_their_settings() {
        let got = settings(&[
            "--deduplication.func=chain",
            "--deduplication.counters=thanos",
            "--query.replica-label=b,a",
            "--query.replica-label=a",
            "--query.timeout=5s",
            "--query.default-step=5m",
            "--query.partial-response=false",
            "--query.auto-downsampling",
            "--query.instant.default.max_source_resolution=5m",
            "--query.resolution-seams=thanos",
        ]);
        assert_eq!((got.algorithm, got.counters), (Algorithm::Chain, Counters::Thanos));
        assert_eq!(got.replica_labels, ["a", "b"]);
        assert_eq!((got.timeout, got.default_step), (Duration::from_secs(5), Duration::from_secs(300)));
        assert!(!got.partial_response && got.auto_downsampling);
        assert_eq!((got.instant_resolution, got.seams), (Duration::from_secs(300), ResolutionSeams::Thanos));
    }

    #[test]
    fn features_are_enabled_by_name() {
        let options = |args: &[&str]| {
            let Command { engine, memory, .. } = flags(args);
            engine_options(&engine, &memory).expect("valid")
        };
        let features = "--enable-feature=promql-extended-range-selectors,promql-binop-fill-modifiers";
        let want = EngineOptions {
            extended_range_selectors: true,
            fill_modifiers: true,
            x_functions: true,
            lookback_ms: 30_000,
            ..EngineOptions::default()
        };
        let got = options(&[features, "--query.enable-x-functions", "--query.lookback-delta=30s"]);
        assert_eq!(got, want);
        assert_eq!(options(&["--enable-feature=promql-magic"]), EngineOptions::default());
    }
}
