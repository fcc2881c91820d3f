//! `/api/v1/read`: remote read over the stores, for a Prometheus that takes them in.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::{StreamExt, TryStreamExt, stream};
use tokio_util::sync::DropGuard;

use super::{Api, measure::Place, plain};
use crate::{
    chunk::{ChunkCutter, ChunkFormat, CutPolicy, EncodedChunk},
    context::Context,
    error::{Error, ErrorKind, Result},
    model::{Labels, SampleColumns},
    promql::{Queryable, Select, SelectFrame, SelectStream, SelectedSeries},
    query::{SelectOptions, StoreQueryable},
    remote::{ReadQuery, ReadRequest, SampledWriter, put_chunked_frame},
    store::{PartialResponse, SelectHints},
};

/// Most bytes of a request, decompressed.
const REQUEST_BYTES_MAX: usize = 32 << 20;
/// Bytes of chunks after which a frame is sent.
///
/// Compat: `--storage.remote.read-max-bytes-in-frame` of Prometheus.
const FRAME_BYTES: usize = 1 << 20;

/// How remote reads are answered.
///
/// ```
/// use thanoslib::http::{RemoteRead, Settings};
/// let settings = Settings { remote_read: Some(RemoteRead::default()), ..Settings::default() };
/// assert_eq!(settings.remote_read.map(|r| r.samples_max), Some(50_000_000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteRead {
    /// Most samples of an answer with samples, which is held as a whole; one of chunks has no such limit.
    pub samples_max: u64,
}

impl Default for RemoteRead {
    /// The limit of Prometheus.
    fn default() -> Self {
        Self { samples_max: 50_000_000 }
    }
}

