//! Blocks, APIs and requests that the modules share.

use std::{path::Path, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use futures::TryStreamExt;
use serde_json::Value;
use thanoslib::{
    Result,
    block::{BlockId, BlockSpec, upload_block},
    bucket::Bucket,
    budget::Budget,
    clock::ManualClock,
    context::Context,
    http::{self, Api, Served, Settings},
    model::{Labels, Matcher, TimeRange},
    object_store::path::Path as ObjectPath,
    promql::{Engine, EngineOptions},
    runtime::Inline,
    store::{BlockSet, BucketSource, Frame, SeriesRequest, Store},
};
use tower::ServiceExt;

/// Distance of the samples that [`Block::steady`] holds.
pub(crate) const STEP_MS: i64 = 15_000;
/// Range of the blocks made here.
pub(crate) const BLOCK_MS: i64 = 7_200_000;

pub(crate) type Samples = Vec<(i64, f64)>;

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

/// A block to be written: number `n` starts at `n - 1` block ranges.
pub(crate) struct Block {
    pub(crate) id: BlockId,
    pub(crate) n: i64,
    pub(crate) external: Vec<(&'static str, &'static str)>,
    pub(crate) series: Vec<(Labels, Samples)>,
}

impl Block {
    /// Block `n` with these series, each with samples all over the block: 1, 2, 3, …
    pub(crate) fn steady(n: i64, external: &[(&'static str, &'static str)], series: &[Labels]) -> Self {
        let samples = || (0..BLOCK_MS / STEP_MS).map(|i| (start(n) + i * STEP_MS, (i + 1) as f64)).collect();
        let mut series: Vec<_> = series.iter().map(|l| (l.clone(), samples())).collect();
        series.sort_by(|a, b| a.0.cmp(&b.0));
        Self { id: id(n), n, external: external.to_vec(), series }
    }

    /// Writes the block into a folder.
    pub(crate) fn write(&self, dir: &Path) -> std::path::PathBuf {
        let mint = start(self.n);
        let spec = BlockSpec {
            id: self.id,
            range: TimeRange::new(mint, mint + BLOCK_MS),
            external_labels: labels(&self.external),
        };
        spec.write(dir, self.series.clone()).expect("a block is written")
    }

    /// Puts the block into a bucket.
    pub(crate) async fn put(&self, bucket: &Bucket) {
        let dir = tempfile::tempdir().expect("a folder");
        let block = self.write(dir.path());
        upload_block(bucket.store(), &ObjectPath::default(), &block).await.expect("an upload");
    }
}

/// First time of block `n`.
pub(crate) fn start(n: i64) -> i64 {
    (n - 1) * BLOCK_MS
}

/// Name of block `n`.
pub(crate) fn id(n: i64) -> BlockId {
    BlockId::from_parts(1_000 + n as u64, n as u128)
}

/// The blocks of a bucket, loaded.
pub(crate) async fn block_set(bucket: &Bucket) -> Arc<BlockSet> {
    let set = BlockSet::new("test bucket", Arc::new(BucketSource::new(bucket.clone())));
    set.sync(&Context::default()).await.expect("a sync");
    Arc::new(set)
}

/// An API over a store, with the budget that its queries draw on.
pub(crate) fn api(
    store: Arc<dyn Store>,
    settings: Settings,
    options: EngineOptions,
) -> (Arc<Api>, Arc<Budget>) {
    let budget = Budget::new("process memory", 1 << 30);
    let engine = Engine::new(options, Arc::new(Inline));
    let clock = Arc::new(ManualClock::new(BLOCK_MS));
    let served = Served { clock, budget: Arc::clone(&budget), ..Served::new(engine, store) };
    (Api::new(settings, served), budget)
}

/// The router of an API with default settings.
pub(crate) fn router(store: Arc<dyn Store>) -> Router {
    let (api, _) = api(store, Settings::default(), EngineOptions::default());
    http::router(api).fallback(http::not_found)
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    /// The JSON of an answer that must be a success.
    pub(crate) fn success(&self) -> Value {
        let json = self.json();
        assert_eq!(
            (self.status, &json["status"]),
            (StatusCode::OK, &Value::from("success")),
            "{}",
            self.body
        );
        json
    }

    /// Type and text of an answer that must be this failure.
    pub(crate) fn failure(&self, status: u16) -> (String, String) {
        let json = self.json();
        assert_eq!((self.status.as_u16(), &json["status"]), (status, &Value::from("error")), "{}", self.body);
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        (text("errorType"), text("error"))
    }

    pub(crate) fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }
}

pub(crate) async fn send(router: &Router, method: Method, uri: &str, form: Option<&str>) -> Answer {
    let mut request = Request::builder().method(method).uri(uri);
    if form.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    let request = request.body(Body::from(form.unwrap_or_default().to_owned())).expect("a request");
    let response = router.clone().oneshot(request).await.expect("a router never fails");
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 64 << 20).await.expect("a body");
    let body = String::from_utf8(body.to_vec()).expect("UTF-8");
    Answer { status: parts.status, headers: parts.headers, body }
}

pub(crate) async fn get(router: &Router, uri: &str) -> Answer {
    send(router, Method::GET, uri, None).await
}

pub(crate) async fn post(router: &Router, uri: &str, form: &str) -> Answer {
    send(router, Method::POST, uri, Some(form)).await
}

/// A matcher that every series satisfies.
pub(crate) fn any() -> Matcher {
    Matcher::new(thanoslib::model::MatchOp::Regex, "__name__", ".*").expect("a pattern")
}

/// What a store streams: series with their number of chunks, and warnings.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Streamed {
    pub(crate) series: Vec<(Labels, usize)>,
    pub(crate) warnings: Vec<String>,
}

impl Streamed {
    pub(crate) fn labels(&self) -> Vec<Labels> {
        self.series.iter().map(|(l, _)| l.clone()).collect()
    }
}

/// Reads a store's whole answer; a series that goes on in the next batch counts once.
pub(crate) async fn stream(store: &dyn Store, request: SeriesRequest) -> Result<Streamed> {
    let mut stream = store.series(&Context::default(), request).await?;
    let mut out = Streamed::default();
    while let Some(frame) = stream.try_next().await? {
        match frame {
            Frame::Batch(batch) => {
                for series in batch.iter() {
                    match out.series.last_mut() {
                        Some((last, chunks)) if last.view() == series.labels() => {
                            *chunks += series.chunk_count();
                        }
                        _ => out.series.push((series.labels().to_labels(), series.chunk_count())),
                    }
                }
            }
            Frame::Warning(w) => out.warnings.push(w.to_string()),
            _ => {}
        }
    }
    Ok(out)
}
