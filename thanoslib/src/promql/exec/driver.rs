//! Awaits the selects of a query and hands what arrives to jobs.

use std::{sync::Arc, time};

use futures::{StreamExt, TryStreamExt, pin_mut, stream};

use crate::{
    budget::Lease,
    context::Tally,
    error::{Error, Result},
    model::{LABEL_NAME, MatchOp, Matcher, Warnings},
    promql::{
        Annotations, Block, Queryable, Select, SelectedSeries, Steps,
        functions::{
            info::InfoMatchers,
            range::{Edged, RangeCall, Smoothed},
        },
        names::{Seen, same_labelset, unique},
        ops::aggregate::Aggregator,
        plan::{Leaf, LeafKind, OperatorCost, Plan, Planned, Target},
    },
    runtime::{Compute, compute},
};

use super::{
    Looked, Shared,
    analysis::{Whose, since},
    cut::{Batch, blocks, expanding},
    eval::{Evaluator, InfoOutput, LeafOutput, State, Value},
    fold::{Fold, Folds, Turn},
    leaf::{Part, Task, TaskKind, reduce},
    meter::{block_bytes, block_samples},
    selector::{Give, Instant},
    stack::with_room,
};

/// Jobs of one select that run or wait to run. As many as keep workers busy while whoever reads waits
/// for a processor.
const JOBS_MAX: usize = 8;
/// Selects that are read at a time.
const SELECTS_MAX: usize = 4;

/// A query that is ready to run.
#[derive(Debug)]
pub(crate) struct Query {
    /// The folded expression with its plan.
    pub(crate) planned: Planned,
    /// Levels of the expression.
    pub(crate) depth: usize,
    /// Steps of the result.
    pub(crate) steps: Steps,
    /// What all parts share.
    pub(crate) shared: Shared,
}

/// What one select gave: the values of its leaves and the gaps that were told.
type Answer = (Vec<(usize, LeafOutput)>, Warnings);

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
    let reads = {
        let query = Arc::clone(&query);
        compute(on, move || with_room(query.depth, || prepare(&query))).await??
    };
    let answers: Vec<Answer> = stream::iter(reads)
        .map(|read| answer(Arc::clone(&query), on, queryable, read))
        .buffered(SELECTS_MAX)
        .try_collect()
        .await?;
    let mut outputs: Vec<Option<LeafOutput>> = query.plan().leaves.iter().map(|_| None).collect();
    let mut warnings = Warnings::default();
    for (answered, gaps) in answers {
        warnings.merge(gaps);
        for (leaf, output) in answered {
            outputs[leaf] = Some(output);
        }
    }
    let mut state = State { outputs, ..State::default() };
    for i in 0..query.plan().infos.len() {
        let gaps;
        (state, gaps) = info(&query, on, queryable, i, state).await?;
        warnings.merge(gaps);
    }
    let job = move || {
        let work = || {
            let plan = query.plan();
            let mut evaluator = Evaluator::resume(&query.shared, &plan.commons, state);
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
    let plan = query.plan();
    let Some(call) = plan.infos.get(i) else {
        return Err(Error::internal("a call of info is not in the plan"));
    };
    let mut evaluator = Evaluator::resume(&query.shared, &plan.commons, state);
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
        let task = Arc::new(Task { steps: call.steps, kind, stats: false, filter: Vec::new() });
        let output = LeafOutput::default();
        let sink = Sink { leaf: 0, select: 0, task, fold: None, seen: None, output };
        // What it costs is part of the time of the query alone.
        Read { number: None, selects: vec![select], sinks: vec![sink] }
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
) -> Result<(State, Warnings)> {
    let job = {
        let query = Arc::clone(query);
        move || with_room(query.depth, || info_read(&query, i, state))
    };
    let (mut state, base, looked, read) = compute(on, job).await??;
    let (answered, warnings) = match read {
        Some(read) => answer(Arc::clone(query), on, queryable, read).await?,
        None => (Vec::new(), Warnings::default()),
    };
    let infos = answered.into_iter().next().map(|(_, output)| output).unwrap_or_default();
    state.infos.push(Some(InfoOutput { base, infos, looked }));
    Ok((state, warnings))
}

impl Query {
    fn plan(&self) -> &Plan<'_> {
        self.planned.plan()
    }
}

/// One read and the leaves that it answers.
struct Read {
    /// Its number in the plan, unless it came up later.
    number: Option<usize>,
    /// Joined by the queryable if there are several.
    selects: Vec<Select>,
    /// In the order of their selects.
    sinks: Vec<Sink>,
}

