//! The engine: answers instant and range queries.

use std::{fmt, sync::Arc};

use crate::{
    budget::is_used_up,
    context::Context,
    error::{Error, ErrorKind, Result},
    runtime::{Compute, compute},
};

use super::{
    ActiveQuery, EngineOptions, Explained, LogicalPlan, QueryResult, QueryStats, Queryable, Queued,
    StepStats, Steps,
    active::{ActiveQueries, Listing},
    ast::{Expr, ValueType},
    exec::{self, Query, Shared},
    metrics::{EngineKind, EngineMetrics},
    plan::{Explainer, Planned, QueryTimes, check_durations, plan},
    tracked::ActiveQueryFile,
};

/// Evaluates PromQL over any [`Queryable`].
///
/// Work that computes runs as jobs on the given [`Compute`]; answers do not depend on the
/// number of its threads.
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::{Context, Engine, EngineOptions, InstantQuery, Labels, MemoryStore, QueryValue};
/// use thanoslib::{SelectOptions, StoreQueryable, promql, runtime::Inline};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new(Labels::empty());
/// store.push(&Labels::from_pairs([("__name__", "up")]), 15_000, 1.0)?;
/// let queryable = StoreQueryable::new(Arc::new(store), SelectOptions::default());
///
/// let engine = Engine::new(EngineOptions::default(), Arc::new(Inline));
/// let text = "up + 1";
/// let expr = promql::parse(text, engine.options())?;
/// let query = InstantQuery { expr, text: text.into(), time_ms: 20_000, lookback_ms: None };
/// let answer = engine.instant(&Context::default(), Arc::new(queryable), query).await?;
/// let QueryValue::Vector(samples) = answer.value else { panic!("a vector") };
/// assert!(matches!(samples[0].value, thanoslib::Value::Float(2.0)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Engine {
    options: EngineOptions,
    compute: Arc<dyn Compute>,
    analyze: bool,
    kind: EngineKind,
    /// Shared by all clones.
    metrics: Arc<EngineMetrics>,
    /// Where running queries are written, if anywhere.
    file: Option<Arc<ActiveQueryFile>>,
    /// Shared by all clones.
    active: Arc<ActiveQueries>,
    /// The query that has waited for this engine.
    queued: Option<Arc<Queued>>,
}

/// A query at one time.
///
/// See [`Engine`].
#[derive(Clone, Debug)]
pub struct InstantQuery {
    /// The parsed expression.
    pub expr: Expr,
    /// Its text, which remarks point into.
    pub text: Arc<str>,
    /// Evaluation time in ms.
    pub time_ms: i64,
    /// How far selectors look back in ms, instead of the engine's setting.
    pub lookback_ms: Option<i64>,
}

/// A query at many times.
///
/// ```
/// use thanoslib::{EngineOptions, RangeQuery, promql::parse};
/// let (text, options) = ("rate(up[5m])", EngineOptions::default());
/// let expr = parse(text, &options)?;
/// let (start_ms, end_ms) = (0, 3_600_000);
/// let query = RangeQuery { expr, text: text.into(), start_ms, end_ms, step_ms: 60_000, lookback_ms: None };
/// assert!(query.check().is_ok());
/// let windows = RangeQuery { expr: parse("up[5m]", &options)?, ..query };
/// assert!(windows.check().is_err());
/// # Ok::<(), thanoslib::promql::ParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RangeQuery {
    /// The parsed expression, a scalar or an instant vector.
    pub expr: Expr,
    /// Its text, which remarks point into.
    pub text: Arc<str>,
    /// First step in ms.
    pub start_ms: i64,
    /// The last step is not after this, in ms.
    pub end_ms: i64,
    /// Distance of steps in ms.
    pub step_ms: i64,
    /// How far selectors look back in ms, instead of the engine's setting.
    pub lookback_ms: Option<i64>,
}

