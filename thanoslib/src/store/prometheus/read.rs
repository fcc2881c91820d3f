//! Remote reads, answered as the bytes come.

use futures::{StreamExt, stream};
use reqwest::{Method, header};
use tokio::time::{Instant, sleep};

use super::{
    PrometheusClient, PrometheusStore,
    client::Incoming,
    gather::Gather,
    metrics::ReadMetrics,
    order::{HeldChunk, Order, Overlay},
    sampled,
};
use crate::{
    budget::Lease,
    chunk::Encoding,
    context::Context,
    error::{Error, ErrorKind, Result},
    model::{Interval, Labels, Matcher},
    remote::{ChunkedFrame, ChunkedSeries, FrameReader, encode_read_request},
    series::{BatchBuilder, SeriesBatch},
    store::{
        Frame, SeriesRequest, SeriesStream,
        conform::{arrange, in_shard},
        merge,
    },
};

use std::{pin::pin, sync::Arc, time::Duration};

/// Series in a batch.
const BATCH_SERIES: usize = 256;

/// Bytes of a batch, after which no more series are added: what is sent on is best still in the
/// processor's cache.
const BATCH_BYTES: usize = 64 << 10;

/// How long a batch that holds a series waits for more.
const BATCH_WAIT: Duration = Duration::from_millis(5);

impl PrometheusStore {
    /// Series with their chunks, by remote read; `request` holds no matcher on external labels.
    pub(super) async fn read(&self, ctx: &Context, request: SeriesRequest) -> Result<SeriesStream> {
        let view = self.known()?;
        let overlay = Overlay::new(&view.external, &request.without_replica_labels);
        // What is removed must be external, and the labels of series others, for the order to be known.
        let apart = view.names_apart
            && request.projection.is_none()
            && request.without_replica_labels.iter().all(|name| view.external.get(name).is_some());
        let order = apart.then(|| Order::new(overlay));
        let incoming = ask(self.client(), ctx, request.interval, &request.matchers).await?;
        let stream = match form(incoming.content_type())? {
            Form::Streamed => streamed(ctx, incoming, order, Arc::clone(self.metrics()))?,
            Form::Sampled => sampled::read(ctx, incoming, order).await?,
        };
        if !apart {
            return Ok(arrange(ctx, view.external.clone(), &request, stream));
        }
        let stream = match request.shard.filter(|s| s.total >= 1) {
            None => stream,
            Some(shard) => {
                let keep = move |frame| match frame {
                    Ok(Frame::Batch(batch)) => {
                        let mut out = BatchBuilder::default();
                        batch.iter().filter(|s| in_shard(&shard, s.labels())).for_each(|s| out.copy(s));
                        Ok(Frame::Batch(out.finish()))
                    }
                    other => other,
                };
                stream.map(keep).boxed()
            }
        };
        Ok(if request.limit == 0 { stream } else { merge::limit(stream, request.limit) })
    }
}

/// The forms of an answer.
enum Form {
    Streamed,
    Sampled,
}

fn form(content_type: &str) -> Result<Form> {
    if content_type.starts_with("application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse") {
        return Ok(Form::Streamed);
    }
    if content_type.starts_with("application/x-protobuf") {
        return Ok(Form::Sampled);
    }
    Err(Error::internal(format!("not supported remote read content type: {content_type}")))
}

async fn ask(
    client: &PrometheusClient,
    ctx: &Context,
    interval: Interval,
    matchers: &[Matcher],
) -> Result<Incoming> {
    let body = encode_read_request(interval, matchers);
    let make = |request: reqwest::RequestBuilder| {
        request
            .header(header::CONTENT_ENCODING, "snappy")
            .header(header::CONTENT_TYPE, "application/x-stream-protobuf")
            .header("X-Prometheus-Remote-Read-Version", "0.1.0")
            .body(body)
    };
    let incoming = client.send(ctx, Method::POST, &["api", "v1", "read"], &[], make).await?;
    let status = incoming.status();
    if status.is_success() {
        return Ok(incoming);
    }
    let kind = match status.as_u16() {
        400 => ErrorKind::Invalid,
        500.. => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    };
    let body = incoming.error_body(ctx).await;
    Err(Error::new(kind, format!("request failed with code {status}; msg {}", body.trim_end())))
}

fn streamed(
    ctx: &Context,
    incoming: Incoming,
    order: Option<Order>,
    metrics: Arc<ReadMetrics>,
) -> Result<SeriesStream> {
    let reading = Reading {
        lease: ctx.budget().reserve(0)?,
        ctx: ctx.clone(),
        incoming,
        gather: Gather::default(),
        frames: FrameReader::default(),
        frames_read: 0,
        reserved: 0,
        order,
        metrics,
        ended: false,
        failed: None,
    };
    let batches = stream::try_unfold(reading, |mut reading| async move {
        let batch = reading.next().await.map_err(|e| e.context("remote read"))?;
        Ok(batch.map(|batch| (Frame::Batch(batch), reading)))
    });
    Ok(batches.boxed())
}

