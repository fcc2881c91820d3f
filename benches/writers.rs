//! Encoding float and histogram chunks, and merging the blocks of two replicas.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use thanoslib::{
    chunk::{
        Chunk, ChunkCutter, ChunkFormat, CutPolicy, EncodedChunk, HistogramAppender, HistogramKind,
        Xor2Appender, XorAppender,
    },
    dedup::{Algorithm, ChunkMerge},
    model::{FloatColumn, HistogramColumn, HistogramLayout, Interval, Span},
};

/// Samples in a chunk.
const SAMPLES: usize = 120;
/// Chunks in one round, so that branches can not be learnt from one of them.
const CHUNKS: usize = 64;
/// Buckets of a histogram.
const BUCKETS: usize = 24;

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// What a series holds: a value for each step, from the one before.
type Shape = (&'static str, i64, fn(f64, u64) -> f64);

/// Name, jitter of the times in ms, next value.
const SHAPES: [Shape; 6] = [
    ("constant", 0, |v, _| v),
    ("integer_counter", 0, |v, r| v + (r % 500) as f64),
    ("float_counter", 0, |v, r| v + (r % 100_000) as f64 / 1000.0),
    ("gauge_two_decimals", 0, |_, r| (r % 10_000) as f64 / 100.0),
    ("full_entropy", 0, |_, r| f64::from_bits(r)),
    ("jittered_counter", 40, |v, r| v + (r % 500) as f64),
];

fn floats(n: usize, shift_ms: i64, jitter_ms: i64, next: fn(f64, u64) -> f64) -> FloatColumn {
    let mut state = 0x9e37_79b9_7f4a_7c15;
    let (mut column, mut v) = (FloatColumn::default(), 1000.0);
    for i in 0..n as i64 {
        let jitter = (random(&mut state) % (2 * jitter_ms as u64 + 1)) as i64 - jitter_ms;
        v = next(v, random(&mut state));
        column.push(1_700_000_000_000 + i * 15_000 + shift_ms + jitter, v);
    }
    column
}

/// Histograms of one layout whose buckets grow.
fn histograms<K: HistogramKind>(
    n: usize,
    count: impl Fn(u64) -> K::Count,
    buckets: impl Fn(&[u64]) -> Vec<K>,
) -> HistogramColumn<K::Count, K> {
    let layout = HistogramLayout {
        schema: 3,
        zero_threshold: 0.5f64.powi(128),
        positive_spans: vec![Span { offset: 4, length: BUCKETS as u32 }],
        positive_len: BUCKETS,
        ..HistogramLayout::default()
    };
    let mut state = 0x9e37_79b9_7f4a_7c15;
    let (mut column, mut all) = (HistogramColumn::default(), vec![100u64; BUCKETS]);
    for i in 0..n as i64 {
        // Most observations fall into the middle buckets.
        for _ in 0..random(&mut state) % 40 {
            let r = random(&mut state) as usize;
            all[(r % BUCKETS + (r >> 20) % BUCKETS) / 2] += 1;
        }
        let sum = all.iter().sum::<u64>();
        let id = column.layout_id(&layout);
        column.ts.push(1_700_000_000_000 + i * 15_000);
        column.hints.push(Default::default());
        column.counts.push(count(sum));
        column.zero_counts.push(count(0));
        column.sums.push(sum as f64 * 0.37);
        column.layout_ids.push(id);
        column.buckets.extend(buckets(&all));
        column.bucket_ends.push(column.buckets.len() as u32);
    }
    column
}

fn encode(c: &mut Criterion) {
    for (name, jitter_ms, next) in SHAPES {
        let column = floats(SAMPLES * CHUNKS, 0, jitter_ms, next);
        let mut group = c.benchmark_group(format!("float_encode/{name}"));
        group.throughput(Throughput::Elements((SAMPLES * CHUNKS) as u64));
        group.bench_function("xor", |b| {
            b.iter(|| {
                let mut bytes = 0;
                for (ts, vs) in column.ts.chunks(SAMPLES).zip(column.vs.chunks(SAMPLES)) {
                    let mut appender = XorAppender::new();
                    appender.extend(ts, vs).expect("120 samples fit");
                    bytes += appender.bytes().len();
                }
                bytes
            });
        });
        group.bench_function("xor_one_by_one", |b| {
            b.iter(|| {
                let mut bytes = 0;
                for (ts, vs) in column.ts.chunks(SAMPLES).zip(column.vs.chunks(SAMPLES)) {
                    let mut appender = XorAppender::new();
                    for (t, v) in ts.iter().zip(vs) {
                        appender.append(*t, *v).expect("120 samples fit");
                    }
                    bytes += appender.bytes().len();
                }
                bytes
            });
        });
        group.bench_function("xor2", |b| {
            b.iter(|| {
                let mut bytes = 0;
                for (ts, vs) in column.ts.chunks(SAMPLES).zip(column.vs.chunks(SAMPLES)) {
                    let mut appender = Xor2Appender::new();
                    appender.extend(&[], ts, vs).expect("120 samples fit");
                    bytes += appender.bytes().len();
                }
                bytes
            });
        });
        group.finish();
    }
}

fn encode_histograms<K: HistogramKind>(c: &mut Criterion, name: &str, column: &HistogramColumn<K::Count, K>) {
    let mut group = c.benchmark_group("histogram_encode");
    group.throughput(Throughput::Elements(column.len() as u64));
    let mut appender = HistogramAppender::<K>::new(false);
    group.bench_function(name, |b| {
        b.iter(|| {
            let mut bytes = 0;
            for i in 0..column.len() {
                if i % SAMPLES == 0 {
                    bytes += appender.finish().len();
                }
                let _ = appender.append(column, i).expect("sound");
            }
            bytes
        });
    });
    group.finish();
}

fn cut(column: &FloatColumn) -> Vec<EncodedChunk> {
    let mut cutter = ChunkCutter::new(CutPolicy::default(), ChunkFormat::default());
    let mut chunks = Vec::new();
    cutter.append_floats(column, 0..column.len(), &mut chunks).expect("ascends");
    chunks.extend(cutter.finish());
    chunks
}

fn views(chunks: &[EncodedChunk]) -> Vec<(Interval, Chunk<'_>)> {
    chunks.iter().map(|c| (c.interval, c.chunk())).collect()
}

fn merge(c: &mut Criterion) {
    for (name, jitter_ms, next) in [SHAPES[1], SHAPES[2]] {
        // Two hours of two replicas that scrape every 15 s.
        let replicas = [0, 7000].map(|shift| cut(&floats(4 * SAMPLES, shift, jitter_ms, next)));
        let [a, b] = replicas.each_ref().map(|chunks| views(chunks));
        let mut group = c.benchmark_group(format!("vertical_merge/{name}"));
        group.throughput(Throughput::Elements(8 * SAMPLES as u64));
        for (algorithm, label) in [(Algorithm::Penalty, "penalty"), (Algorithm::Chain, "chain")] {
            let mut merge = ChunkMerge::new(algorithm, ChunkFormat::default());
            group.bench_function(label, |bench| {
                bench.iter(|| {
                    let mut out = Vec::new();
                    merge.merge(&[&a, &b], &mut out).expect("sound chunks");
                    out.len()
                });
            });
        }
        group.finish();
    }
}

fn bench(c: &mut Criterion) {
    encode(c);
    let ints = histograms::<i64>(
        SAMPLES * CHUNKS,
        |n| n,
        |all| {
            let before = [0].into_iter().chain(all.iter().copied());
            all.iter().zip(before).map(|(b, a)| *b as i64 - a as i64).collect()
        },
    );
    encode_histograms(c, "int", &ints);
    let floats =
        histograms::<f64>(SAMPLES * CHUNKS, |n| n as f64, |all| all.iter().map(|n| *n as f64).collect());
    encode_histograms(c, "float", &floats);
    merge(c);
}

criterion_group!(benches, bench);
criterion_main!(benches);
