//! What queries cost: how long they wait, what their stores give, how long they take.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures::StreamExt;
use tokio::sync::Semaphore;

use super::metrics::Tenants;
use crate::{
    chunk::Chunk,
    context::{Admission, Admitted, Context, SpanKind},
    error::{Error, Result},
    metrics::{Counter, Histogram, Kind, TextWriter},
    series::ChunkView,
    store::{
        Abilities, Frame, LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, SeriesRequest,
        SeriesStream, Store, StoreInfo,
    },
};

/// Upper bounds of the waiting times in seconds.
///
/// Compat: thanos `pkg/gate/gate.go`.
const WAIT_SECONDS: [f64; 10] = [0.01, 0.05, 0.1, 0.25, 0.6, 1.0, 2.0, 3.5, 5.0, 10.0];
/// Bounds of the time spans that range queries ask for: a quarter of an hour, doubled.
const SPANS: usize = 12;

/// By which bounds queries are told apart in `thanos_store_api_query_duration_seconds`.
///
/// ```
/// use thanoslib::http::{Settings, Telemetry};
/// let telemetry = Telemetry { seconds: vec![1.0, 10.0], ..Telemetry::default() };
/// let settings = Settings { telemetry, ..Settings::default() };
/// assert_eq!(settings.telemetry.series.len(), 5);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// Upper bounds of durations in seconds, ascending.
    pub seconds: Vec<f64>,
    /// Upper bounds of samples, ascending.
    pub samples: Vec<f64>,
    /// Upper bounds of series, ascending.
    pub series: Vec<f64>,
}

impl Default for Telemetry {
    /// The bounds of `thanos query`.
    fn default() -> Self {
        Self {
            seconds: vec![0.1, 0.25, 0.75, 1.25, 1.75, 2.5, 3.0, 5.0, 10.0],
            samples: vec![100.0, 1e3, 1e4, 1e5, 1e6],
            series: vec![10.0, 100.0, 1e3, 1e4, 1e5],
        }
    }
}

/// What is counted of queries.
#[derive(Debug)]
pub(super) struct QueryMetrics {
    telemetry: Telemetry,
    queries: Arc<Gate>,
    selects: Arc<Gate>,
    spans: Histogram,
    tenants: Tenants,
    costs: Mutex<BTreeMap<Class, Histogram>>,
}

/// Which queries are observed together.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Class {
    tenant: Arc<str>,
    series_le: String,
    samples_le: String,
}

/// A place where only so many are at a time.
#[derive(Debug)]
struct Gate {
    max: usize,
    inside: AtomicI64,
    entered: Counter,
    waited: Histogram,
}

impl Gate {
    fn new(max: usize) -> Self {
        Self {
            max,
            inside: AtomicI64::new(0),
            entered: Counter::default(),
            waited: Histogram::new(&WAIT_SECONDS),
        }
    }

    fn enter(&self, waited: Duration) {
        self.inside.fetch_add(1, Ordering::Relaxed);
        self.entered.add(1);
        self.waited.observe(waited.as_secs_f64());
    }

    fn leave(&self) {
        self.inside.fetch_sub(1, Ordering::Relaxed);
    }

    fn write(&self, out: &mut TextWriter, prefix: &str, what: &str) {
        let name = |suffix: &str| format!("{prefix}_{suffix}");
        let inside = self.inside.load(Ordering::Relaxed) as f64;
        out.single(&name("max"), &format!("Most {what} at a time."), Kind::Gauge, self.max as f64);
        out.single(&name("in_flight"), &format!("Number of {what} now."), Kind::Gauge, inside);
        let entered = self.entered.get() as f64;
        out.single(&name("total"), &format!("Number of {what} so far."), Kind::Counter, entered);
        let waited = name("duration_seconds");
        out.family(&waited, &format!("Seconds that {what} were waited for."), Kind::Histogram);
        out.histogram(&waited, &[], &self.waited);
    }
}

/// The place of a query that runs.
#[derive(Debug)]
pub(super) struct Place {
    gate: Arc<Gate>,
    _admitted: Admitted,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.leave();
    }
}

impl QueryMetrics {
    /// At most `queries` run at a time, each with at most `selects` that are being opened.
    pub(super) fn new(telemetry: Telemetry, queries: usize, selects: usize) -> Self {
        let spans: Vec<f64> = (0..SPANS).map(|i| 900.0 * f64::powi(2.0, i as i32)).collect();
        Self {
            telemetry,
            queries: Arc::new(Gate::new(queries)),
            selects: Arc::new(Gate::new(selects)),
            spans: Histogram::new(&spans),
            tenants: Tenants::default(),
            costs: Mutex::default(),
        }
    }

