//! Flags of `thanos standalone`.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use thanoslib::{
    clock::{Clock, SystemClock},
    model::{Labels, TimeWindow},
};
use thanoslib_bins_common::{server_flags::StoreLimitFlags, values::PromDuration};

use crate::querier::flags::{
    AnswerFlags, ClientFlags, EndpointFlags, EngineFlags, MemoryFlags, ProxyFlags, TelemetryFlags,
    TenancyFlags, WebFlags,
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
    /// A live Prometheus beside the blocks, with the external labels of its configuration; may be repeated.
    #[cfg(feature = "sidecar")]
    #[arg(long = "prometheus.url", value_name = "URL")]
    pub prometheus_url: Vec<String>,
    #[command(flatten)]
    pub window: WindowFlags,
    /// How often new and vanished blocks are looked for.
    #[arg(long = "sync-block-duration", default_value = "1m")]
    pub sync_block_duration: PromDuration,
    /// Address of the HTTP API and page.
    #[arg(long = "http-address", default_value = "127.0.0.1:10902")]
    pub http_address: String,
    /// Address of the gRPC Store API.
    #[arg(long = "grpc-address", default_value = "127.0.0.1:10901")]
    pub grpc_address: String,
    /// File with TLS, headers and passwords of the HTTP endpoints.
    #[arg(long = "http.config", default_value = "")]
    pub http_config: String,
    /// Calls of the Store API that run at a time.
    #[arg(long = "store.grpc.series-max-concurrency", default_value_t = 20)]
    pub grpc_max_concurrent: usize,
    #[command(flatten)]
    pub engine: EngineFlags,
    #[command(flatten)]
    pub answers: AnswerFlags,
    #[command(flatten)]
    pub memory: MemoryFlags,
    #[command(flatten)]
    pub endpoints: EndpointFlags,
    #[command(flatten)]
    pub client: ClientFlags,
    #[command(flatten)]
    pub proxy: ProxyFlags,
    #[command(flatten)]
    pub web: WebFlags,
    #[command(flatten)]
    pub tenancy: TenancyFlags,
    #[command(flatten)]
    pub limits: StoreLimitFlags,
    #[command(flatten)]
    pub telemetry: TelemetryFlags,
    /// Writes blocks of two made-up clusters into DIR/demo, serves them and prints queries to try.
    #[arg(long)]
    pub demo: bool,
    /// Folder for what the process keeps, such as the index-headers of the blocks of buckets; the
    /// bucket served when none is named lies in it.
    #[arg(long = "data-dir", default_value = "./thanos-data", value_name = "DIR")]
    pub data_dir: PathBuf,
}

/// The time that is served of buckets and folders.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct WindowFlags {
    /// Start of the time to serve of blocks: RFC 3339, or a duration relative to now such as -1d or 2h45m.
    #[arg(long = "min-time", default_value = "0000-01-01T00:00:00Z")]
    pub min_time: String,
    /// End of the time to serve of blocks: RFC 3339, or a duration relative to now.
    #[arg(long = "max-time", default_value = "9999-12-31T23:59:59Z")]
    pub max_time: String,
}

impl WindowFlags {
    pub(super) fn window(&self) -> Result<TimeWindow> {
        let window = TimeWindow {
            min: self.min_time.parse().context("--min-time")?,
            max: self.max_time.parse().context("--max-time")?,
        };
        let now = window.at(SystemClock.now_ms());
        if now.mint > now.maxt {
            bail!("--min-time {:?} is after --max-time {:?}", self.min_time, self.max_time);
        }
        Ok(window)
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
    fn the_window_has_ends_in_order() {
        let window = |min: &str, max: &str| {
            WindowFlags { min_time: min.to_owned(), max_time: max.to_owned() }
                .window()
                .map_err(|e| e.to_string())
        };
        assert!(window("-2w", "2100-01-01T00:00:00Z").is_ok());
        assert_eq!(window("-1h", "-1d"), Err("--min-time \"-1h\" is after --max-time \"-1d\"".to_owned()));
        assert_eq!(window("-1h", "soon"), Err("--max-time".to_owned()));
    }
}
