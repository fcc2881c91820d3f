//! Whole series through all levels.

use proptest::prelude::*;

use super::*;
use crate::{
    chunk::{AggrChunk, Chunk, Encoding, XorAppender},
    error::Result,
    model::{
        Aggr, CounterReset, FloatColumn, FloatHistogram, FloatHistogramColumn, Interval, Resolution,
        SampleColumns, Span, histogram::CUSTOM_BUCKETS_SCHEMA, stale_nan,
    },
};

fn xor(samples: &[(i64, f64)]) -> Vec<u8> {
    let mut chunk = XorAppender::new();
    samples.iter().try_for_each(|(t, v)| chunk.append(*t, *v)).expect("room");
    chunk.into_bytes()
}

/// Downsamples chunks of raw floats.
fn five_minutes(chunks: &[&[(i64, f64)]]) -> AggrChunks {
    let mut downsampler = RawDownsampler::new(300_000).expect("a length");
    let mut out = AggrChunks::default();
    for samples in chunks {
        let data = xor(samples);
        downsampler.chunk(Chunk { encoding: Encoding::Xor, data: &data }, &mut out).expect("sound");
    }
    downsampler.finish(&mut out).expect("sound");
    out
}

fn histogram_chunks(column: &FloatHistogramColumn) -> AggrChunks {
    let mut downsampler = RawDownsampler::new(300_000).expect("a length");
    let mut out = AggrChunks::default();
    downsampler.histograms(column, &mut out).expect("sound");
    downsampler.finish(&mut out).expect("sound");
    out
}

fn hours(chunks: &AggrChunks) -> AggrChunks {
    let mut downsampler = AggrDownsampler::new(300_000, 3_600_000).expect("lengths");
    let mut out = AggrChunks::default();
    for (interval, chunk) in chunks.iter() {
        downsampler.chunk(interval, chunk, &mut out).expect("sound");
    }
    downsampler.finish(&mut out).expect("sound");
    out
}

/// One aggregate of all chunks.
fn column(chunks: &AggrChunks, aggr: Aggr) -> SampleColumns {
    let mut out = SampleColumns::default();
    for (_, chunk) in chunks.iter() {
        let part = AggrChunk::new(chunk.data).get(aggr).expect("the aggregate");
        part.decode_into(&mut out).expect("sound");
    }
    out
}

fn pairs(chunks: &AggrChunks, aggr: Aggr) -> Vec<(i64, f64)> {
    let FloatColumn { ts, vs, .. } = column(chunks, aggr).floats;
    ts.into_iter().zip(vs).collect()
}

fn total(chunks: &AggrChunks) -> f64 {
    column(chunks, Aggr::Count).floats.vs.iter().sum()
}

/// What a counter grew by in sum, read as Thanos reads it.
fn growth<'a>(chunks: impl Iterator<Item = Chunk<'a>>) -> f64 {
    let (mut resets, mut out) = (CounterResets::default(), FloatColumn::default());
    for chunk in chunks {
        let mut samples = FloatColumn::default();
        chunk.decode_floats(&mut samples).expect("sound");
        resets.next_chunk();
        resets.floats(&samples, &mut out);
    }
    match (out.vs.first(), out.vs.last()) {
        (Some(first), Some(last)) => last - first,
        _ => 0.0,
    }
}

fn counter_growth(chunks: &AggrChunks) -> f64 {
    growth(chunks.iter().map(|(_, c)| AggrChunk::new(c.data).get(Aggr::Counter).expect("a counter")))
}

#[test]
fn a_series_becomes_the_chunk_that_thanos_writes() {
    let values = [10.0, 20.0, 30.0, 40.0, 5.0, 15.0, 25.0, 35.0, 45.0, 55.0, 3.0, 9.0];
    let samples: Vec<_> = values.iter().zip(0..).map(|(v, i)| (30_000 + 60_000 * i, *v)).collect();
    let chunks = five_minutes(&[&samples]);
    let (interval, chunk) = chunks.iter().next().expect("a chunk");
    assert_eq!(interval, Interval::new(299_999, 690_000));
    let hex: String = chunk.data.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(
        hex,
        "16010003becf244014000000000000e0a7127665d8eb0e8019010003becf24405a400000000000e0a712d44ff7b32ec749537817010\
         003becf244014000000000000e0a712d42f7b32ec698018010003becf244044000000000000e0a712d82ffb32ec7491a62101\
         0005e0d4034024000000000000afbd10d2462e3a98eb1e2f665d8cdfba81bf489e"
    );
    let hour = hours(&chunks);
    assert_eq!(pairs(&hour, Aggr::Sum), [(690_000, 292.0)]);
    assert_eq!(pairs(&hour, Aggr::Counter), [(30_000, 10.0), (690_000, 104.0), (690_000, 9.0)]);
}