impl InstantQuery {
    /// Fails for durations that have no value at this time, which evaluation would find, too.
    ///
    /// # Errors
    /// `Invalid` with the bytes of the query that are to blame.
    pub fn check(&self) -> Result<()> {
        check_durations(&self.expr, &self.times())
    }

    fn times(&self) -> QueryTimes {
        QueryTimes { start_ms: self.time_ms, end_ms: self.time_ms, step_ms: 0 }
    }
}

impl RangeQuery {
    /// Fails for expressions that have no value at a step.
    ///
    /// # Errors
    /// `Invalid` for strings and range vectors, and for durations that have no value with
    /// these times.
    pub fn check(&self) -> Result<()> {
        match self.expr.value_type() {
            ValueType::Scalar | ValueType::Vector => check_durations(&self.expr, &self.times()),
            kind => Err(Error::invalid(format!(
                "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
                kind.documented()
            ))),
        }
    }

    fn times(&self) -> QueryTimes {
        QueryTimes { start_ms: self.start_ms, end_ms: self.end_ms, step_ms: self.step_ms }
    }
}

impl Engine {
    /// An engine that computes on `compute`.
    pub fn new(options: EngineOptions, compute: Arc<dyn Compute>) -> Self {
        Self {
            options,
            compute,
            analyze: false,
            kind: EngineKind::default(),
            metrics: Arc::default(),
            file: None,
            active: Arc::default(),
            queued: None,
        }
    }

    /// The same engine that writes the queries that run into a file.
    #[must_use]
    pub fn tracked(&self, file: Arc<ActiveQueryFile>) -> Self {
        Self { file: Some(file), ..self.clone() }
    }

    /// The same engine, whose queries count as those of one of the engines of upstream.
    #[must_use]
    pub fn counted_as(&self, kind: EngineKind) -> Self {
        Self { kind, ..self.clone() }
    }

    /// What is counted of the queries of this engine and its clones.
    pub fn metrics(&self) -> &EngineMetrics {
        &self.metrics
    }

    /// The same engine with other settings.
    #[must_use]
    pub fn with_options(&self, options: EngineOptions) -> Self {
        Self { options, ..self.clone() }
    }

    /// The settings.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// The same engine, whose results tell what each operator cost.
    #[must_use]
    pub fn analyzing(&self) -> Self {
        Self { analyze: true, ..self.clone() }
    }

    /// Lists an instant query as one that waits, until it runs by the engine [`after`](Self::after) it
    /// or is dropped.
    pub fn queue_instant(&self, ctx: &Context, query: &InstantQuery) -> Queued {
        self.queue(ctx, Listing { text: Arc::clone(&query.text), start_ms: query.time_ms, steps: 1 })
    }

    /// Lists a range query as one that waits; see [`queue_instant`](Self::queue_instant).
    pub fn queue_range(&self, ctx: &Context, query: &RangeQuery) -> Queued {
        // What is wrong with its steps is told when it runs.
        let steps = self.step_count(query.start_ms, query.end_ms, query.step_ms).unwrap_or_default();
        self.queue(ctx, Listing { text: Arc::clone(&query.text), start_ms: query.start_ms, steps })
    }

    fn queue(&self, ctx: &Context, asked: Listing) -> Queued {
        let (ctx, guard) = ctx.child();
        Queued { active: self.active.queue(asked, &ctx), ctx, _guard: guard }
    }

    /// The same engine for the one query that has waited: with the [context](Queued::context) that it
    /// waited with it runs under its number, and its statistics tell how long it waited.
    #[must_use]
    pub fn after(&self, queued: Queued) -> Self {
        Self { queued: Some(Arc::new(queued)), ..self.clone() }
    }

    /// The queries that wait for this engine and its clones or that these run now, oldest first.
    pub fn active_queries(&self) -> Vec<ActiveQuery> {
        self.active.list()
    }

    /// Ends a query that waits or runs, which then fails as cancelled; false when there is none of
    /// that number.
    pub fn kill(&self, id: u64) -> bool {
        self.active.kill(id)
    }

