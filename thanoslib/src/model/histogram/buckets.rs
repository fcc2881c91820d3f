//! Walking the buckets of a histogram.

use super::{
    CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Span,
    bounds::{custom_bound, exponential_bound},
};

/// One bucket with its bounds.
///
/// ```
/// use thanoslib::model::{FloatHistogram, Span};
/// let histogram = FloatHistogram {
///     positive_spans: vec![Span { offset: 1, length: 1 }],
///     positive_buckets: vec![4.0],
///     ..FloatHistogram::default()
/// };
/// let bucket = histogram.all_buckets().next_back().expect("a bucket");
/// assert_eq!((bucket.lower, bucket.upper, bucket.count), (1.0, 2.0, 4.0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// True when the lower bound belongs to the bucket.
    pub lower_inclusive: bool,
    /// True when the upper bound belongs to the bucket.
    pub upper_inclusive: bool,
    /// Observations.
    pub count: f64,
}

/// Indexes and counts of the buckets of one side, from both ends.
///
/// Spans and counts of unequal length end with the shorter.
#[derive(Clone, Debug)]
pub(super) struct Indexed<'a> {
    spans: &'a [Span],
    counts: &'a [f64],
    front: Cursor,
    back: Cursor,
}

/// A place between two buckets: `pos` buckets of span `span` lie before it.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    span: usize,
    pos: u32,
    index: i64,
}

impl<'a> Indexed<'a> {
    pub(super) fn new(spans: &'a [Span], counts: &'a [f64]) -> Self {
        let mut back = Cursor::default();
        let mut left = counts.len();
        for (i, span) in spans.iter().enumerate() {
            if left == 0 {
                break;
            }
            let pos = span.length.min(u32::try_from(left).unwrap_or(u32::MAX));
            left -= pos as usize;
            let start = if i == 0 { 0 } else { back.index };
            back = Cursor { span: i, pos, index: start + i64::from(span.offset) + i64::from(pos) };
        }
        let front = Cursor { index: spans.first().map_or(0, |s| i64::from(s.offset)), ..Cursor::default() };
        Self { spans, counts: &counts[..counts.len() - left], front, back }
    }
}

fn index32(index: i64) -> i32 {
    index.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

impl Iterator for Indexed<'_> {
    type Item = (i32, f64);

    #[inline]
    fn next(&mut self) -> Option<(i32, f64)> {
        let (&count, rest) = self.counts.split_first()?;
        let at = &mut self.front;
        while at.pos == self.spans[at.span].length {
            at.span += 1;
            at.pos = 0;
            at.index += i64::from(self.spans[at.span].offset);
        }
        let index = index32(at.index);
        at.pos += 1;
        at.index += 1;
        self.counts = rest;
        Some((index, count))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.counts.len(), Some(self.counts.len()))
    }
}

impl DoubleEndedIterator for Indexed<'_> {
    fn next_back(&mut self) -> Option<(i32, f64)> {
        let (&count, rest) = self.counts.split_last()?;
        let at = &mut self.back;
        while at.pos == 0 {
            at.index -= i64::from(self.spans[at.span].offset);
            at.span -= 1;
            at.pos = self.spans[at.span].length;
        }
        at.pos -= 1;
        at.index -= 1;
        self.counts = rest;
        Some((index32(at.index), count))
    }
}

