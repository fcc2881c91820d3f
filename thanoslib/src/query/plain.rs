//! One replica of raw float chunks that follow each other: the samples are decoded in place.

use crate::{
    chunk::Chunk,
    error::Result,
    model::Interval,
    series::{FloatColumn, SampleColumns},
};

/// Appends the samples of float chunks that lie inside `interval`.
///
/// False, with nothing appended, when a chunk is of another kind or the chunks do not follow each
/// other in time; such series take a [`Deduplicator`](crate::dedup::Deduplicator).
///
/// # Errors
/// A chunk does not decode; `out` then holds the samples before.
pub(super) fn read_floats<'a>(
    chunks: impl Iterator<Item = (Interval, Chunk<'a>)>,
    interval: Interval,
    out: &mut SampleColumns,
) -> Result<bool> {
    let base = out.floats.len();
    // The end of the chunk before as it is said, and its last sample.
    let (mut before, mut last): (Option<i64>, Option<i64>) = (None, None);
    for (at, chunk) in chunks {
        if !chunk.is_float() || before.is_some_and(|before| at.mint <= before) {
            truncate(&mut out.floats, base);
            return Ok(false);
        }
        before = Some(at.maxt);
        let begin = out.floats.len();
        let decoded = if at.maxt > interval.maxt {
            chunk.decode_until(interval.maxt, out)
        } else {
            chunk.decode_into(out)
        };
        // What a chunk holds need not be what is said of it.
        let ts = &out.floats.ts[begin..];
        if ts.first().is_some_and(|t| last.is_some_and(|last| *t <= last)) {
            truncate(&mut out.floats, base);
            return Ok(false);
        }
        last = ts.last().copied().or(last);
        // At once, since later the samples behind would have to move, too.
        if ts.first().is_some_and(|t| *t < interval.mint) {
            clip(&mut out.floats, begin, interval);
        }
        if let Err(e) = decoded {
            clip(&mut out.floats, base, interval);
            return Err(e.into());
        }
    }
    clip(&mut out.floats, base, interval);
    Ok(true)
}

/// Removes what is appended behind `base` and lies outside of `interval`.
fn clip(column: &mut FloatColumn, base: usize, interval: Interval) {
    let ts = &column.ts[base..];
    let outside = |t: Option<&i64>| t.is_some_and(|t| !interval.contains(*t));
    if !outside(ts.first()) && !outside(ts.last()) {
        return;
    }
    let from = ts.partition_point(|t| *t < interval.mint);
    let len = ts[from..].partition_point(|t| *t <= interval.maxt);
    let (kept, before) = (base + from + len, base..base + from);
    truncate(column, kept);
    column.ts.drain(before.clone());
    column.vs.drain(before.clone());
    if !column.st.is_empty() {
        column.st.drain(before);
    }
}

/// Keeps the first samples.
fn truncate(column: &mut FloatColumn, len: usize) {
    column.ts.truncate(len);
    column.vs.truncate(len);
    column.st.truncate(len);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chunk::{Encoding, XorAppender},
        dedup::{Algorithm, Counters, DedupRequest, Deduplicator, SeriesChunk},
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
        let done = read_floats(chunks.iter().map(|(i, data)| (*i, of(data))), interval, &mut out);
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
