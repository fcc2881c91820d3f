//! What a job does with the encoded series of a leaf.

use crate::{
    error::Result,
    model::{Interval, Labels, is_stale},
    promql::{Annotations, Block, SelectedSeries, Steps, functions::range::RangeCall, names::drop_name},
    series::SampleColumns,
};

use super::{
    Shared,
    meter::{block_samples, histogram_bytes},
    selector::{Give, Instant},
};

/// A leaf as plain data that jobs share.
#[derive(Debug)]
pub(super) struct Task {
    /// Steps of the result.
    pub(super) steps: Steps,
    /// What is computed of each series.
    pub(super) kind: TaskKind,
}

/// What is computed of each series.
#[derive(Debug)]
pub(super) enum TaskKind {
    /// A sample at each step.
    Instant(Instant),
    /// A function over windows.
    Range(Box<RangeCall>),
    /// The samples inside the window, without stale marks.
    Raw(Interval),
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
}

/// A series with all samples of the selected interval.
#[derive(Debug)]
pub(super) struct RawSeries {
    /// Labels.
    pub(super) labels: Labels,
    /// Samples without stale marks.
    pub(super) columns: SampleColumns,
}

/// Reduces series for each of the tasks, which share one select.
pub(super) fn reduce(
    shared: &Shared,
    tasks: &[std::sync::Arc<Task>],
    series: &[SelectedSeries],
) -> Result<Vec<Part>> {
    let mut parts: Vec<Part> = tasks.iter().map(|_| Part::default()).collect();
    let mut columns = SampleColumns::default();
    for one in series {
        shared.ctx.check()?;
        columns.clear();
        one.data.decode(&mut columns)?;
        for (task, part) in tasks.iter().zip(&mut parts) {
            if let TaskKind::Instant(instant) = &task.kind {
                let mut block = Block::new(one.labels.clone(), task.steps.count);
                instant.fill(&columns, &mut block);
                if !block.is_empty() {
                    let samples = block_samples(&block);
                    shared.meter.look(samples);
                    shared.meter.hold(samples)?;
                    if instant.give != Give::Value {
                        drop_name(&mut block, &shared.options);
                    }
                    part.blocks.push(block);
                }
            }
        }
        if tasks.iter().all(|t| matches!(t.kind, TaskKind::Instant(_))) {
            continue;
        }
        remove_stale(&mut columns);
        for (task, part) in tasks.iter().zip(&mut parts) {
            match &task.kind {
                TaskKind::Instant(_) => {}
                TaskKind::Range(call) => {
                    let scope = &mut shared.scope(task.steps, &mut part.annotations);
                    if let Some((block, looked)) = call.over_columns(scope, &one.labels, &columns)? {
                        shared.meter.look(looked);
                        shared.meter.hold(block_samples(&block))?;
                        part.blocks.push(block);
                    }
                }
                TaskKind::Raw(window) => {
                    // Merged replicas may give a sample after the end of the window.
                    let columns = columns.within(*window);
                    if !columns.is_empty() {
                        shared.meter.hold(column_samples(&columns))?;
                        part.raw.push(RawSeries { labels: one.labels.clone(), columns });
                    }
                }
            }
        }
    }
    Ok(parts)
}

/// Weight of raw samples; a histogram counts by its size.
pub(super) fn column_samples(columns: &SampleColumns) -> u64 {
    let mut sum = columns.floats.len() as u64;
    for i in 0..columns.histograms.len() {
        sum += (histogram_bytes(&columns.histograms.get(i)) + 8) / 16;
    }
    sum
}

/// Removes stale marks, which windows never see.
fn remove_stale(columns: &mut SampleColumns) {
    let floats = &mut columns.floats;
    if floats.vs.iter().any(|v| is_stale(*v)) {
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
        let mut kept = crate::series::FloatHistogramColumn::default();
        for i in (0..histograms.len()).filter(|i| !histograms.is_stale(*i)) {
            kept.push(histograms.ts[i], &histograms.get(i));
            kept.set_last_start(histograms.start(i));
        }
        columns.histograms = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FloatHistogram, stale_nan};

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
