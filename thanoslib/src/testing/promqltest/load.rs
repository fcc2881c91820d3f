//! Stores the samples of a `load` command.

use std::collections::BTreeMap;

use crate::{
    model::{
        FloatHistogram, LABEL_NAME, Labels, LabelsBuilder, Span, Value, histogram::CUSTOM_BUCKETS_SCHEMA,
        is_stale,
    },
    testing::MemoryQueryable,
};

use super::{
    script::Load,
    text::{Item, Reader},
};

/// Adds all samples, and the converted classic histograms if wanted.
pub(super) fn load(store: &mut MemoryQueryable, load: &Load) -> Result<(), String> {
    for (labels, items, starts) in &load.series {
        for (i, (item, start)) in items.iter().zip(starts).enumerate() {
            let t_ms = load.gap_ms.saturating_mul(i as i64);
            if let Some(value) = item.value() {
                store.push(labels, t_ms, start.map_or(0, |o| t_ms.saturating_add(o)), value);
            }
        }
    }
    if load.with_nhcb {
        for ((labels, t_ms), classic) in collate(load)? {
            let h = classic.convert().map_err(|e| format!("{labels} at {t_ms}: {e}"))?;
            store.push(&labels, t_ms, 0, Value::Histogram(h.into()));
        }
    }
    store.set_reset_hints();
    Ok(())
}

/// One classic histogram at one time: cumulative counts by upper bound.
#[derive(Debug, Default)]
struct Classic {
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

enum Part {
    Bucket(f64),
    Count,
    Sum,
}

fn collate(load: &Load) -> Result<BTreeMap<(Labels, i64), Classic>, String> {
    let mut out: BTreeMap<(Labels, i64), Classic> = BTreeMap::new();
    for (labels, items, _) in &load.series {
        let name = String::from_utf8_lossy(labels.metric_name()).into_owned();
        let (base, part) = if let Some(base) = name.strip_suffix("_bucket") {
            let le = String::from_utf8_lossy(labels.get("le").unwrap_or_default()).into_owned();
            let mut reader = Reader::new(&le);
            match reader.number() {
                Ok(le) if reader.rest().is_empty() && !le.is_nan() => (base, Part::Bucket(le)),
                _ => continue,
            }
        } else if let Some(base) = name.strip_suffix("_count") {
            (base, Part::Count)
        } else if let Some(base) = name.strip_suffix("_sum") {
            (base, Part::Sum)
        } else {
            continue;
        };
        let mut builder = LabelsBuilder::from_labels(labels.view());
        builder.remove("le").set(LABEL_NAME, base);
        let key = builder.labels();
        for (i, item) in items.iter().enumerate() {
            let Item::Float(v) = item else { continue };
            if is_stale(*v) {
                continue;
            }
            let t_ms = load.gap_ms.saturating_mul(i as i64);
            let classic = out.entry((key.clone(), t_ms)).or_default();
            match part {
                Part::Bucket(le) if classic.buckets.iter().all(|(b, _)| *b != le) => {
                    classic.buckets.push((le, *v));
                }
                Part::Bucket(_) => {}
                Part::Count => classic.count = Some(*v),
                Part::Sum => classic.sum = *v,
            }
        }
    }
    Ok(out)
}

impl Classic {
    fn convert(mut self) -> Result<FloatHistogram, String> {
        self.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let highest = self.buckets.last().map(|(_, c)| *c);
        let count = self.count.or(highest).unwrap_or_default();
        if self.buckets.last().is_none_or(|(le, _)| *le != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        } else if highest != Some(count) {
            return Err(format!("count {count} differs from the highest bucket {highest:?}"));
        }
        let mut populations = Vec::with_capacity(self.buckets.len());
        let mut below = 0.0;
        for (le, cumulative) in &self.buckets {
            if *cumulative < below {
                return Err(format!("bucket {le} is negative or not cumulative: {cumulative} after {below}"));
            }
            populations.push(cumulative - below);
            below = *cumulative;
        }
        let whole = self.buckets.iter().all(|(_, c)| c.fract() == 0.0) && count.fract() == 0.0;
        let mut h = FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count,
            sum: self.sum,
            positive_spans: vec![Span { offset: 0, length: populations.len() as u32 }],
            positive_buckets: populations,
            custom_values: self.buckets.iter().map(|(le, _)| *le).filter(|le| le.is_finite()).collect(),
            ..FloatHistogram::default()
        };
        h.compact(if whole { 2 } else { 0 });
        Ok(h)
    }
}
