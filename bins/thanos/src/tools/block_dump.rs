//! `thanos tools block dump`: the series of a block as text.

use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use futures::TryStreamExt;
use thanoslib::{
    block::{Block, BlockSelect, LocalReader},
    chunk::Chunk,
    context::Context,
    model::{Aggr, Interval, MatchOp, Matcher, SampleColumns, float::Plain},
    promql::{self, EngineOptions},
    series::SeriesView,
};

/// Flags of `block dump`.
#[derive(Debug, clap::Args)]
pub(crate) struct DumpFlags {
    /// Folder of the block.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Only series that match, such as 'up{job="api"}'.
    #[arg(long = "match", value_name = "SELECTOR")]
    selector: Option<String>,
    /// First time, in milliseconds since 1970.
    #[arg(long = "min-time", default_value_t = i64::MIN, value_name = "MS")]
    min_time: i64,
    /// Last time, in milliseconds since 1970.
    #[arg(long = "max-time", default_value_t = i64::MAX, value_name = "MS")]
    max_time: i64,
    /// Prints every sample, not only the chunks.
    #[arg(long)]
    samples: bool,
}

/// Prints the block; a closed pipe ends it without an error.
pub(super) async fn run(flags: DumpFlags) -> Result<()> {
    let mut out = BufWriter::new(io::stdout());
    match dump(&flags, &mut out).await.and_then(|()| Ok(out.flush()?)) {
        Err(e) if e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => {
            Ok(())
        }
        other => other,
    }
}

async fn dump(flags: &DumpFlags, out: &mut (impl Write + Send)) -> Result<()> {
    if !flags.dir.is_dir() {
        bail!("no folder {}: name the folder of a block, such as DATA/01ABC…", flags.dir.display());
    }
    let ctx = Context::default();
    let reader = Arc::new(LocalReader::new(&flags.dir));
    let block = Block::open(&ctx, reader).await.with_context(|| flags.dir.display().to_string())?;
    let meta = block.meta();
    writeln!(
        out,
        "# block {} {} resolution {} ms",
        meta.ulid,
        meta.range(),
        meta.thanos.downsample.resolution
    )?;
    let matchers = match &flags.selector {
        Some(text) => promql::parse_selector(text, &EngineOptions::default())?,
        None => vec![Matcher::new(MatchOp::Regex, "__name__", ".*")?],
    };
    let interval = Interval::new(flags.min_time, flags.max_time);
    let aggregates = vec![Aggr::Count, Aggr::Sum, Aggr::Min, Aggr::Max, Aggr::Counter];
    let select = BlockSelect { matchers, interval, skip_chunks: false, aggregates };
    let mut batches = block.select(&ctx, select).await?;
    while let Some(batch) = batches.try_next().await? {
        for series in batch.series.iter() {
            print_series(series, interval, flags.samples, out)?;
        }
    }
    Ok(())
}

fn print_series(
    series: SeriesView<'_>,
    interval: Interval,
    with_samples: bool,
    out: &mut impl Write,
) -> Result<()> {
    writeln!(out, "{}", series.labels())?;
    for chunk in series.chunks() {
        let at = chunk.meta.interval;
        let mut samples = SampleColumns::default();
        Chunk { encoding: chunk.meta.encoding, data: chunk.data() }
            .decode_into(&mut samples)
            .with_context(|| format!("a chunk of {} at {at}", series.labels()))?;
        let (encoding, aggr) = (chunk.meta.encoding, chunk.meta.aggr);
        writeln!(
            out,
            "  chunk {at} {encoding:?} {aggr:?} {} samples {} bytes",
            samples.len(),
            chunk.data().len()
        )?;
        if !with_samples {
            continue;
        }
        for (t, v) in samples.floats.ts.iter().zip(&samples.floats.vs).filter(|(t, _)| interval.contains(**t))
        {
            writeln!(out, "    {t} {}", Plain(*v))?;
        }
        for (i, t) in samples.histograms.ts.iter().enumerate().filter(|(_, t)| interval.contains(**t)) {
            writeln!(out, "    {t} {}", samples.histograms.get(i))?;
        }
    }
    Ok(())
}
