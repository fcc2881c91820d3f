//! Looking for everything that is wrong with a block.
//!
//! Every checksum, every order, every reference is checked, and the postings are compared with
//! the series that they should list. Findings are data; one does not hide the next, as far as
//! the bytes behind it can be found.
//!
//! Invariant: reads each byte of a sound block once, in large pieces; what is held grows
//! with symbols and label pairs, not with series, chunks or findings.

mod chunks;
mod postings;
mod report;
mod series;
#[cfg(test)]
mod tests;
mod window;

use bytes::Bytes;

pub use report::{Finding, FindingKind, IndexHealth, VerifyReport};

use super::{BlockMeta, RangeReader, Tombstones, index_header, read::INDEX};
use crate::{
    context::Context,
    encoding::{Take, crc32c},
    error::{Error, ErrorKind, Result},
    index::{HEADER_LEN, IndexHeaderPlan, PostingsTable, Symbols, Toc},
};
use chunks::Segments;
use window::Window;

/// How a block is verified.
///
/// ```
/// use thanoslib::block::{BlockId, BlockSpec, LocalReader, VerifySettings, verify_block};
/// use thanoslib::{Context, Labels, model::TimeRange};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let id = BlockId::from_parts(1, 1);
/// let spec = BlockSpec { id, range: TimeRange::new(0, 7_200_000), external_labels: Labels::empty() };
/// let up = Labels::from_pairs([("__name__", "up")]);
/// let dir = spec.write(folder.path(), [(up, [(0, 1.0)])])?;
/// std::fs::write(dir.join("chunks/000001"), b"damaged")?;
///
/// let (ctx, reader) = (Context::default(), LocalReader::new(dir));
/// let report = verify_block(&ctx, &reader, &VerifySettings::default()).await?;
/// assert!(report.is_broken() && !report.findings.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct VerifySettings {
    /// Findings of one kind that are listed; further ones are counted. Default: 100.
    pub listed_max: usize,
    /// Whether chunks are decoded, not only checked by their sums. Default: yes.
    pub decode: bool,
    /// Whether chunk segments are read at all. Default: yes.
    pub chunks: bool,
}

impl Default for VerifySettings {
    fn default() -> Self {
        Self { listed_max: 100, decode: true, chunks: true }
    }
}

/// Reads a whole block and tells what is wrong with it.
///
/// ```no_run
/// # async fn demo() -> thanoslib::Result<()> {
/// use thanoslib::{block::{LocalReader, VerifySettings, verify_block}, context::Context};
///
/// let reader = LocalReader::new("data/01HV7J3W8ZQ0V1M2N3P4Q5R6S7");
/// let report = verify_block(&Context::default(), &reader, &VerifySettings::default()).await?;
/// for finding in &report.findings {
///     println!("{finding}");
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// What the reader fails with, other than that an object is missing; damage is no error.
pub async fn verify_block(
    ctx: &Context,
    reader: &dyn RangeReader,
    settings: &VerifySettings,
) -> Result<VerifyReport> {
    ctx.run(verify(reader, settings)).await
}

async fn verify(reader: &dyn RangeReader, settings: &VerifySettings) -> Result<VerifyReport> {
    let mut report = VerifyReport::new(settings.listed_max);
    let meta = meta(reader, &mut report).await?;
    if let Some(meta) = &meta {
        file_sizes(reader, meta, &mut report).await?;
    }
    let Some(parts) = parts(reader, &mut report).await? else { return Ok(report) };
    let segments = match settings.chunks {
        true => Some(Segments::open(reader, meta.as_ref(), settings.decode, &mut report).await?),
        false => None,
    };
    let pairs = series::check(reader, &parts, meta.as_ref(), segments, &mut report).await?;
    let all = postings::check(reader, &parts, pairs, &mut report).await?;
    tombstones(reader, &all, &mut report).await?;
    if let Some(meta) = &meta {
        statistics(reader, meta, settings.chunks, &mut report);
    }
    Ok(report)
}

/// What is known of an index before its series are looked at.
struct Parts {
    plan: IndexHeaderPlan,
    symbols: Option<Symbols>,
    /// True when symbols ascend, so that their numbers compare as they do.
    symbols_ascend: bool,
    table: Option<PostingsTable>,
}

async fn meta(reader: &dyn RangeReader, report: &mut VerifyReport) -> Result<Option<BlockMeta>> {
    let Some(bytes) = found(reader.read(BlockMeta::FILE).await, BlockMeta::FILE, report)? else {
        return Ok(None);
    };
    match BlockMeta::parse(&bytes) {
        Ok(meta) => Ok(Some(meta)),
        Err(e) => {
            report.say(FindingKind::Meta, BlockMeta::FILE, 0, e);
            Ok(None)
        }
    }
}

/// Turns absence into a finding.
fn found<T>(read: Result<T>, object: &str, report: &mut VerifyReport) -> Result<Option<T>> {
    match read {
        Ok(it) => Ok(Some(it)),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            report.say(FindingKind::Missing, object, 0, "");
            Ok(None)
        }
        Err(e) => Err(e),
    }
}

