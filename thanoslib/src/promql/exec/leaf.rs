//! What a job does with the encoded series of a leaf.

use crate::{
    error::Result,
    model::{CounterReset, FloatHistogram, HistogramLayout, Interval, Labels, Matcher, Warning, is_stale},
    promql::{
        Annotations, Block, Grain, SelectedSeries, Steps,
        functions::range::{Edged, RangeCall, Smoothed},
        names::drop_name,
    },
    series::{FloatHistogramColumn, SampleColumns},
    wide::{self, Work},
};

use super::{
    Looked, Shared,
    fold::{Fold, Turn},
    meter::{block_samples, histogram_samples},
    selector::Instant,
    windows::check_columns,
};

/// A leaf as plain data that jobs share.
#[derive(Debug)]
pub(super) struct Task {
    /// Steps of the result.
    pub(super) steps: Steps,
    /// What is computed of each series.
    pub(super) kind: TaskKind,
    /// Of histograms only count, sum and what is known of resets are needed.
    pub(super) stats: bool,
    /// What series must match beside the matchers of the select.
    pub(super) filter: Vec<Matcher>,
}

impl Task {
    fn wants(&self, series: &SelectedSeries) -> bool {
        self.filter.iter().all(|m| m.matches_labels(series.labels.view()))
    }
}

/// What is computed of each series.
#[derive(Debug)]
pub(super) enum TaskKind {
    /// A sample at each step.
    Instant(Instant),
    /// A value at each step on the line between two samples.
    Smoothed(Smoothed),
    /// A function over windows.
    Range(Box<RangeCall>),
    /// The samples inside the window, without stale marks.
    Raw(Interval),
    /// The samples of a range and values at its edges.
    Edged(Edged),
}

/// What jobs made of some series, in order.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// Series reduced to steps.
    pub(super) blocks: Vec<Block>,
    /// Series with all samples.
    pub(super) raw: Vec<RawSeries>,
    /// Remarks.
    pub(super) annotations: Annotations,
    /// Samples that the leaf looked at.
    pub(super) looked: Looked,
    /// True when the series of the leaf are aggregated already.
    pub(super) folded: bool,
    /// Remarks of that aggregation.
    pub(super) fold_annotations: Annotations,
    /// What could not be read of the series.
    pub(super) gaps: Vec<Warning>,
}

impl Part {
    /// Takes a series reduced to steps, which loses its name if `drops` says so; one that is kept is
    /// taken out of `block`.
    fn push(
        &mut self,
        shared: &Shared,
        steps: Steps,
        drops: bool,
        block: &mut Block,
        fold: Option<&mut Fold>,
    ) -> Result<()> {
        if drops && !fold.as_ref().is_some_and(|fold| fold.passes_names(&block.labels)) {
            drop_name(block, &shared.options);
        }
        match fold {
            None => self.blocks.push(std::mem::take(block)),
            Some(fold) => fold.add(shared, steps, &mut self.fold_annotations, block)?,
        }
        Ok(())
    }

    /// Aggregates the series that are kept, since the turn of their job has come; gives how many
    /// samples they have.
    pub(super) fn fold_kept(&mut self, shared: &Shared, steps: Steps, fold: &mut Fold) -> Result<u64> {
        self.folded = true;
        let mut samples = 0;
        for mut block in self.blocks.drain(..) {
            samples += block_samples(&block);
            fold.add(shared, steps, &mut self.fold_annotations, &mut block)?;
        }
        Ok(samples)
    }

    /// Keeps samples of a series, if there are any.
    fn push_raw(&mut self, shared: &Shared, labels: &Labels, columns: SampleColumns) -> Result<()> {
        if !columns.is_empty() {
            shared.meter.hold(column_samples(&columns))?;
            self.raw.push(RawSeries { labels: labels.clone(), columns });
        }
        Ok(())
    }
}

/// A series with all samples of the selected interval.
#[derive(Debug)]
pub(super) struct RawSeries {
    /// Labels.
    pub(super) labels: Labels,
    /// Samples without stale marks.
    pub(super) columns: SampleColumns,
}

