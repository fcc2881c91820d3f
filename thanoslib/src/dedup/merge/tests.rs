use super::*;
use crate::{
    chunk::{AGGREGATES, AggrChunk, XorAppender},
    downsample::CounterResets,
    model::{Aggr, FloatColumn, FloatHistogram, FloatHistogramColumn, SampleColumns, is_stale, stale_nan},
};

/// Start timestamp, time and value.
type Sample = (i64, i64, f64);

fn floats(format: ChunkFormat, samples: &[Sample]) -> EncodedChunk {
    let mut cutter = ChunkCutter::new(CutPolicy::default(), format);
    for (st, t, v) in samples {
        assert_eq!(cutter.append_float(*st, *t, *v).expect("ascends"), None);
    }
    cutter.finish().expect("samples")
}

fn xor(samples: &[Sample]) -> EncodedChunk {
    floats(ChunkFormat::default(), samples)
}

fn xor2(samples: &[Sample]) -> EncodedChunk {
    floats(ChunkFormat { xor2: true, ..ChunkFormat::default() }, samples)
}

fn histograms(samples: &[(i64, f64)]) -> EncodedChunk {
    let mut column = FloatHistogramColumn::default();
    let mut cutter = ChunkCutter::new(CutPolicy::default(), ChunkFormat::default());
    for (i, (t, count)) in samples.iter().enumerate() {
        column.push(*t, &FloatHistogram { count: *count, sum: 1.0, ..FloatHistogram::default() });
        assert_eq!(cutter.append_float_histogram(&column, i).expect("ascends"), None);
    }
    cutter.finish().expect("samples")
}

fn merge(algorithm: Algorithm, inputs: &[Vec<EncodedChunk>]) -> Result<Vec<EncodedChunk>> {
    let views: Vec<Vec<_>> =
        inputs.iter().map(|i| i.iter().map(|c| (c.interval, c.chunk())).collect()).collect();
    let views: Vec<&[_]> = views.iter().map(Vec::as_slice).collect();
    let mut out = Vec::new();
    ChunkMerge::new(algorithm, ChunkFormat::default()).merge(&views, &mut out)?;
    out.iter()
        .map(|c| {
            let (interval, chunk) = (c.interval(), c.chunk());
            let samples = chunk.num_samples()?;
            Ok(EncodedChunk { interval, encoding: chunk.encoding, samples, data: chunk.data.to_vec() })
        })
        .collect()
}

const BOTH: &[Algorithm] = &[Algorithm::Penalty, Algorithm::Chain];

/// Merges and compares the samples, values by their bits.
fn check(
    algorithms: &[Algorithm],
    inputs: &[Vec<EncodedChunk>],
    expected: &[Sample],
    encodings: &[Encoding],
) {
    for &algorithm in algorithms {
        let merged = merge(algorithm, inputs).expect("sound");
        let mut out = SampleColumns::default();
        for c in &merged {
            let from = out.floats.len();
            c.chunk().decode_into(&mut out).expect("sound");
            assert_eq!(
                (out.floats.ts[from], out.floats.ts.last()),
                (c.interval.mint, Some(&c.interval.maxt))
            );
        }
        let got = (0..out.floats.len())
            .map(|i| (out.floats.start(i), out.floats.ts[i], out.floats.vs[i].to_bits()));
        let want: Vec<_> = expected.iter().map(|(st, t, v)| (*st, *t, v.to_bits())).collect();
        assert_eq!(got.collect::<Vec<_>>(), want, "{algorithm:?}");
        assert_eq!(merged.iter().map(|c| c.encoding).collect::<Vec<_>>(), encodings, "{algorithm:?}");
    }
}

const MIN: i64 = i64::MIN;
const MAX: i64 = i64::MAX;

#[test]
fn a_chunk_stays_as_it_is_where_nothing_overlaps_and_is_there_once() {
    let (a, b) = (xor(&[(0, 1, 1.0), (0, 2, 2.0)]), xor2(&[(7, 3, 3.0)]));
    let inputs = [vec![a.clone(), b.clone()], vec![a.clone()], vec![b.clone()]];
    for &algorithm in BOTH {
        assert_eq!(merge(algorithm, &inputs).expect("sound"), [a.clone(), b.clone()]);
        assert_eq!(merge(algorithm, &[]).expect("sound"), []);
    }
}

#[test]
fn a_chunk_and_the_same_without_start_timestamps_are_one() {
    let samples: Vec<Sample> = (0..50i32).map(|i| (5, i64::from(i) * 15_000, f64::from(i))).collect();
    let plain: Vec<Sample> = samples.iter().map(|(_, t, v)| (0, *t, *v)).collect();
    check(BOTH, &[vec![xor(&plain)], vec![xor2(&samples)]], &samples, &[Encoding::Xor2]);
    check(BOTH, &[vec![xor2(&samples)], vec![xor(&plain)]], &samples, &[Encoding::Xor2]);
    check(BOTH, &[vec![xor(&plain)], vec![xor2(&samples)], vec![xor(&plain)]], &samples, &[Encoding::Xor2]);
    // One value differs: merged by time.
    let mut other = plain.clone();
    other[49].2 = -1.0;
    let merged = merge(Algorithm::Chain, &[vec![xor(&other)], vec![xor2(&samples)]]).expect("sound");
    assert_eq!(merged.iter().map(|c| c.samples).sum::<usize>(), 50);
}

