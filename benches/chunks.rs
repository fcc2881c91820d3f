//! Decoding XOR chunks, beside the bare cost of moving the decoded columns.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use thanoslib::{
    chunk::{XorAppender, XorDecoder},
    series::FloatColumn,
};

/// Samples in a chunk.
const SAMPLES: usize = 120;
/// Chunks in one round, so that branches can not be learnt from one of them.
const CHUNKS: usize = 64;

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

fn chunks(jitter_ms: i64, next: fn(f64, u64) -> f64) -> Vec<Vec<u8>> {
    let mut state = 0x9e37_79b9_7f4a_7c15;
    (0..CHUNKS)
        .map(|_| {
            let mut appender = XorAppender::new();
            let mut v = 1000.0;
            for i in 0..SAMPLES as i64 {
                let jitter = (random(&mut state) % (2 * jitter_ms as u64 + 1)) as i64 - jitter_ms;
                v = next(v, random(&mut state));
                appender.append(1_700_000_000_000 + i * 15_000 + jitter, v).expect("120 samples fit");
            }
            appender.into_bytes()
        })
        .collect()
}

fn decode(chunks: &[Vec<u8>], out: &mut FloatColumn) {
    out.clear();
    for data in chunks {
        let left = XorDecoder::new(data).and_then(|mut d| d.fill(out, usize::MAX));
        assert_eq!(left, Ok(0));
    }
}

fn bench(c: &mut Criterion) {
    for (name, jitter_ms, next) in SHAPES {
        let chunks = chunks(jitter_ms, next);
        let mut out = FloatColumn::default();
        decode(&chunks, &mut out);
        let whole = out.clone();
        let mut group = c.benchmark_group(format!("xor_decode/{name}"));
        group.throughput(Throughput::Elements((SAMPLES * CHUNKS) as u64));
        group.bench_function("decode", |b| b.iter(|| decode(&chunks, &mut out)));
        group.bench_function("bare_copy", |b| {
            b.iter(|| {
                out.clear();
                for i in (0..whole.len()).step_by(SAMPLES) {
                    out.ts.extend_from_slice(&whole.ts[i..i + SAMPLES]);
                    out.vs.extend_from_slice(&whole.vs[i..i + SAMPLES]);
                }
            });
        });
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