    /// Answers an instant query.
    ///
    /// # Errors
    /// `Invalid` for what the query itself does wrong, `Limit` when it holds too much,
    /// `Cancelled` or `Timeout` when the context ends, else errors of the selects.
    pub async fn instant(
        &self,
        ctx: &Context,
        queryable: Arc<dyn Queryable>,
        query: InstantQuery,
    ) -> Result<QueryResult> {
        self.run(ctx, queryable, Asked::from(query)).await
    }

    /// Answers a range query; the value is a matrix.
    ///
    /// # Errors
    /// Those of [`Engine::instant`], and `Invalid` for expressions of other types.
    pub async fn range(
        &self,
        ctx: &Context,
        queryable: Arc<dyn Queryable>,
        query: RangeQuery,
    ) -> Result<QueryResult> {
        query.check()?;
        self.run(ctx, queryable, Asked::from(query)).await
    }

    /// Answers the query of a plan, which may have been made elsewhere.
    ///
    /// # Errors
    /// Those of [`Engine::range`].
    pub async fn execute(
        &self,
        ctx: &Context,
        queryable: Arc<dyn Queryable>,
        plan: LogicalPlan,
    ) -> Result<QueryResult> {
        self.run(ctx, queryable, Asked::Plan(plan)).await
    }

    /// The plan of an instant query, to be run by [`execute`](Self::execute).
    ///
    /// # Errors
    /// `Invalid` for durations without a value and for too many levels.
    pub fn plan_instant(&self, query: InstantQuery) -> Result<LogicalPlan> {
        self.logical(Asked::from(query), &[])
    }

    /// The plan of a range query, to be run by [`execute`](Self::execute).
    ///
    /// # Errors
    /// `Invalid` for expressions of other types than scalar and vector, for durations without a value
    /// and for too many levels.
    pub fn plan_range(&self, query: RangeQuery) -> Result<LogicalPlan> {
        query.check()?;
        self.logical(Asked::from(query), &[])
    }

    /// Names the operators and reads of an instant query over a queryable, without running it.
    ///
    /// # Errors
    /// `Invalid` for what planning finds wrong, `Limit` for a query that is too large.
    pub fn explain_instant(&self, queryable: &dyn Queryable, query: InstantQuery) -> Result<Explained> {
        self.explain(queryable, Asked::from(query))
    }

    /// Names the operators and reads of a range query over a queryable, without running it.
    ///
    /// # Errors
    /// `Invalid` for what planning finds wrong, `Limit` for a query that is too large.
    pub fn explain_range(&self, queryable: &dyn Queryable, query: RangeQuery) -> Result<Explained> {
        query.check()?;
        self.explain(queryable, Asked::from(query))
    }

    fn explain(&self, queryable: &dyn Queryable, asked: Asked) -> Result<Explained> {
        let logical = self.logical(asked, queryable.hidden_labels())?;
        let steps = self.steps(&logical)?;
        let depth = exec::depth(logical.expr());
        exec::with_room(depth, || {
            let (logical, split) = self.distributed(logical, queryable);
            let queryable = split.as_deref().unwrap_or(queryable);
            let planned = self.planned(logical, steps, queryable)?;
            Ok(Explainer::new(planned.plan(), queryable, None).root())
        })
    }

    /// The query without the parts that are evaluated elsewhere, and what answers it then; needs room
    /// for its levels.
    fn distributed(
        &self,
        logical: LogicalPlan,
        queryable: &dyn Queryable,
    ) -> (LogicalPlan, Option<Arc<dyn Queryable>>) {
        // What has lost its name may still carry it here, and a wire does not tell.
        if self.options.delayed_name_removal || self.options.type_and_unit_labels {
            return (logical, None);
        }
        match queryable.distribute(&logical) {
            Some(split) => (split.plan, Some(split.queryable)),
            None => (logical, None),
        }
    }

