//! Chunks without some of their samples.

use std::ops::Range;

use super::{
    AGGREGATES, AggrChunk, AggrError, Chunk, EncodedChunk, Encoding, FloatHistogramDecoder,
    HistogramAppender, HistogramDecoder, HistogramKind, Xor2Appender, XorAppender,
};
use crate::{
    error::{Error, Result},
    model::{CounterReset, FloatColumn, HistogramColumn, Interval},
};

/// Writes a chunk anew, in its encoding, without the samples that lie in one of `deleted`, which
/// ascend; `None` when nothing is left.
///
/// Of a downsampled chunk every aggregate is treated so. A histogram chunk that loses its first
/// sample says nothing about a reset before it.
///
/// # Errors
/// The chunk does not decode.
///
/// ```
/// use thanoslib::{chunk::{Chunk, Encoding, XorAppender, clip}, model::Interval};
/// let mut chunk = XorAppender::new();
/// chunk.extend(&[1, 2, 3], &[0.5, 0.5, 0.5])?;
/// let chunk = Chunk { encoding: Encoding::Xor, data: chunk.bytes() };
/// let kept = clip(chunk, &[Interval::new(2, 9)])?.expect("a sample is left");
/// assert_eq!((kept.samples, kept.interval), (1, Interval::new(1, 1)));
/// # Ok::<(), thanoslib::Error>(())
/// ```
pub fn clip(chunk: Chunk<'_>, deleted: &[Interval]) -> Result<Option<EncodedChunk>> {
    let encoding = chunk.encoding;
    let done = match encoding {
        Encoding::None => None,
        Encoding::Aggr => return clip_aggregates(chunk.data, deleted),
        Encoding::Xor => {
            let mut column = FloatColumn::default();
            chunk.decode_floats(&mut column)?;
            let mut appender = XorAppender::new();
            let kept = kept(&column.ts, deleted);
            for run in kept.iter().cloned() {
                appender.extend(&column.ts[run.clone()], &column.vs[run])?;
            }
            finished(&column.ts, &kept, appender.into_bytes())
        }
        Encoding::Xor2 => {
            let mut column = FloatColumn::default();
            chunk.decode_floats(&mut column)?;
            let mut appender = Xor2Appender::new();
            let kept = kept(&column.ts, deleted);
            for run in kept.iter().cloned() {
                let st = column.st.get(run.clone()).unwrap_or_default();
                appender.extend(st, &column.ts[run.clone()], &column.vs[run])?;
            }
            finished(&column.ts, &kept, appender.into_bytes())
        }
        Encoding::Histogram | Encoding::HistogramSt => {
            let mut column = HistogramColumn::default();
            let with_start = encoding == Encoding::HistogramSt;
            HistogramDecoder::new(chunk.data, with_start)?.with_own_schema().fill(&mut column, usize::MAX)?;
            clip_histograms::<i64>(chunk, &column, deleted)?
        }
        Encoding::FloatHistogram | Encoding::FloatHistogramSt => {
            let mut column = HistogramColumn::default();
            let with_start = encoding == Encoding::FloatHistogramSt;
            let mut decoder = FloatHistogramDecoder::new(chunk.data, with_start)?.with_own_schema();
            decoder.fill(&mut column, usize::MAX)?;
            clip_histograms::<f64>(chunk, &column, deleted)?
        }
    };
    Ok(done.map(|(interval, samples, data)| EncodedChunk { interval, encoding, samples, data }))
}

type Finished = (Interval, usize, Vec<u8>);

fn finished(ts: &[i64], kept: &[Range<usize>], data: Vec<u8>) -> Option<Finished> {
    let interval = Interval::new(ts[kept.first()?.start], ts[kept.last()?.end - 1]);
    Some((interval, kept.iter().map(Range::len).sum(), data))
}

/// The runs of samples that lie in none of `deleted`.
fn kept(ts: &[i64], deleted: &[Interval]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (i, t) in ts.iter().enumerate() {
        let next = deleted.partition_point(|d| d.maxt < *t);
        if deleted.get(next).is_some_and(|d| d.contains(*t)) {
            continue;
        }
        match runs.last_mut() {
            Some(run) if run.end == i => run.end = i + 1,
            _ => runs.push(i..i + 1),
        }
    }
    runs
}

fn clip_histograms<K: HistogramKind>(
    chunk: Chunk<'_>,
    column: &HistogramColumn<K::Count, K>,
    deleted: &[Interval],
) -> Result<Option<Finished>> {
    let kept = kept(&column.ts, deleted);
    let header = match chunk.counter_reset()? {
        Some(CounterReset::Gauge) => CounterReset::Gauge,
        Some(header) if kept.first().is_some_and(|run| run.start == 0) => header,
        _ => CounterReset::Unknown,
    };
    let mut appender = HistogramAppender::<K>::new(matches!(
        chunk.encoding,
        Encoding::HistogramSt | Encoding::FloatHistogramSt
    ));
    for i in kept.iter().cloned().flatten() {
        appender.append_again(header, column, i)?;
    }
    Ok(finished(&column.ts, &kept, appender.finish()))
}

