//! `thanos tools bucket verify`.

use std::{io, path::PathBuf, time::Duration};

use clap::Args;
use thanoslib::{
    block::{BlockId, VerifySettings},
    bucket::{Bucket, BucketConfig},
    context::Context,
    tools::{BucketVerifySettings, Issue, verify_bucket},
};
use thanoslib_bins_common::env::TextPair;

/// Flags of `bucket verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyFlags {
    /// Repairs blocks that have one of the issues; needs a bucket for backups.
    #[arg(long, short)]
    repair: bool,
    /// What to look for: index_known_issues, overlapped_blocks, duplicated_compaction; may be repeated.
    #[arg(
        long = "issues",
        short = 'i',
        value_name = "issue",
        default_values = ["index_known_issues", "overlapped_blocks"]
    )]
    issues: Vec<String>,
    /// Looks only at this block; may be repeated.
    #[arg(long = "id", value_name = "ULID", value_parser = |s: &str| s.parse::<BlockId>())]
    ids: Vec<BlockId>,
    /// Marks repaired blocks for deletion and deletes them this much later; at once by default.
    #[arg(long = "delete-delay", default_value = "0s", value_parser = super::timeout, allow_hyphen_values = true)]
    delete_delay: Duration,
    /// File with the configuration of the bucket for backups in YAML.
    #[arg(long = "objstore-backup.config-file", value_name = "file-path")]
    backup_file: Option<PathBuf>,
    /// The configuration of the bucket for backups in YAML, in place of a file.
    #[arg(long = "objstore-backup.config", value_name = "content")]
    backup: Option<String>,
    /// Reads and decodes chunks too, not only indexes.
    #[arg(long)]
    chunks: bool,
}

impl VerifyFlags {
    fn settings(&self) -> anyhow::Result<BucketVerifySettings> {
        let backup = TextPair {
            flag: "objstore-backup.config",
            text: self.backup.as_deref(),
            file: self.backup_file.as_deref(),
        };
        match (backup.get()?, self.repair) {
            (Some(yaml), _) => drop(BucketConfig::parse(&yaml)?),
            (None, true) => anyhow::bail!("repair needs a bucket for backups: set --objstore-backup.config"),
            (None, false) => {}
        }
        let issues = self.issues.iter().map(|name| Issue::parse(name, self.repair));
        Ok(BucketVerifySettings {
            issues: issues.collect::<Result<_, _>>()?,
            ids: self.ids.clone(),
            repair: self.repair,
            delete_delay: self.delete_delay,
            block: VerifySettings { chunks: self.chunks, ..VerifySettings::default() },
        })
    }
}

pub(super) async fn run(bucket: &Bucket, flags: VerifyFlags) -> anyhow::Result<()> {
    let settings = flags.settings()?;
    let found = verify_bucket(&Context::default(), bucket, &settings, &mut io::stdout()).await?;
    tracing::info!(blocks = found.blocks, issues = found.issues(), "verify done");
    Ok(())
}
