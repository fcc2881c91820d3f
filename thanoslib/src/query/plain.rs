//! One replica of raw chunks that follow each other: the samples are decoded in place.

use crate::{
    chunk::Chunk,
    error::Result,
    model::Interval,
    series::{FloatColumn, FloatHistogramColumn, SampleColumns},
};

/// The column of one kind of chunks.
trait Column {
    fn of(columns: &mut SampleColumns) -> &mut Self;
    fn takes(chunk: &Chunk<'_>) -> bool;
    fn ts(&self) -> &[i64];

    /// Keeps the first samples.
    fn truncate(&mut self, len: usize);

    /// Removes the samples from `from` up to `to`.
    fn remove(&mut self, from: usize, to: usize);
}

impl Column for FloatColumn {
    fn of(columns: &mut SampleColumns) -> &mut Self {
        &mut columns.floats
    }

    fn takes(chunk: &Chunk<'_>) -> bool {
        chunk.is_float()
    }

    fn ts(&self) -> &[i64] {
        &self.ts
    }

    fn truncate(&mut self, len: usize) {
        self.ts.truncate(len);
        self.vs.truncate(len);
        self.st.truncate(len);
    }

    fn remove(&mut self, from: usize, to: usize) {
        self.ts.drain(from..to);
        self.vs.drain(from..to);
        if !self.st.is_empty() {
            self.st.drain(from..to);
        }
    }
}

impl Column for FloatHistogramColumn {
    fn of(columns: &mut SampleColumns) -> &mut Self {
        &mut columns.histograms
    }

    fn takes(chunk: &Chunk<'_>) -> bool {
        chunk.is_histogram()
    }

    fn ts(&self) -> &[i64] {
        &self.ts
    }

    fn truncate(&mut self, len: usize) {
        let end = self.len();
        self.remove(len.min(end), end);
    }

    fn remove(&mut self, from: usize, to: usize) {
        if from == to {
            return;
        }
        let mut kept = Self::default();
        kept.extend_from(self, 0..from);
        kept.extend_from(self, to..self.len());
        *self = kept;
    }
}

/// Appends the samples of chunks of one kind that lie inside `interval`.
///
/// False, with nothing appended, when a chunk is of another kind than the first or the chunks do not
/// follow each other in time; such series take a [`Deduplicator`](crate::dedup::Deduplicator).
///
/// # Errors
/// A chunk does not decode; `out` then holds the samples before.
pub(super) fn read_row<'a>(
    chunks: impl Iterator<Item = (Interval, Chunk<'a>)>,
    interval: Interval,
    out: &mut SampleColumns,
) -> Result<bool> {
    let mut chunks = chunks.peekable();
    match chunks.peek() {
        Some((_, first)) if first.is_histogram() => read::<FloatHistogramColumn>(chunks, interval, out),
        _ => read::<FloatColumn>(chunks, interval, out),
    }
}

fn read<'a, C: Column>(
    chunks: impl Iterator<Item = (Interval, Chunk<'a>)>,
    interval: Interval,
    out: &mut SampleColumns,
) -> Result<bool> {
    let base = C::of(out).ts().len();
    // The end of the chunk before as it is said, and its last sample.
    let (mut before, mut last): (Option<i64>, Option<i64>) = (None, None);
    for (at, chunk) in chunks {
        if !C::takes(&chunk) || before.is_some_and(|before| at.mint <= before) {
            C::of(out).truncate(base);
            return Ok(false);
        }
        before = Some(at.maxt);
        let begin = C::of(out).ts().len();
        let decoded = if at.maxt > interval.maxt {
            chunk.decode_until(interval.maxt, out)
        } else {
            chunk.decode_into(out)
        };
        // What a chunk holds need not be what is said of it.
        let column = C::of(out);
        let ts = &column.ts()[begin..];
        if ts.first().is_some_and(|t| last.is_some_and(|last| *t <= last)) {
            column.truncate(base);
            return Ok(false);
        }
        last = ts.last().copied().or(last);
        // At once, since later the samples behind would have to move, too.
        if ts.first().is_some_and(|t| *t < interval.mint) {
            clip(column, begin, interval);
        }
        if let Err(e) = decoded {
            clip(column, base, interval);
            return Err(e.into());
        }
    }
    clip(C::of(out), base, interval);
    Ok(true)
}

/// Removes what is appended behind `base` and lies outside of `interval`.
fn clip(column: &mut impl Column, base: usize, interval: Interval) {
    let ts = &column.ts()[base..];
    let outside = |t: Option<&i64>| t.is_some_and(|t| !interval.contains(*t));
    if !outside(ts.first()) && !outside(ts.last()) {
        return;
    }
    let from = ts.partition_point(|t| *t < interval.mint);
    let len = ts[from..].partition_point(|t| *t <= interval.maxt);
    column.truncate(base + from + len);
    column.remove(base, base + from);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chunk::{Encoding, Fit, HistogramAppender, XorAppender},
        dedup::{Algorithm, Counters, DedupRequest, Deduplicator, SeriesChunk},
        model::{FloatHistogram, Span},
    };

