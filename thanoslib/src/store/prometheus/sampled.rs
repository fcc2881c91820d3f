//! Remote reads that an old server answers with samples: they are cut into chunks here.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    client::Incoming,
    order::{HeldChunk, Order},
    read::put_as_sent,
};
use crate::{
    chunk::{ChunkCutter, ChunkFormat, CutPolicy, EncodedChunk},
    context::Context,
    error::Result,
    remote::{SampledAnswer, SampledSeries},
    series::BatchBuilder,
    store::{Frame, SeriesStream, merge},
};

/// Series in a batch.
const BATCH_SERIES: usize = 256;
/// Most bytes of an answer, decompressed.
const ANSWER_BYTES_MAX: usize = 2 << 30;

/// Reads the whole answer and gives its series in batches.
pub(super) async fn read(
    ctx: &Context,
    incoming: Incoming,
    mut order: Option<Order>,
) -> Result<SeriesStream> {
    let (mut body, mut lease) = (Vec::new(), ctx.budget().reserve(0)?);
    let take = |piece: Bytes| {
        lease.grow(piece.len() as u64)?;
        body.extend_from_slice(&piece);
        Ok(true)
    };
    incoming.each(ctx, take).await?;
    let room = ctx.budget().limit().saturating_sub(ctx.budget().used());
    let most = usize::try_from(room).unwrap_or(usize::MAX).min(ANSWER_BYTES_MAX);
    let answer = SampledAnswer::read(&body, most).map_err(|e| e.context("remote read"))?;
    drop(body);
    lease.grow(answer.size_bytes() as u64)?;
    let mut frames = Vec::new();
    let (mut series, mut out) = (SampledSeries::default(), BatchBuilder::default());
    let mut cutter = ChunkCutter::new(CutPolicy::default(), ChunkFormat::default());
    for bytes in answer.series()? {
        series.read(bytes?)?;
        let chunks = cut(&series, &mut cutter)?.into_iter().map(|chunk| HeldChunk {
            interval: chunk.interval,
            encoding: chunk.encoding,
            data: 0..chunk.data.len(),
            buffer: Bytes::from(chunk.data),
        });
        match &mut order {
            Some(order) => order.push(&mut series.labels, chunks, &mut out)?,
            None => put_as_sent(&series.labels, chunks, &mut out),
        }
        if out.len() >= BATCH_SERIES {
            frames.push(batch(ctx, &mut out)?);
        }
        ctx.check()?;
    }
    if let Some(order) = &mut order {
        order.send(&mut out)?;
    }
    if !out.is_empty() {
        frames.push(batch(ctx, &mut out)?);
    }
    Ok(merge::ready(frames))
}

fn batch(ctx: &Context, out: &mut BatchBuilder) -> Result<Frame> {
    let batch = out.finish();
    let lease = ctx.budget().reserve(batch.size_bytes() as u64)?;
    Ok(Frame::Batch(batch.with_lease(Arc::new(lease))))
}

/// The samples as chunks of at most 120, floats and histograms in one line of time.
///
/// Native histograms are kept, which Thanos loses here.
fn cut(series: &SampledSeries<'_>, cutter: &mut ChunkCutter) -> Result<Vec<EncodedChunk>> {
    let (floats, ints, histograms) = (&series.floats, &series.int_histograms, &series.float_histograms);
    let mut chunks = Vec::new();
    let (mut f, mut i, mut h) = (0, 0, 0);
    loop {
        let next = |ts: &[i64], at: usize| ts.get(at).copied().unwrap_or(i64::MAX);
        let (tf, ti, th) = (next(&floats.ts, f), next(&ints.ts, i), next(&histograms.ts, h));
        if f < floats.len() && tf <= ti && tf <= th {
            let end = f + floats.ts.get(f..).unwrap_or_default().partition_point(|t| *t <= ti && *t <= th);
            cutter.append_floats(floats, f..end.max(f + 1), &mut chunks)?;
            f = end.max(f + 1);
        } else if i < ints.len() && ti <= th {
            chunks.extend(cutter.append_int_histogram(ints, i)?);
            i += 1;
        } else if h < histograms.len() {
            chunks.extend(cutter.append_float_histogram(histograms, h)?);
            h += 1;
        } else {
            break;
        }
    }
    chunks.extend(cutter.finish());
    Ok(chunks)
}