/// Takes what jobs make for one leaf.
struct Sink {
    leaf: usize,
    /// Number of the select in the read.
    select: usize,
    task: Arc<Task>,
    /// The aggregation of the series, unless it is among the [`Folds`] of the read.
    fold: Option<Fold>,
    /// Labels seen, where two series with the same labels are an error and none is aggregated.
    seen: Option<Seen>,
    output: LeafOutput,
}

/// Makes ready what takes the series of each read.
fn prepare(query: &Query) -> Result<Vec<Read>> {
    let plan = query.plan();
    let read = |(number, read): (usize, &crate::promql::plan::Read)| {
        let sinks = read.targets.iter().map(|target| {
            let leaf = plan.leaves.get(target.leaf);
            let leaf = leaf.ok_or_else(|| Error::internal("a leaf is not in the plan"))?;
            sink(&query.shared, target, leaf)
        });
        let sinks = sinks.collect::<Result<_>>()?;
        Ok(Read { number: Some(number), selects: read.selects.clone(), sinks })
    };
    plan.reads.iter().enumerate().map(read).collect()
}

fn sink(shared: &Shared, target: &Target, leaf: &Leaf<'_>) -> Result<Sink> {
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
            let mut evaluator = Evaluator::new(shared);
            let params = call.params.iter().map(|p| evaluator.scalar(p)).collect::<Result<_>>()?;
            output.annotations = evaluator.into_annotations();
            let call = RangeCall::new(call, params, &shared.scope(leaf.steps, &mut output.annotations));
            if call.drops_name() && !shared.options.delayed_name_removal {
                seen = Some(Seen::default());
            }
            TaskKind::Range(Box::new(call))
        }
    };
    let fold = match leaf.aggregate {
        Some((expr, aggregate)) => {
            let aggregator = Aggregator::new(expr, aggregate, leaf.steps, None)?;
            let is_name = |m: &Matcher| m.name() == LABEL_NAME && m.op() == MatchOp::Equal;
            let named = leaf.selector.matchers.iter().any(is_name);
            Some(Fold { aggregator, held: None, seen: seen.take(), named })
        }
        None => None,
    };
    let filter = target.filter.clone();
    let task = Arc::new(Task { steps: leaf.steps, kind, stats: leaf.stats, filter });
    Ok(Sink { leaf: target.leaf, select: target.select, task, fold, seen, output })
}

