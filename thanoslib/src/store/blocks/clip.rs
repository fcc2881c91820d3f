//! Deleted samples of local blocks, removed before chunks leave the block.

use crate::{
    block::BlockBatch,
    chunk::{Chunk, clip},
    model::Warning,
    series::{BatchBuilder, SeriesBatch},
    store::Frame,
};

/// The frames of a batch: its series without the samples that tombstones delete.
///
/// A chunk that is deleted in part is written anew in its encoding; one that does not decode is
/// left out, with a warning that says so.
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
            match clip(Chunk { encoding: chunk.meta.encoding, data: chunk.data() }, deleted) {
                Ok(Some(left)) => {
                    let (aggr, first) = (chunk.meta.aggr, chunk.meta.first);
                    out.chunk_copied(left.interval, aggr, left.encoding, first, &left.data);
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