fn clip_aggregates(data: &[u8], deleted: &[Interval]) -> Result<Option<EncodedChunk>> {
    let aggregates = AggrChunk::new(data);
    let mut parts: [Option<EncodedChunk>; 5] = Default::default();
    for (aggr, part) in AGGREGATES.into_iter().zip(&mut parts) {
        match aggregates.get(aggr) {
            Ok(chunk) => *part = clip(chunk, deleted)?,
            Err(AggrError::Missing) => {}
            // Compat: an absent aggregate at the end reads as a size error, see `AggrChunk::get`.
            Err(AggrError::InvalidSize) if data.ends_with(&[0]) => {}
            Err(e) => return Err(Error::from(e)),
        }
    }
    let Some(interval) = parts.iter().flatten().map(|p| p.interval).reduce(hull) else { return Ok(None) };
    let samples = parts[0].as_ref().map_or(0, |count| count.samples);
    let mut data = Vec::new();
    AggrChunk::encode(&parts.each_ref().map(|p| p.as_ref().map(EncodedChunk::chunk)), &mut data);
    Ok(Some(EncodedChunk { interval, encoding: Encoding::Aggr, samples, data }))
}

fn hull(a: Interval, b: Interval) -> Interval {
    Interval::new(a.mint.min(b.mint), a.maxt.max(b.maxt))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FloatHistogram, FloatHistogramColumn, SampleColumns, Span};

    /// Times 0, 10, … 90 with start timestamps from the fifth on.
    fn samples() -> (FloatColumn, FloatHistogramColumn) {
        let (mut floats, mut histograms) = (FloatColumn::default(), FloatHistogramColumn::default());
        for i in 0..10 {
            let (st, v) = (if i < 5 { 0 } else { 1 }, f64::from(i));
            floats.push_st(st, i64::from(i) * 10, v);
            histograms.push(
                i64::from(i) * 10,
                &FloatHistogram {
                    count: v,
                    sum: v,
                    positive_spans: vec![Span { offset: 0, length: 1 }],
                    positive_buckets: vec![v],
                    ..FloatHistogram::default()
                },
            );
            histograms.set_last_start(st);
        }
        (floats, histograms)
    }

    fn check(encoding: Encoding, deleted: &[(i64, i64)], expected: &[i64]) {
        let (floats, histograms) = samples();
        let data = match encoding {
            Encoding::Xor => {
                let mut appender = XorAppender::new();
                appender.extend(&floats.ts, &floats.vs).expect("room");
                appender.into_bytes()
            }
            Encoding::Xor2 => {
                let mut appender = Xor2Appender::new();
                appender.extend(&floats.st, &floats.ts, &floats.vs).expect("room");
                appender.into_bytes()
            }
            _ => {
                let mut appender = HistogramAppender::new(encoding == Encoding::FloatHistogramSt);
                for i in 0..10 {
                    appender.append_again(CounterReset::Reset, &histograms, i).expect("same layout");
                }
                appender.finish()
            }
        };
        let deleted: Vec<Interval> = deleted.iter().map(|(a, b)| Interval::new(*a, *b)).collect();
        let clipped = clip(Chunk { encoding, data: &data }, &deleted).expect("sound");
        let mut out = SampleColumns::default();
        if let Some(clipped) = &clipped {
            clipped.chunk().decode_into(&mut out).expect("sound");
            assert_eq!((clipped.encoding, clipped.samples), (encoding, expected.len()));
            assert_eq!(Some(&clipped.interval.mint), expected.first());
            assert_eq!(Some(&clipped.interval.maxt), expected.last());
            let header = clipped.chunk().counter_reset().expect("a header");
            let kept = if expected[0] == 0 { CounterReset::Reset } else { CounterReset::Unknown };
            assert!(header.is_none_or(|h| h == kept), "{header:?}");
        }
        let ts = if out.floats.is_empty() { &out.histograms.ts } else { &out.floats.ts };
        assert_eq!(ts, expected);
        for (i, t) in ts.iter().enumerate() {
            let (st, v, with_start) = if out.floats.is_empty() {
                (out.histograms.start(i), out.histograms.get(i).count, encoding == Encoding::FloatHistogramSt)
            } else {
                (out.floats.start(i), out.floats.vs[i], encoding == Encoding::Xor2)
            };
            assert_eq!((v, st), (*t as f64 / 10.0, i64::from(with_start && *t >= 50)), "at {t}");
        }
    }

    #[test]
    fn what_is_left_keeps_values_and_start_timestamps() {
        for encoding in [Encoding::Xor, Encoding::Xor2, Encoding::FloatHistogram, Encoding::FloatHistogramSt]
        {
            check(encoding, &[], &[0, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
            check(encoding, &[(i64::MIN, 5), (30, 60), (90, i64::MAX)], &[10, 20, 70, 80]);
            check(encoding, &[(15, 90)], &[0, 10]);
            check(encoding, &[(i64::MIN, i64::MAX)], &[]);
        }
    }

    #[test]
    fn every_aggregate_loses_the_same_samples() {
        let mut appender = XorAppender::new();
        for t in [5, 10, 20, 20] {
            appender.append(t, 1.0).expect("room");
        }
        let part = Chunk { encoding: Encoding::Xor, data: appender.bytes() };
        let mut data = Vec::new();
        AggrChunk::encode(&[Some(part), None, Some(part), None, None], &mut data);
        let chunk = Chunk { encoding: Encoding::Aggr, data: &data };
        let left = clip(chunk, &[Interval::new(6, 15)]).expect("sound").expect("samples");
        assert_eq!((left.interval, left.samples), (Interval::new(5, 20), 3));
        assert_eq!(clip(chunk, &[Interval::ALL]).expect("sound"), None);
    }
}