/// A streamed answer that is being read.
struct Reading {
    ctx: Context,
    incoming: Incoming,
    gather: Gather,
    frames: FrameReader,
    frames_read: u64,
    /// Budget of the frame that has not come whole.
    reserved: u64,
    /// Charged for what is held here; what goes out takes its part along.
    lease: Lease,
    /// `None` when series go out as they come, to be sorted by whoever reads them.
    order: Option<Order>,
    metrics: Arc<ReadMetrics>,
    ended: bool,
    /// How the answer ends after the last batch, if not well.
    failed: Option<Error>,
}

impl Reading {
    /// As many series as come within a short time after the first, or fill a batch.
    async fn next(&mut self) -> Result<Option<SeriesBatch>> {
        if let Some(e) = self.failed.take() {
            return Err(e);
        }
        let mut out = BatchBuilder::default();
        // Once for all pieces of a batch: to begin such a wait costs as much as reading a small piece.
        let ctx = self.ctx.clone();
        if let Err(e) = ctx.run(self.fill(&mut out)).await {
            self.ended = true;
            if out.is_empty() {
                return Err(e);
            }
            // What came before an error is handed out before it.
            self.failed = Some(e);
        }
        if out.is_empty() {
            return Ok(None);
        }
        let batch = out.finish();
        let held = self.reserved + self.order.as_ref().map_or(0, Order::held_bytes);
        self.lease.grow((held + batch.size_bytes() as u64).saturating_sub(self.lease.bytes()))?;
        let lease = self.lease.split(batch.size_bytes() as u64);
        self.lease.shrink_to(held);
        Ok(Some(batch.with_lease(Arc::new(lease))))
    }

    /// Reads pieces until the batch is full or has waited long enough.
    async fn fill(&mut self, out: &mut BatchBuilder) -> Result<()> {
        let mut late = pin!(sleep(BATCH_WAIT));
        let mut waits = false;
        while !self.ended {
            self.take_frames(out)?;
            if full(out) {
                break;
            }
            if !waits && !out.is_empty() {
                late.as_mut().reset(Instant::now() + BATCH_WAIT);
                waits = true;
            }
            let piece = tokio::select! {
                biased;
                piece = self.gather.next(self.incoming.next_piece()) => piece?,
                () = &mut late, if waits => break,
            };
            match piece {
                Some(piece) => self.frames.push(piece),
                None => {
                    self.frames.finish()?;
                    self.ended = true;
                    self.metrics.frames.observe(self.frames_read as f64);
                    if let Some(order) = &mut self.order {
                        order.send(out)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads the frames that have come whole, as many as go into a batch.
    fn take_frames(&mut self, out: &mut BatchBuilder) -> Result<()> {
        while !full(out) {
            let Some(message) = self.frames.next_frame()? else {
                let wanted = self.frames.frame_len().unwrap_or(0) as u64;
                self.lease.grow(wanted.saturating_sub(self.reserved))?;
                self.reserved = self.reserved.max(wanted);
                return Ok(());
            };
            // The room of the frame is now that of its series.
            self.lease.grow((message.len() as u64).saturating_sub(self.reserved))?;
            self.reserved = 0;
            self.frames_read += 1;
            let frame = ChunkedFrame::new(message);
            let mut series = ChunkedSeries::default();
            for bytes in frame.series() {
                series.read(bytes?)?;
                put(&mut self.order, &frame, &mut series, out)?;
            }
        }
        Ok(())
    }
}

fn full(batch: &BatchBuilder) -> bool {
    batch.len() >= BATCH_SERIES || batch.size_bytes() >= BATCH_BYTES
}

fn put(
    order: &mut Option<Order>,
    frame: &ChunkedFrame,
    series: &mut ChunkedSeries<'_>,
    out: &mut BatchBuilder,
) -> Result<()> {
    let chunks = series.chunks.iter().map(|chunk| HeldChunk {
        interval: chunk.interval,
        encoding: chunk.encoding,
        buffer: frame.bytes().clone(),
        data: frame.range(chunk.data),
    });
    match order {
        Some(order) => order.push(&mut series.labels, chunks, out),
        None => {
            put_as_sent(&series.labels, chunks, out);
            Ok(())
        }
    }
}

/// Adds a series with the labels that the server gave it.
pub(super) fn put_as_sent(
    labels: &[(&[u8], &[u8])],
    chunks: impl Iterator<Item = HeldChunk>,
    out: &mut BatchBuilder,
) {
    out.series(Labels::from_pairs(labels.iter().copied()).view());
    for chunk in chunks {
        debug_assert!(chunk.encoding != Encoding::Aggr, "refused when it was read");
        chunk.put(out);
    }
}
