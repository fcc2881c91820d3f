//! PromQL over a store, as other endpoints ask it.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, stream};

use super::{Distribution, SelectOptions, StoreQueryable};
use crate::{
    apis::{QueryApi, QueryEngine, QueryFrame, QueryStream, QueryTime, RemoteQuery},
    clock::Clock,
    context::Context,
    error::{Error, Result},
    model::{Labels, Value, Warning},
    promql::{
        self, Engine, EngineOptions, InstantQuery, MatrixSeries, QueryResult, QueryValue, RangeQuery,
        VectorSample, ast::Expr,
    },
    store::{PartialResponse, Store},
};

/// Lookbacks that grow with the resolution: five minutes, an hour.
const LOOKBACKS_MS: [i64; 2] = [300_000, 3_600_000];

/// The lookback of instant selectors over data of some resolution, where a request names none;
/// `None` leaves it to the engine.
///
/// Compat: thanos `cmd/thanos/query.go`, dynamic lookback.
pub(crate) fn lookback_for(own_ms: i64, max_resolution_ms: i64) -> Option<i64> {
    match max_resolution_ms {
        r if r > own_ms.max(LOOKBACKS_MS[0]) => Some(own_ms.max(LOOKBACKS_MS[1])),
        r if r > own_ms => Some(own_ms.max(LOOKBACKS_MS[0])),
        _ => None,
    }
}

/// An engine over a store as a [`QueryApi`].
///
/// ```
/// use std::sync::Arc;
/// use futures::TryStreamExt;
/// use thanoslib::{Context, Engine, EngineOptions, Labels, MemoryStore, SelectOptions, SystemClock};
/// use thanoslib::apis::{QueryApi, QueryFrame, QueryTime, RemoteQuery};
/// use thanoslib::{query::QueryService, runtime::Inline};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> thanoslib::Result<()> {
/// let store = MemoryStore::new(Labels::empty());
/// store.push(&Labels::from_pairs([("__name__", "up")]), 15_000, 1.0)?;
/// let engine = Engine::new(EngineOptions::default(), Arc::new(Inline));
/// let service = QueryService {
///     engine,
///     store: Arc::new(store),
///     options: SelectOptions::default(),
///     dynamic_lookback: true,
///     distribution: None,
///     clock: Arc::new(SystemClock),
/// };
/// let query = RemoteQuery::new("up", QueryTime::Instant { t_ms: Some(20_000) });
/// let frames: Vec<QueryFrame> = service.query(&Context::default(), query).await?.try_collect().await?;
/// assert!(matches!(&frames[0], QueryFrame::Series(all) if all[0].floats == [(20_000, 1.0)]));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct QueryService {
    /// Evaluates queries.
    pub engine: Engine,
    /// What they select from; it keeps the whole contract.
    pub store: Arc<dyn Store>,
    /// What a query that does not say otherwise selects.
    pub options: SelectOptions,
    /// True: the lookback grows with the resolution asked for.
    pub dynamic_lookback: bool,
    /// Who evaluates parts of queries; `None` evaluates all of them here.
    pub distribution: Option<Arc<Distribution>>,
    /// Tells what "now" is.
    pub clock: Arc<dyn Clock>,
}

impl QueryService {
    /// What a request selects.
    fn options(&self, request: &RemoteQuery) -> SelectOptions {
        let replica_labels = match request.replica_labels.is_empty() {
            true => self.options.replica_labels.clone(),
            false => request.replica_labels.clone(),
        };
        let max_resolution_ms = match request.max_resolution_ms {
            0 => self.options.max_resolution_ms,
            ms => ms,
        };
        SelectOptions {
            dedup: request.dedup,
            replica_labels,
            max_resolution_ms,
            partial_response: match request.partial_response {
                true => PartialResponse::Warn,
                false => PartialResponse::Abort,
            },
            shard: request.shard.clone(),
            store_matchers: request.store_matchers.clone(),
            ..self.options.clone()
        }
    }

    fn lookback_ms(&self, request: &RemoteQuery, max_resolution_ms: i64) -> Option<i64> {
        match request.lookback_ms {
            ms if ms > 0 => Some(ms),
            _ if self.dynamic_lookback => lookback_for(self.engine.options().lookback_ms, max_resolution_ms),
            _ => None,
        }
    }

    /// The engine for a request.
    fn engine(&self, request: &RemoteQuery) -> Engine {
        let own = self.engine.options();
        self.engine.with_options(EngineOptions {
            x_functions: own.x_functions && request.engine != QueryEngine::Prometheus,
            ..own.clone()
        })
    }