    /// Waits until a query is let in.
    pub(super) async fn admit(&self, admission: &Admission, ctx: &Context) -> Result<Place> {
        let begun = Instant::now();
        let admitted = admission.enter(ctx).await?;
        self.queries.enter(begun.elapsed());
        Ok(Place { gate: Arc::clone(&self.queries), _admitted: admitted })
    }

    /// A range query asks for a time span.
    pub(super) fn spans(&self, span_ms: i64) {
        self.spans.observe(span_ms as f64 / 1000.0);
    }

    /// A store for one query, which counts what it gives, and what is counted.
    pub(super) fn measured(&self, inner: Arc<dyn Store>) -> (Arc<dyn Store>, Measure) {
        let measure = Measure { given: Arc::default(), begun: Instant::now() };
        let room = Arc::new(Semaphore::new(self.selects.max.clamp(1, Semaphore::MAX_PERMITS)));
        let gate = Arc::clone(&self.selects);
        let store = Measured { inner, room, gate, given: Arc::clone(&measure.given) };
        (Arc::new(store), measure)
    }

    /// A query of a tenant has ended.
    ///
    /// Compat: one whose stores gave nothing is not observed (thanos `pkg/store/telemetry.go`).
    pub(super) fn ended(&self, tenant: &str, measure: &Measure) {
        let given = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (series, samples) = (given(&measure.given.series), given(&measure.given.samples));
        if series == 0 || samples == 0 || given(&measure.given.chunks) == 0 {
            return;
        }
        let class = Class {
            tenant: self.tenants.get(tenant),
            series_le: bound(&self.telemetry.series, series),
            samples_le: bound(&self.telemetry.samples, samples),
        };
        let mut costs = self.costs.lock().unwrap_or_else(PoisonError::into_inner);
        let histogram = costs.entry(class).or_insert_with(|| Histogram::new(&self.telemetry.seconds));
        histogram.observe(measure.begun.elapsed().as_secs_f64());
    }

    /// Writes the families `thanos_query_…` and `thanos_store_api_query_duration_seconds`.
    pub(super) fn write(&self, out: &mut TextWriter) {
        self.queries.write(out, "thanos_query_concurrent_gate_queries", "queries running");
        let name = "thanos_query_concurrent_selects_gate_selects";
        self.selects.write(out, name, "selects of a query being opened");
        let name = "thanos_query_range_requested_timespan_duration_seconds";
        out.family(name, "Seconds between start and end of range queries.", Kind::Histogram);
        out.histogram(name, &[], &self.spans);
        let name = "thanos_store_api_query_duration_seconds";
        out.family(name, "Seconds of queries by what their stores gave.", Kind::Histogram);
        for (class, histogram) in self.costs.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let labels = [
                ("samples_le", class.samples_le.as_str()),
                ("series_le", &class.series_le),
                ("tenant", &*class.tenant),
            ];
            out.histogram(name, &labels, histogram);
        }
    }
}

/// The least bound that is not below a count.
///
/// Compat: the last bound itself counts as above (thanos `pkg/store/telemetry.go`).
fn bound(bounds: &[f64], count: u64) -> String {
    let count = count as f64;
    let above = bounds.last().is_none_or(|last| count >= *last);
    match bounds.iter().find(|b| **b >= count) {
        Some(bound) if !above => bound.to_string(),
        _ => "+Inf".to_owned(),
    }
}

/// What the stores of one query gave.
#[derive(Debug)]
pub(super) struct Measure {
    given: Arc<Given>,
    begun: Instant,
}

#[derive(Debug, Default)]
struct Given {
    series: AtomicU64,
    chunks: AtomicU64,
    samples: AtomicU64,
}

/// A store whose series are counted; a few selects are opened at a time.
struct Measured {
    inner: Arc<dyn Store>,
    room: Arc<Semaphore>,
    gate: Arc<Gate>,
    given: Arc<Given>,
}

impl fmt::Debug for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Measured").field(&self.inner).finish()
    }
}

/// A select that is being opened.
struct Opening<'a>(&'a Gate);

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

#[async_trait]
impl Store for Measured {
    fn info(&self) -> StoreInfo {
        self.inner.info()
    }

    fn abilities(&self) -> Abilities {
        self.inner.abilities()
    }

