//! `thanos tools bucket ls`.

use std::{io, time::Duration};

use clap::Args;
use thanoslib::{
    bucket::Bucket,
    clock::{Clock, SystemClock},
    context::Context,
    model::Interval,
    tools::{LsOutput, LsSettings, ls, parse_time},
};

/// Flags of `bucket ls`.
#[derive(Debug, Args)]
pub(super) struct LsFlags {
    /// Shows ids by default; json, wide, or a template with fields such as `{{.ULID}}`.
    #[arg(long, short, default_value = "")]
    output: String,
    /// Leaves out blocks that are marked for deletion.
    #[arg(long = "exclude-delete")]
    exclude_delete: bool,
    /// Shows only blocks that end at this time or later: RFC 3339, or a duration from now such as -2w.
    #[arg(
        long = "min-time",
        default_value = "0000-01-01T00:00:00Z",
        value_parser = time,
        allow_hyphen_values = true
    )]
    min_time: i64,
    /// Shows only blocks that begin at this time or earlier: RFC 3339, or a duration from now.
    #[arg(
        long = "max-time",
        default_value = "9999-12-31T23:59:59Z",
        value_parser = time,
        allow_hyphen_values = true
    )]
    max_time: i64,
    /// Gives up after this time.
    #[arg(long, default_value = "5m", value_parser = super::timeout, allow_hyphen_values = true)]
    timeout: Duration,
}

fn time(text: &str) -> Result<i64, String> {
    parse_time(text, SystemClock.now_ms()).map_err(|e| e.to_string())
}

impl LsFlags {
    fn settings(&self) -> anyhow::Result<LsSettings> {
        anyhow::ensure!(self.min_time <= self.max_time, "--min-time must not be after --max-time");
        Ok(LsSettings {
            output: LsOutput::parse(&self.output)?,
            exclude_deleted: self.exclude_delete,
            interval: Interval::new(self.min_time, self.max_time),
            zone: super::local_zone(),
        })
    }
}

pub(super) async fn run(bucket: &Bucket, flags: LsFlags) -> anyhow::Result<()> {
    let settings = flags.settings()?;
    let ctx = Context::default().with_timeout(flags.timeout);
    let objects = ls(&ctx, bucket, &settings, &mut io::stdout()).await?;
    tracing::info!(objects, "ls done");
    Ok(())
}
