//! Index-headers of blocks: built from a bucket by range requests, kept in local files.
//!
//! Source: Thanos `pkg/block/indexheader/binary_reader.go`.

use std::{
    fs::{self, File},
    io::Write,
    ops::Range,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};

use super::{RangeReader, map::map, read::INDEX, write::sync_dir};
use crate::{
    context::Context,
    error::{Error, ErrorKind, Result, cannot_write},
    index::{HEADER_LEN, IndexHeader, IndexHeaderPlan, Toc},
};

/// Bytes of an index that one request reads.
const PART_BYTES: u64 = 16 << 20;
/// Requests under way at a time; so many parts are held in memory.
const PARTS_AT_ONCE: usize = 4;

/// Name of the file.
pub const INDEX_HEADER_FILE: &str = "index-header";

/// Builds the index-header of a block in memory. `index_bytes` is the size of the index
/// when it is known, which saves a request.
///
/// # Errors
/// `NotFound` without an index, `Corrupt` when its ends are damaged, and what the reader
/// fails with.
pub async fn build_index_header(
    ctx: &Context,
    reader: &dyn RangeReader,
    index_bytes: Option<u64>,
) -> Result<Bytes> {
    let work = async {
        let plan = plan(reader, index_bytes).await?;
        let mut out = plan.start().to_vec();
        let mut parts = parts(reader, &plan);
        while let Some(part) = parts.try_next().await? {
            out.extend_from_slice(&part);
        }
        out.extend_from_slice(&plan.end());
        Ok(Bytes::from(out))
    };
    ctx.run(work).await
}

/// Opens the index-header in the file at `path`; one that is missing or damaged is built
/// from the bucket first. Every `sampling`-th place is held, see
/// [`INDEX_HEADER_SAMPLING`](crate::index::INDEX_HEADER_SAMPLING).
///
/// The file is written beside, checked, synced and renamed, so that it is whole whenever it
/// is there. Writing blocks the calling thread.
///
/// # Errors
/// As [`build_index_header`]; `Unavailable` when the file cannot be written.
pub async fn open_index_header(
    ctx: &Context,
    reader: &dyn RangeReader,
    index_bytes: Option<u64>,
    path: &Path,
    sampling: usize,
) -> Result<IndexHeader> {
    match read_file(path, sampling) {
        Ok(header) => return Ok(header),
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => tracing::warn!(file = %path.display(), error = %e, "index-header is built again"),
    }
    ctx.run(async {
        let plan = plan(reader, index_bytes).await?;
        let mut file = Beside::new(path)?;
        file.put(&plan.start())?;
        let mut parts = parts(reader, &plan);
        while let Some(part) = parts.try_next().await? {
            file.put(&part)?;
        }
        file.put(&plan.end())?;
        file.finish(sampling)
    })
    .await
}

fn read_file(path: &Path, sampling: usize) -> Result<IndexHeader> {
    let unreadable = |e: std::io::Error| {
        let kind = match e.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Unavailable,
        };
        Error::new(kind, format!("cannot read {}: {e}", path.display())).with_source(e)
    };
    let bytes = map(&File::open(path).map_err(unreadable)?).map_err(unreadable)?;
    IndexHeader::parse(&bytes, sampling).map_err(|e| e.context(path.display()))
}

/// Reads the ends of an index.
pub(super) async fn plan(reader: &dyn RangeReader, index_bytes: Option<u64>) -> Result<IndexHeaderPlan> {
    let len = match index_bytes {
        Some(len) if len > 0 => len,
        _ => reader.size(INDEX).await?,
    };
    let (head, tail) = (0..HEADER_LEN as u64, len.saturating_sub(Toc::LEN as u64)..len);
    let read = reader.read_ranges(INDEX, &[head, tail]).await?;
    let [head, tail] = read.as_slice() else {
        return Err(Error::internal("a reader gave another number of ranges than asked"));
    };
    IndexHeaderPlan::new(head, tail, len).map_err(|e| e.context(INDEX))
}

/// The sections of the index that the header holds, in order.
fn parts<'a>(reader: &'a dyn RangeReader, plan: &IndexHeaderPlan) -> BoxStream<'a, Result<Bytes>> {
    let split = |range: Range<u64>| {
        let starts = range.clone().step_by(PART_BYTES as usize);
        starts.map(move |at| at..range.end.min(at + PART_BYTES))
    };
    let ranges: Vec<Range<u64>> = split(plan.symbols()).chain(split(plan.table())).collect();
    let read = move |range: Range<u64>| async move {
        let bytes = reader.read_ranges(INDEX, std::slice::from_ref(&range)).await?.pop().unwrap_or_default();
        if bytes.len() as u64 != range.end - range.start {
            let got = bytes.len();
            return Err(Error::corrupt(format!("{INDEX}: {got} bytes of {range:?} could be read")));
        }
        Ok(bytes)
    };
    stream::iter(ranges).map(read).buffered(PARTS_AT_ONCE).boxed()
}

/// A file that gets its name when it is whole; dropped before, it is removed.
struct Beside<'a> {
    path: &'a Path,
    tmp: PathBuf,
    file: File,
}

impl<'a> Beside<'a> {
    fn new(path: &'a Path) -> Result<Self> {
        /// Tells writers of one process apart.
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(cannot_write(parent))?;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let tmp = path.with_extension(format!("{}-{number}.tmp", std::process::id()));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&tmp);
        Ok(Self { path, file: file.map_err(cannot_write(&tmp))?, tmp })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(cannot_write(&self.tmp))
    }

    /// Checks what was written and gives it its name.
    fn finish(self, sampling: usize) -> Result<IndexHeader> {
        self.file.sync_all().map_err(cannot_write(&self.tmp))?;
        let bytes = map(&self.file).map_err(cannot_write(&self.tmp))?;
        let header = IndexHeader::parse(&bytes, sampling).map_err(|e| e.context(INDEX))?;
        fs::rename(&self.tmp, self.path).map_err(cannot_write(self.path))?;
        if let Some(parent) = self.path.parent() {
            sync_dir(parent)?;
        }
        Ok(header)
    }
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        // After a rename nothing is there; a leftover is never read.
        let _ = fs::remove_file(&self.tmp);
    }
}
