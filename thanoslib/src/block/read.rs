//! Opening a block.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

use super::{BlockMeta, RangeReader, Tombstones};
use crate::{
    context::Context,
    error::{Error, ErrorKind, Result},
    index::{HEADER_LEN, Index, IndexHeader, Toc, parse_header},
};

/// How much of the start and of the end of an index is read at first.
const PROBE: u64 = 64 << 10;

/// Name of the index object.
pub(super) const INDEX: &str = "index";

/// An opened block: its description and the parts of its index that every request needs.
///
/// Opening takes, with the description at hand and the size of the index in it, one round
/// trip for an index whose symbols and postings table lie within 64 KiB of its ends, else
/// two; one more when the size must be asked for. A select takes one for postings, one for
/// series, one for chunks, and one more of either when an entry is longer than assumed. So a
/// cold request over a block known from its description takes five.
///
/// ```
/// use futures::TryStreamExt;
/// use std::sync::Arc;
/// use thanoslib::block::{BlockSelect, BlockSpec};
/// use thanoslib::{Block, BlockId, Context, Interval, Labels, LocalReader, Matcher, model::TimeRange};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let id = BlockId::from_parts(1, 1);
/// let spec = BlockSpec { id, range: TimeRange::new(0, 7_200_000), external_labels: Labels::empty() };
/// let up = Labels::from_pairs([("__name__", "up")]);
/// let dir = spec.write(folder.path(), [(up, [(0, 1.0), (60_000, 1.0)])])?;
///
/// let ctx = Context::default();
/// let block = Block::open(&ctx, Arc::new(LocalReader::new(dir))).await?;
/// let select = BlockSelect {
///     matchers: vec![Matcher::equal("__name__", "up")],
///     interval: Interval::ALL,
///     skip_chunks: false,
///     aggregates: Vec::new(),
/// };
/// let batches: Vec<_> = block.select(&ctx, select).await?.try_collect().await?;
/// assert_eq!((block.meta().stats.num_samples, batches[0].series.len()), (2, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Block {
    pub(super) meta: BlockMeta,
    pub(super) reader: Arc<dyn RangeReader>,
    pub(super) index: Index,
    pub(super) segments: Vec<String>,
    pub(super) tombstones: Tombstones,
}

impl Block {
    /// Opens a block by its `meta.json`.
    ///
    /// # Errors
    /// `NotFound` when an object is missing, `Corrupt` when one is damaged.
    pub async fn open(ctx: &Context, reader: Arc<dyn RangeReader>) -> Result<Arc<Self>> {
        let bytes = ctx.run(reader.read(BlockMeta::FILE)).await?;
        let meta = BlockMeta::parse(&bytes).map_err(|e| e.context(BlockMeta::FILE))?;
        Self::open_with_meta(ctx, reader, meta).await
    }

    /// Opens a block whose description is known.
    ///
    /// # Errors
    /// `NotFound` when an object is missing, `Corrupt` when one is damaged.
    pub async fn open_with_meta(
        ctx: &Context,
        reader: Arc<dyn RangeReader>,
        meta: BlockMeta,
    ) -> Result<Arc<Self>> {
        let index = open_index(&*reader, &meta);
        let segments = segments(&*reader, &meta);
        let tombstones = tombstones(&*reader);
        let parts = async { futures::try_join!(index, segments, tombstones) };
        let (index, segments, tombstones) =
            ctx.run(parts).await.map_err(|e| e.context(format_args!("block {}", meta.ulid)))?;
        Ok(Arc::new(Self { meta, reader, index, segments, tombstones }))
    }