impl FloatHistogram {
    /// True when the buckets have custom bounds.
    pub fn has_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    pub(super) fn positive(&self) -> Indexed<'_> {
        Indexed::new(&self.positive_spans, &self.positive_buckets)
    }

    pub(super) fn negative(&self) -> Indexed<'_> {
        Indexed::new(&self.negative_spans, &self.negative_buckets)
    }

    /// Upper bound of the positive bucket `index`.
    pub(super) fn bound(&self, index: i32) -> f64 {
        if self.has_custom_buckets() {
            custom_bound(&self.custom_values, index)
        } else {
            exponential_bound(self.schema, index)
        }
    }

    pub(super) fn positive_bucket(&self, index: i32, count: f64) -> Bucket {
        Bucket {
            lower: self.bound(index.saturating_sub(1)),
            upper: self.bound(index),
            lower_inclusive: self.has_custom_buckets() && index == 0,
            upper_inclusive: true,
            count,
        }
    }

    pub(super) fn negative_bucket(&self, index: i32, count: f64) -> Bucket {
        Bucket {
            lower: -self.bound(index),
            upper: -self.bound(index.saturating_sub(1)),
            lower_inclusive: true,
            upper_inclusive: false,
            count,
        }
    }

    /// Stored positive buckets, ascending, with their full bounds.
    pub fn positive_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        self.positive().map(|(i, n)| self.positive_bucket(i, n))
    }

    /// Stored negative buckets from zero outwards, with their full bounds.
    pub fn negative_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        self.negative().map(|(i, n)| self.negative_bucket(i, n))
    }

    /// The zero bucket.
    pub fn zero_bucket(&self) -> Bucket {
        Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
        }
    }

    /// All buckets in ascending order: negative ones, the zero bucket if it counts anything,
    /// positive ones. Empty buckets that are stored are given too.
    ///
    /// The inner bound of a bucket that reaches into the zero bucket is moved to its edge.
    pub fn all_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        let edge = self.zero_threshold;
        let clip = move |mut b: Bucket| {
            if b.upper < 0.0 && b.upper > -edge {
                b.upper = -edge;
            } else if b.lower > 0.0 && b.lower < edge {
                b.lower = edge;
            }
            b
        };
        let zero = (self.zero_count > 0.0).then(|| self.zero_bucket());
        self.negative_buckets().rev().map(clip).chain(zero).chain(self.positive_buckets().map(clip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(offset: i32, length: u32) -> Span {
        Span { offset, length }
    }

    #[test]
    fn both_directions_give_the_same_buckets() {
        let check = |spans: &[Span], counts: &[f64], want: &[(i32, f64)]| {
            assert_eq!(Indexed::new(spans, counts).collect::<Vec<_>>(), want);
            let mut back: Vec<_> = Indexed::new(spans, counts).rev().collect();
            back.reverse();
            assert_eq!(back, want);
            let mut both = Indexed::new(spans, counts);
            let mut ends = Vec::new();
            while let Some(first) = both.next() {
                ends.push(first);
                ends.extend(both.next_back());
            }
            assert_eq!(ends.len(), want.len());
        };
        check(&[], &[], &[]);
        check(&[], &[1.0], &[]);
        check(&[span(-2, 2), span(3, 1)], &[1.0, 2.0, 3.0], &[(-2, 1.0), (-1, 2.0), (3, 3.0)]);
        check(&[span(1, 0), span(1, 0), span(1, 2), span(0, 0)], &[1.0, 2.0], &[(3, 1.0), (4, 2.0)]);
        check(&[span(0, 9)], &[1.0, 2.0], &[(0, 1.0), (1, 2.0)]);
        check(&[span(0, 1), span(0, u32::MAX)], &[1.0, 2.0, 3.0], &[(0, 1.0), (1, 2.0), (2, 3.0)]);
        check(&[span(i32::MAX, 2)], &[1.0, 2.0], &[(i32::MAX, 1.0), (i32::MAX, 2.0)]);
    }

    #[test]
    fn buckets_ascend_and_are_clipped_at_zero() {
        let h = FloatHistogram {
            zero_threshold: 0.75,
            zero_count: 4.0,
            positive_spans: vec![span(0, 2)],
            positive_buckets: vec![1.0, 2.0],
            negative_spans: vec![span(0, 1)],
            negative_buckets: vec![3.0],
            ..FloatHistogram::default()
        };
        let got: Vec<_> = h.all_buckets().map(|b| (b.lower, b.upper, b.count)).collect();
        assert_eq!(got, [(-1.0, -0.75, 3.0), (-0.75, 0.75, 4.0), (0.75, 1.0, 1.0), (1.0, 2.0, 2.0)]);
        let mut back: Vec<_> = h.all_buckets().rev().map(|b| (b.lower, b.upper, b.count)).collect();
        back.reverse();
        assert_eq!(got, back);
    }

    #[test]
    fn custom_buckets_start_at_minus_infinity() {
        let h = FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            custom_values: vec![5.0],
            positive_spans: vec![span(0, 2)],
            positive_buckets: vec![1.0, 2.0],
            ..FloatHistogram::default()
        };
        let got: Vec<_> = h.all_buckets().map(|b| (b.lower, b.upper, b.lower_inclusive)).collect();
        assert_eq!(got, [(f64::NEG_INFINITY, 5.0, true), (5.0, f64::INFINITY, false)]);
    }
}
