//! Marks: small objects beside a block that say what must not, or soon will, happen to it.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{BlockId, RangeReader, json};
use crate::{
    bucket::Bucket,
    error::{Error, ErrorKind, Result},
};

/// A mark of a block.
///
/// Source: Thanos `pkg/block/metadata/markers.go`.
///
/// ```
/// use thanoslib::{Bucket, BlockId, block::{DeletionMark, put_mark, read_mark, remove_mark}};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bucket = Bucket::memory("demo");
/// let id = BlockId::from_parts(1, 1);
/// let mark = DeletionMark { id, version: 1, deletion_time: 1_700_000_000, ..DeletionMark::default() };
/// assert!(put_mark(&bucket, &mark).await?);
/// assert_eq!(read_mark(&bucket, id).await?, Some(mark));
/// assert!(remove_mark::<DeletionMark>(&bucket, id).await?);
/// # Ok(())
/// # }
/// ```
pub trait Mark: Serialize + DeserializeOwned + Send + Sized + 'static {
    /// Name of the object.
    const FILE: &'static str;

    /// Format version, 1.
    fn version(&self) -> i64;

    /// The marked block.
    fn id(&self) -> BlockId;

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

/// Puts the mark of a block into a bucket; false when the block has such a mark, which is
/// left as it is, so that the earliest time counts.
///
/// Compat: two that mark at the same time may both succeed; the later one stays.
///
/// # Errors
/// What the bucket fails with.
pub async fn put_mark<M: Mark + Sync>(bucket: &Bucket, mark: &M) -> Result<bool> {
    let name = format!("{}/{}", mark.id(), M::FILE);
    if bucket.exists(&name).await? {
        tracing::warn!(object = name, "the block is marked already; the mark is left as it is");
        return Ok(false);
    }
    bucket.put(&name, mark.encode()?).await?;
    Ok(true)
}

/// Removes the mark of a block from a bucket; false when it has none.
///
/// # Errors
/// What the bucket fails with.
pub async fn remove_mark<M: Mark>(bucket: &Bucket, id: BlockId) -> Result<bool> {
    let name = format!("{id}/{}", M::FILE);
    if !bucket.exists(&name).await? {
        tracing::warn!(object = name, "the block has no such mark");
        return Ok(false);
    }
    bucket.delete(&name).await?;
    Ok(true)
}

/// The mark of a block in a bucket; `None` when it has none.
///
/// # Errors
/// As [`Mark::parse`], and what the bucket fails with.
pub async fn read_mark<M: Mark>(bucket: &Bucket, id: BlockId) -> Result<Option<M>> {
    let name = format!("{id}/{}", M::FILE);
    match bucket.get_at_most(&name, MARK_BYTES_MAX).await {
        Ok(bytes) => M::parse(&bytes).map(Some),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Longest mark that is read.
const MARK_BYTES_MAX: u64 = 1 << 20;

const KEYS: &[&str] =
    &["id", "version", "details", "deletion_time", "no_compact_time", "no_downsample_time", "reason"];

/// The block will be deleted.
///
/// See [`Mark`].
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
///
/// See [`Mark`].
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
///
/// See [`Mark`].
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

            fn id(&self) -> BlockId {
                self.id
            }
        })*
    };
}

marks! {
    DeletionMark "deletion-mark.json",
    NoCompactMark "no-compact-mark.json",
    NoDownsampleMark "no-downsample-mark.json",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_mark_is_put_once_and_removed() {
        let (bucket, id) = (Bucket::memory("b"), BlockId::from_parts(1, 2));
        let mark = |time| NoCompactMark {
            id,
            version: 1,
            no_compact_time: time,
            reason: "manual".to_owned(),
            ..NoCompactMark::default()
        };
        assert_eq!(read_mark::<NoCompactMark>(&bucket, id).await.expect("absent"), None);
        assert!(put_mark(&bucket, &mark(5)).await.expect("put"));
        assert!(!put_mark(&bucket, &mark(9)).await.expect("left"));
        assert_eq!(read_mark(&bucket, id).await.expect("read"), Some(mark(5)));
        assert_eq!(read_mark::<NoDownsampleMark>(&bucket, id).await.expect("absent"), None);
        assert!(!remove_mark::<DeletionMark>(&bucket, id).await.expect("absent"));
        assert!(remove_mark::<NoCompactMark>(&bucket, id).await.expect("removed"));
        assert_eq!(read_mark::<NoCompactMark>(&bucket, id).await.expect("gone"), None);
        bucket.put(&format!("{id}/{}", NoCompactMark::FILE), "{\"version\":2}").await.expect("put");
        let e = read_mark::<NoCompactMark>(&bucket, id).await.expect_err("version");
        assert_eq!(e.kind(), ErrorKind::Unsupported);
    }
}
