//! Flags of `thanos standalone`.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail};
use thanoslib::{
    context::AdmissionSettings,
    dedup::{Algorithm, Counters},
    http,
    model::{Labels, duration},
    promql::EngineOptions,
    query::ResolutionSeams,
};

/// Everything in one process: blocks of buckets and local folders, asked over HTTP and gRPC.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct StandaloneFlags {
    /// File with the configuration of a bucket (YAML); may be repeated.
    #[arg(long = "objstore.config-file", value_name = "FILE")]
    pub objstore_config_file: Vec<PathBuf>,
    /// Configuration of a bucket (YAML); may be repeated.
    #[arg(long = "objstore.config", value_name = "YAML")]
    pub objstore_config: Vec<String>,
    /// Data folder of a Prometheus, opened read-only, with external labels for its series:
    /// DIR[,name=value…]; may be repeated.
    #[arg(long = "tsdb.path", value_name = "DIR[,name=value…]")]
    pub tsdb_path: Vec<String>,
    /// How often new and vanished blocks are looked for.
    #[arg(long = "sync-block-duration", default_value = "1m")]
    pub sync_block_duration: String,
    /// Label that tells the replicas of an HA pair apart; may be repeated or a list with commas.
    #[arg(long = "query.replica-label", value_name = "LABEL")]
    pub replica_label: Vec<String>,
    /// How replicas are merged: penalty or chain.
    #[arg(long = "deduplication.func", default_value = "penalty")]
    pub dedup_func: String,
    /// What counter functions see of merged replicas: prometheus (the values that Prometheus
    /// would see) or thanos (exactly what Thanos gives).
    #[arg(long = "deduplication.counters", default_value = "prometheus")]
    pub dedup_counters: String,
    /// Address of the HTTP API and page.
    #[arg(long = "http-address", default_value = "127.0.0.1:10902")]
    pub http_address: String,
    /// Address of the gRPC Store API.
    #[arg(long = "grpc-address", default_value = "127.0.0.1:10901")]
    pub grpc_address: String,
    /// Longest time of a query.
    #[arg(long = "query.timeout", default_value = "2m")]
    pub query_timeout: String,
    /// Queries that run at a time.
    #[arg(long = "query.max-concurrent", default_value_t = 20)]
    pub query_max_concurrent: usize,
    /// Calls of the Store API that run at a time.
    #[arg(long = "store.grpc.series-max-concurrency", default_value_t = 20)]
    pub grpc_max_concurrent: usize,
    /// Most samples that a query may hold at a time.
    #[arg(long = "query.max-samples", default_value_t = 50_000_000)]
    pub query_max_samples: u64,
    /// Most memory that one query may hold.
    #[arg(long = "query.max-memory", default_value = "1GiB")]
    pub query_max_memory: String,
    /// Most memory that all queries may hold together.
    #[arg(long = "memory.limit", default_value = "4GiB")]
    pub memory_limit: String,
    /// How far an instant selector looks back.
    #[arg(long = "query.lookback-delta", default_value = "5m")]
    pub lookback_delta: String,
    /// Step of subqueries that name none.
    #[arg(long = "query.default-evaluation-interval", default_value = "1m")]
    pub evaluation_interval: String,
    /// Least step of range queries that name none.
    #[arg(long = "query.default-step", default_value = "1s")]
    pub default_step: String,
    /// Resolution follows the step of the query.
    #[arg(long = "query.auto-downsampling")]
    pub auto_downsampling: bool,
    /// The resolution that stands for auto in instant queries.
    #[arg(long = "query.instant.default.max_source_resolution", default_value = "0s", hide = true)]
    pub instant_resolution: String,
    /// What windows see where data of several resolutions meet: right (one resolution at a time,
    /// scrapes first) or thanos (exactly what Thanos gives).
    #[arg(long = "query.resolution-seams", default_value = "right")]
    pub resolution_seams: String,
    /// No resolution is so coarse that a range holds fewer samples than its function needs;
    /// answers tell the resolution.
    #[arg(long = "query.fit-resolution-to-range")]
    pub fit_range: bool,
    /// A failing block is an error instead of a warning.
    #[arg(long = "no-query.partial-response")]
    pub no_partial_response: bool,
    /// Offers xrate, xincrease and xdelta.
    #[arg(long = "query.enable-x-functions")]
    pub enable_x_functions: bool,
    /// Feature to enable: promql-experimental-functions, promql-extended-range-selectors,
    /// promql-binop-fill-modifiers, promql-delayed-name-removal, promql-per-step-stats,
    /// type-and-unit-labels or use-start-timestamps; may be repeated or a list with commas.
    #[arg(long = "enable-feature", value_name = "FEATURE")]
    pub enable_feature: Vec<String>,
    /// Writes blocks of two made-up clusters into DIR/demo, serves them and prints queries to try.
    #[arg(long)]
    pub demo: bool,
    /// Folder for what the process keeps, such as the index-headers of the blocks of buckets; the
    /// bucket served when none is named lies in it.
    #[arg(long = "data-dir", default_value = "./thanos-data", value_name = "DIR")]
    pub data_dir: PathBuf,
}

