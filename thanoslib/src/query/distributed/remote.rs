//! Answers the parts of a query by asking queriers.

use std::cmp::Ordering;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, future, stream};

use super::{
    RemoteEngine,
    split::{ENGINE, Part, part_of},
};
use crate::{
    apis::{QueryFrame, QueryTime, RemoteQuery},
    budget::Lease,
    context::Context,
    error::{Error, ErrorKind, Result},
    model::{Interval, Labels, LabelsBuilder, Warning, stale_nan},
    promql::{MatrixSeries, Queryable, Select, SelectFrame, SelectStream, SelectedSeries, SeriesData},
    query::StoreQueryable,
    series::SampleColumns,
    store::PartialResponse,
};

/// Series of one frame.
const FRAME_SERIES: usize = 256;

/// A queryable whose parts queriers answer, and all else a store.
#[derive(Debug)]
pub(super) struct Remote {
    local: StoreQueryable,
    parts: Vec<Part>,
    time: QueryTime,
    lookback_ms: i64,
}

impl Remote {
    pub(super) fn new(local: StoreQueryable, parts: Vec<Part>, time: QueryTime, lookback_ms: i64) -> Self {
        Self { local, parts, time, lookback_ms }
    }

    fn part(&self, select: &Select) -> Option<&Part> {
        self.parts.get(part_of(&select.matchers)?)
    }

    /// Asks all queriers that a part concerns, at the same time.
    async fn ask(&self, ctx: &Context, part: &Part) -> Result<Vec<SelectFrame>> {
        let calls = part.engines.iter().map(|engine| self.ask_one(ctx, part, engine));
        let (mut found, mut frames) = (Vec::new(), Vec::new());
        for answer in future::try_join_all(calls).await? {
            found.extend(answer.series);
            frames.extend(answer.warnings.into_iter().map(SelectFrame::Warning));
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut series: Vec<SelectedSeries> = Vec::with_capacity(found.len());
        for (labels, data) in found {
            if series.last().is_some_and(|last| last.labels == labels) {
                return Err(Error::corrupt(format!(
                    "{labels} is with two queriers, whose labels say otherwise"
                )));
            }
            series.push(SelectedSeries { labels, data: Box::new(data) });
        }
        while !series.is_empty() {
            let rest = series.split_off(FRAME_SERIES.min(series.len()));
            frames.push(SelectFrame::Series(std::mem::replace(&mut series, rest)));
        }
        Ok(frames)
    }

    /// What one querier says; a failure is a warning where partial answers are welcome.
    async fn ask_one(&self, ctx: &Context, part: &Part, engine: &RemoteEngine) -> Result<Answer> {
        let partial = self.local.options.partial_response == PartialResponse::Warn;
        let wanted = match self.time {
            QueryTime::Instant { t_ms } => Interval::new(t_ms.unwrap_or_default(), t_ms.unwrap_or_default()),
            QueryTime::Range { start_ms, end_ms, .. } => Interval::new(start_ms, end_ms),
        };
        ctx.coverage().asked(wanted);
        match self.fetch(ctx, part, engine).await {
            Ok(answer) => Ok(answer),
            Err(e) => {
                // What the query itself ended with, or does wrong, is not of the querier.
                ctx.check()?;
                if e.kind() == ErrorKind::Invalid {
                    return Err(e);
                }
                ctx.coverage().missed(wanted);
                let text = format!("remote query error ({}): {e}", engine.name);
                if !partial {
                    return Err(Error::new(e.kind(), text));
                }
                let mut warning = Warning::new(text).origin(engine.name.as_str());
                if let [only] = engine.label_sets.as_slice() {
                    warning = warning.labels(only.clone());
                }
                Ok(Answer { series: Vec::new(), warnings: vec![warning] })
            }
        }
    }

    async fn fetch(&self, ctx: &Context, part: &Part, engine: &RemoteEngine) -> Result<Answer> {
        let mut frames = ctx.run(engine.api.query(ctx, self.query(part))).await?;
        let mut answer = Answer::default();
        while let Some(frame) = ctx.run(frames.try_next()).await? {
            match frame {
                QueryFrame::Series(all) => {
                    for one in all {
                        let labels = self.tagged(part, engine, &one.labels);
                        let columns = columns(&one, self.time)
                            .map_err(|e| e.context(format_args!("series {}", one.labels)))?;
                        let bytes = (columns.size_bytes() + labels.as_bytes().len()) as u64;
                        let lease = ctx.budget().reserve(bytes)?;
                        answer.series.push((labels, Told { columns, _lease: lease }));
                    }
                }
                QueryFrame::Warning(warning) => {
                    let text = format!("remote query warning ({}): {warning}", engine.name);
                    answer.warnings.push(Warning::new(text).origin(engine.name.as_str()));
                }
                QueryFrame::Stats { .. } => {}
            }
        }
        Ok(answer)
    }

    fn tagged(&self, part: &Part, engine: &RemoteEngine, labels: &Labels) -> Labels {
        if !part.tagged {
            return labels.clone();
        }
        LabelsBuilder::from_labels(labels.view()).set(ENGINE, engine.name.as_str()).labels()
    }

    /// What a querier is asked.
    fn query(&self, part: &Part) -> RemoteQuery {
        let options = &self.local.options;
        RemoteQuery {
            max_resolution_ms: options.max_resolution_ms,
            replica_labels: options.replica_labels.clone(),
            dedup: options.dedup,
            partial_response: options.partial_response == PartialResponse::Warn,
            lookback_ms: self.lookback_ms,
            ..RemoteQuery::new(part.text.clone(), self.time)
        }
    }
}

#[async_trait]
impl Queryable for Remote {
    async fn select(&self, ctx: &Context, select: Select) -> Result<SelectStream> {
        match self.part(&select) {
            None => self.local.select(ctx, select).await,
            Some(part) => {
                let frames = self.ask(ctx, part).await?;
                Ok(stream::iter(frames.into_iter().map(Ok)).boxed())
            }
        }
    }

