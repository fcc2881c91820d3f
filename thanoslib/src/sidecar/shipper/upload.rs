//! The upload of one block.

use std::{
    fmt::Write,
    io::{self, Read},
    path::{Path, PathBuf},
};

use futures::{StreamExt, TryStreamExt, stream};

use super::{LocalBlock, ShipperSettings, label_map};
use crate::{
    block::{BlockMeta, FileHash, FileMeta, UploadTime},
    bucket::Bucket,
    error::{Error, ErrorKind, Result},
    model::Labels,
};

/// Chunk files that go up at a time when nothing is said.
const CONCURRENCY: usize = 4;

/// Uploads chunks, index and, last, the description with the labels of the moment; gives that description.
///
/// The files are linked beside first, so that a compaction can not take them away in between.
///
/// # Errors
/// `Invalid` without labels; those of the folder and of the bucket. What is half uploaded is no block,
/// since the description is missing.
pub(super) async fn upload(
    bucket: &Bucket,
    settings: &ShipperSettings,
    block: &LocalBlock,
    labels: &Labels,
    now_ms: i64,
) -> Result<BlockMeta> {
    let id = block.meta.ulid;
    let mut meta = block.meta.clone();
    meta.thanos.labels.extend(label_map(labels));
    if meta.thanos.labels.is_empty() {
        return Err(Error::invalid("empty external labels are not allowed for Thanos block."));
    }
    let dir = settings.data_dir.join("thanos").join("upload").join(id.to_string());
    let linked = Linked::new(&block.dir, dir)?;
    meta.thanos.version = 1;
    meta.thanos.downsample.resolution = 0;
    meta.thanos.source = "sidecar".to_owned();
    meta.thanos.segment_files = linked.segments.clone();
    let mut names: Vec<String> = linked.segments.iter().map(|name| format!("chunks/{name}")).collect();
    names.push("index".to_owned());
    meta.thanos.files = Vec::with_capacity(names.len() + 1);
    for name in &names {
        meta.thanos.files.push(describe(&linked.dir, name, settings.hash_sha256)?);
    }
    meta.thanos.files.push(FileMeta { rel_path: BlockMeta::FILE.to_owned(), ..FileMeta::default() });
    let put = |name: String| {
        let (bucket, file) = (bucket.clone(), linked.dir.join(&name));
        async move { bucket.put_file(&format!("{id}/{name}"), &file).await }
    };
    let most = if settings.concurrency == 0 { CONCURRENCY } else { settings.concurrency };
    let index = names.pop().unwrap_or_default();
    stream::iter(names.into_iter().map(put)).buffer_unordered(most).try_collect::<()>().await?;
    put(index).await?;
    meta.thanos.upload_time = UploadTime::from_unix_ms(now_ms);
    bucket.put(&format!("{id}/{}", BlockMeta::FILE), meta.encode()?).await?;
    Ok(meta)
}

/// The files of a block in a folder of their own, which is removed in the end.
struct Linked {
    dir: PathBuf,
    /// Names of the chunk files.
    segments: Vec<String>,
}

impl Linked {
    fn new(block: &Path, dir: PathBuf) -> Result<Self> {
        let failed = |what: &str, path: &Path, e: io::Error| {
            let kind = if e.kind() == io::ErrorKind::NotFound {
                ErrorKind::NotFound
            } else {
                ErrorKind::Unavailable
            };
            let hint = match e.kind() {
                io::ErrorKind::CrossesDevices => "; the data folder must lie on one file system",
                _ => "",
            };
            Error::new(kind, format!("cannot {what} {}: {e}{hint}", path.display())).with_source(e)
        };
        // What an upload that was cut off has left.
        match std::fs::remove_dir_all(&dir) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &dir, e)),
            _ => {}
        }
        let mut linked = Self { dir, segments: Vec::new() };
        let chunks = linked.dir.join("chunks");
        create(&chunks).map_err(|e| failed("make", &chunks, e))?;
        let from = block.join("chunks");
        for entry in std::fs::read_dir(&from).map_err(|e| failed("read", &from, e))? {
            let entry = entry.map_err(|e| failed("read", &from, e))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = entry.path();
            std::fs::hard_link(&path, chunks.join(&name)).map_err(|e| failed("link", &path, e))?;
            linked.segments.push(name);
        }
        linked.segments.sort_unstable();
        let index = block.join("index");
        std::fs::hard_link(&index, linked.dir.join("index")).map_err(|e| failed("link", &index, e))?;
        Ok(linked)
    }
}

impl Drop for Linked {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_dir_all(&self.dir) {
            tracing::warn!("cannot remove {}: {e}", self.dir.display());
        }
    }
}

/// Makes a folder that others than the group do not see.
fn create(dir: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o750);
    builder.create(dir)
}

fn describe(dir: &Path, name: &str, hash: bool) -> Result<FileMeta> {
    let path = dir.join(name);
    let failed = |e: io::Error| Error::unavailable(format!("cannot read {}: {e}", path.display()));
    let size = std::fs::metadata(&path).map_err(failed)?.len();
    let hash = match hash {
        true => Some(FileHash { func: "SHA256".to_owned(), value: sha256(&path).map_err(failed)? }),
        false => None,
    };
    Ok(FileMeta { rel_path: name.to_owned(), size_bytes: i64::try_from(size).unwrap_or(i64::MAX), hash })
}

/// SHA-256 of a file in hex.
fn sha256(path: &Path) -> io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        digest.update(buffer.get(..n).unwrap_or_default());
    }
    let mut hex = String::new();
    for byte in digest.finish().as_ref() {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    Ok(hex)
}