    /// Opens a block of which description and index-header are known. When the description
    /// lists the chunk segments, nothing is read of a block in a bucket.
    ///
    /// # Errors
    /// `NotFound` when an object is missing, `Corrupt` when one is damaged.
    pub async fn open_with_index(
        ctx: &Context,
        reader: Arc<dyn RangeReader>,
        meta: BlockMeta,
        index: IndexHeader,
    ) -> Result<Arc<Self>> {
        let segments = segments(&*reader, &meta);
        let tombstones = tombstones(&*reader);
        let parts = async { futures::try_join!(segments, tombstones) };
        let (segments, tombstones) =
            ctx.run(parts).await.map_err(|e| e.context(format_args!("block {}", meta.ulid)))?;
        Ok(Arc::new(Self { meta, reader, index: index.into_index(), segments, tombstones }))
    }

    /// The description.
    pub fn meta(&self) -> &BlockMeta {
        &self.meta
    }

    /// Symbols, postings offset table and places of the index.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The deleted intervals; empty for blocks in buckets.
    pub fn tombstones(&self) -> &Tombstones {
        &self.tombstones
    }

    /// Bytes held in memory.
    pub fn size_bytes(&self) -> usize {
        self.index.size_bytes()
    }
}

async fn open_index(reader: &dyn RangeReader, meta: &BlockMeta) -> Result<Index> {
    let len = match meta.index_bytes() {
        Some(len) => len,
        None => reader.size(INDEX).await?,
    };
    if len < (HEADER_LEN + Toc::LEN) as u64 {
        return Err(Error::corrupt(format!("index of {len} bytes is too short")));
    }
    let probes = [0..PROBE.min(len), len.saturating_sub(PROBE)..len];
    let [head, tail] = read(reader, &probes).await?;
    let decoded = |e: crate::DecodeError| e.context(INDEX);
    let version = parse_header(&head).map_err(decoded)?;
    let toc = tail.len().checked_sub(Toc::LEN).and_then(|n| tail.get(n..)).unwrap_or_default();
    let toc = Toc::parse(toc, len).map_err(decoded)?;
    let wanted = [Index::symbols_range(&toc), Index::table_range(&toc, len)];
    let [symbols, table] = match (part(&head, &probes[0], &wanted[0]), part(&tail, &probes[1], &wanted[1])) {
        (Some(symbols), Some(table)) => [symbols, table],
        _ => read(reader, &wanted).await?,
    };
    Index::from_parts(version, toc, &symbols, &table).map_err(decoded)
}

async fn read<const N: usize>(reader: &dyn RangeReader, ranges: &[Range<u64>; N]) -> Result<[Bytes; N]> {
    let bytes = reader.read_ranges(INDEX, ranges).await?;
    bytes.try_into().map_err(|_| Error::internal("a reader gave another number of ranges than asked"))
}

/// The bytes of `wanted`, if those at `at` hold them.
fn part(bytes: &Bytes, at: &Range<u64>, wanted: &Range<u64>) -> Option<Bytes> {
    let start = wanted.start.checked_sub(at.start)? as usize;
    let end = wanted.end.checked_sub(at.start)? as usize;
    Some(bytes.slice_ref(bytes.get(start..end)?))
}

/// Names of the chunk segments in order; the place in the list is the number in references.
pub(super) async fn segments(reader: &dyn RangeReader, meta: &BlockMeta) -> Result<Vec<String>> {
    let mut names = meta.thanos.segment_files.clone();
    if names.is_empty() {
        names = reader.list("chunks").await?;
        // Compat: any name of digits is a segment (Prometheus `tsdb/fileutil`, `tsdb/chunks`).
        names.retain(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    }
    names.sort_unstable();
    Ok(names.into_iter().map(|n| format!("chunks/{n}")).collect())
}

async fn tombstones(reader: &dyn RangeReader) -> Result<Tombstones> {
    if !reader.has_tombstones() {
        return Ok(Tombstones::default());
    }
    match reader.read(Tombstones::FILE).await {
        Ok(bytes) => Tombstones::parse(&bytes).map_err(|e| e.context(Tombstones::FILE)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Tombstones::default()),
        Err(e) => Err(e),
    }
}
