//! Deleted samples of local blocks, removed before chunks leave the block.

use crate::{
    block::{self, BlockBatch},
    chunk::{Chunk, Encoding, XorAppender},
    error::Result,
    model::{Interval, Warning},
    series::{BatchBuilder, ChunkView, SampleColumns, SeriesBatch},
    store::Frame,
};

/// The frames of a batch: its series without the samples that tombstones delete.
///
/// A float chunk that is deleted in part is written anew. Histogram chunks cannot be written
/// yet: one that is deleted in part is left out whole, with a warning that says so.
pub(super) fn apply(batch: BlockBatch) -> Vec<Frame> {
    if batch.deleted.is_empty() {
        return vec![Frame::Batch(batch.series)];
    }
    let mut warnings = Vec::new();
    let series = rewrite(&batch, &mut warnings);
    let mut frames: Vec<Frame> = warnings.into_iter().map(Frame::Warning).collect();
    frames.push(Frame::Batch(series));
    frames
}

fn rewrite(batch: &BlockBatch, warnings: &mut Vec<Warning>) -> SeriesBatch {
    let mut out = BatchBuilder::default();
    for (i, series) in batch.series.iter().enumerate() {
        let Some((_, deleted)) = batch.deleted.iter().find(|(at, _)| *at == i) else {
            out.copy(series);
            continue;
        };
        out.series(series.labels());
        for chunk in series.chunks() {
            let at = chunk.meta.interval;
            if !deleted.iter().any(|d| d.overlaps(at)) {
                out.copy_chunk(chunk);
                continue;
            }
            match without(chunk, deleted) {
                Ok(Some((interval, data))) => {
                    out.chunk_copied(interval, chunk.meta.aggr, Encoding::Xor, chunk.meta.first, &data);
                }
                Ok(None) => {}
                Err(e) => {
                    let labels = series.labels().to_labels();
                    let text = format!("a chunk of {labels} that is deleted in part is left out: {e}");
                    warnings.push(Warning::new(text).interval(at).labels(labels));
                }
            }
        }
    }
    out.finish()
}

/// A float chunk without its deleted samples; `None` when nothing is left.
fn without(chunk: ChunkView<'_>, deleted: &[Interval]) -> Result<Option<(Interval, Vec<u8>)>> {
    let mut samples = SampleColumns::default();
    Chunk { encoding: chunk.meta.encoding, data: chunk.data() }.decode_into(&mut samples)?;
    if !samples.histograms.is_empty() {
        return Err(crate::error::Error::unsupported("histogram chunks cannot be written"));
    }
    block::clip(&mut samples, deleted);
    let (Some(&mint), Some(&maxt)) = (samples.floats.ts.first(), samples.floats.ts.last()) else {
        return Ok(None);
    };
    let mut appender = XorAppender::new();
    for (t, v) in samples.floats.ts.iter().zip(&samples.floats.vs) {
        appender.append(*t, *v)?;
    }
    Ok(Some((Interval::new(mint, maxt), appender.into_bytes())))
}
