//! Raw samples to windows of five minutes, and those to windows of an hour.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use thanoslib::{
    downsample::{AggrChunks, AggrDownsampler, RawDownsampler},
    series::{FloatColumn, FloatHistogramColumn},
};

/// Two days of samples, 15 s apart.
const SAMPLES: i64 = 2 * 24 * 240;

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// What a series holds: a value for each step, from the one before.
type Shape = (&'static str, fn(f64, u64) -> f64);

const SHAPES: [Shape; 4] = [
    ("constant", |v, _| v),
    ("integer_counter", |v, r| if r % 1000 == 0 { 0.0 } else { v + (r % 500) as f64 }),
    ("float_counter", |v, r| v + (r % 100_000) as f64 / 1000.0),
    ("gauge_two_decimals", |_, r| (r % 10_000) as f64 / 100.0),
];

fn series(next: fn(f64, u64) -> f64) -> FloatColumn {
    let (mut state, mut v) = (0x9e37_79b9_7f4a_7c15, 1000.0);
    let mut out = FloatColumn::default();
    for i in 0..SAMPLES {
        v = next(v, random(&mut state));
        out.push(1_700_000_000_000 + i * 15_000, v);
    }
    out
}

fn histograms() -> FloatHistogramColumn {
    use thanoslib::model::{CounterReset, FloatHistogram, Span};
    let mut state = 0x9e37_79b9_7f4a_7c15;
    let mut h = FloatHistogram {
        schema: 3,
        zero_threshold: 1e-128,
        positive_spans: vec![Span { offset: -20, length: 40 }],
        positive_buckets: vec![0.0; 40],
        ..FloatHistogram::default()
    };
    let mut out = FloatHistogramColumn::default();
    for i in 0..SAMPLES / 4 {
        for _ in 0..20 {
            h.positive_buckets[(random(&mut state) % 40) as usize] += 1.0;
        }
        h.count += 20.0;
        h.sum += (random(&mut state) % 1000) as f64;
        h.hint = if i % 120 == 0 { CounterReset::Unknown } else { CounterReset::NotReset };
        out.push(1_700_000_000_000 + i * 60_000, &h);
    }
    out
}

fn bench(c: &mut Criterion) {
    let mut raw = RawDownsampler::new(300_000).expect("a length");
    let mut aggr = AggrDownsampler::new(300_000, 3_600_000).expect("lengths");
    let (mut out, mut hours) = (AggrChunks::default(), AggrChunks::default());
    for (name, next) in SHAPES {
        let series = series(next);
        let mut group = c.benchmark_group(format!("downsample/{name}"));
        group.throughput(Throughput::Elements(SAMPLES as u64));
        group.bench_function("raw_5m", |b| {
            b.iter(|| {
                out.clear();
                raw.floats(&series.ts, &series.vs, &mut out).expect("in order");
                raw.finish(&mut out).expect("sound");
            });
        });
        // The throughput is that of raw samples here too.
        group.bench_function("5m_1h", |b| {
            b.iter(|| {
                hours.clear();
                for (interval, chunk) in out.iter() {
                    aggr.chunk(interval, chunk, &mut hours).expect("sound");
                }
                aggr.finish(&mut hours).expect("sound");
            });
        });
        group.finish();
    }
    let column = histograms();
    let mut group = c.benchmark_group("downsample/histograms_of_40_buckets");
    group.throughput(Throughput::Elements(column.len() as u64));
    group.bench_function("raw_5m", |b| {
        b.iter(|| {
            out.clear();
            raw.histograms(&column, &mut out).expect("in order");
            raw.finish(&mut out).expect("sound");
        });
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