async fn file_sizes(reader: &dyn RangeReader, meta: &BlockMeta, report: &mut VerifyReport) -> Result<()> {
    for file in meta.thanos.files.iter().filter(|f| f.size_bytes > 0) {
        match reader.size(&file.rel_path).await {
            Ok(size) => {
                let want = file.size_bytes as u64;
                report.equal(FindingKind::FileSize, &file.rel_path, "bytes", size, want);
            }
            Err(e) if e.kind() == ErrorKind::NotFound && file.rel_path != INDEX => {
                report.say(FindingKind::Missing, &file.rel_path, 0, "");
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Reads the ends of the index, its symbols and its postings offset table.
async fn parts(reader: &dyn RangeReader, report: &mut VerifyReport) -> Result<Option<Parts>> {
    let Some(size) = found(reader.size(INDEX).await, INDEX, report)? else { return Ok(None) };
    if size < (HEADER_LEN + Toc::LEN) as u64 {
        report.say(FindingKind::Toc, INDEX, 0, format_args!("{size} bytes are too few for an index"));
        return Ok(None);
    }
    let plan = match index_header::plan(reader, Some(size)).await {
        Ok(plan) => plan,
        Err(e) if e.kind() == ErrorKind::Corrupt => {
            report.say(FindingKind::Toc, INDEX, size - Toc::LEN as u64, e);
            return Ok(None);
        }
        Err(e) => return Err(e),
    };
    let table = plan.toc().postings_table..size - Toc::LEN as u64;
    let read = reader.read_ranges(INDEX, &[plan.symbols(), table]).await?;
    let [symbols, table] = read.as_slice() else {
        return Err(Error::internal("a reader gave another number of ranges than asked"));
    };
    let (version, toc) = (plan.version(), plan.toc());
    let symbols = section(symbols, toc.symbols, FindingKind::Symbols, report)
        .map(|content| Symbols::from_content(content, version, toc.symbols + 4, 1));
    let symbols = sound(symbols, FindingKind::Symbols, report);
    let table = section(table, toc.postings_table, FindingKind::PostingsTable, report)
        .map(|content| PostingsTable::from_content(content, version, toc, 1));
    let table = sound(table, FindingKind::PostingsTable, report);
    let symbols_ascend = symbols.as_ref().is_some_and(|symbols| ascend(symbols, toc, report));
    Ok(Some(Parts { plan, symbols, symbols_ascend, table }))
}

/// The content of a framed section. One with another checksum is told and looked at all the
/// same.
fn section(bytes: &Bytes, base: u64, kind: FindingKind, report: &mut VerifyReport) -> Option<Bytes> {
    let mut take = Take::at(bytes, base as usize);
    let mut frame = || -> Result<(&[u8], u32), crate::DecodeError> {
        let len = take.be32()? as usize;
        Ok((take.bytes(len)?, take.be32()?))
    };
    match frame() {
        Ok((content, sum)) => {
            let got = crc32c(content);
            if got != sum {
                report.add(kind, INDEX, base, || {
                    (Some(got.into()), Some(sum.into()), "checksum of the section".to_owned())
                });
            }
            Some(bytes.slice_ref(content))
        }
        Err(e) => {
            report.say(kind, INDEX, e.offset as u64, e.what);
            None
        }
    }
}

fn sound<T>(
    read: Option<Result<T, crate::DecodeError>>,
    kind: FindingKind,
    report: &mut VerifyReport,
) -> Option<T> {
    match read? {
        Ok(it) => Some(it),
        Err(e) => {
            report.say(kind, INDEX, e.offset as u64, e.what);
            None
        }
    }
}

/// Whether symbols ascend strictly.
fn ascend(symbols: &Symbols, toc: &Toc, report: &mut VerifyReport) -> bool {
    let mut last: Option<&[u8]> = None;
    let mut all = true;
    for (i, symbol) in symbols.iter().enumerate() {
        if last.is_some_and(|l| l >= symbol) {
            all = false;
            report.add(FindingKind::SymbolOrder, INDEX, toc.symbols, || {
                (Some(i as i64), None, format!("{:?}", String::from_utf8_lossy(symbol)))
            });
        }
        last = Some(symbol);
    }
    all
}

async fn tombstones(
    reader: &dyn RangeReader,
    all: &postings::AllSeries,
    report: &mut VerifyReport,
) -> Result<()> {
    const FILE: &str = Tombstones::FILE;
    if !reader.has_tombstones() {
        return Ok(());
    }
    let bytes = match reader.read(FILE).await {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    let tombstones = match Tombstones::parse(&bytes) {
        Ok(tombstones) => tombstones,
        Err(e) => {
            report.say(FindingKind::Tombstones, FILE, e.offset as u64, e.what);
            return Ok(());
        }
    };
    let wanted: Vec<u64> = tombstones.iter().map(|(series, _)| series).collect();
    for series in all.without(reader, &wanted).await? {
        report.add(FindingKind::TombstoneSeries, FILE, 0, || (Some(series as i64), None, String::new()));
    }
    report.stats.num_tombstones = tombstones.iter().map(|(_, intervals)| intervals.len() as u64).sum();
    Ok(())
}

/// Compares what was counted with what the description says.
fn statistics(reader: &dyn RangeReader, meta: &BlockMeta, chunks: bool, report: &mut VerifyReport) {
    let (got, want) = (report.stats, meta.stats);
    let mut equal = |what, got, want| report.equal(FindingKind::Stats, BlockMeta::FILE, what, got, want);
    equal("series", got.num_series, want.num_series);
    equal("chunks", got.num_chunks, want.num_chunks);
    if chunks {
        equal("samples", got.num_samples, want.num_samples);
        // Old versions do not tell the kinds apart, and downsampled blocks keep those of the raw one.
        let raw = meta.thanos.downsample.resolution == 0;
        if raw && want.num_float_samples + want.num_histogram_samples > 0 {
            equal("float samples", got.num_float_samples, want.num_float_samples);
            equal("histogram samples", got.num_histogram_samples, want.num_histogram_samples);
        }
    }
    if reader.has_tombstones() {
        equal("tombstones", got.num_tombstones, want.num_tombstones);
    }
}
