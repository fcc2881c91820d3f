//! Awaits the selects of a query and hands what arrives to jobs.

use std::{collections::HashSet, sync::Arc};

use futures::{Stream, StreamExt, TryStreamExt, pin_mut, stream};

use crate::{
    budget::Lease,
    error::{Error, Result},
    model::{Labels, Warning, Warnings},
    promql::{
        Annotations, Block, Queryable, Select, SelectFrame, SelectStream, SelectedSeries, Steps,
        ast::Expr,
        functions::range::RangeCall,
        names::{same_labelset, unique},
        ops::aggregate::Aggregator,
        plan::{Leaf, LeafKind, QueryTimes, plan},
    },
    runtime::{Compute, compute},
};

use super::{
    Shared,
    eval::{Evaluator, LeafOutput, Value},
    leaf::{Part, Task, TaskKind, reduce},
    meter::{block_bytes, block_samples},
    selector::{Give, Instant},
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
    let (reads, leaves) = {
        let query = Arc::clone(&query);
        compute(on, move || prepare(&query)).await??
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
    let job = move || {
        let plan = query.plan()?;
        let mut evaluator = Evaluator::new(&query.shared, outputs);
        let value = evaluator.eval(&plan.root)?;
        Ok::<_, Error>((value, evaluator.into_annotations()))
    };
    let (value, annotations) = compute(on, job).await??;
    Ok(Outcome { value, annotations, warnings })
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
    /// Labels seen, where two series with the same labels are an error.
    seen: Option<HashSet<Labels>>,
    output: LeafOutput,
}

/// Decides what is read; equal selects are read once.
fn prepare(query: &Query) -> Result<(Vec<Read>, usize)> {
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
    Ok((reads, plan.leaves.len()))
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
        LeafKind::Raw => {
            output.is_raw = true;
            TaskKind::Raw(leaf.interval)
        }
        LeafKind::Range(call) => {
            // Parameters of a leaf read nothing.
            let mut evaluator = Evaluator::new(shared, Vec::new());
            let params = call.params.iter().map(|p| evaluator.scalar(p)).collect::<Result<_>>()?;
            output.annotations = evaluator.into_annotations();
            let call = RangeCall::new(call, params, &shared.scope(leaf.steps, &mut output.annotations));
            if call.drops_name() && !shared.options.delayed_name_removal {
                seen = Some(HashSet::new());
            }
            TaskKind::Range(Box::new(call))
        }
    };
    let aggregator = match leaf.aggregate {
        Some((expr, aggregate)) => Some(Aggregator::new(expr, aggregate, leaf.steps, None)?),
        None => None,
    };
    let task = Arc::new(Task { steps: leaf.steps, kind });
    Ok(Sink { leaf: index, task, aggregator, seen, output })
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
        let parts = blocks(frames)
            .map(|block| {
                let (query, tasks) = (Arc::clone(&query), Arc::clone(&tasks));
                async move {
                    let Batch { series, warnings } = block?;
                    let lease = reserve(&query.shared, &tasks, &series)?;
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

/// Reserves what the series and the values made of them take.
fn reserve(shared: &Shared, tasks: &[Arc<Task>], series: &[SelectedSeries]) -> Result<Lease> {
    let encoded: usize = series.iter().map(|s| s.data.size_bytes()).sum();
    let of_steps = |t: &Arc<Task>| match t.kind {
        TaskKind::Raw(_) => 0,
        // A float and a bit for each step.
        _ => t.steps.count as u64 * 65 / 8,
    };
    let values: u64 = tasks.iter().map(of_steps).sum();
    shared.ctx.budget().reserve((values * series.len() as u64).saturating_add(encoded as u64))
}

/// Hands the parts of one block of series to their leaves.
fn absorb(shared: &Shared, mut sinks: Vec<Sink>, parts: Vec<Part>, mut lease: Lease) -> Result<Vec<Sink>> {
    let mut kept_bytes = 0;
    for (sink, part) in sinks.iter_mut().zip(parts) {
        sink.output.annotations.merge(part.annotations);
        for block in part.blocks {
            if let Some(seen) = &mut sink.seen
                && !seen.insert(block.labels.clone())
            {
                return Err(same_labelset());
            }
            match &mut sink.aggregator {
                Some(aggregator) => {
                    let samples = block_samples(&block);
                    let scope = &mut shared.scope(sink.task.steps, &mut sink.output.annotations);
                    aggregator.absorb(scope, block)?;
                    shared.meter.release(samples);
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
            sink.output.leases.push(shared.ctx.budget().reserve(bytes)?);
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
#[derive(Default)]
struct Batch {
    series: Vec<SelectedSeries>,
    warnings: Vec<Warning>,
}

/// Cuts the frames of a select into blocks of a fixed number of series.
fn blocks(frames: SelectStream) -> impl Stream<Item = Result<Batch>> + Send {
    struct State {
        frames: SelectStream,
        waiting: std::vec::IntoIter<SelectedSeries>,
        ended: bool,
    }
    let state = State { frames, waiting: Vec::new().into_iter(), ended: false };
    stream::try_unfold(state, |mut state| async move {
        let mut batch = Batch::default();
        loop {
            let room = BLOCK_SERIES - batch.series.len();
            batch.series.extend(state.waiting.by_ref().take(room));
            if batch.series.len() == BLOCK_SERIES {
                break;
            }
            if state.ended {
                break;
            }
            match state.frames.next().await {
                Some(Ok(SelectFrame::Series(series))) => state.waiting = series.into_iter(),
                Some(Ok(SelectFrame::Warning(w))) => batch.warnings.push(w),
                Some(Err(e)) => return Err(expanding(e)),
                None => state.ended = true,
            }
        }
        let empty = batch.series.is_empty() && batch.warnings.is_empty();
        Ok((!empty).then_some((batch, state)))
    })
}