/// A duration flag in Go's or Prometheus' spelling.
pub(super) fn duration_flag(name: &str, text: &str) -> Result<Duration> {
    let ns = duration::parse_flag(text).map_err(|e| anyhow!("--{name}: {e}"))?;
    u64::try_from(ns).map(Duration::from_nanos).map_err(|_| anyhow!("--{name}: {text:?} is negative"))
}

impl StandaloneFlags {
    /// Labels that tell replicas apart, sorted, each once.
    pub(crate) fn replica_labels(&self) -> Vec<String> {
        let mut labels: Vec<String> = self
            .replica_label
            .iter()
            .flat_map(|l| l.split(','))
            .map(|l| l.trim().to_owned())
            .filter(|l| !l.is_empty())
            .collect();
        labels.sort();
        labels.dedup();
        labels
    }

    /// How many requests of a kind run, and for how much memory.
    pub(crate) fn admission(&self, running_max: usize) -> Result<AdmissionSettings> {
        let bytes_max = duration::parse_size(&self.query_max_memory).context("--query.max-memory")?;
        Ok(AdmissionSettings { running_max, bytes_max, ..AdmissionSettings::default() })
    }

    /// Settings of the HTTP API.
    pub(crate) fn http_settings(&self) -> Result<http::Settings> {
        let algorithm = match self.dedup_func.as_str() {
            "penalty" => Algorithm::Penalty,
            "chain" => Algorithm::Chain,
            other => bail!("unknown --deduplication.func {other:?}: take penalty or chain"),
        };
        let counters = match self.dedup_counters.as_str() {
            "prometheus" => Counters::Prometheus,
            "thanos" => Counters::Thanos,
            other => bail!("unknown --deduplication.counters {other:?}: take prometheus or thanos"),
        };
        let seams = match self.resolution_seams.as_str() {
            "right" => ResolutionSeams::Right,
            "thanos" => ResolutionSeams::Thanos,
            other => bail!("unknown --query.resolution-seams {other:?}: take right or thanos"),
        };
        Ok(http::Settings {
            timeout: duration_flag("query.timeout", &self.query_timeout)?,
            admission: self.admission(self.query_max_concurrent)?,
            replica_labels: self.replica_labels(),
            algorithm,
            counters,
            default_step: duration_flag("query.default-step", &self.default_step)?,
            partial_response: !self.no_partial_response,
            auto_downsampling: self.auto_downsampling,
            instant_resolution: duration_flag(
                "query.instant.default.max_source_resolution",
                &self.instant_resolution,
            )?,
            seams,
            fit_range: self.fit_range,
            flags: std::collections::BTreeMap::new(),
            ..http::Settings::default()
        })
    }

    /// Options of the PromQL engine.
    pub(crate) fn engine_options(&self) -> Result<EngineOptions> {
        let ms = |name, text| duration_flag(name, text).map(|d| d.as_millis() as i64);
        let mut options = EngineOptions {
            lookback_ms: ms("query.lookback-delta", &self.lookback_delta)?,
            subquery_step_ms: ms("query.default-evaluation-interval", &self.evaluation_interval)?,
            samples_max: self.query_max_samples,
            x_functions: self.enable_x_functions,
            ..EngineOptions::default()
        };
        for feature in self.enable_feature.iter().flat_map(|f| f.split(',')) {
            match feature {
                "promql-experimental-functions" => options.experimental_functions = true,
                "promql-extended-range-selectors" => options.extended_range_selectors = true,
                "promql-binop-fill-modifiers" => options.fill_modifiers = true,
                "promql-delayed-name-removal" => options.delayed_name_removal = true,
                "type-and-unit-labels" => options.type_and_unit_labels = true,
                "use-start-timestamps" => options.start_timestamps = true,
                "promql-per-step-stats" => options.per_step_stats = true,
                // Always on, as upstream.
                "promql-at-modifier" | "promql-negative-offset" | "promql-duration-expr" => {}
                other => bail!("unknown --enable-feature {other:?}"),
            }
        }
        Ok(options)
    }