/// Reduces series for each of the tasks, which share one select of its number in the read.
///
/// Where `turn` has come, or comes meanwhile, series are aggregated at once; the first of the tasks
/// is that of the leaf number `first` there.
pub(super) fn reduce(
    shared: &Shared,
    tasks: &[std::sync::Arc<Task>],
    (select, first): (usize, usize),
    series: &[SelectedSeries],
    turn: &mut Turn<'_>,
) -> Result<Vec<Part>> {
    let begun = |(i, task): (usize, &std::sync::Arc<Task>)| {
        let folded = turn.fold(first + i).is_some();
        Part { looked: shared.looked(task.steps.count), folded, ..Part::default() }
    };
    let mut parts: Vec<Part> = tasks.iter().enumerate().map(begun).collect();
    let (mut block, mut held) = (Block::default(), 0);
    let hold = |held: &mut u64, part: &Part, samples: u64| {
        *held += if part.folded { samples } else { 0 };
        shared.meter.hold(samples)
    };
    let with_stats = tasks.iter().any(|t| t.stats);
    let (mut columns, mut grain) = (SampleColumns::default(), Grain::default());
    for one in series {
        shared.ctx.check()?;
        if turn.comes() {
            for (i, (task, part)) in tasks.iter().zip(&mut parts).enumerate() {
                if let Some(fold) = turn.fold(first + i) {
                    held += part.fold_kept(shared, task.steps, fold)?;
                }
            }
        }
        if !tasks.iter().any(|t| t.wants(one)) {
            continue;
        }
        columns.clear();
        grain.clear();
        one.data.decode_of(select, &mut columns, &mut grain)?;
        if let Some(part) = parts.first_mut() {
            part.gaps.append(&mut grain.gaps);
        }
        if columns.is_empty() {
            continue;
        }
        // A series rarely has floats beside histograms, so that their copy costs little.
        let mut reduced = (with_stats && !columns.histograms.is_empty()).then(|| SampleColumns {
            floats: columns.floats.clone(),
            histograms: stats_only(&columns.histograms),
        });
        for (i, (task, part)) in tasks.iter().zip(&mut parts).enumerate() {
            let columns = reduced.as_ref().filter(|_| task.stats).unwrap_or(&columns);
            if let TaskKind::Instant(instant) = &task.kind
                && task.wants(one)
            {
                block.reset(&one.labels, task.steps.count);
                instant.fill(columns, &mut block);
                if !block.is_empty() {
                    let samples = part.looked.block(&block);
                    hold(&mut held, part, samples)?;
                    let drops = instant.give.drops_name();
                    part.push(shared, task.steps, drops, &mut block, turn.fold(first + i))?;
                }
            }
        }
        if tasks.iter().all(|t| matches!(t.kind, TaskKind::Instant(_))) {
            continue;
        }
        remove_stale(&mut columns);
        reduced.iter_mut().for_each(remove_stale);
        for (i, (task, part)) in tasks.iter().zip(&mut parts).enumerate() {
            if !task.wants(one) {
                continue;
            }
            let columns = reduced.as_ref().filter(|_| task.stats).unwrap_or(&columns);
            match &task.kind {
                TaskKind::Instant(_) => {}
                TaskKind::Smoothed(smoothed) => {
                    let scope = &mut shared.scope(task.steps, &mut part.annotations);
                    smoothed.fill(scope, &one.labels, columns, &mut block);
                    if !block.is_empty() {
                        let samples = part.looked.block(&block);
                        hold(&mut held, part, samples)?;
                        part.push(shared, task.steps, false, &mut block, turn.fold(first + i))?;
                    }
                }
                TaskKind::Range(call) => {
                    let scope = &mut shared.scope(task.steps, &mut part.annotations);
                    let looked = &mut part.looked;
                    check_columns(&shared.meter, call, columns)?;
                    if call.over_columns(scope, &one.labels, columns, &grain, looked, &mut block)? {
                        hold(&mut held, part, block_samples(&block))?;
                        part.push(shared, task.steps, call.drops_name(), &mut block, turn.fold(first + i))?;
                    }
                }
                TaskKind::Raw(window) => {
                    // Merged replicas may give a sample after the end of the window.
                    part.push_raw(shared, &one.labels, columns.within(*window))?;
                }
                TaskKind::Edged(edged) => part.push_raw(shared, &one.labels, edged.cut(columns)?)?,
            }
        }
    }
    shared.meter.release(held);
    shared.meter.look(parts.iter().map(|p| p.looked.sum().total).sum());
    Ok(parts)
}