#[test]
fn a_reset_between_chunks_is_found_by_the_raw_values_at_their_ends() {
    let mut chunks = AggrChunks::default();
    let mut downsampler = RawDownsampler::new(20).expect("a length");
    for samples in [[(5, 95.0), (15, 100.0)], [(25, 97.0), (35, 107.0)]] {
        downsampler.floats(&samples.map(|s| s.0), &samples.map(|s| s.1), &mut chunks).expect("sound");
        downsampler.finish(&mut chunks).expect("sound");
    }
    assert_eq!(chunks.len(), 2);
    assert_eq!(counter_growth(&chunks), 5.0 + 97.0 + 10.0);
}

#[test]
fn series_with_nothing_to_keep_give_no_chunk() {
    let check = |samples: &[(i64, f64)], chunks| assert_eq!(five_minutes(&[samples]).len(), chunks);
    check(&[], 0);
    check(&[(1, stale_nan()), (2, f64::NAN)], 0);
    check(&[(1, stale_nan()), (2, 1.0)], 1);
    assert_eq!(five_minutes(&[&[(7, 2.0)]]).iter().next().map(|c| c.0), Some(Interval::new(7, 7)));
    assert_eq!(pairs(&five_minutes(&[&[(-900_000, 1.0), (-1, 2.0), (5, 4.0)]]), Aggr::Sum).len(), 3);
}

#[test]
fn samples_and_chunks_have_to_come_in_order() {
    let mut raw = RawDownsampler::new(300_000).expect("a length");
    let mut out = AggrChunks::default();
    assert!(raw.floats(&[1, 2], &[1.0], &mut out).is_err());
    raw.floats(&[10], &[1.0], &mut out).expect("sound");
    assert!(raw.floats(&[9], &[1.0], &mut out).is_err());
    raw.reset();
    raw.floats(&[9], &[1.0], &mut out).expect("a new series");
    assert!(RawDownsampler::new(0).is_err() && AggrDownsampler::new(10, 10).is_err());
    let data = xor(&[(1, 1.0)]);
    let chunk = Chunk { encoding: Encoding::Xor, data: &data };
    let mut series = SeriesDownsampler::new(Resolution::Raw, Resolution::OneHour).expect("finer");
    series.chunk(Interval::new(1, 5), chunk).expect("sound");
    assert!(series.chunk(Interval::new(5, 6), chunk).is_err());
    assert!(SeriesDownsampler::new(Resolution::OneHour, Resolution::FiveMinutes).is_err());
    assert!(raw.chunk(Chunk { encoding: Encoding::Aggr, data: &[0; 5] }, &mut out).is_err());
}

#[test]
fn samples_of_a_chunk_that_go_back_are_dropped_like_those_of_columns() {
    let far = i64::MAX - 5;
    let jumps: [&[i64]; 7] = [
        &[0, 15, 30, 45, 44, 60],
        &[0, 15, 31, 44, 30, 60, 75, 74, 90],
        &[0, -20_000, 15, 30],
        &[100, 90, 80, 70, 200],
        &[0, 1 << 50, 15, 30],
        &[far, far + 5, i64::MIN, i64::MIN + 15],
        &[i64::MIN, 0, 15, far],
    ];
    for ts in jumps {
        let samples: Vec<(i64, f64)> = ts.iter().copied().zip((1..).map(f64::from)).collect();
        let vs: Vec<f64> = samples.iter().map(|s| s.1).collect();
        let mut raw = RawDownsampler::new(300_000).expect("a length");
        let [mut of_columns, mut of_chunk] = [AggrChunks::default(), AggrChunks::default()];
        raw.floats(ts, &vs, &mut of_columns).expect("sound");
        raw.finish(&mut of_columns).expect("sound");
        let data = xor(&samples);
        raw.chunk(Chunk { encoding: Encoding::Xor, data: &data }, &mut of_chunk).expect("sound");
        raw.finish(&mut of_chunk).expect("sound");
        let all =
            |chunks: &AggrChunks| -> Vec<_> { chunks.iter().map(|c| (c.0, c.1.data.to_vec())).collect() };
        assert_eq!(all(&of_chunk), all(&of_columns), "{ts:?}");
        let kept = pairs(&of_chunk, Aggr::Count).iter().map(|(_, n)| *n).sum::<f64>();
        assert!(kept < ts.len() as f64 || ts.is_sorted(), "{ts:?}");
    }
}

