//! Awaits the selects of a query and hands what arrives to jobs.

use std::sync::Arc;

use futures::{Stream, StreamExt, TryStreamExt, pin_mut, stream};

use crate::{
    budget::Lease,
    error::{Error, Result},
    model::{Warning, Warnings},
    promql::{
        Annotations, Block, Queryable, Select, SelectFrame, SelectStream, SelectedSeries, Steps,
        ast::Expr,
        functions::{
            info::InfoMatchers,
            range::{Edged, RangeCall, Smoothed},
        },
        names::{Seen, same_labelset, unique},
        ops::aggregate::Aggregator,
        plan::{Leaf, LeafKind, QueryTimes, plan},
    },
    runtime::{Compute, compute},
};

use super::{
    Looked, Shared,
    eval::{Evaluator, InfoOutput, LeafOutput, State, Value},
    leaf::{Part, Task, TaskKind, reduce},
    meter::{block_bytes, block_samples},
    selector::{Give, Instant},
    stack::with_room,
};

/// Series that one job takes.
const BLOCK_SERIES: usize = 256;
/// Jobs of one select that run or wait to run.
const JOBS_MAX: usize = 4;
/// Selects that are read at a time.
const SELECTS_MAX: usize = 4;

/// A query that is ready to run.
#[derive(Debug)]
pub(crate) struct Query {
    /// The folded expression.
    pub(crate) expr: Expr,
    /// Its levels.
    pub(crate) depth: usize,
    /// Steps of the result.
    pub(crate) steps: Steps,
    /// Times that the expression may refer to.
    pub(crate) times: QueryTimes,
    /// What all parts share.
    pub(crate) shared: Shared,
}

/// What one select gave: the values of its leaves and the gaps that were told.
type Answer = (Vec<(usize, LeafOutput)>, Vec<Warning>);

/// What a query gave.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) value: Value,
    pub(crate) annotations: Annotations,
    pub(crate) warnings: Warnings,
    /// Samples looked at.
    pub(crate) looked: Looked,
}

/// Runs a query to its end.
///
/// # Errors
/// Those of selects with `expanding series: ` in front, and those of evaluation.
pub(crate) async fn run(
    query: Arc<Query>,
    on: &Arc<dyn Compute>,
    queryable: &Arc<dyn Queryable>,
) -> Result<Outcome> {
    let Reads { reads, leaves, infos } = {
        let query = Arc::clone(&query);
        compute(on, move || with_room(query.depth, || prepare(&query))).await??
    };
    let answers: Vec<Answer> = stream::iter(reads)
        .map(|read| answer(Arc::clone(&query), on, queryable, read))
        .buffered(SELECTS_MAX)
        .try_collect()
        .await?;
    let mut outputs: Vec<Option<LeafOutput>> = (0..leaves).map(|_| None).collect();
    let mut warnings = Warnings::default();
    for (answered, gaps) in answers {
        warnings.extend(gaps);
        for (leaf, output) in answered {
            outputs[leaf] = Some(output);
        }
    }
    let mut state = State { outputs, ..State::default() };
    for i in 0..infos {
        let gaps;
        (state, gaps) = info(&query, on, queryable, i, state).await?;
        warnings.extend(gaps);
    }
    let job = move || {
        let work = || {
            let plan = query.plan()?;
            let mut evaluator = Evaluator::resume(&query.shared, state);
            let (value, looked) = evaluator.counted(query.steps.count, |e| e.eval(&plan.root))?;
            Ok((value, evaluator.into_annotations(), looked))
        };
        with_room(query.depth, work)
    };
    let (value, annotations, looked) = compute(on, job).await??;
    Ok(Outcome { value, annotations, warnings, looked })
}

