//! A store that cuts samples into chunks and batches wherever it is told to, and queries that must not
//! notice.

use std::{
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use thanoslib::{
    Context, Engine, EngineOptions, Frame, InstantQuery, Labels, Pool, QueryValue, RangeQuery, Result,
    SelectOptions, SeriesRequest, Store, StoreQueryable, Value,
    budget::Budget,
    chunk::{ChunkCutter, ChunkFormat, CutPolicy, EncodedChunk},
    model::{Aggr, CounterReset, FloatHistogram, FloatHistogramColumn, Interval},
    promql::{Queryable, parse},
    runtime::{Compute, Inline},
    series::{BatchBuilder, SeriesBatch},
    store::{
        Abilities, Conform, LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, SeriesStream,
        StoreInfo,
    },
};

use crate::{
    fleet::{FleetSpec, fleet},
    queries::{Pick, Queries},
};

/// How long memory may be held behind the end of a query.
const PATIENCE: Duration = Duration::from_secs(5);

/// Samples of every series in label order.
type Series = Vec<(Labels, Vec<(i64, Value)>)>;

/// Series whose samples are cut into chunks, and those into batches.
#[derive(Debug)]
pub(crate) struct CutStore {
    series: Vec<(Labels, Vec<EncodedChunk>)>,
    /// Chunks of a batch; where it ends a series goes on in the next one.
    batch_chunks: usize,
}

impl CutStore {
    /// Cuts chunks of the lengths that `length` gives one after the other.
    pub(crate) fn new(series: &Series, batch_chunks: usize, mut length: impl FnMut() -> usize) -> Self {
        let cut = |(labels, samples): &(Labels, Vec<(i64, Value)>)| {
            let (mut chunks, mut rest) = (Vec::new(), samples.as_slice());
            while !rest.is_empty() {
                let (chunk, behind) = rest.split_at(length().clamp(1, rest.len()));
                chunks.extend(encode(chunk));
                rest = behind;
            }
            (labels.clone(), chunks)
        };
        Self { series: series.iter().map(cut).collect(), batch_chunks: batch_chunks.max(1) }
    }

    fn batches(&self, request: &SeriesRequest) -> Vec<SeriesBatch> {
        let (mut batches, mut out, mut chunks) = (Vec::new(), BatchBuilder::default(), 0);
        for (labels, all) in &self.series {
            let wanted = request.matchers.iter().all(|m| m.matches_labels(labels.view()));
            let mut inside =
                all.iter().filter(|c| wanted && c.interval.overlaps(request.interval)).peekable();
            if inside.peek().is_some() {
                out.series(labels.view());
            }
            while let Some(chunk) = inside.next() {
                out.chunk_copied(chunk.interval, Aggr::Raw, chunk.encoding, true, &chunk.data);
                chunks += 1;
                if chunks % self.batch_chunks == 0 {
                    batches.push(out.finish());
                    if inside.peek().is_some() {
                        out.series(labels.view());
                    }
                }
            }
        }
        if !out.is_empty() {
            batches.push(out.finish());
        }
        batches
    }
}

/// Chunks of some samples, one for each run of floats or histograms that fit together.
fn encode(samples: &[(i64, Value)]) -> Vec<EncodedChunk> {
    let mut cutter = ChunkCutter::new(CutPolicy::default(), ChunkFormat::default());
    let mut chunks = Vec::new();
    for (t_ms, value) in samples {
        let closed = match value {
            Value::Float(v) => cutter.append_float(0, *t_ms, *v),
            Value::Histogram(h) => {
                let mut column = FloatHistogramColumn::default();
                column.push(*t_ms, h);
                cutter.append_float_histogram(&column, 0)
            }
        };
        chunks.extend(closed.expect("is in order"));
    }
    chunks.extend(cutter.finish());
    chunks
}

#[async_trait::async_trait]
impl Store for CutStore {
    fn info(&self) -> StoreInfo {
        StoreInfo {
            component: "cuts",
            label_sets: Vec::new(),
            interval: Some(Interval::ALL),
            tsdbs: Vec::new(),
            abilities: Abilities::default(),
            blocks_hash: None,
        }
    }

    async fn series(&self, _: &Context, request: SeriesRequest) -> Result<SeriesStream> {
        let frames = self.batches(&request).into_iter().map(|batch| Ok(Frame::Batch(batch)));
        Ok(Box::pin(futures::stream::iter(frames.collect::<Vec<_>>())))
    }

    async fn label_names(&self, _: &Context, _: LabelNamesRequest) -> Result<LabelNames> {
        Ok(LabelNames::default())
    }

    async fn label_values(&self, _: &Context, _: LabelValuesRequest) -> Result<LabelValues> {
        Ok(LabelValues::default())
    }
}

/// What reads the series of a store.
pub(crate) fn queryable(store: CutStore) -> Arc<dyn Queryable> {
    let options = SelectOptions { replica_labels: vec!["replica".to_owned()], ..SelectOptions::default() };
    Arc::new(StoreQueryable::new(Arc::new(Conform::new(Arc::new(store), Labels::empty())), options))
}

/// Every series twice, as two replicas saw it.
pub(crate) fn doubled(series: &Series) -> Series {
    let with = |labels: &Labels, replica: &str| {
        let pairs = labels.iter().map(|l| (l.name.to_vec(), l.value.to_vec()));
        let pairs: Vec<_> = pairs.chain([(b"replica".to_vec(), replica.into())]).collect();
        Labels::from_pairs(pairs)
    };
    let both = series
        .iter()
        .flat_map(|(labels, samples)| ["a", "b"].map(|replica| (with(labels, replica), samples.clone())));
    let mut all: Series = both.collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

const START_MS: i64 = 1_700_006_400_000;
const SCRAPE_MS: i64 = 30_000;
const SCRAPES: usize = 30;
const STEPS_MAX: usize = 6;

/// Some small fleets, which are scraped once.
static FLEETS: LazyLock<Vec<Series>> = LazyLock::new(|| {
    let scraped = |seed| {
        let spec = FleetSpec { seed, instances: 3, start_ms: START_MS, step_ms: SCRAPE_MS, scrapes: SCRAPES };
        fleet(&spec).into_iter().map(|s| (s.labels, s.samples)).collect()
    };
    (0..4).map(scraped).collect()
});

static POOL: LazyLock<Arc<dyn Compute>> = LazyLock::new(|| Arc::new(Pool::new(3).expect("threads")));

/// When a query is evaluated.
#[derive(Clone, Copy, Debug)]
struct When {
    start_ms: i64,
    /// 0 for a query at one time.
    step_ms: i64,
    steps: usize,
}

/// A random query over a small fleet: its answer depends neither on chunks and batches, nor on
/// workers, rewritten plans and identical replicas.
pub fn queries(bytes: &[u8]) {
    let mut picks = Bytes(bytes.iter());
    let series = &FLEETS[picks.pick(FLEETS.len())];
    let when = When {
        start_ms: START_MS + (picks.pick(45) as i64) * 20_011,
        step_ms: picks.of(&[0, 15_000, 30_000, 97_500]),
        steps: picks.pick(STEPS_MAX) + 1,
    };
    let (batch, short) = (picks.pick(7) + 1, picks.pick(40) + 1);
    let levels = picks.pick(4);
    let mut queries = Queries::new(&mut picks, START_MS / 1000 + 300);
    let text = if when.step_ms == 0 { queries.instant(levels) } else { queries.query(levels) };
    let inline: Arc<dyn Compute> = Arc::new(Inline);
    let plain = queryable(CutStore::new(series, usize::MAX, || 120));
    let want = run(&text, when, &plain, &inline, true);
    let mut n = 0;
    let mut uneven = || {
        n += 1;
        (n * 7) % short + 1
    };
    let cut = queryable(CutStore::new(series, batch, &mut uneven));
    let replicas = queryable(CutStore::new(&doubled(series), batch, &mut uneven));
    for (queryable, compute, optimize) in
        [(&plain, &inline, false), (&cut, &inline, true), (&cut, &*POOL, false), (&replicas, &*POOL, true)]
    {
        let got = run(&text, when, queryable, compute, optimize);
        assert_eq!(got, want, "{text} {when:?}");
    }
}

/// The answer as text, or the kind of the error.
fn run(
    text: &str,
    when: When,
    queryable: &Arc<dyn Queryable>,
    on: &Arc<dyn Compute>,
    optimize: bool,
) -> String {
    let options = EngineOptions {
        optimize,
        experimental_functions: true,
        fill_modifiers: true,
        extended_range_selectors: true,
        ..EngineOptions::default()
    };
    let engine = Engine::new(options, Arc::clone(on));
    let expr = parse(text, engine.options()).unwrap_or_else(|e| panic!("{text}: {e}"));
    let budget = Budget::new("query", 256 << 20);
    let ctx = Context::new(Arc::clone(&budget));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("needs no drivers");
    let (text, queryable, lookback_ms) = (Arc::from(text), Arc::clone(queryable), None);
    let When { start_ms, step_ms, steps } = when;
    let result = if step_ms == 0 {
        let query = InstantQuery { expr, text, time_ms: start_ms, lookback_ms };
        runtime.block_on(engine.instant(&ctx, queryable, query))
    } else {
        let end_ms = start_ms + (steps as i64 - 1) * step_ms;
        let query = RangeQuery { expr, text, start_ms, end_ms, step_ms, lookback_ms };
        runtime.block_on(engine.range(&ctx, queryable, query))
    };
    drop(ctx);
    // A job that runs when a query ends early gives its memory back at its own end.
    let begun = Instant::now();
    while budget.used() > 0 && begun.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
    assert_eq!(budget.used(), 0);
    match result {
        Ok(result) => shown(result.value),
        Err(e) => format!("{:?}: {}", e.kind(), e.message()),
    }
}

/// A value as text, without what depends on chunks: empty buckets, and what is known of resets.
fn shown(mut value: QueryValue) -> String {
    let settle = |h: &mut Arc<FloatHistogram>| {
        let h = Arc::make_mut(h);
        h.compact(0);
        if h.hint != CounterReset::Gauge {
            h.hint = CounterReset::Unknown;
        }
    };
    match &mut value {
        QueryValue::Vector(samples) => {
            for sample in samples {
                if let Value::Histogram(h) = &mut sample.value {
                    settle(h);
                }
            }
        }
        QueryValue::Matrix(series) => {
            series.iter_mut().flat_map(|s| &mut s.histograms).for_each(|(_, h)| settle(h));
        }
        QueryValue::Scalar { .. } | QueryValue::String { .. } => {}
    }
    format!("{value:?}")
}

/// Decisions taken from bytes; zeros when they run out.
struct Bytes<'a>(std::slice::Iter<'a, u8>);

impl Pick for Bytes<'_> {
    fn pick(&mut self, n: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or(0)) % n
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::Dice;

    #[test]
    fn random_queries_do_not_notice_how_samples_are_cut() {
        let mut dice = Dice::new(7);
        let rounds = if cfg!(debug_assertions) { 150 } else { 3_000 };
        for _ in 0..rounds {
            let bytes: Vec<u8> = (0..120).map(|_| dice.any() as u8).collect();
            queries(&bytes);
        }
    }

    #[test]
    fn most_queries_have_an_answer() {
        let (mut dice, mut answers, mut errors) = (Dice::new(1), 0, 0);
        let plain = queryable(CutStore::new(&FLEETS[0], usize::MAX, || 120));
        let inline: Arc<dyn Compute> = Arc::new(Inline);
        for _ in 0..200 {
            let levels = dice.below(3);
            let text = Queries::new(&mut dice, START_MS / 1000 + 300).query(levels);
            let when = When { start_ms: START_MS + 900_000, step_ms: 60_000, steps: 5 };
            let answer = run(&text, when, &plain, &inline, true);
            answers += usize::from(answer.len() > 40 && answer.starts_with("Matrix"));
            errors += usize::from(!answer.starts_with("Matrix"));
        }
        assert!(answers > 130 && errors < 20, "{answers} answers, {errors} errors");
    }
}
