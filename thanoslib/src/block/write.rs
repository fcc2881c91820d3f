//! Writing and uploading blocks.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, path::Path as ObjectPath};

use super::{BlockId, BlockMeta, Compaction, FileMeta, ThanosMeta, read::INDEX, spill::Spill};
use crate::{
    chunk::{Chunk, Encoding, SEGMENT_SIZE_MAX, SegmentWriter, XorAppender},
    error::{Error, ErrorKind, Result, cannot_write},
    index::{ChunkRef, IndexChunk},
    model::{Interval, Labels, LabelsRef, TimeRange},
};

/// File in the folder of a block that is being written: its series, until the index is.
const SPILL: &str = "series.tmp";
/// And its strings, when there are many.
const SPILL_SYMBOLS: &str = "series.symbols";

type OpenSegment = Box<dyn FnMut(&str) -> std::io::Result<BufWriter<File>> + Send>;

/// Writes a block into a folder, series by series in label order.
///
/// Everything goes to `<ulid>.tmp-for-creation`, is synced, and gets its name at the end; a
/// writer that is dropped before removes what it wrote. Chunks go out as they come; labels
/// and places of chunks wait in files of the same folder, because an index begins with its
/// strings, of which 64 MiB are held in memory.
///
/// ```
/// use thanoslib::{BlockMeta, BlockWriter, Chunk, Encoding, Interval, Labels, XorAppender};
/// # let folder = tempfile::tempdir()?;
/// let mut samples = XorAppender::new();
/// samples.extend(&[0, 60_000], &[1.0, 1.0])?;
/// let chunk = Chunk { encoding: Encoding::Xor, data: samples.bytes() };
/// let meta = BlockMeta { max_time: 7_200_000, ..BlockMeta::default() };
/// let mut writer = BlockWriter::new(folder.path(), meta)?;
/// let up = Labels::from_pairs([("__name__", "up")]);
/// writer.add(up.view(), &[(Interval::new(0, 60_000), chunk)])?;
/// assert!(writer.finish()?.join("index").is_file());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct BlockWriter {
    dir: PathBuf,
    tmp: PathBuf,
    meta: BlockMeta,
    segments: Option<SegmentWriter<BufWriter<File>, OpenSegment>>,
    spill: Option<Spill>,
    /// Why strings could not be kept.
    failed: Option<Error>,
    /// Labels of the series before, in flat form.
    last: Vec<u8>,
    refs: Vec<u64>,
    places: Vec<IndexChunk>,
}

impl std::fmt::Debug for BlockWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockWriter")
            .field("tmp", &self.tmp)
            .field("series", &self.meta.stats.num_series)
            .finish()
    }
}

impl BlockWriter {
    /// A writer of the block that `meta` describes, as a new folder in `parent`. Statistics
    /// and the list of files are filled in at the end.
    ///
    /// # Errors
    /// `Conflict` when the block exists, `Unavailable` when writing fails.
    pub fn new(parent: impl AsRef<Path>, meta: BlockMeta) -> Result<Self> {
        Self::with_segment_size(parent, meta, SEGMENT_SIZE_MAX)
    }

