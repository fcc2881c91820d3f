//! Readers of blocks: a local folder by mapping, an object store by range requests.

use std::{
    collections::HashMap,
    fs::File,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, path::Path as ObjectPath};

use super::{map::map, range::RangeReader};
use crate::error::{Error, ErrorKind, Result};

/// A block in a local folder, whose files are mapped into memory on first use.
///
/// A file that shrinks while it is mapped would kill the process when its lost pages are
/// touched. Before each round of reads the size is compared with that at mapping, and a
/// changed one fails with `Corrupt`; what remains is a file that shrinks during a round, or
/// under bytes that a caller still holds. Keep writers away from block folders. Reads
/// that miss the page cache block the calling thread.
///
/// See [`Block`](super::Block).
#[derive(Debug)]
pub struct LocalReader {
    dir: PathBuf,
    files: Mutex<HashMap<String, Mapped>>,
}

#[derive(Clone, Debug)]
struct Mapped {
    file: Arc<File>,
    bytes: Bytes,
}

impl LocalReader {
    /// A reader of the block in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), files: Mutex::default() }
    }

    /// The folder of the block.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn open(&self, object: &str) -> Result<Bytes> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.dir.join(object);
        let failed = |e| io_error(&path, e);
        if let Some(mapped) = files.get(object) {
            let len = mapped.file.metadata().map_err(failed)?.len();
            if len != mapped.bytes.len() as u64 {
                let before = mapped.bytes.len();
                return Err(Error::corrupt(format!("{} had {before} bytes, now {len}", path.display())));
            }
            return Ok(mapped.bytes.clone());
        }
        let file = File::open(&path).map_err(failed)?;
        let bytes = map(&file).map_err(failed)?;
        let mapped = Mapped { file: Arc::new(file), bytes: bytes.clone() };
        files.insert(object.to_owned(), mapped);
        Ok(bytes)
    }
}

fn io_error(path: &Path, e: std::io::Error) -> Error {
    let kind = match e.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::NotFound,
        std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("cannot read {}: {e}", path.display())).with_source(e)
}

fn cut(bytes: &Bytes, range: &Range<u64>) -> Bytes {
    let len = bytes.len() as u64;
    let start = range.start.min(len);
    bytes.slice(start as usize..range.end.clamp(start, len) as usize)
}

#[async_trait]
impl RangeReader for LocalReader {
    async fn size(&self, object: &str) -> Result<u64> {
        Ok(self.open(object)?.len() as u64)
    }

    async fn read_ranges(&self, object: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let bytes = self.open(object)?;
        Ok(ranges.iter().map(|r| cut(&bytes, r)).collect())
    }

    async fn read(&self, object: &str) -> Result<Bytes> {
        self.open(object)
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>> {
        let path = self.dir.join(folder);
        let entries = match std::fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(io_error(&path, e)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| io_error(&path, e))?;
            names.extend(entry.file_name().into_string().ok());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn gap_max(&self) -> u64 {
        0
    }

    fn has_tombstones(&self) -> bool {
        true
    }
}

/// Requests to an object store that one call keeps in flight.
const REQUESTS_MAX: usize = 8;

/// A block in an object store.
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::{Block, Context, ErrorKind, block::ObjectReader, object_store::memory::InMemory};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let reader = ObjectReader::new(Arc::new(InMemory::new()), "01BX5ZZKBKACTAV9WEVGEMMVS0".into());
/// let error = Block::open(&Context::default(), Arc::new(reader)).await.expect_err("an empty bucket");
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ObjectReader {
    store: Arc<dyn ObjectStore>,
    prefix: ObjectPath,
    tombstones: bool,
}

impl ObjectReader {
    /// A reader of the block whose objects begin with `prefix`, its ULID as a rule.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: ObjectPath) -> Self {
        Self { store, prefix, tombstones: false }
    }

    /// The same reader that heeds a `tombstones` object, for copies of local blocks.
    #[must_use]
    pub fn with_tombstones(self) -> Self {
        Self { tombstones: true, ..self }
    }

    fn path(&self, object: &str) -> ObjectPath {
        object.split('/').fold(self.prefix.clone(), |path, part| path.join(part))
    }

    async fn get(&self, object: &str, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let path = self.path(object);
        let start = range.start;
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let read = async { self.store.get_opts(&path, options).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(bytes),
            Err(e @ object_store::Error::NotFound { .. }) => Err(store_error(e)),
            // Stores refuse a range that begins behind the end, each with another error.
            Err(e) => match self.store.head(&path).await {
                Ok(object) if start >= object.size => Ok(Bytes::new()),
                _ => Err(store_error(e)),
            },
        }
    }
}

fn store_error(e: object_store::Error) -> Error {
    let kind = match &e {
        object_store::Error::NotFound { .. } => ErrorKind::NotFound,
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            ErrorKind::Denied
        }
        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => {
            ErrorKind::Conflict
        }
        object_store::Error::NotSupported { .. } | object_store::Error::NotImplemented { .. } => {
            ErrorKind::Unsupported
        }
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("bucket: {e}")).with_source(e)
}

#[async_trait]
impl RangeReader for ObjectReader {
    async fn size(&self, object: &str) -> Result<u64> {
        Ok(self.store.head(&self.path(object)).await.map_err(store_error)?.size)
    }

    async fn read_ranges(&self, object: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let reads: Vec<_> = ranges.iter().map(|r| self.get(object, r.clone())).collect();
        stream::iter(reads).buffered(REQUESTS_MAX).try_collect().await
    }

    async fn read(&self, object: &str) -> Result<Bytes> {
        let path = self.path(object);
        let read = async { self.store.get(&path).await?.bytes().await };
        read.await.map_err(store_error)
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>> {
        let path = self.path(folder);
        let found: Vec<_> = self.store.list(Some(&path)).try_collect().await.map_err(store_error)?;
        let names = found.iter().filter_map(|o| {
            let mut parts = o.location.prefix_match(&path)?;
            let name = parts.next()?.as_ref().to_owned();
            parts.next().is_none().then_some(name)
        });
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        Ok(names)
    }

    fn has_tombstones(&self) -> bool {
        self.tombstones
    }
}
