//! Writing and uploading blocks.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, path::Path as ObjectPath};

use super::{BlockId, BlockMeta, Compaction, FileMeta, ThanosMeta, read::INDEX};
use crate::{
    chunk::{Chunk, Encoding, SEGMENT_SIZE_MAX, SegmentWriter, XorAppender},
    error::{Error, ErrorKind, Result},
    index::{ChunkRef, IndexChunk, IndexWriter},
    model::{Interval, Labels, LabelsRef, TimeRange},
};

type OpenSegment = Box<dyn FnMut(&str) -> std::io::Result<BufWriter<File>> + Send>;

/// Writes a block into a folder, series by series in label order.
///
/// Everything goes to `<ulid>.tmp-for-creation`, is synced, and gets its name at the end; a
/// writer that is dropped before removes what it wrote. Chunks go out as they come; labels
/// and places of chunks are kept in memory until the index is written.
pub struct BlockWriter {
    dir: PathBuf,
    tmp: PathBuf,
    meta: BlockMeta,
    segments: Option<SegmentWriter<BufWriter<File>, OpenSegment>>,
    series: Vec<(Labels, Vec<IndexChunk>)>,
    symbols: BTreeSet<Vec<u8>>,
    refs: Vec<u64>,
}

impl std::fmt::Debug for BlockWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockWriter").field("tmp", &self.tmp).field("series", &self.series.len()).finish()
    }
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.display().to_string();
    move |e| Error::new(ErrorKind::Unavailable, format!("cannot write {path}: {e}")).with_source(e)
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
        fs::create_dir_all(&chunks).map_err(failed(&chunks))?;
        let open: OpenSegment = Box::new(move |name| Ok(BufWriter::new(File::create(chunks.join(name))?)));
        let segments = Some(SegmentWriter::new(segment_bytes, open));
        let (series, symbols) = (Vec::new(), BTreeSet::new());
        Ok(Self { dir, tmp, meta, segments, series, symbols, refs: Vec::new() })
    }

    /// Adds a series with its chunks in time order.
    ///
    /// # Errors
    /// `Invalid` for a series that is not after the one before, `Corrupt` for a chunk too
    /// short to hold its number of samples, `Unavailable` when writing fails.
    pub fn add(&mut self, labels: LabelsRef<'_>, chunks: &[(Interval, Chunk<'_>)]) -> Result<()> {
        if self.series.last().is_some_and(|(last, _)| last.view() >= labels) {
            return Err(Error::invalid(format!("series {labels} is not after the series before")));
        }
        let data: Vec<_> = chunks.iter().map(|(_, c)| (c.encoding, c.data)).collect();
        self.refs.clear();
        let Some(segments) = &mut self.segments else {
            return Err(Error::internal("series after the end of a block"));
        };
        segments.write(&data, &mut self.refs)?;
        let refs = self.refs.iter().map(|r| ChunkRef(*r));
        let places = chunks
            .iter()
            .zip(refs)
            .map(|((interval, _), reference)| IndexChunk { interval: *interval, reference });
        for label in labels.iter() {
            for s in [label.name, label.value] {
                if !self.symbols.contains(s) {
                    self.symbols.insert(s.to_vec());
                }
            }
        }
        self.series.push((labels.to_labels(), places.collect()));
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
    pub fn add_symbols<S: AsRef<[u8]>>(&mut self, symbols: impl IntoIterator<Item = S>) {
        self.symbols.extend(symbols.into_iter().map(|s| s.as_ref().to_vec()));
    }

    /// Writes index and description and gives the folder its name, which is returned.
    ///
    /// # Errors
    /// `Unavailable` when writing fails; what was written is removed then.
    pub fn finish(mut self) -> Result<PathBuf> {
        let Some(segments) = self.segments.take() else {
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
        let file = BufWriter::new(File::create(&path).map_err(failed(&path))?);
        let mut index = IndexWriter::new(file, &self.symbols)?;
        for (labels, chunks) in &self.series {
            index.add(labels.view(), chunks)?;
        }
        files.push(FileMeta {
            rel_path: INDEX.to_owned(),
            size_bytes: sync(index.finish()?, &path)?,
            hash: None,
        });
        files.push(FileMeta { rel_path: BlockMeta::FILE.to_owned(), size_bytes: 0, hash: None });
        self.meta.thanos.files = files;
        self.meta.version = 1;
        let path = self.tmp.join(BlockMeta::FILE);
        let mut file = BufWriter::new(File::create(&path).map_err(failed(&path))?);
        file.write_all(&self.meta.encode()?).map_err(failed(&path))?;
        sync(file, &path)?;
        sync_dir(&self.tmp)?;
        fs::rename(&self.tmp, &self.dir).map_err(failed(&self.dir))?;
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
    let file = file.into_inner().map_err(|e| failed(path)(e.into_error()))?;
    file.sync_all().map_err(failed(path))?;
    Ok(file.metadata().map_err(failed(path))?.len() as i64)
}

fn sync_dir(path: &Path) -> Result<()> {
    File::open(path).and_then(|d| d.sync_all()).map_err(failed(path))
}

/// A block to be written from float samples.
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