/// Weight of raw samples; a histogram counts by its size.
pub(super) fn column_samples(columns: &SampleColumns) -> u64 {
    let mut sum = columns.floats.len() as u64;
    for i in 0..columns.histograms.len() {
        sum += histogram_samples(&columns.histograms.get(i));
    }
    sum
}

/// The histograms without buckets and bounds, with what their buckets told of resets.
///
/// Compat: promql/histogram_stats_iterator.go looks from sample to sample and passes stale marks.
fn stats_only(histograms: &FloatHistogramColumn) -> FloatHistogramColumn {
    if histograms.has_one_layout() && !any_nan(&histograms.sums) {
        return stats_of_one_layout(histograms);
    }
    let mut stats = FloatHistogramColumn::default();
    let mut last: Option<FloatHistogram> = None;
    for i in 0..histograms.len() {
        let (t, sum) = (histograms.ts[i], histograms.sums[i]);
        if histograms.is_stale(i) {
            stats.push(t, &FloatHistogram { sum, ..FloatHistogram::default() });
        } else {
            let h = histograms.get(i);
            let hint = match (h.hint, &last) {
                (CounterReset::Unknown, Some(last)) if h.detect_reset(last) => CounterReset::Reset,
                (CounterReset::Unknown, Some(_)) => CounterReset::NotReset,
                (hint, _) => hint,
            };
            let (schema, count) = (h.schema, h.count);
            stats.push(t, &FloatHistogram { hint, schema, count, sum, ..FloatHistogram::default() });
            last = Some(h);
        }
        stats.set_last_start(histograms.start(i));
    }
    stats
}

/// The same of histograms of one layout without stale marks.
fn stats_of_one_layout(histograms: &FloatHistogramColumn) -> FloatHistogramColumn {
    let len = histograms.len();
    let hint = |(i, hint): (usize, &CounterReset)| match hint {
        CounterReset::Unknown if i > 0 && histograms.detect_reset_alike(i) => CounterReset::Reset,
        CounterReset::Unknown if i > 0 => CounterReset::NotReset,
        hint => *hint,
    };
    let mut stats = FloatHistogramColumn {
        ts: histograms.ts.clone(),
        st: histograms.st.clone(),
        hints: histograms.hints.iter().enumerate().map(hint).collect(),
        counts: histograms.counts.clone(),
        zero_counts: vec![0.0; len],
        sums: histograms.sums.clone(),
        bucket_ends: vec![0; len],
        ..FloatHistogramColumn::default()
    };
    let id = stats.layout_id(&HistogramLayout { schema: histograms.layout(0).schema, ..Default::default() });
    stats.layout_ids = vec![id; len];
    stats
}

/// Removes stale marks, which windows never see.
fn remove_stale(columns: &mut SampleColumns) {
    let floats = &mut columns.floats;
    if any_nan(&floats.vs) && floats.vs.iter().any(|v| is_stale(*v)) {
        let mut kept = 0;
        for i in 0..floats.len() {
            if !is_stale(floats.vs[i]) {
                floats.ts[kept] = floats.ts[i];
                floats.vs[kept] = floats.vs[i];
                if !floats.st.is_empty() {
                    floats.st[kept] = floats.st[i];
                }
                kept += 1;
            }
        }
        floats.ts.truncate(kept);
        floats.vs.truncate(kept);
        floats.st.truncate(kept);
    }
    let histograms = &columns.histograms;
    if (0..histograms.len()).any(|i| histograms.is_stale(i)) {
        let mut kept = FloatHistogramColumn::default();
        for i in (0..histograms.len()).filter(|i| !histograms.is_stale(*i)) {
            kept.push(histograms.ts[i], &histograms.get(i));
            kept.set_last_start(histograms.start(i));
        }
        columns.histograms = kept;
    }
}