/// Evaluates the first argument of a call of `info` and tells which info series its value needs.
fn info_read(query: &Query, i: usize, state: State) -> Result<(State, Vec<Block>, Looked, Option<Read>)> {
    let plan = query.plan()?;
    let Some(call) = plan.infos.get(i) else {
        return Err(Error::internal("a call of info is not in the plan"));
    };
    let mut evaluator = Evaluator::resume(&query.shared, state);
    let (base, looked) = evaluator.counted(call.arg.steps.count, |e| e.vector(&call.arg))?;
    let select = InfoMatchers::new(call.selector)?.select(&base)?;
    let read = select.map(|matchers| {
        let select = Select { interval: call.interval, matchers, hints: call.hints.clone() };
        let kind = TaskKind::Instant(Instant {
            steps: call.steps,
            reference: call.reference,
            lookback_ms: query.shared.lookback_ms,
            give: Give::InfoTime,
        });
        let task = Arc::new(Task { steps: call.steps, kind, stats: false });
        let output = LeafOutput::default();
        Read {
            select,
            sinks: vec![Sink { leaf: 0, task, aggregator: None, state: None, seen: None, output }],
        }
    });
    Ok((evaluator.pause(), base, looked, read))
}

/// Evaluates the first argument of a call of `info`, then reads the info series of its value.
async fn info(
    query: &Arc<Query>,
    on: &Arc<dyn Compute>,
    queryable: &Arc<dyn Queryable>,
    i: usize,
    state: State,
) -> Result<(State, Vec<Warning>)> {
    let job = {
        let query = Arc::clone(query);
        move || with_room(query.depth, || info_read(&query, i, state))
    };
    let (mut state, base, looked, read) = compute(on, job).await??;
    let (answered, warnings) = match read {
        Some(read) => answer(Arc::clone(query), on, queryable, read).await?,
        None => (Vec::new(), Vec::new()),
    };
    let infos = answered.into_iter().next().map(|(_, output)| output).unwrap_or_default();
    state.infos.push(Some(InfoOutput { base, infos, looked }));
    Ok((state, warnings))
}

impl Query {
    fn plan(&self) -> Result<crate::promql::plan::Plan<'_>> {
        plan(&self.expr, self.steps, &self.times, self.shared.lookback_ms, &self.shared.options)
    }
}

/// One select and the leaves that it answers.
struct Read {
    select: Select,
    sinks: Vec<Sink>,
}

/// Takes what jobs make for one leaf.
struct Sink {
    leaf: usize,
    task: Arc<Task>,
    aggregator: Option<Aggregator>,
    /// Bytes reserved for what the aggregation holds.
    state: Option<Lease>,
    /// Labels seen, where two series with the same labels are an error.
    seen: Option<Seen>,
    output: LeafOutput,
}

/// What a query reads.
struct Reads {
    reads: Vec<Read>,
    /// Leaves of the plan.
    leaves: usize,
    /// Calls of `info`, whose reads are known later.
    infos: usize,
}

/// Decides what is read; equal selects are read once.
fn prepare(query: &Query) -> Result<Reads> {
    let plan = query.plan()?;
    let mut reads: Vec<Read> = Vec::new();
    for (i, leaf) in plan.leaves.iter().enumerate() {
        let sink = sink(&query.shared, i, leaf)?;
        let select = leaf.select();
        let same = |r: &&mut Read| {
            let s = &r.select;
            (s.interval, &s.matchers, &s.hints) == (select.interval, &select.matchers, &select.hints)
        };
        match reads.iter_mut().find(same) {
            Some(read) => read.sinks.push(sink),
            None => reads.push(Read { select, sinks: vec![sink] }),
        }
    }
    Ok(Reads { reads, leaves: plan.leaves.len(), infos: plan.infos.len() })
}