    async fn evaluate(
        &self,
        ctx: &Context,
        engine: Engine,
        expr: Expr,
        request: &RemoteQuery,
    ) -> Result<QueryResult> {
        let options = self.options(request);
        let lookback_ms = self.lookback_ms(request, options.max_resolution_ms);
        let queryable = StoreQueryable::new(Arc::clone(&self.store), options);
        let queryable = Arc::new(match &self.distribution {
            Some(distribution) => queryable.distributed(Arc::clone(distribution)),
            None => queryable,
        });
        let text = Arc::from(request.text.as_str());
        match request.time {
            QueryTime::Instant { t_ms } => {
                let time_ms = t_ms.unwrap_or_else(|| self.clock.now_ms());
                engine.instant(ctx, queryable, InstantQuery { expr, text, time_ms, lookback_ms }).await
            }
            QueryTime::Range { start_ms, end_ms, step_ms } => {
                let query = RangeQuery { expr, text, start_ms, end_ms, step_ms, lookback_ms };
                engine.range(ctx, queryable, query).await
            }
        }
    }
}

#[async_trait]
impl QueryApi for QueryService {
    async fn query(&self, ctx: &Context, request: RemoteQuery) -> Result<QueryStream> {
        let ctx = match request.timeout {
            Some(timeout) => ctx.with_timeout(timeout),
            None => ctx.clone(),
        };
        let engine = self.engine(&request);
        let expr =
            promql::parse(&request.text, engine.options()).map_err(|e| Error::invalid(e.to_string()))?;
        if let QueryTime::Range { start_ms, end_ms, step_ms } = request.time {
            let (expr, text) = (expr.clone(), Arc::from(request.text.as_str()));
            RangeQuery { expr, text, start_ms, end_ms, step_ms, lookback_ms: None }.check()?;
        }
        // A query that fails ends its stream; one that cannot be read begins none.
        Ok(match self.evaluate(&ctx, engine, expr, &request).await {
            Ok(result) => stream::iter(frames(result, request.batch_series).into_iter().map(Ok)).boxed(),
            Err(e) => stream::iter([Err(e)]).boxed(),
        })
    }
}

/// A result as frames: remarks, series, statistics.
fn frames(result: QueryResult, batch_series: usize) -> Vec<QueryFrame> {
    let mut frames = Vec::new();
    let gaps = result.warnings.iter().map(ToString::to_string);
    let remarks: Vec<String> = gaps.chain(result.annotations.texts()).collect();
    if !remarks.is_empty() {
        frames.push(QueryFrame::Warning(Warning::new(remarks.join(", "))));
    }
    let mut series = match result.value {
        QueryValue::Scalar { t_ms, v } => {
            vec![MatrixSeries { labels: Labels::empty(), floats: vec![(t_ms, v)], histograms: Vec::new() }]
        }
        // There is no message for it.
        QueryValue::String { .. } => Vec::new(),
        QueryValue::Vector(samples) => samples.into_iter().map(one).collect(),
        QueryValue::Matrix(series) => series,
    };
    while !series.is_empty() {
        let rest = series.split_off(batch_series.max(1).min(series.len()));
        frames.push(QueryFrame::Series(std::mem::replace(&mut series, rest)));
    }
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    frames.push(QueryFrame::Stats {
        samples_total: count(result.stats.total_samples),
        samples_peak: count(result.stats.peak_samples),
    });
    frames
}

fn one(sample: VectorSample) -> MatrixSeries {
    let VectorSample { labels, t_ms, value } = sample;
    match value {
        Value::Float(v) => MatrixSeries { labels, floats: vec![(t_ms, v)], histograms: Vec::new() },
        Value::Histogram(h) => MatrixSeries { labels, floats: Vec::new(), histograms: vec![(t_ms, h)] },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lookback_grows_with_the_resolution() {
        const MINUTE: i64 = 60_000;
        let check =
            |own, resolution, want| assert_eq!(lookback_for(own, resolution), want, "{own} {resolution}");
        for (resolution, want) in [(0, None), (5 * MINUTE, None), (5 * MINUTE + 1, Some(60 * MINUTE))] {
            check(5 * MINUTE, resolution, want);
        }
        check(3 * MINUTE, 4 * MINUTE, Some(5 * MINUTE));
        check(10 * MINUTE, 5 * MINUTE + 1, None);
        check(10 * MINUTE, 60 * MINUTE, Some(60 * MINUTE));
        check(120 * MINUTE, 60 * MINUTE, None);
    }

    #[test]
    fn results_become_batches() {
        let series = |n: usize| vec![MatrixSeries::default(); n];
        let result = |value| QueryResult {
            value,
            annotations: Default::default(),
            warnings: Default::default(),
            stats: Default::default(),
            analysis: None,
        };
        let check = |n, batch, want: &[usize]| {
            let frames = frames(result(QueryValue::Matrix(series(n))), batch);
            let sizes: Vec<usize> = frames
                .iter()
                .filter_map(|f| if let QueryFrame::Series(s) = f { Some(s.len()) } else { None })
                .collect();
            assert_eq!(sizes, want);
            assert!(matches!(frames.last(), Some(QueryFrame::Stats { .. })));
        };
        check(0, 64, &[]);
        check(3, 0, &[1, 1, 1]);
        check(5, 2, &[2, 2, 1]);
        check(64, 64, &[64]);
        assert_eq!(frames(result(QueryValue::String { t_ms: 0, s: b"x".to_vec() }), 1).len(), 1);
    }
}
