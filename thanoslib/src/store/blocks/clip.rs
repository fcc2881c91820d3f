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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chunk::{ChunkCutter, ChunkFormat, CutPolicy, EncodedChunk},
        model::{FloatHistogram, FloatHistogramColumn, Interval, Labels, SampleColumns},
        series::Aggr,
    };

    /// A chunk of floats or histograms at the times 0, 10, 20 and 30.
    fn chunk(histograms: bool) -> EncodedChunk {
        let mut cutter = ChunkCutter::new(CutPolicy::default(), ChunkFormat::default());
        let mut column = FloatHistogramColumn::default();
        for i in 0..4u32 {
            let (t, v) = (i64::from(i) * 10, f64::from(i));
            column.push(t, &FloatHistogram { count: v, sum: v, ..FloatHistogram::default() });
            let closed = match histograms {
                true => cutter.append_float_histogram(&column, i as usize),
                false => cutter.append_float(0, t, v),
            };
            assert_eq!(closed.expect("times ascend"), None);
        }
        cutter.finish().expect("samples")
    }

    fn check(chunks: &[EncodedChunk], deleted: &[Interval], expected: &[i64], warnings: usize) {
        let mut series = BatchBuilder::default();
        series.series(Labels::from_pairs([("__name__", "up")]).view());
        for c in chunks {
            series.chunk_copied(c.interval, Aggr::Raw, c.encoding, true, &c.data);
        }
        let frames = apply(BlockBatch { series: series.finish(), deleted: vec![(0, deleted.to_vec())] });
        let (mut samples, mut told) = (SampleColumns::default(), 0);
        for frame in &frames {
            match frame {
                Frame::Batch(batch) => {
                    for chunk in batch.iter().flat_map(|s| s.chunks()) {
                        let view = Chunk { encoding: chunk.meta.encoding, data: chunk.data() };
                        view.decode_into(&mut samples).expect("sound");
                    }
                }
                Frame::Warning(_) => told += 1,
                _ => {}
            }
        }
        samples.floats.ts.extend(&samples.histograms.ts);
        assert_eq!((samples.floats.ts.as_slice(), told), (expected, warnings));
    }

    #[test]
    fn chunks_of_floats_and_histograms_lose_deleted_samples() {
        let middle = [Interval::new(5, 12), Interval::new(30, 99)];
        for histograms in [false, true] {
            check(&[chunk(histograms)], &middle, &[0, 20], 0);
            check(&[chunk(histograms)], &[Interval::new(31, 99)], &[0, 10, 20, 30], 0);
            check(&[chunk(histograms)], &[Interval::ALL], &[], 0);
        }
    }

    #[test]
    fn a_chunk_that_does_not_decode_is_left_out_with_a_warning() {
        let mut broken = chunk(true);
        broken.data.truncate(6);
        check(&[broken, chunk(false)], &[Interval::new(5, 12)], &[0, 20, 30], 1);
    }
}