#[test]
fn fewer_chunks_than_wanted_come_out_as_they_are() {
    // What merges left behind: a chunk of 2000 windows, of which two would be made.
    let samples: Vec<_> = (0..2000).map(|i| (299_999 + 300_000 * i, 1.0)).collect();
    let part = xor(&samples);
    let part = Chunk { encoding: Encoding::Xor, data: &part };
    let mut chunks = AggrChunks::default();
    chunks.push(Interval::new(299_999, 599_999_999), &[Some(part); 5]);
    let hour = hours(&chunks);
    assert_eq!((hour.len(), total(&hour)), (1, 2000.0));
}

#[test]
fn raw_chunks_among_aggregates_are_downsampled_first() {
    let (early, late) =
        (five_minutes(&[&[(0, 1.0), (60_000, 3.0)]]), xor(&[(600_000, 2.0), (7_200_000, 2.0)]));
    let mut downsampler = AggrDownsampler::new(300_000, 3_600_000).expect("lengths");
    let mut out = AggrChunks::default();
    for (interval, chunk) in early.iter() {
        downsampler.chunk(interval, chunk, &mut out).expect("sound");
    }
    for data in [&[0, 0][..], &late] {
        let chunk = Chunk { encoding: Encoding::Xor, data };
        downsampler.chunk(Interval::new(600_000, 7_200_000), chunk, &mut out).expect("sound");
    }
    downsampler.finish(&mut out).expect("sound");
    assert_eq!(pairs(&out, Aggr::Count), [(3_599_999, 3.0), (7_200_000, 1.0)]);
}

fn histogram(t_ms: i64, count: f64, change: impl Fn(&mut FloatHistogram)) -> (i64, FloatHistogram) {
    let mut h = FloatHistogram {
        zero_threshold: 0.5,
        count,
        sum: count,
        positive_spans: vec![Span { offset: 1, length: 2 }],
        positive_buckets: vec![count - 1.0, 1.0],
        ..FloatHistogram::default()
    };
    change(&mut h);
    (t_ms, h)
}

/// Counts, sums of counts, and counters of downsampled histograms, with the number of chunks.
fn check_histograms(
    histograms: &[(i64, FloatHistogram)],
    expected: (usize, &[(i64, f64, f64, f64)]),
) -> AggrChunks {
    let mut samples = FloatHistogramColumn::default();
    histograms.iter().for_each(|(t, h)| samples.push(*t, h));
    let chunks = histogram_chunks(&samples);
    let (counts, sums) = (column(&chunks, Aggr::Count).floats, column(&chunks, Aggr::Sum).histograms);
    let counters = column(&chunks, Aggr::Counter).histograms;
    assert_eq!((&counts.ts, &counts.ts), (&sums.ts, &counters.ts));
    assert!(sums.hints.iter().all(|hint| *hint == CounterReset::Gauge));
    let got: Vec<_> =
        (0..counts.len()).map(|i| (counts.ts[i], counts.vs[i], sums.counts[i], counters.counts[i])).collect();
    assert_eq!((chunks.len(), &got[..]), expected);
    assert_eq!(total(&hours(&chunks)), total(&chunks));
    chunks
}

#[test]
fn histograms_have_count_sum_and_counter() {
    let plain = |_: &mut FloatHistogram| ();
    let samples =
        [(0, 2.0), (60_000, 5.0), (300_000, 3.0), (400_000, 4.0)].map(|(t, n)| histogram(t, n, plain));
    let chunks = check_histograms(&samples, (1, &[(299_999, 2.0, 7.0, 5.0), (400_000, 2.0, 7.0, 9.0)]));
    let (_, chunk) = chunks.iter().next().expect("a chunk");
    assert!(AggrChunk::new(chunk.data).get(Aggr::Min).is_err());
    let gauge = |h: &mut FloatHistogram| h.hint = CounterReset::Gauge;
    let samples = [(0, 2.0), (60_000, 5.0), (300_000, 3.0)].map(|(t, n)| histogram(t, n, gauge));
    check_histograms(&samples, (1, &[(299_999, 2.0, 7.0, 5.0), (300_000, 1.0, 3.0, 3.0)]));
    let stale = |h: &mut FloatHistogram| h.sum = stale_nan();
    let samples =
        [histogram(0, 2.0, plain), histogram(9, 3.0, stale), histogram(9, 3.0, |h| h.sum = f64::NAN)];
    check_histograms(&samples, (1, &[(0, 1.0, 2.0, 2.0)]));
}