    fn joins(&self, one: &Select, other: &Select) -> bool {
        self.part(one).is_none() && self.part(other).is_none() && self.local.joins(one, other)
    }

    async fn select_joined(&self, ctx: &Context, selects: Vec<Select>) -> Result<SelectStream> {
        self.local.select_joined(ctx, selects).await
    }

    fn explain(&self, select: &Select) -> Option<String> {
        let Some(part) = self.part(select) else { return self.local.explain(select) };
        let names: Vec<&str> = part.engines.iter().map(|e| e.name.as_str()).collect();
        Some(format!("{} by {}", part.text, names.join(", ")))
    }

    fn hidden_labels(&self) -> &[String] {
        self.local.hidden_labels()
    }
}

/// What one querier said.
#[derive(Debug, Default)]
struct Answer {
    series: Vec<(Labels, Told)>,
    warnings: Vec<Warning>,
}

/// Values of one series at the steps of the query.
#[derive(Debug)]
struct Told {
    columns: SampleColumns,
    _lease: Lease,
}

impl SeriesData for Told {
    fn decode(&self, out: &mut SampleColumns) -> Result<()> {
        self.columns.decode(out)
    }

    fn size_bytes(&self) -> usize {
        self.columns.size_bytes()
    }
}

/// The values at steps, each that none follows with a stale mark after it.
///
/// # Errors
/// `Corrupt` for times that do not ascend or lie outside of the query.
fn columns(series: &MatrixSeries, time: QueryTime) -> Result<SampleColumns> {
    let mut out = SampleColumns::default();
    let (start_ms, end_ms, step_ms) = match time {
        QueryTime::Instant { t_ms } => (t_ms.unwrap_or_default(), t_ms.unwrap_or_default(), 0),
        QueryTime::Range { start_ms, end_ms, step_ms } => (start_ms, end_ms, step_ms),
    };
    let (mut floats, mut histograms) = (series.floats.iter().peekable(), series.histograms.iter().peekable());
    let mut before: Option<i64> = None;
    loop {
        let order = match (floats.peek(), histograms.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(f), Some(h)) => f.0.cmp(&h.0),
        };
        let (t_ms, value) = if order == Ordering::Greater {
            let Some((t_ms, h)) = histograms.next() else { break };
            (*t_ms, Err(h))
        } else {
            let Some((t_ms, v)) = floats.next() else { break };
            (*t_ms, Ok(*v))
        };
        if t_ms < start_ms || t_ms > end_ms || before.is_some_and(|before| t_ms <= before) {
            return Err(Error::corrupt(format!(
                "a value at {t_ms} between {start_ms} and {end_ms} is out of order"
            )));
        }
        mark(&mut out, before, step_ms, t_ms);
        match value {
            Ok(v) => out.floats.push(t_ms, v),
            Err(h) => out.histograms.push(t_ms, h),
        }
        before = Some(t_ms);
    }
    mark(&mut out, before, step_ms, end_ms.saturating_add(1));
    Ok(out)
}

/// Ends what was there `before`, unless the next value is that of the step after it.
fn mark(out: &mut SampleColumns, before: Option<i64>, step_ms: i64, next_ms: i64) {
    if let Some(end) = before.and_then(|before| before.checked_add(step_ms)).filter(|end| *end < next_ms)
        && step_ms > 0
    {
        out.floats.push(end, stale_nan());
    }
}