/// Answers a remote read with the series of all stores, their replicas merged.
///
/// A gap fails the read: its answer could not tell of it.
pub(super) async fn read(api: &Arc<Api>, ctx: Context, request: Request, settings: RemoteRead) -> Response {
    let (ctx, guard) = ctx.child();
    match answer(api, ctx, guard, request, settings).await {
        Ok(response) => response,
        Err(e) => {
            let status = match e.kind() {
                ErrorKind::Invalid | ErrorKind::Corrupt => StatusCode::BAD_REQUEST,
                ErrorKind::Limit => StatusCode::UNPROCESSABLE_ENTITY,
                ErrorKind::Cancelled | ErrorKind::Timeout | ErrorKind::Unavailable => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            let mut response = plain(status, "");
            *response.body_mut() = Body::from(format!("{}\n", e.message()));
            response
        }
    }
}

async fn answer(
    api: &Arc<Api>,
    ctx: Context,
    guard: DropGuard,
    request: Request,
    settings: RemoteRead,
) -> Result<Response> {
    let mut lease = ctx.budget().reserve(0)?;
    let body = to_bytes(request.into_body(), api.settings.body_bytes_max).await;
    let body = body.map_err(|e| Error::invalid(format!("cannot read the request body: {e}")))?;
    lease.grow(body.len() as u64)?;
    let mut request = ReadRequest::read(&body, REQUEST_BYTES_MAX).map_err(|e| e.context("remote read"))?;
    for query in &mut request.queries {
        api.settings.tenancy.enforce_matchers(&mut query.matchers, ctx.tenant());
    }
    let place = api.queries.admit(&api.admission, &ctx).await?;
    let own = &api.settings;
    let options = SelectOptions {
        replica_labels: own.replica_labels.clone(),
        algorithm: own.algorithm,
        counters: own.counters,
        seams: own.seams,
        partial_response: PartialResponse::Abort,
        ..SelectOptions::default()
    };
    let queryable = StoreQueryable::new(Arc::clone(&api.served.store), options);
    if !request.streamed {
        let body = sampled(&ctx, &queryable, &request.queries, settings).await?;
        let headers =
            [(header::CONTENT_TYPE, "application/x-protobuf"), (header::CONTENT_ENCODING, "snappy")];
        return Ok((headers, Body::from(body)).into_response());
    }
    let mut streaming = Streaming {
        ctx,
        _guard: guard,
        _place: place,
        queryable,
        queries: request.queries.into_iter().enumerate().collect::<Vec<_>>().into_iter(),
        current: None,
        series: Vec::new().into_iter(),
        cutter: ChunkCutter::new(CutPolicy::default(), ChunkFormat::default()),
        samples: SampleColumns::default(),
    };
    // What cannot be selected at all is told by the status.
    let first = streaming.next().await?;
    let rest = stream::unfold(Some(streaming), |streaming| async move {
        let mut streaming = streaming?;
        match streaming.next().await.transpose()? {
            Ok(frames) => Some((Ok(frames), Some(streaming))),
            Err(e) => Some((Err(e), None)),
        }
    });
    let frames = stream::iter(first.map(Ok)).chain(rest);
    let kind = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
    Ok(([(header::CONTENT_TYPE, kind)], Body::from_stream(frames)).into_response())
}

async fn select(ctx: &Context, queryable: &StoreQueryable, query: ReadQuery) -> Result<SelectStream> {
    let ReadQuery { interval, matchers } = query;
    queryable.select(ctx, Select { interval, matchers, hints: SelectHints::default() }).await
}

/// The series of the next frame that has some; a gap fails.
async fn series(ctx: &Context, stream: &mut SelectStream) -> Result<Option<Vec<SelectedSeries>>> {
    match ctx.run(stream.try_next()).await? {
        None => Ok(None),
        Some(SelectFrame::Series(series)) => Ok(Some(series)),
        Some(SelectFrame::Warning(warning)) => Err(Error::unavailable(warning.to_string())),
    }
}

async fn sampled(
    ctx: &Context,
    queryable: &StoreQueryable,
    queries: &[ReadQuery],
    settings: RemoteRead,
) -> Result<Vec<u8>> {
    let (mut writer, mut samples) = (SampledWriter::default(), SampleColumns::default());
    let (mut lease, mut count) = (ctx.budget().reserve(0)?, 0u64);
    for query in queries {
        let mut stream = select(ctx, queryable, query.clone()).await?;
        while let Some(all) = series(ctx, &mut stream).await? {
            for one in all {
                samples.clear();
                one.data.decode(&mut samples)?;
                count += samples.len() as u64;
                if count > settings.samples_max {
                    let limit = settings.samples_max;
                    return Err(Error::limit(format!("exceeded sample limit ({limit})")));
                }
                if samples.is_empty() {
                    continue;
                }
                let before = writer.size_bytes();
                writer.series(&one.labels, &samples);
                // The bytes and their compressed form.
                lease.grow(2 * (writer.size_bytes() - before) as u64)?;
            }
        }
        writer.end_query();
    }
    Ok(writer.finish())
}

/// An answer of chunks while it is sent.
struct Streaming {
    ctx: Context,
    _guard: DropGuard,
    _place: Place,
    queryable: StoreQueryable,
    queries: std::vec::IntoIter<(usize, ReadQuery)>,
    current: Option<(usize, SelectStream)>,
    series: std::vec::IntoIter<SelectedSeries>,
    cutter: ChunkCutter,
    samples: SampleColumns,
}

impl Streaming {
    /// The next frames; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let mut out = Vec::new();
        loop {
            let Some((number, stream)) = &mut self.current else {
                let Some((number, query)) = self.queries.next() else {
                    return Ok((!out.is_empty()).then(|| Bytes::from(out)));
                };
                self.current = Some((number, select(&self.ctx, &self.queryable, query).await?));
                continue;
            };
            let number = *number as u64;
            if let Some(one) = self.series.next() {
                self.samples.clear();
                one.data.decode(&mut self.samples)?;
                let chunks = cut(&self.samples, &mut self.cutter)?;
                frames(&mut out, &one.labels, &chunks, number);
                if out.len() >= FRAME_BYTES {
                    return Ok(Some(Bytes::from(out)));
                }
                continue;
            }
            match series(&self.ctx, stream).await? {
                Some(series) => self.series = series.into_iter(),
                None => self.current = None,
            }
        }
    }
}

/// Frames of about the size that clients expect.
fn frames(out: &mut Vec<u8>, labels: &Labels, chunks: &[EncodedChunk], query: u64) {
    let mut rest = chunks;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |chunk: &&EncodedChunk| {
            bytes += chunk.data.len();
            bytes <= FRAME_BYTES
        };
        let n = rest.iter().take_while(fits).count().max(1);
        let (now, later) = rest.split_at(n);
        put_chunked_frame(out, labels, now, query);
        rest = later;
    }
}

