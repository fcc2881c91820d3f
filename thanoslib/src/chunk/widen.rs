//! Bringing two layouts of one schema to a common one.
//!
//! Buckets that only the sample has are inserted into the chunk ("forward"), which is then
//! written anew; buckets that only the chunk has are inserted into the sample ("backward").
//!
//! Source: Prometheus `tsdb/chunkenc/histogram_meta.go`.

use super::kind::Kind;
use crate::model::{HistogramLayout, Span};

/// How the buckets of a chunk and of a sample fall into those that either has.
#[derive(Clone, Debug, Default)]
pub(super) struct Widening {
    positive: Side,
    negative: Side,
}

/// Positive or negative buckets.
#[derive(Clone, Debug, Default)]
struct Side {
    /// The buckets that either has; neighbours are in one span.
    spans: Vec<Span>,
    len: usize,
    /// For each bucket of the chunk its place among all.
    chunk: Vec<u32>,
    /// For each bucket of the sample its place among all.
    sample: Vec<u32>,
}

impl Widening {
    /// Compares layouts; `None` when the buckets of one of them do not ascend.
    pub(super) fn between(chunk: &HistogramLayout, sample: &HistogramLayout) -> Option<Self> {
        Some(Self {
            positive: Side::between(&chunk.positive_spans, &sample.positive_spans)?,
            negative: Side::between(&chunk.negative_spans, &sample.negative_spans)?,
        })
    }

    /// True when the chunk lacks buckets.
    pub(super) fn forward(&self) -> bool {
        self.positive.forward() || self.negative.forward()
    }

    /// True when the sample lacks buckets.
    pub(super) fn backward(&self) -> bool {
        self.positive.backward() || self.negative.backward()
    }

    /// The layout that the chunk gets when it lacks buckets.
    ///
    /// A side on which the sample lacks none has the sample's spans as they are; `gauge` asks
    /// for joined spans on both sides as soon as either lacks some.
    pub(super) fn layout(&self, sample: &HistogramLayout, gauge: bool) -> HistogramLayout {
        let joined = gauge && self.backward();
        let spans = |side: &Side, own: &[Span]| {
            if joined || side.backward() { side.spans.clone() } else { own.to_vec() }
        };
        HistogramLayout {
            schema: sample.schema,
            zero_threshold: sample.zero_threshold,
            positive_spans: spans(&self.positive, &sample.positive_spans),
            negative_spans: spans(&self.negative, &sample.negative_spans),
            custom_values: sample.custom_values.clone(),
            positive_len: self.positive.len,
            negative_len: self.negative.len,
        }
    }

    /// True when a bucket of the chunk is above the sample's, or is not empty and the sample
    /// does not have it.
    pub(super) fn fell<K: Kind>(&self, states: &[K::State], buckets: &[K]) -> bool {
        let (before, below) = states.split_at(self.positive.chunk.len());
        let (positive, negative) = buckets.split_at(self.positive.sample.len());
        self.positive.fell(before, positive) || self.negative.fell(below, negative)
    }

    /// The buckets of a sample among all buckets.
    pub(super) fn widen_sample<K: Kind>(&self, buckets: &[K], out: &mut Vec<K>) {
        let (positive, negative) = buckets.split_at(self.positive.sample.len());
        out.clear();
        self.positive.widen(&self.positive.sample, positive, out);
        self.negative.widen(&self.negative.sample, negative, out);
    }

    /// The buckets of a sample of the chunk among all buckets.
    pub(super) fn widen_chunk<K: Kind>(&self, buckets: &[K], out: &mut Vec<K>) {
        let (positive, negative) = buckets.split_at(self.positive.chunk.len());
        out.clear();
        self.positive.widen(&self.positive.chunk, positive, out);
        self.negative.widen(&self.negative.chunk, negative, out);
    }

    /// The same after the chunk has got all buckets.
    pub(super) fn with_wide_chunk(mut self) -> Self {
        for side in [&mut self.positive, &mut self.negative] {
            side.chunk = (0..side.len as u32).collect();
        }
        self
    }
}

