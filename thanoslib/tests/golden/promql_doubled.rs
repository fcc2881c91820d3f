//! Recorded queries over recorded series, each series served by two equal replicas.
//!
//! Merged replicas must give the very answers of the series itself, for both ways to merge.

use std::{fs, path::Path, sync::Arc};

use serde_json::Value as Json;
use thanoslib::{
    Conform, MemoryStore, SelectOptions, StoreQueryable,
    chunk::{ChunkCutter, ChunkFormat, CutPolicy, EncodedChunk, Encoding, Fit, FloatHistogramAppender},
    dedup::Algorithm,
    model::{CounterReset, FloatHistogramColumn, Labels, LabelsBuilder, Value},
    promql::Queryable,
    testing::golden::{Golden, Suite},
};

use crate::{
    promql_eval::{check_data, check_eval, labels, list, ready, recorded_sample},
    promql_parse::options,
};

/// The label that tells the replicas apart; no series has it.
const REPLICA: &str = "replica_of_a_pair";

pub(crate) fn run(golden: &mut Golden) {
    let Some(ready) = ready(golden, load) else { return };
    golden.run(&Suite {
        label: "promql/data doubled",
        path: "promql/data.jsonl",
        inputs: &["labels"],
        expected: &["samples"],
        ignored: &[],
        rows: None,
        check: &|_, row| {
            let (views, runtime) = ready.as_ref().map_err(Clone::clone)?;
            views.iter().try_for_each(|(name, view)| {
                runtime.block_on(check_data(&**view, row)).map_err(|e| format!("{name}: {e}"))
            })
        },
    });
    golden.run(&Suite {
        label: "promql/eval doubled",
        path: "promql/eval.jsonl",
        inputs: &[
            "id", "category", "expr", "expr_hex", "kind", "ts", "start", "end", "step", "features", "ordered",
        ],
        expected: &["result_type", "result", "error", "error_kind", "warnings", "infos"],
        ignored: &[],
        rows: None,
        check: &|_, row| {
            let (views, runtime) = ready.as_ref().map_err(Clone::clone)?;
            views.iter().try_for_each(|(name, view)| {
                runtime.block_on(check_eval(view, options(row)?, row)).map_err(|e| format!("{name}: {e}"))
            })
        },
    });
}

/// Views of one store with two replicas of each series, by way of merging.
type Views = Vec<(&'static str, Arc<dyn Queryable>)>;

fn load(path: &Path) -> Result<Views, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let store = MemoryStore::new(Labels::empty());
    for line in text.lines() {
        let row: Json = serde_json::from_str(line).map_err(|e| e.to_string())?;
        let labels = labels(&row["labels"])?;
        if labels.get(REPLICA).is_some() {
            return Err(format!("{labels} has the label {REPLICA}"));
        }
        let chunks = chunks(list(&row["samples"])?).map_err(|e| format!("{labels}: {e}"))?;
        for replica in ["a", "b"] {
            let mut builder = LabelsBuilder::from_labels(labels.view());
            builder.set(REPLICA, replica);
            let labels = builder.labels();
            for chunk in &chunks {
                let data = chunk.data.clone().into();
                let added = store.append(&labels, chunk.interval, chunk.encoding, data);
                added.map_err(|e| e.to_string())?;
            }
        }
    }
    let store = Arc::new(Conform::new(Arc::new(store), Labels::empty()));
    let view = |algorithm| {
        let options =
            SelectOptions { algorithm, replica_labels: vec![REPLICA.to_owned()], ..SelectOptions::default() };
        Arc::new(StoreQueryable::new(Arc::<Conform>::clone(&store), options)) as Arc<dyn Queryable>
    };
    Ok(vec![("penalty", view(Algorithm::Penalty)), ("chain", view(Algorithm::Chain))])
}

/// The samples of a series as chunks that read back as they were recorded.
fn chunks(samples: &[Json]) -> Result<Vec<EncodedChunk>, String> {
    let mut floats = ChunkCutter::new(CutPolicy::default(), ChunkFormat::default());
    let mut histograms = Histograms::default();
    let mut out = Vec::new();
    for sample in samples {
        let (t_ms, st_ms, value) = recorded_sample(sample)?;
        match value {
            Value::Float(v) => {
                out.extend(histograms.finish());
                out.extend(floats.append_float(st_ms, t_ms, v).map_err(|e| e.to_string())?);
            }
            Value::Histogram(h) => {
                out.extend(floats.finish());
                histograms.column.push(t_ms, &h);
                histograms.column.set_last_start(st_ms);
                out.extend(histograms.append_last()?);
            }
        }
    }
    out.extend(floats.finish());
    out.extend(histograms.finish());
    Ok(out)
}

/// Cuts histograms into chunks whose headers give each sample the hint that it came with.
#[derive(Default)]
struct Histograms {
    column: FloatHistogramColumn,
    open: Option<(FloatHistogramAppender, i64)>,
}

impl Histograms {
    /// Appends the last sample of the column; gives the chunk that it ended.
    fn append_last(&mut self) -> Result<Option<EncodedChunk>, String> {
        let i = self.column.len() - 1;
        let (hint, with_start) = (self.column.hints[i], self.column.start(i) != 0);
        let goes_on = matches!(hint, CounterReset::NotReset | CounterReset::Gauge);
        if let Some((open, _)) =
            self.open.as_mut().filter(|(open, _)| goes_on && has_start(open) == with_start)
            && !matches!(open.append(&self.column, i).map_err(|e| e.to_string())?, Fit::NewChunk(_))
        {
            return Ok(None);
        }
        let ended = self.finish_before(i);
        let mut next = FloatHistogramAppender::new(with_start);
        next.begin(hint, &self.column, i).map_err(|e| e.to_string())?;
        self.open = Some((next, self.column.ts[i]));
        Ok(ended)
    }

    fn finish(&mut self) -> Option<EncodedChunk> {
        let ended = self.finish_before(self.column.len());
        self.column = FloatHistogramColumn::default();
        ended
    }

    /// The open chunk, whose last sample is the one before `end`.
    fn finish_before(&mut self, end: usize) -> Option<EncodedChunk> {
        let (mut open, mint) = self.open.take()?;
        let interval = thanoslib::Interval::new(mint, self.column.ts[end - 1]);
        let (encoding, samples) = (open.encoding(), open.len());
        Some(EncodedChunk { interval, encoding, samples, data: open.finish() })
    }
}

fn has_start(open: &FloatHistogramAppender) -> bool {
    open.encoding() == Encoding::FloatHistogramSt
}