fn sink(shared: &Shared, index: usize, leaf: &Leaf<'_>) -> Result<Sink> {
    let mut output = LeafOutput::default();
    let instant = |give| {
        TaskKind::Instant(Instant {
            steps: leaf.steps,
            reference: leaf.reference,
            lookback_ms: shared.lookback_ms,
            give,
        })
    };
    let mut seen = None;
    let kind = match &leaf.kind {
        LeafKind::Instant => instant(Give::Value),
        LeafKind::Timestamp => instant(Give::Timestamp),
        LeafKind::StartTimestamp => instant(Give::StartTimestamp),
        LeafKind::Smoothed(expr) => {
            let scope = shared.scope(leaf.steps, &mut output.annotations);
            TaskKind::Smoothed(Smoothed::new(expr, leaf.reference, shared.lookback_ms, &scope))
        }
        LeafKind::Raw => {
            output.is_raw = true;
            TaskKind::Raw(leaf.interval)
        }
        LeafKind::Edged { range_ms, extension } => {
            output.is_raw = true;
            let end_ms = leaf.reference.time(leaf.steps.start_ms);
            let start_ms = end_ms.saturating_sub(*range_ms);
            TaskKind::Edged(Edged { start_ms, end_ms, reach: leaf.interval, extension: *extension })
        }
        LeafKind::Range(call) => {
            // Parameters of a leaf read nothing.
            let mut evaluator = Evaluator::new(shared, Vec::new());
            let params = call.params.iter().map(|p| evaluator.scalar(p)).collect::<Result<_>>()?;
            output.annotations = evaluator.into_annotations();
            let call = RangeCall::new(call, params, &shared.scope(leaf.steps, &mut output.annotations));
            if call.drops_name() && !shared.options.delayed_name_removal {
                seen = Some(Seen::default());
            }
            TaskKind::Range(Box::new(call))
        }
    };
    let aggregator = match leaf.aggregate {
        Some((expr, aggregate)) => Some(Aggregator::new(expr, aggregate, leaf.steps, None)?),
        None => None,
    };
    let task = Arc::new(Task { steps: leaf.steps, kind, stats: leaf.stats });
    Ok(Sink { leaf: index, task, aggregator, state: None, seen, output })
}

/// Reads one select to its end.
async fn answer(
    query: Arc<Query>,
    on: &Arc<dyn Compute>,
    queryable: &Arc<dyn Queryable>,
    read: Read,
) -> Result<Answer> {
    let Read { select, mut sinks } = read;
    let mut warnings = Vec::new();
    // A read of no time, or for no step, has no answer.
    let idle = select.interval.mint > select.interval.maxt || sinks.iter().all(|s| s.task.steps.count == 0);
    if !idle {
        let ctx = &query.shared.ctx;
        let frames = ctx.run(queryable.select(ctx, select)).await.map_err(expanding)?;
        let tasks: Arc<[Arc<Task>]> = sinks.iter().map(|s| Arc::clone(&s.task)).collect();
        let parts = blocks(frames, ctx.budget().reserve(0)?)
            .map(|block| {
                let (query, tasks) = (Arc::clone(&query), Arc::clone(&tasks));
                async move {
                    let Batch { series, mut lease, warnings } = block?;
                    lease.grow(values_bytes(&tasks, series.len()))?;
                    let job = move || {
                        let parts = reduce(&query.shared, &tasks, &series)?;
                        // The encoded samples go before the bytes that were reserved for them.
                        drop(series);
                        Ok::<_, Error>((parts, lease))
                    };
                    let (parts, lease) = compute(on, job).await??;
                    Ok::<_, Error>((parts, lease, warnings))
                }
            })
            .buffered(JOBS_MAX);
        pin_mut!(parts);
        while let Some((parts, lease, gaps)) = ctx.run(parts.try_next()).await? {
            warnings.extend(gaps);
            let query = Arc::clone(&query);
            sinks = compute(on, move || absorb(&query.shared, sinks, parts, lease)).await??;
        }
    }
    let outputs = compute(on, move || finish(&query.shared, sinks)).await??;
    Ok((outputs, warnings))
}

fn expanding(e: Error) -> Error {
    e.context("expanding series")
}

/// Bytes of the values that tasks make of some series, histograms left out.
fn values_bytes(tasks: &[Arc<Task>], series: usize) -> u64 {
    let of_steps = |t: &Arc<Task>| match t.kind {
        TaskKind::Raw(_) | TaskKind::Edged(_) => 0,
        // A float and a bit for each step.
        _ => t.steps.count as u64 * 65 / 8,
    };
    tasks.iter().map(of_steps).fold(0, u64::saturating_add).saturating_mul(series as u64)
}