impl Side {
    fn between(chunk: &[Span], sample: &[Span]) -> Option<Self> {
        let (mut chunk, mut sample) = (Indexes::new(chunk), Indexes::new(sample));
        let mut side = Self::default();
        let (mut a, mut b) = (chunk.next()?, sample.next()?);
        // Index after the last bucket so far.
        let mut end = 0;
        loop {
            let index = match (a, b) {
                (None, None) => return Some(side),
                (Some(a), Some(b)) => a.min(b),
                (Some(one), None) | (None, Some(one)) => one,
            };
            let place = u32::try_from(side.len).ok()?;
            if a == Some(index) {
                side.chunk.push(place);
                a = chunk.next()?;
            }
            if b == Some(index) {
                side.sample.push(place);
                b = sample.next()?;
            }
            match side.spans.last_mut() {
                Some(span) if index == end => span.length += 1,
                _ => side.spans.push(Span { offset: i32::try_from(index - end).ok()?, length: 1 }),
            }
            side.len += 1;
            end = index + 1;
        }
    }

    fn forward(&self) -> bool {
        self.len > self.chunk.len()
    }

    fn backward(&self) -> bool {
        self.len > self.sample.len()
    }

    fn fell<K: Kind>(&self, states: &[K::State], buckets: &[K]) -> bool {
        let (mut a, mut b) = (K::default(), K::default());
        let mut sample = self.sample.iter().zip(buckets).peekable();
        for (place, state) in self.chunk.iter().zip(states) {
            a = K::absolute(a, K::bucket(state));
            while let Some((_, stored)) = sample.next_if(|(at, _)| *at < place) {
                b = K::absolute(b, *stored);
            }
            match sample.next_if(|(at, _)| *at == place) {
                Some((_, stored)) => {
                    b = K::absolute(b, *stored);
                    if a > b {
                        return true;
                    }
                }
                None if a != K::default() => return true,
                None => {}
            }
        }
        false
    }

    fn widen<K: Kind>(&self, places: &[u32], buckets: &[K], out: &mut Vec<K>) {
        let start = out.len();
        out.resize(start + self.len, K::default());
        let all = &mut out[start..];
        let mut absolute = K::default();
        for (place, stored) in places.iter().zip(buckets) {
            absolute = K::absolute(absolute, *stored);
            all[*place as usize] = absolute;
        }
        K::relative(all);
    }
}

/// The indexes of the buckets of spans.
struct Indexes<'a> {
    spans: std::slice::Iter<'a, Span>,
    next: i64,
    left: u32,
    first: bool,
}

impl<'a> Indexes<'a> {
    fn new(spans: &'a [Span]) -> Self {
        Self { spans: spans.iter(), next: 0, left: 0, first: true }
    }

    /// The next index, `Some(None)` at the end, `None` when it does not ascend.
    fn next(&mut self) -> Option<Option<i64>> {
        while self.left == 0 {
            let Some(span) = self.spans.next() else { return Some(None) };
            if span.offset < 0 && !self.first {
                return None;
            }
            self.first = false;
            self.next += i64::from(span.offset);
            self.left = span.length;
        }
        self.left -= 1;
        self.next += 1;
        Some(Some(self.next - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(list: &[(i32, u32)]) -> Vec<Span> {
        list.iter().map(|&(offset, length)| Span { offset, length }).collect()
    }

    fn check(chunk: &[(i32, u32)], sample: &[(i32, u32)], all: &[(i32, u32)], places: (&[u32], &[u32])) {
        let side = Side::between(&spans(chunk), &spans(sample)).expect("ascending");
        assert_eq!((side.spans, &side.chunk[..], &side.sample[..]), (spans(all), places.0, places.1));
    }

    #[test]
    fn buckets_of_both_are_put_together() {
        check(&[(0, 2), (1, 1)], &[(0, 2), (1, 1)], &[(0, 2), (1, 1)], (&[0, 1, 2], &[0, 1, 2]));
        check(&[(0, 2), (0, 1)], &[(0, 1), (0, 0), (1, 2)], &[(0, 4)], (&[0, 1, 2], &[0, 2, 3]));
        check(&[], &[(-5, 1), (8, 1)], &[(-5, 1), (8, 1)], (&[], &[0, 1]));
        check(&[(3, 1)], &[(-1, 1)], &[(-1, 1), (3, 1)], (&[1], &[0]));
        assert!(Side::between(&spans(&[(0, 2), (-1, 1)]), &[]).is_none());
    }

    #[test]
    fn inserted_buckets_are_empty() {
        let side = Side::between(&spans(&[(0, 2)]), &spans(&[(1, 2)])).expect("ascending");
        let (mut ints, mut floats) = (vec![7], Vec::new());
        side.widen(&side.sample, &[5i64, -2], &mut ints);
        side.widen(&side.chunk, &[5.0, 3.0], &mut floats);
        assert_eq!((ints, floats), (vec![7, 0, 5, -2], vec![5.0, 3.0, 0.0]));
    }
}
