//! Flags of `thanos sidecar`.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow};
use clap::ArgAction;
use thanoslib::{
    model::TimeBound,
    sidecar::{ReloadMethod, ReloaderSettings, Settings, ShipperSettings},
};
use thanoslib_bins_common::{
    objstore::ObjstoreFlags,
    prometheus_flags::PrometheusFlags,
    server_flags::{GrpcServerFlags, HttpServerFlags, StoreLimitFlags},
    values::{GoDuration, one_of},
};

/// Sidecar for Prometheus server.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SidecarFlags {
    #[command(flatten)]
    pub http: HttpServerFlags,
    #[command(flatten)]
    pub grpc: GrpcServerFlags,
    #[command(flatten)]
    pub prometheus: PrometheusFlags,
    /// Data directory of Prometheus.
    #[arg(long = "tsdb.path", default_value = "./data")]
    pub tsdb_path: PathBuf,
    #[command(flatten)]
    pub reloader: ReloaderFlags,
    /// File with what of requests is logged.
    #[arg(long = "request.logging-config-file", value_name = "file-path", default_value = "")]
    pub request_logging_file: String,
    /// What of requests is logged, in place of a file.
    #[arg(long = "request.logging-config", value_name = "content", default_value = "")]
    pub request_logging: String,
    #[command(flatten)]
    pub objstore: ObjstoreFlags,
    #[command(flatten)]
    pub shipper: ShipperFlags,
    #[command(flatten)]
    pub limits: StoreLimitFlags,
    /// Start of time range limit to serve: RFC 3339, or a duration relative to now such as -1d or 2h45m.
    #[arg(long = "min-time", default_value = "0000-01-01T00:00:00Z")]
    pub min_time: String,
}

/// What is watched for a reload.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReloaderFlags {
    /// Config file watched by the reloader.
    #[arg(long = "reloader.config-file", default_value = "")]
    pub config_file: String,
    /// Output file for the config file with environment variables filled in.
    #[arg(long = "reloader.config-envsubst-file", default_value = "")]
    pub envsubst_file: String,
    /// Rule directories for the reloader to refresh; may be repeated.
    #[arg(long = "reloader.rule-dir", action = ArgAction::Append)]
    pub rule_dirs: Vec<PathBuf>,
    /// How often the watched files are read whether they seem changed or not.
    #[arg(long = "reloader.watch-interval", default_value = "3m")]
    pub watch_interval: GoDuration,
    /// How soon a reload that failed is tried again.
    #[arg(long = "reloader.retry-interval", default_value = "5s")]
    pub retry_interval: GoDuration,
    /// How a reload is asked for.
    #[arg(long = "reloader.method", default_value = "http", value_parser = one_of(&["http", "signal"]))]
    pub method: String,
    /// Executable name that is signalled when the method is signal.
    #[arg(long = "reloader.process-name", default_value = "prometheus")]
    pub process_name: String,
}

/// How blocks are uploaded.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ShipperFlags {
    /// Uploads compacted blocks, too; works only where Prometheus compacts no more.
    #[arg(long = "shipper.upload-compacted")]
    pub upload_compacted: bool,
    /// Lets Prometheus compact before blocks are uploaded.
    #[arg(long = "shipper.ignore-unequal-block-size", hide = true)]
    pub ignore_unequal_block_size: bool,
    /// Uploads later blocks when an earlier one cannot be uploaded.
    #[arg(long = "shipper.allow-out-of-order-uploads", hide = true)]
    pub allow_out_of_order: bool,
    /// Passes over blocks that cannot be read.
    #[arg(long = "shipper.skip-corrupted-blocks", hide = true)]
    pub skip_corrupted: bool,
    /// Hash function for the files of uploaded blocks.
    #[arg(long = "hash-func", default_value = "", value_parser = one_of(&["SHA256", ""]))]
    pub hash_func: String,
    /// Name of the file that lists uploaded blocks.
    #[arg(long = "shipper.meta-file-name", default_value = "thanos.shipper.json")]
    pub meta_file_name: String,
    /// Number of chunk files uploaded at a time; 0 leaves it to the library.
    #[arg(long = "shipper.upload-concurrency", default_value_t = 0)]
    pub upload_concurrency: i64,
}

