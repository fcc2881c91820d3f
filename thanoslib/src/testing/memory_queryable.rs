//! Series in memory that the engine can select from.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use futures::{StreamExt, stream};

use crate::{
    context::Context,
    error::Result,
    model::{CounterReset, FloatHistogram, Labels, Value, is_stale},
    promql::{Grain, Queryable, Select, SelectFrame, SelectStream, SelectedSeries, SeriesData},
    series::SampleColumns,
};

/// One stored sample.
#[derive(Clone, Debug)]
struct Stored {
    st_ms: i64,
    value: Value,
}

/// Series in memory, with start timestamps.
///
/// ```
/// use thanoslib::{Labels, Value, testing::MemoryQueryable};
/// let mut store = MemoryQueryable::default();
/// store.push(&Labels::from_pairs([("__name__", "up")]), 15_000, 0, Value::Float(1.0));
/// assert!(!store.is_empty());
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryQueryable {
    series: BTreeMap<Labels, BTreeMap<i64, Stored>>,
}

impl MemoryQueryable {
    /// Adds a sample; of two samples at one time the later call stays. `st_ms` is 0 when
    /// unknown.
    pub fn push(&mut self, labels: &Labels, t_ms: i64, st_ms: i64, value: Value) {
        let samples = match self.series.get_mut(labels) {
            Some(samples) => samples,
            None => self.series.entry(labels.clone()).or_default(),
        };
        samples.insert(t_ms, Stored { st_ms, value });
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        self.series.clear();
    }

    /// Number of series.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// True without series.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Sets the hints of counter histograms as the chunks of a Prometheus head would hold
    /// them: whether it is known that a histogram goes on from the one before it.
    pub fn set_reset_hints(&mut self) {
        for samples in self.series.values_mut() {
            let mut previous: Option<Arc<FloatHistogram>> = None;
            for sample in samples.values_mut() {
                previous = match &mut sample.value {
                    Value::Float(_) => None,
                    Value::Histogram(h) => {
                        let hint = stored_hint(h, previous.as_deref());
                        if hint != h.hint {
                            Arc::make_mut(h).hint = hint;
                        }
                        (!is_stale(h.sum)).then(|| Arc::clone(h))
                    }
                };
            }
        }
    }

    fn columns(samples: &BTreeMap<i64, Stored>, select: &Select) -> SampleColumns {
        let mut out = SampleColumns::default();
        let interval = select.interval;
        if interval.mint > interval.maxt {
            return out;
        }
        for (t_ms, sample) in samples.range(interval.mint..=interval.maxt) {
            match &sample.value {
                Value::Float(v) => out.floats.push_st(sample.st_ms, *t_ms, *v),
                Value::Histogram(h) => {
                    out.histograms.push(*t_ms, h);
                    out.histograms.set_last_start(sample.st_ms);
                }
            }
        }
        out
    }
}

/// What a head's chunks say about a histogram after the one stored before it.
fn stored_hint(h: &FloatHistogram, previous: Option<&FloatHistogram>) -> CounterReset {
    match (h.hint, previous) {
        (CounterReset::Gauge | CounterReset::Reset, _) => h.hint,
        _ if is_stale(h.sum) => CounterReset::Unknown,
        (_, None) => CounterReset::Unknown,
        (_, Some(p)) if p.hint == CounterReset::Gauge => CounterReset::Unknown,
        // A reset that the head finds begins a chunk, whose first hint is not read back.
        (_, Some(p)) if h.detect_reset(p) => CounterReset::Unknown,
        _ => CounterReset::NotReset,
    }
}

#[async_trait]
impl Queryable for MemoryQueryable {
    async fn select(&self, _: &Context, select: Select) -> Result<SelectStream> {
        let mut found = Vec::new();
        for (labels, samples) in &self.series {
            if select.matchers.iter().all(|m| m.matches_labels(labels.view())) {
                let columns = Self::columns(samples, &select);
                if !columns.is_empty() {
                    found.push(SelectedSeries { labels: labels.clone(), data: Box::new(columns) });
                }
            }
        }
        Ok(stream::iter([Ok(SelectFrame::Series(found))]).boxed())
    }

    fn joins(&self, _: &Select, _: &Select) -> bool {
        true
    }

    async fn select_joined(&self, _: &Context, selects: Vec<Select>) -> Result<SelectStream> {
        let mut found = Vec::new();
        for (labels, samples) in &self.series {
            let matches = |s: &Select| s.matchers.iter().all(|m| m.matches_labels(labels.view()));
            if selects.iter().all(matches) {
                let of = selects.iter().map(|select| Self::columns(samples, select));
                found.push(SelectedSeries { labels: labels.clone(), data: Box::new(Joined(of.collect())) });
            }
        }
        Ok(stream::iter([Ok(SelectFrame::Series(found))]).boxed())
    }
}

/// The samples of one series for each of several selects.
#[derive(Debug)]
struct Joined(Vec<SampleColumns>);

impl SeriesData for Joined {
    fn decode(&self, out: &mut SampleColumns) -> Result<()> {
        self.decode_of(0, out, &mut Grain::default())
    }

    fn decode_of(&self, select: usize, out: &mut SampleColumns, _: &mut Grain) -> Result<()> {
        self.0.get(select).map_or(Ok(()), |columns| columns.decode(out))
    }

    fn size_bytes(&self) -> usize {
        self.0.iter().map(SeriesData::size_bytes).sum()
    }
}
