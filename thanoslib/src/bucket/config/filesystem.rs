//! `type: FILESYSTEM`.
//!
//! Invariant: keys besides `directory` are ignored, as Thanos does.

use serde::Deserialize;

use super::value::or_default;
use crate::{
    bucket::Bucket,
    error::{Error, Result},
};

/// A bucket in a local folder.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FilesystemConfig {
    #[serde(deserialize_with = "or_default")]
    directory: String,
}

impl super::Open for FilesystemConfig {
    fn open(&self) -> Result<Bucket> {
        Bucket::local(self.directory.as_ref())
    }
}

impl FilesystemConfig {
    pub(super) fn checked(self) -> Result<Self> {
        if self.directory.is_empty() {
            return Err(Error::invalid("missing directory for filesystem bucket"));
        }
        Ok(self)
    }
}
