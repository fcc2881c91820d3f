//! Listing what a bucket holds, with directories as block storage sees them.
//!
//! Invariant: entries carry full names; a directory's name ends in `/`, an object's never.

use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use object_store::{ObjectStore, path::Path};

use super::{Attributes, Bucket, Provider, dir_path, map_err};
use crate::error::Result;

/// Folders that are looked into at a time, to leave out the empty ones.
const LOOKS_AT_ONCE: usize = 16;

/// One child of a directory, or one object of a recursive listing.
///
/// ```
/// use thanoslib::Bucket;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bucket = Bucket::memory("demo");
/// bucket.put("a/one", "1").await?;
/// bucket.put("two", "22").await?;
/// let entries = bucket.list("").await?;
/// assert!(entries[0].is_dir() && entries[0].name == "a/");
/// assert_eq!(entries[1].attributes.map(|a| a.size_bytes), Some(2));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Full name from the bucket's root; ends in `/` for a directory.
    pub name: String,
    /// Size and time of an object; `None` for a directory.
    pub attributes: Option<Attributes>,
}

impl Entry {
    /// True for a directory, a common prefix of object names.
    pub fn is_dir(&self) -> bool {
        self.attributes.is_none()
    }

    /// The last part of the name, without the slash of a directory.
    pub fn base_name(&self) -> &str {
        let name = self.name.strip_suffix('/').unwrap_or(&self.name);
        name.rsplit('/').next().unwrap_or(name)
    }
}

impl Bucket {
    /// Direct children of a directory (`""` is the root), sorted by name.
    ///
    /// A directory without objects does not exist; listing what does not exist gives
    /// nothing. An object named like the directory itself is not its child.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn list(&self, dir: &str) -> Result<Vec<Entry>> {
        let prefix = dir_path(dir)?;
        let some = (!prefix.is_root()).then_some(&prefix);
        let listed = match self.store.list_with_delimiter(some).await {
            Ok(listed) => listed,
            Err(object_store::Error::NotFound { .. }) => return Ok(Vec::new()),
            Err(e) => return Err(map_err(&format!("list {dir:?}"), e)),
        };
        let dirs = self.without_empty(dir, listed.common_prefixes).await?;
        let mut entries: Vec<Entry> = dirs
            .into_iter()
            .map(|path| Entry { name: format!("{path}/"), attributes: None })
            .chain(listed.objects.iter().map(|meta| Entry {
                name: meta.location.to_string(),
                attributes: Some(Attributes::from(meta)),
            }))
            .filter(|e| e.name != prefix.as_ref() && e.name != "/")
            .collect();
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        entries.dedup_by(|a, b| a.name == b.name);
        Ok(entries)
    }

    /// Every object below a directory (`""` is the root), in no particular order.
    ///
    /// **Errors** come as items and end the stream; a missing directory gives nothing.
    pub fn list_recursive(&self, dir: &str) -> BoxStream<'static, Result<Entry>> {
        let prefix = match dir_path(dir) {
            Ok(prefix) => prefix,
            Err(e) => return stream::once(async move { Err(e) }).boxed(),
        };
        let what = format!("list {dir:?} recursively");
        self.store
            .list((!prefix.is_root()).then_some(&prefix))
            .filter_map(move |item| {
                let item = match item {
                    Ok(meta) if meta.location.is_root() || meta.location == prefix => None,
                    Ok(meta) => Some(Ok(Entry {
                        name: meta.location.to_string(),
                        attributes: Some(Attributes::from(&meta)),
                    })),
                    Err(object_store::Error::NotFound { .. }) => None,
                    Err(e) => Some(Err(map_err(&what, e))),
                };
                std::future::ready(item)
            })
            .boxed()
    }

    /// Object stores have no empty directories, but local folders do.
    async fn without_empty(&self, dir: &str, dirs: Vec<Path>) -> Result<Vec<Path>> {
        if self.provider != Provider::Filesystem {
            return Ok(dirs);
        }
        let kept: Vec<Option<Path>> = stream::iter(dirs)
            .map(|path| async move {
                let first = self.store.list(Some(&path)).next().await;
                match first {
                    Some(Ok(_)) => Ok(Some(path)),
                    None | Some(Err(object_store::Error::NotFound { .. })) => Ok(None),
                    Some(Err(e)) => Err(map_err(&format!("list {dir:?}"), e)),
                }
            })
            .buffered(LOOKS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(kept.into_iter().flatten().collect())
    }
}