/// The samples as chunks of at most 120, floats and histograms in one line of time.
fn cut(samples: &SampleColumns, cutter: &mut ChunkCutter) -> Result<Vec<EncodedChunk>> {
    let SampleColumns { floats, histograms } = samples;
    let (mut chunks, mut f) = (Vec::new(), 0);
    for h in 0..=histograms.len() {
        let until = histograms.ts.get(h).copied().unwrap_or(i64::MAX);
        let rest = floats.ts.get(f..).unwrap_or_default();
        let end = f + if h == histograms.len() { rest.len() } else { rest.partition_point(|t| *t <= until) };
        if end > f {
            cutter.append_floats(floats, f..end, &mut chunks)?;
            f = end;
        }
        if h < histograms.len() {
            chunks.extend(cutter.append_float_histogram(histograms, h)?);
        }
    }
    chunks.extend(cutter.finish());
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Engine, EngineOptions, Interval, Matcher, MemoryStore,
        chunk::Chunk,
        http::{Served, Settings, router},
        model::Labels,
        remote::{
            ChunkedFrame, ChunkedSeries, FrameReader, SampledAnswer, SampledSeries, encode_read_request,
        },
        runtime::Inline,
    };
    use tower::ServiceExt;

    fn store() -> Arc<MemoryStore> {
        let store = MemoryStore::new(Labels::from_pairs([("replica", "A")]));
        for job in ["a", "b"] {
            let labels = Labels::from_pairs([("__name__", "up"), ("job", job)]);
            for i in 0..500 {
                store.push(&labels, i * 1000, i as f64).expect("in order");
            }
        }
        Arc::new(store)
    }

    async fn ask(settings: Settings, body: Vec<u8>) -> (StatusCode, String, Bytes) {
        let engine = Engine::new(EngineOptions::default(), Arc::new(Inline));
        let api = Api::new(settings, Served::new(engine, store()));
        let request = Request::post("/api/v1/read").body(Body::from(body)).expect("a request");
        let response = router(api).oneshot(request).await.expect("an answer");
        let kind =
            response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let (status, kind) = (response.status(), kind.to_owned());
        (status, kind, to_bytes(response.into_body(), 1 << 20).await.expect("a body"))
    }

    fn settings(samples_max: u64) -> Settings {
        Settings {
            remote_read: Some(RemoteRead { samples_max }),
            replica_labels: vec!["replica".to_owned()],
            ..Settings::default()
        }
    }

    /// A request for samples alone.
    fn for_samples(request: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        crate::encoding::take_snappy_block(request, 1 << 20, &mut plain).expect("a block");
        plain.truncate(plain.len() - 4);
        let mut body = Vec::new();
        crate::encoding::put_snappy_block(&mut body, &plain);
        body
    }

    #[tokio::test]
    async fn both_forms_are_read_by_our_own_client() {
        let request =
            encode_read_request(Interval::new(100_000, 399_000), &[Matcher::equal("__name__", "up")]);
        let (status, kind, body) = ask(settings(1000), request.clone()).await;
        assert_eq!(
            (status, kind.as_str()),
            (StatusCode::OK, "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse")
        );
        let mut reader = FrameReader::default();
        reader.push(body);
        let mut jobs = Vec::new();
        while let Some(message) = reader.next_frame().expect("frames") {
            let frame = ChunkedFrame::new(message);
            for bytes in frame.series() {
                let mut series = ChunkedSeries::default();
                series.read(bytes.expect("sound")).expect("sound");
                let mut samples = SampleColumns::default();
                for chunk in &series.chunks {
                    let chunk = Chunk { encoding: chunk.encoding, data: chunk.data };
                    chunk.decode_into(&mut samples).expect("sound");
                }
                assert_eq!(samples.floats.vs, (100..400).map(f64::from).collect::<Vec<_>>());
                jobs.push(
                    series.labels.iter().map(|(n, v)| [n.to_vec(), v.to_vec()].concat()).collect::<Vec<_>>(),
                );
            }
        }
        reader.finish().expect("whole");
        let want = |job: &str| vec![b"__name__up".to_vec(), format!("job{job}").into_bytes()];
        assert_eq!(jobs, [want("a"), want("b")]);

        let (status, kind, body) = ask(settings(1000), for_samples(&request)).await;
        assert_eq!((status, kind.as_str()), (StatusCode::OK, "application/x-protobuf"));
        let answer = SampledAnswer::read(&body, 1 << 20).expect("sound");
        let mut n = 0;
        for bytes in answer.series().expect("one query") {
            let mut series = SampledSeries::default();
            series.read(bytes.expect("sound")).expect("sound");
            assert_eq!((series.floats.len(), series.floats.vs[299]), (300, 399.0));
            n += 1;
        }
        assert_eq!(n, 2);
    }

    #[tokio::test]
    async fn what_is_wrong_or_too_much_is_told() {
        let request = encode_read_request(Interval::ALL, &[Matcher::equal("__name__", "up")]);
        let (status, _, body) = ask(settings(999), for_samples(&request)).await;
        assert_eq!(
            (status, &body[..]),
            (StatusCode::UNPROCESSABLE_ENTITY, &b"exceeded sample limit (999)\n"[..])
        );
        assert_eq!(ask(settings(9), b"nonsense".to_vec()).await.0, StatusCode::BAD_REQUEST);
        let off = Settings { remote_read: None, ..settings(9) };
        assert_eq!(ask(off, request).await.0, StatusCode::NOT_FOUND);
    }
}