/// Reads one select to its end.
async fn answer(
    query: Arc<Query>,
    on: &Arc<dyn Compute>,
    queryable: &Arc<dyn Queryable>,
    read: Read,
) -> Result<Answer> {
    let Read { number, mut selects, mut sinks } = read;
    let mut warnings = Warnings::default();
    // A read of no time, or for no step, has no answer.
    let idle = selects.iter().all(|s| s.interval.mint > s.interval.maxt)
        || sinks.iter().all(|s| s.task.steps.count == 0);
    if !idle {
        let analyzed = query.shared.recorder.as_ref().zip(number);
        let tally = analyzed.map(|_| Tally::default());
        let ctx = &query.shared.ctx.with_tally(tally.clone());
        let begun = time::Instant::now();
        let frames = match (selects.pop(), selects.is_empty()) {
            (Some(select), true) => ctx.run(queryable.select(ctx, select)).await,
            (last, _) => {
                selects.extend(last);
                ctx.run(queryable.select_joined(ctx, selects)).await
            }
        };
        let tasks: Arc<[(usize, Arc<Task>)]> =
            sinks.iter().map(|s| (s.select, Arc::clone(&s.task))).collect();
        let leaves: Arc<[usize]> = sinks.iter().map(|s| s.leaf).collect();
        let folds = Arc::new(Folds::new(sinks.iter_mut().map(|s| s.fold.take()).collect()));
        let parts = blocks(frames.map_err(expanding)?, ctx.budget().reserve(0)?)
            .enumerate()
            .map(|(job, block)| {
                let (query, tasks, leaves) = (Arc::clone(&query), Arc::clone(&tasks), Arc::clone(&leaves));
                let folds = Arc::clone(&folds);
                async move {
                    let Batch { series, mut lease, mut warnings } = block?;
                    if let Some((recorder, number)) = query.shared.recorder.as_ref().zip(number) {
                        let bytes = lease.bytes();
                        let peak_bytes = query.shared.ctx.budget().used();
                        let series = series.len() as u64;
                        let cost = OperatorCost { series, bytes, peak_bytes, ..OperatorCost::default() };
                        recorder.add(Whose::Read(number), &cost);
                    }
                    lease.grow(values_bytes(&tasks, series.len()))?;
                    let work = move || {
                        let parts = reduce_in_turn(&query.shared, &tasks, &leaves, &series, &folds, job)?;
                        // The encoded samples go before the bytes that were reserved for them.
                        drop(series);
                        Ok::<_, Error>((parts, lease))
                    };
                    let (mut parts, lease) = compute(on, work).await??;
                    warnings.extend(parts.iter_mut().flat_map(|part| part.gaps.drain(..)));
                    Ok::<_, Error>((job, parts, lease, warnings))
                }
            })
            .buffered(JOBS_MAX);
        pin_mut!(parts);
        // Parts wait while those before them are taken in, and the next ones are read meanwhile, so
        // that workers never run dry.
        let (mut waiting, mut ended) = (Vec::new(), false);
        while !ended || !waiting.is_empty() {
            let take_in = take_in(&query, on, &folds, sinks, std::mem::take(&mut waiting));
            pin_mut!(take_in);
            let mut taken_in = None;
            while taken_in.is_none() || (waiting.is_empty() && !ended) {
                tokio::select! {
                    biased;
                    after = &mut take_in, if taken_in.is_none() => taken_in = Some(after?),
                    next = ctx.run(parts.try_next()), if !ended && waiting.len() < JOBS_MAX => match next? {
                        Some((job, parts, lease, gaps)) => {
                            warnings.merge(gaps);
                            waiting.push((job, parts, lease));
                        }
                        None => ended = true,
                    },
                }
            }
            let Some(after) = taken_in else {
                return Err(Error::internal("parts were not taken in"));
            };
            sinks = after;
        }
        sinks.iter_mut().zip(folds.take()).for_each(|(sink, fold)| sink.fold = fold);
        if let Some((recorder, number)) = analyzed {
            let cost = OperatorCost { execution_ns: since(begun), ..OperatorCost::default() };
            recorder.add(Whose::Read(number), &cost);
            recorder.stores(number, tally.map(|tally| tally.costs()).unwrap_or_default());
        }
    }
    let outputs = compute(on, move || finish(&query.shared, sinks)).await??;
    Ok((outputs, warnings))
}

/// Hands parts that jobs made, in order, to their leaves.
async fn take_in(
    query: &Arc<Query>,
    on: &Arc<dyn Compute>,
    folds: &Arc<Folds>,
    sinks: Vec<Sink>,
    parts: Vec<(usize, Vec<Part>, Lease)>,
) -> Result<Vec<Sink>> {
    let query = Arc::clone(query);
    let folded = parts.iter().all(|(_, parts, _)| parts.iter().all(|part| part.folded));
    let folds = Arc::clone(folds);
    let work = move || {
        let absorb = |sinks, (job, parts, lease)| absorb(&query.shared, sinks, parts, lease, &folds, job);
        parts.into_iter().try_fold(sinks, absorb)
    };
    // Of series that are aggregated already there is nothing left to compute.
    if folded { work() } else { compute(on, work).await? }
}

/// Reduces a block of series for all leaves of a read, and aggregates them if it is their turn.
fn reduce_in_turn(
    shared: &Shared,
    tasks: &[(usize, Arc<Task>)],
    leaves: &[usize],
    series: &[SelectedSeries],
    folds: &Folds,
    job: usize,
) -> Result<Vec<Part>> {
    // What operators cost is told one by one.
    let mut turn = Turn::new(shared.recorder.is_none().then_some(folds), job);
    turn.comes();
    let mut parts = reduce_all(shared, tasks, leaves, series, &mut turn)?;
    turn.comes();
    for (leaf, ((_, task), part)) in tasks.iter().zip(&mut parts).enumerate() {
        if !part.folded
            && let Some(fold) = turn.fold(leaf)
        {
            let samples = part.fold_kept(shared, task.steps, fold)?;
            shared.meter.release(samples);
        }
    }
    turn.end();
    Ok(parts)
}