    fn logical(&self, asked: Asked, hidden: &[String]) -> Result<LogicalPlan> {
        match asked {
            Asked::Query { expr, text, times, lookback_ms, instant } => {
                let lookback_ms = lookback_ms.unwrap_or(self.options.lookback_ms);
                LogicalPlan::new(expr, text, times, lookback_ms, instant, &self.options, hidden)
            }
            Asked::Plan(plan) => {
                plan.check(&self.options)?;
                Ok(plan)
            }
        }
    }

    /// Plans a query; needs room for its levels.
    fn planned(&self, logical: LogicalPlan, steps: Steps, queryable: &dyn Queryable) -> Result<Planned> {
        let (times, lookback_ms) = (logical.times(), logical.lookback_ms());
        Planned::try_new(logical.into_expr(), |expr| {
            plan(expr, steps, &times, lookback_ms, &self.options, queryable)
        })
    }

    fn steps(&self, plan: &LogicalPlan) -> Result<Steps> {
        let (start_ms, end_ms, step_ms) = plan.times_ms();
        if plan.is_instant() {
            return Ok(Steps { start_ms, step_ms: 1, count: 1 });
        }
        Ok(Steps { start_ms, step_ms, count: self.step_count(start_ms, end_ms, step_ms)? })
    }

    fn step_count(&self, start_ms: i64, end_ms: i64, step_ms: i64) -> Result<usize> {
        if end_ms < start_ms {
            return Ok(0);
        }
        if end_ms == start_ms {
            return Ok(1);
        }
        if step_ms == 0 {
            // Compat: the text of upstream's recovered panic (promql/engine.go); the HTTP
            // API refuses such steps before.
            return Err(Error::invalid("unexpected error: runtime error: integer divide by zero"));
        }
        if step_ms < 0 {
            return Err(Error::invalid(format!("query step is negative: {step_ms} ms")));
        }
        let last = (i128::from(end_ms) - i128::from(start_ms)) / i128::from(step_ms);
        let count = u64::try_from(last + 1).unwrap_or(u64::MAX);
        if count > self.options.samples_max {
            return Err(Error::limit(
                "query processing would load too many samples into memory in query execution",
            ));
        }
        usize::try_from(count).map_err(|_| Error::limit(format!("query has too many steps: {count}")))
    }

    async fn run(&self, ctx: &Context, queryable: Arc<dyn Queryable>, asked: Asked) -> Result<QueryResult> {
        // To be cancelled alone.
        let (ctx, _guard) = &ctx.child();
        let (running, asked_at) = (self.metrics.begin(self.kind), std::time::Instant::now());
        let query = {
            let (engine, ctx, queryable) = (self.clone(), ctx.clone(), Arc::clone(&queryable));
            compute(&self.compute, move || engine.query(ctx, &*queryable, asked)).await??
        };
        ctx.check().map_err(|e| stopped(ctx, e, "query execution"))?;
        let begun = std::time::Instant::now();
        let prepare = begun.saturating_duration_since(asked_at);
        let Prepared { query, instant, split } = query;
        let _tracked = self.file.as_ref().and_then(|file| file.begin(&query.shared.text()));
        let (query, queryable) = (Arc::new(query), split.unwrap_or(queryable));
        let listed =
            Listing { text: query.shared.text(), start_ms: query.steps.start_ms, steps: query.steps.count };
        let own = self.queued.is_none().then(|| self.active.queue(listed, ctx));
        let active = self.queued.as_ref().map(|queued| &queued.active).or(own.as_ref());
        let waited = active.map(|active| active.start(&query)).unwrap_or_default();
        let outcome = exec::run(Arc::clone(&query), &self.compute, &queryable).await;
        let outcome = outcome.map_err(|e| stopped(ctx, e, "expression evaluation"))?;
        let value = exec::assemble(outcome.value, query.steps, instant, &self.options)?;
        let looked = outcome.looked.sum();
        let of_step = |(t_ms, count): (i64, &exec::Count)| StepStats {
            t_ms,
            total_samples: count.total,
            read_samples: count.read,
        };
        let stats = QueryStats {
            total_samples: looked.total,
            read_samples: looked.read,
            peak_samples: query.shared.peak_samples(),
            steps: query.steps.iter().zip(outcome.looked.steps()).map(of_step).collect(),
            eval_seconds: begun.elapsed().as_secs_f64(),
            queue_seconds: if own.is_some() { 0.0 } else { waited.as_secs_f64() },
        };
        running.answered(&stats, prepare);
        let analysis = match query.shared.costs() {
            Some(costs) => {
                let root = || Ok(Explainer::new(query.planned.plan(), &*queryable, Some(&costs)).root());
                Some(exec::with_room(query.depth, root)?)
            }
            None => None,
        };
        let (annotations, warnings) = (outcome.annotations, outcome.warnings);
        Ok(QueryResult { value, annotations, warnings, stats, analysis })
    }