    async fn series(&self, ctx: &Context, request: SeriesRequest) -> Result<SeriesStream> {
        let begun = Instant::now();
        // Given back when the stream is there: a query that reads several streams by turns would
        // otherwise wait for itself.
        let _room = ctx
            .run(async { self.room.acquire().await.map_err(|_| Error::cancelled("server stops")) })
            .await?;
        self.gate.enter(begun.elapsed());
        let _opening = Opening(&self.gate);
        let (ctx, mut span) = ctx.span("querier_select_select_fn", SpanKind::Internal);
        span.set("minTime", || request.interval.mint);
        span.set("maxTime", || request.interval.maxt);
        let stream = self.inner.series(&ctx, request).await.inspect_err(|e| span.fail(e))?;
        let given = Arc::clone(&self.given);
        let counted = stream.inspect(move |frame| {
            let batch = match frame {
                Ok(Frame::Batch(batch)) => batch,
                Ok(_) => return,
                // The span ends with the stream.
                Err(e) => return span.fail(e),
            };
            given.series.fetch_add(batch.len() as u64, Ordering::Relaxed);
            let chunks: u64 = batch.iter().map(|s| s.chunks().len() as u64).sum();
            given.chunks.fetch_add(chunks, Ordering::Relaxed);
            // A header that is cut is found by who decodes the chunk.
            let samples = |view: ChunkView<'_>| {
                let chunk = Chunk { encoding: view.meta.encoding, data: view.data() };
                chunk.num_samples().unwrap_or_default() as u64
            };
            let samples = batch.iter().flat_map(|s| s.chunks()).map(samples).sum();
            given.samples.fetch_add(samples, Ordering::Relaxed);
        });
        Ok(counted.boxed())
    }

    async fn label_names(&self, ctx: &Context, request: LabelNamesRequest) -> Result<LabelNames> {
        self.inner.label_names(ctx, request).await
    }

    async fn label_values(&self, ctx: &Context, request: LabelValuesRequest) -> Result<LabelValues> {
        self.inner.label_values(ctx, request).await
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;
    use crate::{Interval, Labels, Matcher, MemoryStore};

    #[test]
    fn counts_lie_below_their_bound() {
        let check = |count, want: &str| assert_eq!(bound(&[10.0, 100.0], count), want, "{count}");
        check(1, "10");
        check(10, "10");
        check(11, "100");
        check(99, "100");
        check(100, "+Inf");
        assert_eq!(bound(&[], 1), "+Inf");
    }

    #[tokio::test]
    async fn what_the_stores_of_a_query_give_is_observed() {
        let store = MemoryStore::new(Labels::empty());
        for job in ["a", "b"] {
            for t in 0..60 {
                store
                    .push(&Labels::from_pairs([("__name__", "up"), ("job", job)]), t * 1000, 1.0)
                    .expect("new");
            }
        }
        let metrics = QueryMetrics::new(Telemetry::default(), 20, 1);
        let (store, measure) = metrics.measured(Arc::new(store));
        let select = |name: &str| SeriesRequest::new(Interval::ALL, vec![Matcher::equal("__name__", name)]);
        let ctx = Context::default();
        // The second is opened while the first is not read.
        let first = store.series(&ctx, select("up")).await.expect("a stream");
        drop(store.series(&ctx, select("none")).await.expect("a stream"));
        let _frames: Vec<_> = first.try_collect().await.expect("frames");
        metrics.ended("team", &measure);
        let (_, nothing) = metrics.measured(Arc::new(MemoryStore::new(Labels::empty())));
        metrics.ended("team", &nothing);
        let place = metrics.admit(&Admission::new(Default::default()), &ctx).await.expect("free");
        metrics.spans(3_600_000);
        let mut out = TextWriter::default();
        metrics.write(&mut out);
        for line in [
            r#"thanos_store_api_query_duration_seconds_count{samples_le="1000",series_le="10",tenant="team"} 1"#,
            "thanos_query_concurrent_selects_gate_selects_total 2",
            "thanos_query_concurrent_selects_gate_selects_in_flight 0",
            "thanos_query_concurrent_gate_queries_max 20",
            "thanos_query_concurrent_gate_queries_in_flight 1",
            r#"thanos_query_range_requested_timespan_duration_seconds_bucket{le="1800"} 0"#,
            r#"thanos_query_range_requested_timespan_duration_seconds_bucket{le="3600"} 1"#,
        ] {
            assert!(out.text().lines().any(|l| l == line), "no {line} in {}", out.text());
        }
        drop(place);
    }
}
