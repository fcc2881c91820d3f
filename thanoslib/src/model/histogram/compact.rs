//! Leaving out empty buckets.

use super::{FloatHistogram, Span, buckets::Indexed, flat::spans};

impl FloatHistogram {
    /// Leaves out empty buckets; runs of at most `empty_max` of them between populated buckets
    /// stay, so that their neighbours share a span.
    pub fn compact(&mut self, empty_max: u32) {
        for (spans, counts) in [
            (&mut self.positive_spans, &mut self.positive_buckets),
            (&mut self.negative_spans, &mut self.negative_buckets),
        ] {
            if !is_compact(spans, counts, empty_max) {
                (*spans, *counts) = compacted(spans, counts, empty_max);
            }
        }
    }
}

fn is_compact(spans: &[Span], counts: &[f64], empty_max: u32) -> bool {
    counts.iter().all(|v| *v != 0.0)
        && spans.iter().all(|s| s.length > 0)
        && spans.iter().skip(1).all(|s| i64::from(s.offset) > i64::from(empty_max))
}

fn compacted(old: &[Span], counts: &[f64], empty_max: u32) -> (Vec<Span>, Vec<f64>) {
    let populated = Indexed::new(old, counts).filter(|(_, v)| *v != 0.0);
    if empty_max == 0 {
        return spans(populated);
    }
    let mut filled: Vec<(i32, f64)> = Vec::with_capacity(counts.len());
    for (index, v) in populated {
        if let Some(&(last, _)) = filled.last() {
            let gap = i64::from(index) - i64::from(last) - 1;
            if gap <= i64::from(empty_max) {
                filled.extend((last.saturating_add(1)..index).map(|i| (i, 0.0)));
            }
        }
        filled.push((index, v));
    }
    spans(filled.into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(offset: i32, length: u32) -> Span {
        Span { offset, length }
    }

    #[test]
    fn empty_buckets_go_and_short_gaps_stay() {
        let check = |spans: &[Span], counts: &[f64], n, want: (&[Span], &[f64])| {
            let mut h = FloatHistogram {
                positive_spans: spans.to_vec(),
                positive_buckets: counts.to_vec(),
                ..FloatHistogram::default()
            };
            h.compact(n);
            assert_eq!((&h.positive_spans[..], &h.positive_buckets[..]), want);
        };
        check(&[span(1, 3)], &[0.0, 1.0, 0.0], 0, (&[span(2, 1)], &[1.0]));
        check(&[span(1, 3)], &[0.0, 0.0, 0.0], 2, (&[], &[]));
        check(&[span(1, 3)], &[1.0, 0.0, 2.0], 0, (&[span(1, 1), span(1, 1)], &[1.0, 2.0]));
        check(&[span(1, 3)], &[1.0, 0.0, 2.0], 1, (&[span(1, 3)], &[1.0, 0.0, 2.0]));
        check(&[span(1, 1), span(2, 1)], &[1.0, 2.0], 2, (&[span(1, 4)], &[1.0, 0.0, 0.0, 2.0]));
        check(&[span(1, 1), span(2, 1)], &[1.0, 2.0], 1, (&[span(1, 1), span(2, 1)], &[1.0, 2.0]));
        check(&[span(1, 1), span(0, 0), span(0, 1)], &[1.0, 2.0], 0, (&[span(1, 2)], &[1.0, 2.0]));
    }
}
