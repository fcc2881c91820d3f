//! Buckets: where blocks lie, over any [`ObjectStore`].
//!
//! [`Bucket`] is a thin handle with the operations that blocks need and with errors that
//! name the object. What a bucket does beyond its store comes from decorators, each an
//! `ObjectStore` of its own: a prefix, retries, metrics. Object names are
//! taken as they stand in listings; nothing is percent-encoded.
//!
//! Invariant: knows object names and bytes; knows no blocks, no labels, no queries.

mod config;
mod error;
mod list;
mod metered;
mod prefix;
mod read;
mod retry;
#[cfg(feature = "s3")]
mod s3;
mod write;

use std::{fmt, sync::Arc};

use object_store::{ObjectStore, memory::InMemory, path::Path};

pub use config::BucketConfig;
pub use list::Entry;
pub(crate) use metered::Metered;
pub use metered::{BucketMetrics, CountingMetrics, Observation, Operation, OperationCounts};
pub(crate) use prefix::Prefixed;
pub use read::Attributes;
pub use retry::RetryPolicy;
pub(crate) use retry::Retrying;
pub use write::PutSettings;

pub(crate) use error::map_err;

use crate::error::{Error, Result};

/// What kind of server or medium keeps a bucket.
///
/// ```
/// use thanoslib::bucket::{Bucket, Provider};
/// assert_eq!(Bucket::memory("demo").provider(), Provider::Memory);
/// assert_eq!(Provider::S3.to_string(), "S3");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Provider {
    /// The memory of this process.
    Memory,
    /// A local folder.
    Filesystem,
    /// S3 or a compatible server.
    S3,
    /// An `ObjectStore` that the embedder made.
    Custom,
}

impl Provider {
    /// The name, as configuration spells it where configuration knows it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Provider::Memory => "MEMORY",
            Provider::Filesystem => "FILESYSTEM",
            Provider::S3 => "S3",
            Provider::Custom => "CUSTOM",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A place for objects; cheap to clone.
///
/// ```
/// # async fn demo() -> thanoslib::Result<()> {
/// use thanoslib::bucket::Bucket;
///
/// let bucket = Bucket::memory("demo");
/// bucket.put("a/b", "text").await?;
/// assert_eq!(bucket.get_range("a/b", 1..100).await?, "ext");
/// assert_eq!(bucket.list("").await?[0].name, "a/");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    name: Arc<str>,
    provider: Provider,
    put: PutSettings,
}

impl Bucket {
    /// A bucket over an object store; `name` stands in metrics and messages.
    pub fn new(store: Arc<dyn ObjectStore>, name: &str, provider: Provider) -> Self {
        Self { store, name: Arc::from(name), provider, put: PutSettings::default() }
    }

    /// An empty bucket in memory.
    pub fn memory(name: &str) -> Self {
        Self::new(Arc::new(InMemory::new()), name, Provider::Memory)
    }

    /// The bucket in a local folder, which is created when missing.
    ///
    /// Objects become visible whole: they are written beside and renamed. Folders that
    /// become empty are removed.
    ///
    /// # Errors
    /// `Invalid` when the folder cannot be created or opened.
    #[cfg(feature = "fs")]
    pub fn local(directory: &std::path::Path) -> Result<Self> {
        let open = || -> Result<_, Box<dyn std::error::Error + Send + Sync>> {
            std::fs::create_dir_all(directory)?;
            let store = object_store::local::LocalFileSystem::new_with_prefix(directory)?;
            Ok(store.with_automatic_cleanup(true).with_fsync(true))
        };
        let shown = directory.display();
        let store = open()
            .map_err(|e| Error::invalid(format!("cannot open bucket folder {shown}: {e}")).with_source(e))?;
        Ok(Self::new(Arc::new(store), &shown.to_string(), Provider::Filesystem))
    }

    /// The same bucket with its objects below `prefix`.
    ///
    /// # Errors
    /// `Invalid` for a prefix that no object name can start with.
    pub fn with_prefix(self, prefix: &str) -> Result<Self> {
        Ok(match Prefixed::parse(prefix)? {
            Some(prefix) => Self { store: Arc::new(Prefixed::new(self.store, prefix)), ..self },
            None => self,
        })
    }

    /// The same bucket, with idempotent operations tried again when they fail.
    #[must_use]
    pub fn with_retries(self, policy: RetryPolicy) -> Self {
        Self { store: Arc::new(Retrying::new(self.store, policy)), ..self }
    }

    /// The same bucket, with every operation told to `metrics`.
    #[must_use]
    pub fn with_metrics(self, metrics: Arc<dyn BucketMetrics>) -> Self {
        Self { store: Arc::new(Metered::new(self.store, metrics)), ..self }
    }

    /// The same bucket, with other rules for writing.
    #[must_use]
    pub fn with_put_settings(self, put: PutSettings) -> Self {
        Self { put, ..self }
    }

    /// The store below, for what this type does not offer.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The name given at construction: a folder, or the bucket's name at its provider.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What keeps the bucket.
    pub fn provider(&self) -> Provider {
        self.provider
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bucket {}", self.provider, self.name)
    }
}

/// The path of an object, taken literally.
fn object_path(name: &str) -> Result<Path> {
    let path = dir_path(name)?;
    if path.is_root() || name.starts_with('/') || name.ends_with('/') {
        return Err(Error::invalid(format!("invalid object name {name:?}")));
    }
    Ok(path)
}

/// The path of a directory, with or without slashes around it; empty for the root.
fn dir_path(name: &str) -> Result<Path> {
    Path::parse(name).map_err(|e| Error::invalid(format!("invalid object name {name:?}: {e}")).with_source(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_literally_or_refused() {
        let check = |name: &str, ok: bool| assert_eq!(object_path(name).is_ok(), ok, "{name:?}");
        for name in ["a", "a/b", "a%2Fb", "a b+c=d", "ü/日本"] {
            check(name, true);
            assert_eq!(object_path(name).expect("valid").as_ref(), name);
        }
        for name in ["", "/", "a/", "/a", "a//b", "..", "a/../b", "a\nb"] {
            check(name, false);
        }
    }
}