#[test]
fn histograms_of_unlike_buckets_lose_nothing() {
    let plain = |_: &mut FloatHistogram| ();
    // A finer schema counts as a reset, and goes to the coarser one.
    let fine = |h: &mut FloatHistogram| h.schema = 1;
    let samples = [histogram(0, 2.0, plain), histogram(1, 3.0, fine), histogram(2, 5.0, fine)];
    check_histograms(&samples, (1, &[(2, 3.0, 10.0, 10.0)]));
    // A wider zero bucket within a window widens the sum, and the counter for good.
    let wide = |h: &mut FloatHistogram| h.zero_threshold = 1.0;
    let samples = [histogram(0, 2.0, plain), histogram(1, 3.0, wide), histogram(300_000, 4.0, plain)];
    check_histograms(&samples, (2, &[(299_999, 2.0, 5.0, 3.0), (300_000, 1.0, 4.0, 7.0)]));
    let custom = |bound: f64| {
        move |h: &mut FloatHistogram| {
            (h.schema, h.zero_threshold) = (CUSTOM_BUCKETS_SCHEMA, 0.0);
            h.positive_spans[0].offset = 0;
            h.custom_values = vec![1.0, bound];
        }
    };
    // Other bounds, and no custom ones, begin chunks of their own, also within a window.
    let samples = [
        histogram(0, 2.0, custom(2.0)),
        histogram(1, 3.0, custom(2.0)),
        histogram(2, 4.0, custom(3.0)),
        histogram(3, 6.0, plain),
    ];
    check_histograms(&samples, (3, &[(1, 2.0, 5.0, 3.0), (2, 1.0, 4.0, 4.0), (3, 1.0, 6.0, 6.0)]));
}

#[test]
fn floats_and_histograms_of_one_series_alternate() -> Result<()> {
    let mut series = SeriesDownsampler::new(Resolution::Raw, Resolution::FiveMinutes)?;
    let mut histograms = FloatHistogramColumn::default();
    histograms.push(20, &histogram(20, 3.0, |_| ()).1);
    let mut appender = crate::chunk::FloatHistogramAppender::new(false);
    appender.begin(CounterReset::Unknown, &histograms, 0)?;
    let (first, last) = (xor(&[(10, 1.0)]), xor(&[(30, 1.0)]));
    for (t, encoding, data) in [
        (10, Encoding::Xor, &first[..]),
        (20, Encoding::FloatHistogram, appender.bytes()),
        (30, Encoding::Xor, &last),
    ] {
        series.chunk(Interval::new(t, t), Chunk { encoding, data })?;
    }
    let chunks = series.finish()?.clone();
    assert_eq!((chunks.len(), total(&chunks)), (3, 3.0));
    assert_eq!(hours(&chunks).len(), 3);
    assert!(series.finish()?.is_empty());
    Ok(())
}

fn counter() -> impl Strategy<Value = Vec<(i64, f64)>> {
    prop::collection::vec((1..400_000i64, 0..20u32), 1..400).prop_map(|steps| {
        let (mut t, mut v) = (0, 0.0);
        steps
            .into_iter()
            .map(|(dt, dv)| {
                t += dt;
                v = if dv == 0 { 0.0 } else { v + f64::from(dv) };
                (t, v)
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn totals_and_growth_pass_every_level(samples in counter(), cut in 1..60usize) {
        let raw: Vec<&[(i64, f64)]> = samples.chunks(cut).collect();
        let chunks = five_minutes(&raw);
        let hour = hours(&chunks);
        let grown = samples.windows(2).map(|w| if w[1].1 < w[0].1 { w[1].1 } else { w[1].1 - w[0].1 });
        let grown: f64 = grown.sum();
        for level in [&chunks, &hour] {
            prop_assert_eq!(total(level), samples.len() as f64);
            prop_assert_eq!(counter_growth(level), grown);
            let sums = pairs(level, Aggr::Sum);
            prop_assert_eq!(sums.iter().map(|s| s.1).sum::<f64>(), samples.iter().map(|s| s.1).sum::<f64>());
            let (counts, mins, maxs) = (pairs(level, Aggr::Count), pairs(level, Aggr::Min), pairs(level, Aggr::Max));
            for i in 0..sums.len() {
                let average = sums[i].1 / counts[i].1;
                prop_assert!(mins[i].1 <= average && average <= maxs[i].1);
                prop_assert!(i == 0 || sums[i - 1].0 < sums[i].0);
            }
        }
        let data: Vec<_> = raw.iter().map(|s| xor(s)).collect();
        let raw = data.iter().map(|data| Chunk { encoding: Encoding::Xor, data });
        prop_assert_eq!(growth(raw), grown);
    }
}
