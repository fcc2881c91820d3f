//! The flags that name a bucket.
//!
//! Invariant: opens what the configuration says; what keys mean is the library's.

use std::path::PathBuf;

use anyhow::{Context, Result};
use thanoslib::bucket::{Bucket, BucketConfig};

use crate::env::TextPair;

/// `--objstore.config` and `--objstore.config-file`, on a command and its subcommands.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ObjstoreFlags {
    /// File with the object store configuration in YAML.
    #[arg(long = "objstore.config-file", value_name = "file-path", global = true)]
    file: Option<PathBuf>,
    /// The object store configuration in YAML, in place of a file.
    #[arg(long = "objstore.config", value_name = "content", global = true)]
    config: Option<String>,
}

impl ObjstoreFlags {
    /// The bucket that the flags name.
    ///
    /// # Errors
    /// When the flags name none, or not a usable one.
    pub fn bucket(&self) -> Result<Bucket> {
        open(&self.pair().required()?)
    }

    /// The bucket, or `None` when the flags say nothing.
    ///
    /// # Errors
    /// When the flags name no usable bucket.
    pub fn bucket_if_set(&self) -> Result<Option<Bucket>> {
        self.pair().get()?.as_deref().map(open).transpose()
    }

    fn pair(&self) -> TextPair<'_> {
        TextPair { flag: "objstore.config", text: self.config.as_deref(), file: self.file.as_deref() }
    }
}

fn open(yaml: &str) -> Result<Bucket> {
    BucketConfig::parse(yaml).and_then(|config| config.open()).context("create bucket client")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        objstore: ObjstoreFlags,
    }

    #[test]
    fn flags_name_a_bucket() {
        let flags = |args: &[&str]| {
            let args = ["x"].iter().chain(args);
            Command::try_parse_from(args).expect("flags").objstore
        };
        let dir = tempfile::tempdir().expect("tempdir");
        let yaml = format!("{{type: FILESYSTEM, config: {{directory: {:?}}}}}", dir.path());
        let bucket = flags(&["--objstore.config", &yaml]).bucket().expect("opens");
        assert_eq!(bucket.name(), dir.path().display().to_string());
        assert!(flags(&[]).bucket().is_err());
        assert!(flags(&[]).bucket_if_set().expect("nothing set").is_none());
        let e = flags(&["--objstore.config=type: FTP"]).bucket().expect_err("unknown");
        assert_eq!(format!("{e:#}"), "create bucket client: bucket with type FTP is not supported");
    }
}