    /// Memory of all queries together, in bytes.
    pub(crate) fn memory_limit_bytes(&self) -> Result<u64> {
        duration::parse_size(&self.memory_limit).context("--memory.limit")
    }

    /// What `/api/v1/status/flags` shows; configurations are masked, they hold secrets.
    pub(crate) fn shown(&self) -> std::collections::BTreeMap<String, String> {
        let masked = |n: usize| if n == 0 { String::new() } else { "<REDACTED>".to_owned() };
        [
            ("objstore.config-file", masked(self.objstore_config_file.len())),
            ("objstore.config", masked(self.objstore_config.len())),
            ("tsdb.path", self.tsdb_path.join(" ")),
            ("sync-block-duration", self.sync_block_duration.clone()),
            ("query.replica-label", self.replica_labels().join(",")),
            ("deduplication.func", self.dedup_func.clone()),
            ("deduplication.counters", self.dedup_counters.clone()),
            ("http-address", self.http_address.clone()),
            ("grpc-address", self.grpc_address.clone()),
            ("query.timeout", self.query_timeout.clone()),
            ("store.grpc.series-max-concurrency", self.grpc_max_concurrent.to_string()),
            ("query.max-concurrent", self.query_max_concurrent.to_string()),
            ("query.max-samples", self.query_max_samples.to_string()),
            ("query.max-memory", self.query_max_memory.clone()),
            ("memory.limit", self.memory_limit.clone()),
            ("query.lookback-delta", self.lookback_delta.clone()),
            ("query.default-evaluation-interval", self.evaluation_interval.clone()),
            ("query.default-step", self.default_step.clone()),
            ("query.auto-downsampling", self.auto_downsampling.to_string()),
            ("query.instant.default.max_source_resolution", self.instant_resolution.clone()),
            ("query.resolution-seams", self.resolution_seams.clone()),
            ("query.fit-resolution-to-range", self.fit_range.to_string()),
            ("query.partial-response", (!self.no_partial_response).to_string()),
            ("query.enable-x-functions", self.enable_x_functions.to_string()),
            ("enable-feature", self.enable_feature.join(",")),
            ("demo", self.demo.to_string()),
            ("data-dir", self.data_dir.display().to_string()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }
}

/// A folder with the external labels of its series: `DIR[,name=value…]`.
pub(super) fn tsdb_path(text: &str) -> Result<(PathBuf, Labels)> {
    let mut parts = text.split(',');
    let dir = parts.next().unwrap_or_default();
    if dir.is_empty() {
        bail!("--tsdb.path names no folder: write DIR[,name=value…]");
    }
    let mut labels = Vec::new();
    for part in parts {
        let Some((name, value)) = part.split_once('=') else {
            bail!("--tsdb.path: {part:?} is no label: write DIR,name=value");
        };
        labels.push((name.trim().to_owned(), value.trim().trim_matches('"').to_owned()));
    }
    Ok((PathBuf::from(dir), Labels::from_pairs(labels)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_carry_labels() {
        let (dir, labels) = tsdb_path("/data,cluster=eu,replica=\"A\"").expect("valid");
        assert_eq!(dir, PathBuf::from("/data"));
        assert_eq!(labels, Labels::from_pairs([("cluster", "eu"), ("replica", "A")]));
        assert!(tsdb_path("/data,cluster").is_err());
        assert!(tsdb_path("").is_err());
    }

    #[test]
    fn features_become_options_of_the_engine() {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            flags: StandaloneFlags,
        }
        let options = |args: &[&str]| {
            let args = ["standalone"].iter().chain(args);
            <Command as clap::Parser>::parse_from(args).flags.engine_options()
        };
        assert_eq!(options(&[]).expect("defaults"), EngineOptions::default());
        let features = "--enable-feature=promql-extended-range-selectors,promql-binop-fill-modifiers";
        let got = options(&[features, "--enable-feature=promql-at-modifier", "--query.enable-x-functions"]);
        let want = EngineOptions {
            extended_range_selectors: true,
            fill_modifiers: true,
            x_functions: true,
            ..EngineOptions::default()
        };
        assert_eq!(got.expect("known"), want);
        assert!(options(&["--enable-feature=promql-magic"]).is_err());
    }

    #[test]
    fn durations_are_read_in_both_spellings() {
        assert_eq!(duration_flag("x", "1h30m").expect("go"), Duration::from_secs(5400));
        assert_eq!(duration_flag("x", "2d").expect("prometheus"), Duration::from_secs(172_800));
        assert!(duration_flag("x", "soon").is_err());
    }
}
