//! Marks: small objects beside a block that say what must not, or soon will, happen to it.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{BlockId, RangeReader, json};
use crate::error::{Error, ErrorKind, Result};

/// A mark of a block.
///
/// Source: Thanos `pkg/block/metadata/markers.go`.
pub trait Mark: Serialize + DeserializeOwned + Send + Sized + 'static {
    /// Name of the object.
    const FILE: &'static str;

    /// Format version, 1.
    fn version(&self) -> i64;

    /// Reads the object.
    ///
    /// # Errors
    /// `Corrupt` for anything but JSON, `Unsupported` for another version.
    fn parse(bytes: &[u8]) -> Result<Self> {
        let mark: Self = json::read(bytes, KEYS, false).map_err(|e| e.context(Self::FILE))?;
        if mark.version() != 1 {
            let kind = Self::FILE.trim_end_matches(".json");
            let version = mark.version();
            return Err(Error::unsupported(format!("unexpected {kind} file version {version}, expected 1")));
        }
        Ok(mark)
    }

    /// The bytes that Thanos writes: compact JSON.
    ///
    /// # Errors
    /// `Internal` when a value has no JSON form.
    fn encode(&self) -> Result<Vec<u8>> {
        json::write_compact(self)
    }

    /// Reads the mark of a block; `None` when it has none.
    fn load(reader: &dyn RangeReader) -> impl Future<Output = Result<Option<Self>>> + Send {
        async {
            match reader.read(Self::FILE).await {
                Ok(bytes) => Self::parse(&bytes).map(Some),
                Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
                Err(e) => Err(e),
            }
        }
    }
}

const KEYS: &[&str] =
    &["id", "version", "details", "deletion_time", "no_compact_time", "no_downsample_time", "reason"];

/// The block will be deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeletionMark {
    /// Block.
    pub id: BlockId,
    /// Format version, 1.
    pub version: i64,
    /// Why, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub details: String,
    /// When it was marked, in seconds since the Unix epoch.
    pub deletion_time: i64,
}

/// The block must not be compacted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NoCompactMark {
    /// Block.
    pub id: BlockId,
    /// Format version, 1.
    pub version: i64,
    /// Why, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub details: String,
    /// When it was marked, in seconds since the Unix epoch.
    pub no_compact_time: i64,
    /// `manual`, `index-size-exceeding`, `block-index-out-of-order-chunk`, `downsample-vertical-compaction`.
    pub reason: String,
}

/// The block must not be downsampled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NoDownsampleMark {
    /// Block.
    pub id: BlockId,
    /// Format version, 1.
    pub version: i64,
    /// Why, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub details: String,
    /// When it was marked, in seconds since the Unix epoch.
    pub no_downsample_time: i64,
    /// `manual`.
    pub reason: String,
}

macro_rules! marks {
    ($($mark:ident $file:literal,)*) => {
        $(impl Mark for $mark {
            const FILE: &'static str = $file;

            fn version(&self) -> i64 {
                self.version
            }
        })*
    };
}

marks! {
    DeletionMark "deletion-mark.json",
    NoCompactMark "no-compact-mark.json",
    NoDownsampleMark "no-downsample-mark.json",
}