    fn chunk(times: std::ops::Range<i64>) -> (Interval, Vec<u8>) {
        let mut appender = XorAppender::new();
        times.clone().for_each(|t| appender.append(t * 10, t as f64).expect("room"));
        (Interval::new(times.start * 10, (times.end - 1) * 10), appender.into_bytes())
    }

    /// The samples, or `None` where the deduplicator is needed; both must agree.
    fn check(chunks: &[(Interval, Vec<u8>)], interval: Interval) -> Option<usize> {
        let of = |data| Chunk { encoding: Encoding::Xor, data };
        let mut out = SampleColumns::default();
        out.floats.push(-7, 7.0);
        let done = read_row(chunks.iter().map(|(i, data)| (*i, of(data))), interval, &mut out);
        let request = DedupRequest {
            algorithm: Algorithm::Penalty,
            counters: Counters::Prometheus,
            function: "",
            interval,
        };
        let mut want = SampleColumns::default();
        want.floats.push(-7, 7.0);
        let chunks: Vec<_> = chunks.iter().map(|(i, data)| SeriesChunk::raw(*i, of(data))).collect();
        let read = Deduplicator::new(request).concat(&chunks, &mut want);
        if !done.as_ref().is_ok_and(|done| !done) {
            assert_eq!(done.is_err(), read.is_err());
            assert_eq!((&out.floats.ts, &out.floats.vs), (&want.floats.ts, &want.floats.vs));
        }
        done.ok().filter(|done| *done).map(|_| out.floats.len() - 1)
    }

    #[test]
    fn samples_are_those_of_the_deduplicator() {
        let all = [chunk(0..120), chunk(120..240), chunk(300..400)];
        for (mint, maxt, want) in [
            (i64::MIN, i64::MAX, 340),
            (0, 3990, 340),
            (5, 3985, 338),
            (1500, 1500, 1),
            (1501, 1509, 0),
            (2395, 2999, 0),
            (0, 330, 34),
            (4000, 5000, 0),
        ] {
            assert_eq!(check(&all, Interval::new(mint, maxt)), Some(want), "[{mint}, {maxt}]");
        }
    }

    #[test]
    fn histograms_are_those_of_the_deduplicator() {
        let chunk = |times: std::ops::Range<i64>| {
            let mut column = FloatHistogramColumn::default();
            for t in times.clone() {
                let h = FloatHistogram {
                    count: t as f64,
                    positive_spans: vec![Span { offset: 0, length: 1 }],
                    positive_buckets: vec![t as f64],
                    ..FloatHistogram::default()
                };
                column.push(t * 10, &h);
            }
            let mut appender = HistogramAppender::<f64>::new(false);
            (0..column.len()).for_each(|i| {
                assert!(matches!(appender.append(&column, i), Ok(Fit::Appended)));
            });
            (Interval::new(times.start * 10, (times.end - 1) * 10), appender.finish())
        };
        let data = [chunk(0..120), chunk(120..240), chunk(300..400)];
        let of = |data| Chunk { encoding: Encoding::FloatHistogram, data };
        for (mint, maxt, len) in
            [(i64::MIN, i64::MAX, 340), (5, 3985, 338), (1500, 1500, 1), (1501, 1509, 0), (0, 330, 34)]
        {
            let interval = Interval::new(mint, maxt);
            let mut out = SampleColumns::default();
            out.histograms.push(-7, &FloatHistogram::default());
            let mut want = out.clone();
            let done = read_row(data.iter().map(|(i, data)| (*i, of(data))), interval, &mut out);
            assert_eq!((done.ok(), out.histograms.len()), (Some(true), 1 + len));
            let (algorithm, counters) = (Algorithm::Penalty, Counters::Prometheus);
            let request = DedupRequest { algorithm, counters, function: "", interval };
            let chunks: Vec<_> = data.iter().map(|(i, data)| SeriesChunk::raw(*i, of(data))).collect();
            Deduplicator::new(request).concat(&chunks, &mut want).expect("sound");
            assert_eq!(out.histograms.ts, want.histograms.ts);
            assert_eq!(out.histograms.hints, want.histograms.hints);
            (0..=len).for_each(|i| assert_eq!(out.histograms.get(i), want.histograms.get(i)));
        }
        // Floats behind histograms are left to the deduplicator.
        let (at, floats) = super::tests::chunk(500..510);
        let float = Chunk { encoding: Encoding::Xor, data: &floats };
        let both = [(data[0].0, of(&data[0].1)), (at, float)];
        let mut out = SampleColumns::default();
        assert_eq!(read_row(both.into_iter(), Interval::ALL, &mut out).ok(), Some(false));
        assert!(out.is_empty());
    }

    #[test]
    fn chunks_that_overlap_are_left_to_others() {
        assert_eq!(check(&[chunk(0..10), chunk(9..20)], Interval::ALL), None);
        assert_eq!(check(&[chunk(5..10), chunk(0..4)], Interval::ALL), None);
    }

    #[test]
    fn what_is_sound_before_an_error_stays() {
        let (at, mut bytes) = chunk(0..50);
        bytes.truncate(bytes.len() / 2);
        assert_eq!(check(&[chunk(-10..0), (at, bytes)], Interval::new(-55, 1000)), None);
    }
}