/// True when a value is NaN, as stale marks are; found by a loop without branches.
fn any_nan(values: &[f64]) -> bool {
    struct AnyNan<'a>(&'a [f64]);
    impl Work for AnyNan<'_> {
        type Done = bool;

        #[inline(always)]
        fn run(self) -> bool {
            let mut any = 0;
            for v in self.0 {
                any |= u64::from(v.is_nan());
            }
            any != 0
        }
    }
    wide::run(AnyNan(values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Span, stale_nan};

    #[test]
    fn resets_are_told_before_buckets_go() {
        let mut column = FloatHistogramColumn::default();
        let mut push = |t, buckets: [f64; 2], sum| {
            let spans = vec![Span { offset: 0, length: 2 }];
            let count = buckets.iter().sum();
            let positive_buckets = buckets.to_vec();
            let h = FloatHistogram {
                count,
                sum,
                positive_spans: spans,
                positive_buckets,
                ..FloatHistogram::default()
            };
            column.push(t, &h);
        };
        push(10, [1.0, 1.0], 5.0);
        push(20, [2.0, 1.0], 6.0);
        push(30, [0.0, 0.0], stale_nan());
        push(40, [1.0, 4.0], 7.0);
        let stats = stats_only(&column);
        assert_eq!(
            stats.hints,
            [CounterReset::Unknown, CounterReset::NotReset, CounterReset::Unknown, CounterReset::Reset]
        );
        assert_eq!((stats.ts, stats.buckets.len()), (vec![10, 20, 30, 40], 0));
        assert_eq!(stats.counts, [2.0, 3.0, 0.0, 5.0]);
    }

    #[test]
    fn stats_of_one_layout_are_those_of_any() {
        let mut column = FloatHistogramColumn::default();
        for (i, v) in [1.0, 3.0, 2.0, 4.0, 4.0].into_iter().enumerate() {
            let spans = vec![Span { offset: 2, length: 1 }];
            let hint = [CounterReset::Unknown, CounterReset::Gauge][usize::from(i == 3)];
            let (positive_spans, positive_buckets) = (spans, vec![v]);
            let (count, sum) = (v, 2.0 * v);
            let h = FloatHistogram {
                hint,
                count,
                sum,
                positive_spans,
                positive_buckets,
                ..FloatHistogram::default()
            };
            column.push(i as i64, &h);
            column.set_last_start(i as i64);
        }
        let fast = stats_only(&column);
        // A stale mark behind makes it take the other way.
        column.push(9, &FloatHistogram { sum: stale_nan(), ..FloatHistogram::default() });
        let slow = stats_only(&column);
        assert_eq!(fast.hints[..], slow.hints[..5]);
        assert_eq!(fast.hints[2], CounterReset::Reset);
        (0..5).for_each(|i| assert_eq!((fast.get(i), fast.start(i)), (slow.get(i), slow.start(i))));
    }

    #[test]
    fn stale_marks_disappear() {
        let mut columns = SampleColumns::default();
        columns.floats.push_st(5, 10, 1.0);
        columns.floats.push_st(6, 20, stale_nan());
        columns.floats.push_st(7, 30, 3.0);
        let stale = FloatHistogram { sum: stale_nan(), ..FloatHistogram::default() };
        columns.histograms.push(15, &stale);
        columns.histograms.push(25, &FloatHistogram::default());
        remove_stale(&mut columns);
        assert_eq!(
            (columns.floats.ts, columns.floats.vs, columns.floats.st),
            (vec![10, 30], vec![1.0, 3.0], vec![5, 7])
        );
        assert_eq!(columns.histograms.ts, [25]);
    }
}