    /// The same with another size of chunk segments.
    ///
    /// # Errors
    /// As [`BlockWriter::new`].
    pub fn with_segment_size(parent: impl AsRef<Path>, meta: BlockMeta, segment_bytes: u64) -> Result<Self> {
        let dir = parent.as_ref().join(meta.ulid.to_string());
        let tmp = parent.as_ref().join(format!("{}.tmp-for-creation", meta.ulid));
        if dir.exists() {
            return Err(Error::new(ErrorKind::Conflict, format!("{} exists", dir.display())));
        }
        let chunks = tmp.join("chunks");
        fs::create_dir_all(&chunks).map_err(cannot_write(&chunks))?;
        let open: OpenSegment = Box::new(move |name| Ok(BufWriter::new(File::create(chunks.join(name))?)));
        let segments = Some(SegmentWriter::new(segment_bytes, open));
        let spill = Some(Spill::new(&tmp.join(SPILL))?);
        let (last, refs, places) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { dir, tmp, meta, segments, spill, failed: None, last, refs, places })
    }

    /// Adds a series with its chunks in time order.
    ///
    /// # Errors
    /// `Invalid` for a series that is not after the one before, `Corrupt` for a chunk too
    /// short to hold its number of samples, `Unavailable` when writing fails.
    pub fn add(&mut self, labels: LabelsRef<'_>, chunks: &[(Interval, Chunk<'_>)]) -> Result<()> {
        if self.meta.stats.num_series > 0 && LabelsRef::from_flat(&self.last) >= labels {
            return Err(Error::invalid(format!("series {labels} is not after the series before")));
        }
        let data: Vec<_> = chunks.iter().map(|(_, c)| (c.encoding, c.data)).collect();
        self.refs.clear();
        let (Some(segments), Some(spill)) = (&mut self.segments, &mut self.spill) else {
            return Err(Error::internal("series after the end of a block"));
        };
        segments.write(&data, &mut self.refs)?;
        self.places.clear();
        for ((interval, _), reference) in chunks.iter().zip(&self.refs) {
            self.places.push(IndexChunk { interval: *interval, reference: ChunkRef(*reference) });
        }
        spill.add(labels, &self.places)?;
        self.last.clear();
        self.last.extend_from_slice(labels.as_bytes());
        let stats = &mut self.meta.stats;
        stats.num_series += 1;
        stats.num_chunks += chunks.len() as u64;
        for (_, chunk) in chunks {
            let n = chunk.num_samples()? as u64;
            stats.num_samples += n;
            match chunk.encoding {
                Encoding::Aggr | Encoding::None => {}
                _ if chunk.is_histogram() => stats.num_histogram_samples += n,
                _ => stats.num_float_samples += n,
            }
        }
        Ok(())
    }

    /// Adds strings to the symbols of the index that no series need use, as Prometheus does
    /// with those of the blocks that it merges.
    ///
    /// That they cannot be kept is told by [`finish`](Self::finish).
    pub fn add_symbols<S: AsRef<[u8]>>(&mut self, symbols: impl IntoIterator<Item = S>) {
        if let Some(spill) = &mut self.spill {
            let added = symbols.into_iter().try_for_each(|s| spill.symbol(s.as_ref()).map(drop));
            self.failed = self.failed.take().or(added.err());
        }
    }

    /// Writes index and description and gives the folder its name, which is returned.
    ///
    /// # Errors
    /// `Unavailable` when writing fails; what was written is removed then.
    pub fn finish(mut self) -> Result<PathBuf> {
        if let Some(e) = self.failed.take() {
            return Err(e);
        }
        let (Some(segments), Some(spill)) = (self.segments.take(), self.spill.take()) else {
            return Err(Error::internal("a block was ended twice"));
        };
        let chunks = self.tmp.join("chunks");
        let mut files = Vec::new();
        for (i, file) in segments.finish()?.into_iter().enumerate() {
            let name = crate::chunk::segment_name(i as u32);
            files.push(FileMeta {
                rel_path: format!("chunks/{name}"),
                size_bytes: sync(file, &chunks)?,
                hash: None,
            });
            self.meta.thanos.segment_files.push(name);
        }
        sync_dir(&chunks)?;
        let path = self.tmp.join(INDEX);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path);
        let index = spill.write_index(open.map_err(cannot_write(&path))?)?;
        for name in [SPILL, SPILL_SYMBOLS] {
            let spilled = self.tmp.join(name);
            match fs::remove_file(&spilled) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(cannot_write(&spilled)(e)),
                _ => {}
            }
        }
        files.push(FileMeta {
            rel_path: INDEX.to_owned(),
            size_bytes: sync_file(&index, &path)?,
            hash: None,
        });
        files.push(FileMeta { rel_path: BlockMeta::FILE.to_owned(), size_bytes: 0, hash: None });
        self.meta.thanos.files = files;
        self.meta.version = 1;
        let path = self.tmp.join(BlockMeta::FILE);
        let mut file = BufWriter::new(File::create(&path).map_err(cannot_write(&path))?);
        file.write_all(&self.meta.encode()?).map_err(cannot_write(&path))?;
        sync(file, &path)?;
        sync_dir(&self.tmp)?;
        fs::rename(&self.tmp, &self.dir).map_err(cannot_write(&self.dir))?;
        if let Some(parent) = self.dir.parent() {
            sync_dir(parent)?;
        }
        Ok(self.dir.clone())
    }
}

impl Drop for BlockWriter {
    fn drop(&mut self) {
        // After a successful end the folder is gone already; else a leftover is harmless,
        // because its name is no ULID.
        let _ = fs::remove_dir_all(&self.tmp);
    }
}

fn sync(file: BufWriter<File>, path: &Path) -> Result<i64> {
    let file = file.into_inner().map_err(|e| cannot_write(path)(e.into_error()))?;
    sync_file(&file, path)
}

/// Makes a file durable; gives its size.
fn sync_file(file: &File, path: &Path) -> Result<i64> {
    file.sync_all().map_err(cannot_write(path))?;
    Ok(file.metadata().map_err(cannot_write(path))?.len() as i64)
}

pub(super) fn sync_dir(path: &Path) -> Result<()> {
    File::open(path).and_then(|d| d.sync_all()).map_err(cannot_write(path))
}

/// A block to be written from float samples.
///
/// See [`Block`](super::Block).
#[derive(Clone, Debug)]
pub struct BlockSpec {
    /// Name.
    pub id: BlockId,
    /// Time covered; samples must lie inside.
    pub range: TimeRange,
    /// External labels.
    pub external_labels: Labels,
}

