//! From the value of the whole expression to the answer of a query.

use crate::{
    error::Result,
    model::{Labels, Value as SampleValue},
    promql::{
        Block, EngineOptions, MatrixSeries, QueryValue, Steps, VectorSample,
        names::{drop_metadata, finish_names, merge_equal, same_labelset},
    },
};

use super::eval::Value;

/// The answer of a query.
///
/// # Errors
/// `Invalid` when two series have the same labels and times.
pub(crate) fn assemble(
    value: Value,
    steps: Steps,
    instant: bool,
    options: &EngineOptions,
) -> Result<QueryValue> {
    let t_ms = steps.start_ms;
    Ok(match value {
        Value::Scalar(vs) if instant => {
            QueryValue::Scalar { t_ms, v: vs.first().copied().unwrap_or(f64::NAN) }
        }
        Value::Scalar(vs) => {
            let floats: Vec<_> = steps.iter().zip(vs).collect();
            let series = MatrixSeries { labels: Labels::empty(), floats, histograms: Vec::new() };
            QueryValue::Matrix(if series.floats.is_empty() { Vec::new() } else { vec![series] })
        }
        Value::String(s) => QueryValue::String { t_ms, s },
        Value::Vector(blocks) => {
            let blocks = merge_equal(finish_names(blocks, options)?)?;
            if instant {
                QueryValue::Vector(vector(blocks, t_ms))
            } else {
                QueryValue::Matrix(matrix(blocks, steps))
            }
        }
        Value::Matrix(series) => QueryValue::Matrix(windows(series)?),
    })
}

fn vector(blocks: Vec<Block>, t_ms: i64) -> Vec<VectorSample> {
    let sample = |block: Block| {
        let value: SampleValue = block.value(0)?;
        Some(VectorSample { labels: block.labels, t_ms, value })
    };
    blocks.into_iter().filter_map(sample).collect()
}

fn matrix(blocks: Vec<Block>, steps: Steps) -> Vec<MatrixSeries> {
    let series = |block: Block| MatrixSeries {
        floats: points(&block, steps),
        histograms: block.histograms.into_iter().map(|(step, h)| (steps.time(step as usize), h)).collect(),
        labels: block.labels,
    };
    let mut matrix: Vec<_> = blocks.into_iter().filter(|b| !b.is_empty()).map(series).collect();
    matrix.sort_by(|a, b| a.labels.cmp(&b.labels));
    matrix
}

/// The floats of a block with their times.
fn points(block: &Block, steps: Steps) -> Vec<(i64, f64)> {
    let mut points = Vec::with_capacity(block.present.count());
    for (at, (values, word)) in block.floats.chunks(64).zip(block.present.words()).enumerate() {
        let time = |i: usize| steps.time(at * 64 + i);
        if *word == u64::MAX {
            points.extend(values.iter().enumerate().map(|(i, v)| (time(i), *v)));
            continue;
        }
        let mut word = *word;
        while word != 0 {
            let i = word.trailing_zeros() as usize;
            word &= word - 1;
            points.push((time(i), values[i]));
        }
    }
    points
}

/// Sorts series by labels and joins those that became equal.
fn windows(series: Vec<(MatrixSeries, bool)>) -> Result<Vec<MatrixSeries>> {
    let named = |(s, drop): (MatrixSeries, bool)| {
        let labels = if drop { drop_metadata(&s.labels) } else { s.labels };
        MatrixSeries { labels, ..s }
    };
    let mut series: Vec<_> = series.into_iter().map(named).collect();
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    let mut merged: Vec<MatrixSeries> = Vec::with_capacity(series.len());
    for mut s in series {
        match merged.last_mut().filter(|last| last.labels == s.labels) {
            Some(last) => {
                last.floats.append(&mut s.floats);
                last.histograms.append(&mut s.histograms);
                last.floats.sort_by_key(|p| p.0);
                last.histograms.sort_by_key(|p| p.0);
                let floats = last.floats.windows(2).any(|w| w[0].0 == w[1].0);
                let histograms = last.histograms.windows(2).any(|w| w[0].0 == w[1].0);
                let at = |t: i64| last.floats.binary_search_by_key(&t, |p| p.0).is_ok();
                if floats || histograms || last.histograms.iter().any(|h| at(h.0)) {
                    return Err(same_labelset());
                }
            }
            None => merged.push(s),
        }
    }
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(labels: &[(&str, &str)], steps: &[usize], drop_name: bool) -> Block {
        let mut block = Block::new(Labels::from_pairs(labels.iter().copied()), 3);
        steps.iter().for_each(|s| block.set(*s, *s as f64));
        block.drop_name = drop_name;
        block
    }

    #[test]
    fn names_fall_and_equal_series_join_unless_they_collide() {
        let (a, b) = ([("__name__", "a"), ("x", "1")], [("__name__", "b"), ("x", "1")]);
        let steps = Steps { start_ms: 0, step_ms: 10, count: 3 };
        let options = EngineOptions { delayed_name_removal: true, ..EngineOptions::default() };
        let check = |blocks: Vec<Block>, want: Option<&[&[i64]]>| {
            let got = assemble(Value::Vector(blocks), steps, false, &options).ok().map(|v| match v {
                QueryValue::Matrix(m) => m.iter().map(|s| s.floats.iter().map(|p| p.0).collect()).collect(),
                _ => Vec::<Vec<i64>>::new(),
            });
            let want = want.map(|w| w.iter().map(|s| s.to_vec()).collect::<Vec<_>>());
            assert_eq!(got, want);
        };
        check(vec![block(&a, &[0, 2], true), block(&b, &[1], true)], Some(&[&[0, 10, 20]]));
        check(vec![block(&b, &[0], false), block(&a, &[1], false)], Some(&[&[10], &[0]]));
        check(vec![block(&a, &[0], true), block(&b, &[0], true)], None);
        check(vec![block(&a, &[], false)], Some(&[]));
    }
}