    /// Makes a query ready to run.
    fn query(&self, ctx: Context, queryable: &dyn Queryable, asked: Asked) -> Result<Prepared> {
        let logical = self.logical(asked, queryable.hidden_labels())?;
        let (steps, instant) = (self.steps(&logical)?, logical.is_instant());
        let depth = exec::depth(logical.expr());
        let (text, lookback_ms) = (logical.text(), logical.lookback_ms());
        let shared = Shared::new(self.options.clone(), ctx, text, lookback_ms, self.analyze);
        let (planned, split) = exec::with_room(depth, || {
            let (logical, split) = self.distributed(logical, queryable);
            let planned = self.planned(logical, steps, split.as_deref().unwrap_or(queryable))?;
            Ok::<_, Error>((planned, split))
        })?;
        Ok(Prepared { query: Query { planned, depth, steps, shared }, instant, split })
    }
}

/// A query that is ready to run.
struct Prepared {
    query: Query,
    instant: bool,
    /// What answers it, if that is not the queryable that was asked.
    split: Option<Arc<dyn Queryable>>,
}

/// What is asked, as it comes.
enum Asked {
    Query { expr: Expr, text: Arc<str>, times: QueryTimes, lookback_ms: Option<i64>, instant: bool },
    Plan(LogicalPlan),
}

impl From<InstantQuery> for Asked {
    fn from(query: InstantQuery) -> Self {
        let times = query.times();
        let InstantQuery { expr, text, lookback_ms, .. } = query;
        Self::Query { expr, text, times, lookback_ms, instant: true }
    }
}

impl From<RangeQuery> for Asked {
    fn from(query: RangeQuery) -> Self {
        let times = query.times();
        let RangeQuery { expr, text, lookback_ms, .. } = query;
        Self::Query { expr, text, times, lookback_ms, instant: false }
    }
}

/// The error of a query that had to stop; other errors stay as they are.
fn stopped(ctx: &Context, e: Error, place: &str) -> Error {
    match e.kind() {
        ErrorKind::Cancelled if ctx.check().is_err() => {
            Error::cancelled(format!("query was canceled in {place}")).with_source(e)
        }
        ErrorKind::Timeout if ctx.check().is_err() => {
            let mut text = format!("query timed out in {place}");
            let unended = ctx.coverage().unended();
            if !unended.is_empty() {
                text.push_str(&format!("; not at their ends: {unended}"));
            }
            Error::timeout(text).with_source(e)
        }
        // Whoever meets the limit need not be the one who used the memory.
        ErrorKind::Limit if is_used_up(&e) => match ctx.coverage().largest() {
            Some((store, bytes)) => {
                let text = format!("{}; {store} sent most, {bytes} bytes", e.message());
                Error::limit(text).with_source(e)
            }
            None => e,
        },
        _ => e,
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("options", &self.options).finish_non_exhaustive()
    }
}
