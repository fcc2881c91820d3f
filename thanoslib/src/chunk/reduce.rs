//! Histograms of a finer schema than we compute with are brought to the finest one known.

use crate::model::{HistogramLayout, Span};

/// The finest exponential schema that readers see.
const SCHEMA_MAX: i32 = 8;

/// How the buckets of a layout fall into those of a coarser one.
#[derive(Clone, Debug)]
pub(super) struct Reduction {
    /// The coarser layout.
    pub(super) layout: HistogramLayout,
    /// For each positive bucket the bucket that it becomes part of.
    pub(super) positive: Vec<usize>,
    /// The same for negative buckets.
    pub(super) negative: Vec<usize>,
}

impl Reduction {
    /// The reduction that `layout` needs, if it needs one.
    ///
    /// Compat: Prometheus `tsdb/chunkenc/histogram.go` reads schemas 9 to 52 as schema 8.
    pub(super) fn of(layout: &HistogramLayout) -> Option<Self> {
        if layout.schema <= SCHEMA_MAX {
            return None;
        }
        let shift = (layout.schema - SCHEMA_MAX) as u32;
        let (positive_spans, positive) = reduce_spans(&layout.positive_spans, layout.positive_len, shift);
        let (negative_spans, negative) = reduce_spans(&layout.negative_spans, layout.negative_len, shift);
        let len = |map: &[usize]| map.last().map_or(0, |last| last + 1);
        let layout = HistogramLayout {
            schema: SCHEMA_MAX,
            zero_threshold: layout.zero_threshold,
            positive_len: len(&positive),
            negative_len: len(&negative),
            positive_spans,
            negative_spans,
            custom_values: Vec::new(),
        };
        Some(Self { layout, positive, negative })
    }
}

fn reduce_spans(spans: &[Span], len: usize, shift: u32) -> (Vec<Span>, Vec<usize>) {
    let mut out: Vec<Span> = Vec::new();
    let mut map = Vec::with_capacity(len);
    let (mut index, mut last, mut buckets) = (0i64, i64::MIN, 0);
    for span in spans {
        index += i64::from(span.offset);
        for _ in 0..span.length {
            let target = ((index - 1) >> shift) + 1;
            match out.last_mut() {
                Some(_) if target == last => {}
                Some(open) if target == last + 1 => {
                    open.length += 1;
                    buckets += 1;
                }
                open => {
                    let offset = if open.is_none() { target } else { target - last - 1 };
                    out.push(Span { offset: offset as i32, length: 1 });
                    buckets += 1;
                }
            }
            last = target;
            map.push(buckets - 1);
            index += 1;
        }
    }
    (out, map)
}

/// Sums `values` into the buckets that they fall into.
pub(super) fn sum_into<B: Copy + Default>(
    map: &[usize],
    values: impl Iterator<Item = B>,
    add: impl Fn(B, B) -> B,
    out: &mut Vec<B>,
) {
    let start = out.len();
    out.resize(start + map.last().map_or(0, |last| last + 1), B::default());
    for (at, v) in map.iter().zip(values) {
        out[start + at] = add(out[start + at], v);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(spans: &[(i32, u32)], shift: u32, expected: &[(i32, u32)], map: &[usize]) {
        let of = |s: &[(i32, u32)]| -> Vec<Span> {
            s.iter().map(|&(offset, length)| Span { offset, length }).collect()
        };
        let (out, got) = reduce_spans(&of(spans), map.len(), shift);
        assert_eq!((out, got.as_slice()), (of(expected), map));
    }

    #[test]
    fn neighbouring_buckets_merge() {
        check(&[(0, 4)], 1, &[(0, 3)], &[0, 1, 1, 2]);
        check(&[(1, 2), (4, 2)], 1, &[(1, 1), (2, 1)], &[0, 0, 1, 1]);
        check(&[(-3, 2), (0, 0), (5, 1)], 1, &[(-1, 1), (2, 1)], &[0, 0, 1]);
        check(&[], 3, &[], &[]);
        let mut sums = Vec::new();
        sum_into(&[0, 1, 1, 2], [1i64, 2, 3, 4].into_iter(), i64::wrapping_add, &mut sums);
        assert_eq!(sums, [1, 5, 4]);
    }
}