/// Hands the parts of one block of series to their leaves.
fn absorb(shared: &Shared, mut sinks: Vec<Sink>, parts: Vec<Part>, mut lease: Lease) -> Result<Vec<Sink>> {
    let mut kept_bytes = 0;
    for (sink, part) in sinks.iter_mut().zip(parts) {
        sink.output.annotations.merge(part.annotations);
        sink.output.looked.merge(&part.looked);
        for block in part.blocks {
            if let Some(seen) = &mut sink.seen
                && !seen.insert(&block.labels)
            {
                return Err(same_labelset());
            }
            match &mut sink.aggregator {
                Some(aggregator) => {
                    let samples = block_samples(&block);
                    let scope = &mut shared.scope(sink.task.steps, &mut sink.output.annotations);
                    aggregator.absorb(scope, block)?;
                    shared.meter.release(samples);
                    let lease = match &mut sink.state {
                        Some(lease) => lease,
                        none => none.insert(shared.ctx.budget().reserve(0)?),
                    };
                    lease.grow(aggregator.held_bytes().saturating_sub(lease.bytes()))?;
                }
                None => {
                    kept_bytes += block_bytes(&block);
                    sink.output.blocks.push(block);
                }
            }
        }
        for raw in part.raw {
            kept_bytes += crate::promql::SeriesData::size_bytes(&raw.columns) as u64;
            sink.output.raw.push(raw);
        }
    }
    // What is kept may exceed the encoded size that was reserved.
    let more = kept_bytes.saturating_sub(lease.bytes());
    lease.grow(more)?;
    lease.shrink_to(kept_bytes);
    if let Some(first) = sinks.first_mut() {
        first.output.leases.push(lease);
    }
    Ok(sinks)
}

fn finish(shared: &Shared, sinks: Vec<Sink>) -> Result<Vec<(usize, LeafOutput)>> {
    let one = |mut sink: Sink| {
        if let Some(aggregator) = sink.aggregator {
            let scope = &mut shared.scope(sink.task.steps, &mut sink.output.annotations);
            let blocks: Vec<Block> = aggregator.finish(scope)?;
            let bytes = blocks.iter().map(block_bytes).sum();
            // The columns of groups become the blocks.
            let mut lease = match sink.state {
                Some(lease) => lease,
                None => shared.ctx.budget().reserve(0)?,
            };
            lease.grow(u64::saturating_sub(bytes, lease.bytes()))?;
            lease.shrink_to(bytes);
            sink.output.leases.push(lease);
            shared.meter.hold(blocks.iter().map(block_samples).sum())?;
            sink.output.blocks = blocks;
        }
        if matches!(&sink.task.kind, TaskKind::Instant(i) if i.give != Give::Value) {
            // Series lost their names.
            let scope = &shared.scope(sink.task.steps, &mut sink.output.annotations);
            sink.output.blocks = unique(scope, std::mem::take(&mut sink.output.blocks))?;
        }
        Ok((sink.leaf, sink.output))
    };
    sinks.into_iter().map(one).collect()
}

/// Series for one job, with the gaps that were told between them.
struct Batch {
    series: Vec<SelectedSeries>,
    /// Bytes reserved for the series.
    lease: Lease,
    warnings: Vec<Warning>,
}

/// Bytes of a series as it comes.
fn series_bytes(series: &SelectedSeries) -> u64 {
    (series.labels.as_bytes().len() + series.data.size_bytes()) as u64
}

/// The frames of a select on their way into blocks.
struct Cut {
    frames: SelectStream,
    waiting: std::vec::IntoIter<SelectedSeries>,
    /// Bytes reserved for the series that wait.
    lease: Lease,
    ended: bool,
}

/// Cuts the frames of a select into blocks of a fixed number of series; `lease` takes the
/// bytes of series when they arrive.
fn blocks(frames: SelectStream, lease: Lease) -> impl Stream<Item = Result<Batch>> + Send {
    let cut = Cut { frames, waiting: Vec::new().into_iter(), lease, ended: false };
    stream::try_unfold(cut, |mut cut| async move {
        let (mut series, mut warnings) = (Vec::new(), Vec::new());
        loop {
            series.extend(cut.waiting.by_ref().take(BLOCK_SERIES - series.len()));
            if series.len() == BLOCK_SERIES || cut.ended {
                break;
            }
            match cut.frames.next().await {
                Some(Ok(SelectFrame::Series(arrived))) => {
                    cut.lease.grow(arrived.iter().map(series_bytes).sum())?;
                    cut.waiting = arrived.into_iter();
                }
                Some(Ok(SelectFrame::Warning(w))) => warnings.push(w),
                Some(Err(e)) => return Err(expanding(e)),
                None => cut.ended = true,
            }
        }
        let lease = cut.lease.split(series.iter().map(series_bytes).sum());
        let empty = series.is_empty() && warnings.is_empty();
        Ok((!empty).then_some((Batch { series, lease, warnings }, cut)))
    })
}