impl SidecarFlags {
    /// How the sidecar works.
    pub(crate) fn settings(&self) -> Result<Settings> {
        Ok(Settings {
            ready_timeout: self.prometheus.ready_timeout.0,
            config_interval: self.prometheus.get_config_interval.0,
            config_timeout: self.prometheus.get_config_timeout.0,
            shipper: self.shipper()?,
            reloader: self.reloader.settings(),
            ..Settings::default()
        })
    }

    /// Before this time the sidecar says that it holds nothing.
    pub(crate) fn min_time(&self) -> Result<TimeBound> {
        self.min_time.parse().context("--min-time")
    }

    fn shipper(&self) -> Result<ShipperSettings> {
        let flags = &self.shipper;
        let concurrency = usize::try_from(flags.upload_concurrency)
            .map_err(|_| anyhow!("--shipper.upload-concurrency: {} is negative", flags.upload_concurrency))?;
        Ok(ShipperSettings {
            data_dir: self.tsdb_path.clone(),
            meta_file: flags.meta_file_name.clone(),
            upload_compacted: flags.upload_compacted,
            ignore_unequal_block_size: flags.ignore_unequal_block_size,
            allow_out_of_order: flags.allow_out_of_order,
            skip_corrupted: flags.skip_corrupted,
            hash_sha256: flags.hash_func == "SHA256",
            concurrency,
            ..ShipperSettings::default()
        })
    }
}

impl ReloaderFlags {
    fn settings(&self) -> ReloaderSettings {
        let path = |path: &str| (!path.is_empty()).then(|| PathBuf::from(path));
        ReloaderSettings {
            config_file: path(&self.config_file),
            output_file: path(&self.envsubst_file),
            rule_dirs: self.rule_dirs.clone(),
            watch_interval: self.watch_interval.0,
            retry_interval: self.retry_interval.0,
            method: match self.method.as_str() {
                "signal" => ReloadMethod::Signal { process_name: self.process_name.clone() },
                _ => ReloadMethod::Http,
            },
            ..ReloaderSettings::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        flags: SidecarFlags,
    }

    fn flags(args: &[&str]) -> SidecarFlags {
        Command::try_parse_from(["x"].iter().chain(args)).expect("flags").flags
    }

    #[test]
    fn flags_become_settings() {
        let settings = flags(&[]).settings().expect("the defaults");
        let want = Settings::default();
        assert_eq!(format!("{settings:?}"), format!("{want:?}"), "the defaults are those of the library");
        assert_eq!(flags(&[]).min_time().expect("the default"), TimeBound::default());
        let all = flags(&[
            "--tsdb.path=/d",
            "--hash-func=SHA256",
            "--shipper.upload-compacted",
            "--shipper.upload-concurrency=3",
            "--reloader.method=signal",
            "--reloader.process-name=p",
            "--reloader.rule-dir=/a",
            "--reloader.rule-dir=/b",
            "--reloader.config-file=/c",
            "--prometheus.get_config_interval=1m",
            "--min-time=-2h",
        ]);
        let settings = all.settings().expect("sound");
        assert_eq!((settings.config_interval, settings.shipper.concurrency), (Duration::from_secs(60), 3));
        assert!(settings.shipper.hash_sha256 && settings.shipper.upload_compacted);
        assert_eq!(settings.reloader.rule_dirs.len(), 2);
        assert_eq!(settings.reloader.method, ReloadMethod::Signal { process_name: "p".to_owned() });
        assert_eq!(all.min_time().expect("sound"), TimeBound::FromNow(-7_200_000));
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        assert!(flags(&["--min-time=soon"]).min_time().is_err());
        assert!(flags(&["--shipper.upload-concurrency=-1"]).settings().is_err());
        assert!(Command::try_parse_from(["x", "--reloader.method=magic"]).is_err());
        assert!(Command::try_parse_from(["x", "--hash-func=MD5"]).is_err());
    }
}