/// Reduces a block of series for all leaves of a read; those of one select stand side by side.
fn reduce_all(
    shared: &Shared,
    tasks: &[(usize, Arc<Task>)],
    leaves: &[usize],
    series: &[SelectedSeries],
    turn: &mut Turn<'_>,
) -> Result<Vec<Part>> {
    let mut parts = Vec::with_capacity(tasks.len());
    for of_select in tasks.chunk_by(|a, b| a.0 == b.0) {
        let Some((select, _)) = of_select.first() else { continue };
        let of: Vec<_> = of_select.iter().map(|(_, task)| Arc::clone(task)).collect();
        let begun = shared.recorder.as_ref().map(|recorder| (recorder, time::Instant::now()));
        let reduced = reduce(shared, &of, (*select, parts.len()), series, turn)?;
        if let Some((recorder, begun)) = begun {
            let execution_ns = since(begun) / of.len().max(1) as u64;
            for (part, leaf) in reduced.iter().zip(&leaves[parts.len()..]) {
                let cost = OperatorCost {
                    execution_ns,
                    total_samples: part.looked.sum().total,
                    peak_samples: shared.meter.held(),
                    series: (part.blocks.len() + part.raw.len()) as u64,
                    bytes: part.blocks.iter().map(block_bytes).sum(),
                    peak_bytes: shared.ctx.budget().used(),
                };
                recorder.add(Whose::Leaf(*leaf), &cost);
            }
        }
        parts.extend(reduced);
    }
    Ok(parts)
}

/// Bytes of the values that tasks make of some series, histograms left out.
fn values_bytes(tasks: &[(usize, Arc<Task>)], series: usize) -> u64 {
    let of_steps = |(_, t): &(usize, Arc<Task>)| match t.kind {
        TaskKind::Raw(_) | TaskKind::Edged(_) => 0,
        // A float and a bit for each step.
        _ => t.steps.count as u64 * 65 / 8,
    };
    tasks.iter().map(of_steps).fold(0, u64::saturating_add).saturating_mul(series as u64)
}

/// Hands the parts of one block of series to their leaves.
fn absorb(
    shared: &Shared,
    mut sinks: Vec<Sink>,
    parts: Vec<Part>,
    mut lease: Lease,
    folds: &Folds,
    job: usize,
) -> Result<Vec<Sink>> {
    let mut kept_bytes = 0;
    let folded = parts.iter().any(|part| part.folded);
    let mut late = if folded { None } else { Some(folds.late()?) };
    for (i, (sink, part)) in sinks.iter_mut().zip(parts).enumerate() {
        let mut fold = late.as_mut().and_then(|late| late.get_mut(i)).and_then(Option::as_mut);
        let begun = shared.recorder.as_ref().filter(|_| fold.is_some());
        let begun = begun.map(|recorder| (recorder, time::Instant::now()));
        let (steps, annotations) = (sink.task.steps, &mut sink.output.annotations);
        annotations.merge(part.annotations);
        annotations.merge(part.fold_annotations);
        sink.output.looked.merge(&part.looked);
        for mut block in part.blocks {
            if let Some(fold) = &mut fold {
                let samples = block_samples(&block);
                fold.add(shared, steps, annotations, &mut block)?;
                shared.meter.release(samples);
                continue;
            }
            if let Some(seen) = &mut sink.seen
                && !seen.insert(&block.labels)
            {
                return Err(same_labelset());
            }
            kept_bytes += block_bytes(&block);
            sink.output.blocks.push(block);
        }
        for raw in part.raw {
            kept_bytes += crate::promql::SeriesData::size_bytes(&raw.columns) as u64;
            sink.output.raw.push(raw);
        }
        if let Some((recorder, begun)) = begun {
            let cost = OperatorCost { execution_ns: since(begun), ..OperatorCost::default() };
            recorder.add(Whose::Aggregate(sink.leaf), &cost);
        }
    }
    if late.is_some() {
        drop(late);
        folds.done(job);
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
        if let Some(Fold { aggregator, held, .. }) = sink.fold {
            let begun = shared.recorder.as_ref().map(|recorder| (recorder, time::Instant::now()));
            let scope = &mut shared.scope(sink.task.steps, &mut sink.output.annotations);
            let blocks: Vec<Block> = aggregator.finish(scope)?;
            let bytes: u64 = blocks.iter().map(block_bytes).sum();
            // The columns of groups become the blocks.
            let mut lease = match held {
                Some(lease) => lease,
                None => shared.ctx.budget().reserve(0)?,
            };
            lease.grow(u64::saturating_sub(bytes, lease.bytes()))?;
            lease.shrink_to(bytes);
            sink.output.leases.push(lease);
            shared.meter.hold(blocks.iter().map(block_samples).sum())?;
            if let Some((recorder, begun)) = begun {
                let cost = OperatorCost {
                    execution_ns: since(begun),
                    peak_samples: shared.meter.held(),
                    total_samples: 0,
                    series: blocks.len() as u64,
                    bytes,
                    peak_bytes: shared.ctx.budget().used(),
                };
                recorder.add(Whose::Aggregate(sink.leaf), &cost);
            }
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