/// Samples of a chunk that is cut by number.
const CHUNK_SAMPLES: usize = 120;

impl BlockSpec {
    /// Writes a raw block of float samples as a new folder in `parent`: XOR chunks of 120
    /// samples. `series` come in label order, their samples as `(time in ms, value)` in
    /// time order; series without samples are left out.
    ///
    /// # Errors
    /// `Invalid` for series or samples out of order or outside of the range, `Unavailable`
    /// when writing fails.
    pub fn write<S>(
        &self,
        parent: impl AsRef<Path>,
        series: impl IntoIterator<Item = (Labels, S)>,
    ) -> Result<PathBuf>
    where
        S: IntoIterator<Item = (i64, f64)>,
    {
        let labels = self.external_labels.iter().map(|l| {
            let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
            (text(l.name), text(l.value))
        });
        let meta = BlockMeta {
            ulid: self.id,
            min_time: self.range.mint,
            max_time: self.range.maxt,
            compaction: Compaction { level: 1, sources: vec![self.id], ..Compaction::default() },
            thanos: ThanosMeta { version: 1, labels: labels.collect(), ..ThanosMeta::default() },
            ..BlockMeta::default()
        };
        let mut writer = BlockWriter::new(parent, meta)?;
        for (labels, samples) in series {
            let mut chunks: Vec<(Interval, XorAppender)> = Vec::new();
            for (t, v) in samples {
                let last = chunks.last().map(|(at, _)| at.maxt);
                if last.is_some_and(|last| t <= last) || t < self.range.mint || t >= self.range.maxt {
                    return Err(Error::invalid(format!(
                        "sample of {labels} at {t} is out of order or range"
                    )));
                }
                match chunks.last_mut().filter(|(_, c)| c.len() < CHUNK_SAMPLES) {
                    Some((at, chunk)) => {
                        chunk.append(t, v)?;
                        at.maxt = t;
                    }
                    None => {
                        let mut chunk = XorAppender::new();
                        chunk.append(t, v)?;
                        chunks.push((Interval::new(t, t), chunk));
                    }
                }
            }
            if !chunks.is_empty() {
                let views =
                    chunks.iter().map(|(at, c)| (*at, Chunk { encoding: Encoding::Xor, data: c.bytes() }));
                writer.add(labels.view(), &views.collect::<Vec<_>>())?;
            }
        }
        writer.finish()
    }
}

/// Chunk segments that are uploaded at a time.
const UPLOADS_MAX: usize = 4;

/// Uploads the block in `dir` below `prefix`: chunks, then the index, and `meta.json` last, so
/// that no reader sees the block before it is whole. What an upload that failed left
/// behind is not removed; the next attempt overwrites it.
///
/// # Errors
/// `NotFound` when a file is missing, else what the store fails with.
pub async fn upload_block(store: &Arc<dyn ObjectStore>, prefix: &ObjectPath, dir: &Path) -> Result<()> {
    let meta = read_file(dir, BlockMeta::FILE)?;
    let parsed = BlockMeta::parse(&meta)?;
    let base = prefix.clone().join(parsed.ulid.to_string());
    let chunks = dir.join("chunks");
    let mut segments = Vec::new();
    for entry in fs::read_dir(&chunks).map_err(unreadable(&chunks))? {
        let name = entry.map_err(unreadable(&chunks))?.file_name();
        segments.push(format!("chunks/{}", name.to_string_lossy()));
    }
    segments.sort_unstable();
    let uploads: Vec<_> = segments.iter().map(|name| put(store, &base, name, dir)).collect();
    stream::iter(uploads).buffer_unordered(UPLOADS_MAX).try_collect::<()>().await?;
    put(store, &base, INDEX, dir).await?;
    put_bytes(store, &base, BlockMeta::FILE, meta).await
}

async fn put(store: &Arc<dyn ObjectStore>, base: &ObjectPath, name: &str, dir: &Path) -> Result<()> {
    put_bytes(store, base, name, read_file(dir, name)?).await
}

async fn put_bytes(
    store: &Arc<dyn ObjectStore>,
    base: &ObjectPath,
    name: &str,
    bytes: Vec<u8>,
) -> Result<()> {
    let path = name.split('/').fold(base.clone(), |path, part| path.join(part));
    let put = store.put(&path, PutPayload::from(bytes)).await;
    put.map_err(|e| Error::unavailable(format!("cannot upload {path}: {e}")).with_source(e))?;
    Ok(())
}

fn unreadable(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.display().to_string();
    move |e| {
        let kind = match e.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Unavailable,
        };
        Error::new(kind, format!("cannot read {path}: {e}")).with_source(e)
    }
}

fn read_file(dir: &Path, name: &str) -> Result<Vec<u8>> {
    let path = dir.join(name);
    fs::read(&path).map_err(unreadable(&path))
}
