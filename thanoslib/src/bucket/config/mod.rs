//! The object store configuration of Thanos: `{type, config, prefix}` in YAML.
//!
//! Unknown keys fail at the top level and in providers that are strict in Thanos; a key
//! that this build cannot honour is refused by its name. References to the environment
//! are expanded before the text comes here.
//!
//! Invariant: parsing opens nothing; only [`BucketConfig::open`] touches the outside.

#[cfg(feature = "fs")]
mod filesystem;
#[cfg(feature = "s3")]
mod s3;
mod value;

use std::{fmt, sync::Arc};

use serde::{Deserialize, de::DeserializeOwned, de::IgnoredAny};

use super::Bucket;
use crate::error::{Error, Result};

use value::or_default;

/// A parsed object store configuration.
///
/// ```
/// use thanoslib::BucketConfig;
/// # let folder = tempfile::tempdir()?;
/// let yaml = format!("type: FILESYSTEM\nconfig:\n  directory: {}\n", folder.path().display());
/// let bucket = BucketConfig::parse(&yaml)?.open()?;
/// assert_eq!(bucket.provider().as_str(), "FILESYSTEM");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct BucketConfig {
    provider: Arc<dyn Open>,
    prefix: String,
}

/// The checked configuration of one provider.
trait Open: fmt::Debug + Send + Sync {
    fn open(&self) -> Result<Bucket>;
}

/// The top level, whatever the provider.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Outline {
    #[serde(default, rename = "type", deserialize_with = "or_default")]
    provider: String,
    #[serde(default, rename = "config")]
    _config: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "or_default")]
    prefix: String,
}

/// The top level with the configuration of a known provider.
#[derive(Deserialize)]
struct Inner<C> {
    config: Option<C>,
}

impl BucketConfig {
    /// Parses the YAML text.
    ///
    /// # Errors
    /// `Invalid` for malformed YAML, an unknown or misused key, or an unknown type;
    /// `Unsupported` for a type or a key that Thanos knows and this build does not.
    pub fn parse(yaml: &str) -> Result<Self> {
        let outline: Outline = serde_saphyr::from_str(yaml).map_err(|e| malformed(&e))?;
        let provider = provider(&outline.provider, yaml)?;
        super::Prefixed::parse(&outline.prefix)?;
        Ok(Self { provider, prefix: outline.prefix })
    }

    /// Makes the bucket. Nothing is asked of a server yet.
    ///
    /// # Errors
    /// `Invalid` when a folder, certificate or key that the configuration names is not
    /// usable.
    pub fn open(&self) -> Result<Bucket> {
        self.provider.open()?.with_prefix(&self.prefix)
    }
}

/// The provider of a type, with what the text configures.
#[cfg_attr(not(any(feature = "fs", feature = "s3")), expect(unused_variables, reason = "needs a provider"))]
fn provider(name: &str, yaml: &str) -> Result<Arc<dyn Open>> {
    match name.to_uppercase().as_str() {
        #[cfg(feature = "fs")]
        "FILESYSTEM" => Ok(Arc::new(inner::<filesystem::FilesystemConfig>(yaml)?.checked()?)),
        #[cfg(feature = "s3")]
        "S3" => Ok(Arc::new(inner::<s3::S3Config>(yaml)?.checked()?)),
        #[cfg(not(feature = "fs"))]
        "FILESYSTEM" => Err(no_feature("FILESYSTEM", "fs")),
        #[cfg(not(feature = "s3"))]
        "S3" => Err(no_feature("S3", "s3")),
        known @ ("GCS" | "AZURE" | "SWIFT" | "COS" | "ALIYUNOSS" | "BOS" | "OCI" | "OBS") => {
            Err(Error::unsupported(format!(
                "bucket with type {known} is supported by Thanos, not by this build yet"
            )))
        }
        _ => Err(Error::invalid(format!("bucket with type {name} is not supported"))),
    }
}

/// The provider's part of the configuration, defaults where it says nothing.
#[cfg_attr(not(any(feature = "fs", feature = "s3")), expect(dead_code, reason = "needs a provider"))]
fn inner<C: DeserializeOwned + Default>(yaml: &str) -> Result<C> {
    let parsed: Inner<C> = serde_saphyr::from_str(yaml).map_err(|e| malformed(&e))?;
    Ok(parsed.config.unwrap_or_default())
}

/// What is wrong and where. The excerpt of the text that follows is left out: it may hold secrets.
fn malformed(e: &serde_saphyr::Error) -> Error {
    let text = e.to_string();
    let first = text.lines().next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(first);
    Error::invalid(format!("object store configuration: {first}"))
}

#[cfg(not(all(feature = "fs", feature = "s3")))]
fn no_feature(provider: &str, feature: &str) -> Error {
    Error::unsupported(format!("bucket with type {provider} needs a build with feature {feature}"))
}

#[cfg(test)]
mod tests;