#[test]
fn stale_marks_and_start_timestamps_survive() {
    let (stale, odd) = (stale_nan(), f64::from_bits(0x7ff8_0000_0000_0abc));
    let a = [(0, 10, 1.0), (0, 30, stale), (0, 50, odd)];
    let b = [(9, 60, -0.0), (9, 70, stale)];
    let bridge = [(0, 50, odd), (9, 60, -0.0)];
    let all = [(0, 10, 1.0), (0, 30, stale), (0, 50, odd), (9, 60, -0.0), (9, 70, stale)];
    let chain = &[Algorithm::Chain];
    check(chain, &[vec![xor(&a), xor2(&b)], vec![xor2(&bridge)]], &all, &[Encoding::Xor, Encoding::Xor2]);
    assert!(is_stale(stale));
}

#[test]
fn times_may_lie_at_the_ends() {
    let all = [(0, MIN, 1.0), (0, -1, 2.0), (0, MAX, 3.0)];
    check(BOTH, &[vec![xor(&all)], vec![xor(&all[..1]), xor(&all[2..])]], &all, &[Encoding::Xor]);
    check(
        BOTH,
        &[vec![xor(&all[..1])], vec![xor(&all[2..])]],
        &[all[0], all[2]],
        &[Encoding::Xor, Encoding::Xor],
    );
}

#[test]
fn a_series_that_becomes_histograms_keeps_both() {
    let (float, histogram) = (xor(&[(0, 0, 1.0), (0, 60, 2.0)]), histograms(&[(40, 1.0), (80, 2.0)]));
    for inputs in [[vec![float.clone()], vec![histogram.clone()]], [vec![histogram], vec![float]]] {
        for &algorithm in BOTH {
            let merged = merge(algorithm, &inputs).expect("sound");
            let kinds: Vec<_> = merged.iter().map(|c| (c.interval.mint, c.chunk().is_histogram())).collect();
            assert_eq!(kinds, [(0, false), (40, true), (60, false), (80, true)]);
        }
    }
}

#[test]
fn what_can_not_be_merged_is_an_error() {
    let sound = xor(&[(0, 1, 1.0), (0, 9, 1.0)]);
    let mut broken = sound.clone();
    broken.data.truncate(8);
    let mut aggregates = sound.clone();
    aggregates.encoding = Encoding::Aggr;
    for other in [broken, aggregates] {
        for &algorithm in BOTH {
            let e = merge(algorithm, &[vec![sound.clone()], vec![other.clone()]]).expect_err("an error");
            assert_eq!(e.kind(), crate::ErrorKind::Corrupt);
        }
    }
}

/// A downsampled counter: its windows of 5 (time, raw values), as the downsampler writes it.
fn counter(raw: &[(i64, f64)]) -> EncodedChunk {
    let (mut count, mut counter) = (XorAppender::new(), XorAppender::new());
    counter.append(raw[0].0, raw[0].1).expect("room");
    let (mut total, mut last) = (raw[0].1, raw[0].1);
    for (i, (t, v)) in raw.iter().enumerate() {
        total += if *v < last { *v } else { v - last };
        last = *v;
        if (i + 1) % 5 == 0 {
            count.append(*t, 5.0).expect("room");
            if i > 0 {
                counter.append(*t, total).expect("room");
            }
        }
    }
    counter.append(raw[raw.len() - 1].0, last).expect("room");
    let part = |appender: XorAppender| (Encoding::Xor, appender.into_bytes());
    let parts = [Some(part(count)), None, None, None, Some(part(counter))];
    let mut data = Vec::new();
    AggrChunk::encode(
        &parts.each_ref().map(|p| p.as_ref().map(|(encoding, data)| Chunk { encoding: *encoding, data })),
        &mut data,
    );
    let interval = Interval::new(raw[4].0, raw[raw.len() - 1].0);
    EncodedChunk { interval, encoding: Encoding::Aggr, samples: raw.len() / 5, data }
}

/// How much a downsampled counter grew, as readers see it.
fn increase(chunks: &[EncodedChunk]) -> f64 {
    let mut resets = CounterResets::default();
    let mut out = FloatColumn::default();
    for c in chunks {
        let part = AggrChunk::new(&c.data).get(Aggr::Counter).expect("a counter");
        let mut column = FloatColumn::default();
        part.decode_floats(&mut column).expect("sound");
        resets.floats(&column, &mut out);
        resets.next_chunk();
    }
    out.vs[out.len() - 1] - out.vs[0]
}

#[test]
fn downsampled_counters_keep_their_increase_over_a_change_of_replica() {
    // Grows by 1 a step and falls to 0 every 70 steps.
    let raw = |from: usize, to: usize, shift: i64| -> Vec<(i64, f64)> {
        (from..to).map(|i| (i as i64 * 1000 + shift, (i % 70) as f64)).collect()
    };
    let truth =
        |from: usize, to: usize| (from + 1..to).map(|i| if i % 70 == 0 { 0.0 } else { 1.0 }).sum::<f64>();
    // The first replica ends early, then begins anew; the other one goes through.
    let a = vec![counter(&raw(0, 100, 0)), counter(&raw(700, 1000, 0))];
    let b = vec![counter(&raw(0, 1000, 300))];
    for &algorithm in BOTH {
        let merged = merge(algorithm, &[a.clone(), b.clone()]).expect("sound");
        let windows: usize = merged.iter().map(|c| c.samples).sum();
        assert!(windows >= 195, "{windows} windows");
        assert!(merged.iter().all(|c| c.samples <= 120));
        let got = increase(&merged);
        assert!((got - truth(0, 1000)).abs() <= 2.0, "{algorithm:?}: {got}, want {}", truth(0, 1000));
        for c in &merged {
            assert!(AGGREGATES[1..4].iter().all(|a| AggrChunk::new(&c.data).get(*a).is_err()));
        }
    }
}
