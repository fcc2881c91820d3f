//! A block's series downsampled into another block.

use super::{BlockId, BlockMeta, BlockWriter, IndexStats};
use crate::{
    chunk::Chunk,
    downsample::SeriesDownsampler,
    error::{Error, Result},
    model::{Interval, Labels, Resolution},
};

/// What became of the series of a block.
///
/// See [`downsample_block`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Downsampled {
    /// Series that were written.
    pub series: u64,
    /// Series without a sample that counts, which were left out.
    pub empty: u64,
}

impl BlockMeta {
    /// The description of this block downsampled to `resolution`, to be given to a [`BlockWriter`].
    ///
    /// Time range, external labels and sources stay: by its sources a block is known to be
    /// downsampled already.
    ///
    /// Source: Thanos `pkg/compact/downsample/streamed_block_writer.go`. Compat: the numbers of
    /// float and histogram samples stay those of the input.
    ///
    /// # Errors
    /// `Invalid` unless the resolution is coarser than that of this block.
    pub fn downsampled(&self, id: BlockId, resolution: Resolution) -> Result<Self> {
        let from = self.thanos.downsample.resolution;
        if from >= resolution.window_ms() {
            let to = resolution.window_ms();
            return Err(Error::invalid(format!("block {}: {to} ms is no coarser than {from} ms", self.ulid)));
        }
        let mut meta = self.clone();
        meta.ulid = id;
        meta.thanos.downsample.resolution = resolution.window_ms();
        "compactor".clone_into(&mut meta.thanos.source);
        meta.thanos.segment_files.clear();
        meta.thanos.files.clear();
        meta.thanos.index_stats = IndexStats::default();
        meta.stats.num_samples = 0;
        meta.stats.num_series = 0;
        meta.stats.num_chunks = 0;
        Ok(meta)
    }
}

/// Downsamples series in label order into a block, which is left for the caller to finish.
///
/// Each series comes with its chunks in time order. The symbols of the input, which upstream
/// copies whole, are for the caller to add
/// ([`add_symbols`](BlockWriter::add_symbols)); without them only those in use are written.
///
/// ```
/// use thanoslib::{
///     block::{BlockId, BlockMeta, BlockWriter, downsample_block},
///     chunk::{Chunk, Encoding, XorAppender},
///     downsample::SeriesDownsampler,
///     model::{Interval, Labels, Resolution},
/// };
///
/// let mut raw = XorAppender::new();
/// (0..2880).try_for_each(|i| raw.append(i * 60_000, i as f64))?;
/// let chunk = Chunk { encoding: Encoding::Xor, data: raw.bytes() };
/// let series = [(Labels::from_iter([("job", "a")]), [(Interval::new(0, 2879 * 60_000), chunk)])];
///
/// let input = BlockMeta { max_time: 172_800_000, ..BlockMeta::default() };
/// let meta = input.downsampled("01BX5ZZKBKACTAV9WEVGEMMVS0".parse()?, Resolution::FiveMinutes)?;
/// let folder = std::env::temp_dir().join(format!("downsampled-{}", std::process::id()));
/// let mut writer = BlockWriter::new(&folder, meta)?;
/// let mut downsampler = SeriesDownsampler::new(Resolution::Raw, Resolution::FiveMinutes)?;
/// let done = downsample_block(series.into_iter().map(Ok), &mut downsampler, &mut writer)?;
/// let block = writer.finish()?;
/// assert_eq!(done.series, 1);
/// let meta = BlockMeta::parse(&std::fs::read(block.join("meta.json"))?)?;
/// assert_eq!((meta.stats.num_samples, meta.thanos.downsample.resolution), (576, 300_000));
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// What the input fails with; `Corrupt` for chunks that do not decode or overlap, with the
/// labels of their series; those of [`BlockWriter::add`].
pub fn downsample_block<'a, C>(
    series: impl IntoIterator<Item = Result<(Labels, C)>>,
    downsampler: &mut SeriesDownsampler,
    writer: &mut BlockWriter,
) -> Result<Downsampled>
where
    C: IntoIterator<Item = (Interval, Chunk<'a>)>,
{
    let mut done = Downsampled::default();
    for series in series {
        let (labels, chunks) = series?;
        downsampler.reset();
        let context = |e: Error| e.context(format!("downsampling {labels}"));
        chunks.into_iter().try_for_each(|(at, chunk)| downsampler.chunk(at, chunk)).map_err(context)?;
        let chunks = downsampler.finish().map_err(context)?;
        if chunks.is_empty() {
            done.empty += 1;
            continue;
        }
        writer.add(labels.view(), &chunks.iter().collect::<Vec<_>>())?;
        done.series += 1;
    }
    Ok(done)
}
