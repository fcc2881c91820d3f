//! Seeded inputs: the shapes that series have in the field.

use thanoslib::{
    chunk::XorAppender,
    model::{FloatColumn, Labels},
};

/// The seed of every input.
pub(crate) const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
/// The time of the first sample, in ms.
pub(crate) const START_MS: i64 = 1_700_006_400_000;
/// The time between two samples, in ms.
pub(crate) const STEP_MS: i64 = 15_000;
/// Samples in a chunk.
pub(crate) const CHUNK: usize = 120;

/// Xorshift.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(salt: u64) -> Self {
        Self(SEED ^ salt.wrapping_mul(0xbf58_476d_1ce4_e5b9))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// What a series holds: a value for each step, from the one before.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// Greatest distance of a time from its step, in ms.
    jitter_ms: i64,
    next: fn(f64, u64) -> f64,
}

/// Every shape.
pub(crate) const SHAPES: [Shape; 6] = [
    Shape { name: "constant", jitter_ms: 0, next: |v, _| v },
    Shape { name: "integer_counter", jitter_ms: 0, next: |v, r| v + (r % 500) as f64 },
    Shape { name: "float_counter", jitter_ms: 0, next: |v, r| v + (r % 100_000) as f64 / 1000.0 },
    Shape { name: "gauge_two_decimals", jitter_ms: 0, next: |_, r| (r % 10_000) as f64 / 100.0 },
    // The top bit of the exponent is cleared, so that no value is a NaN.
    Shape { name: "full_entropy", jitter_ms: 0, next: |_, r| f64::from_bits(r & !(1 << 62)) },
    Shape { name: "jittered_counter", jitter_ms: 40, next: |v, r| v + (r % 500) as f64 },
];

/// `samples` samples of a shape.
pub(crate) fn floats(shape: Shape, salt: u64, samples: usize) -> FloatColumn {
    floats_from(shape, salt, samples, START_MS)
}

/// The same with another time of the first sample.
pub(crate) fn floats_from(shape: Shape, salt: u64, samples: usize, start_ms: i64) -> FloatColumn {
    let mut random = Random::new(salt);
    let mut out = FloatColumn::default();
    let mut v = 1000.0;
    for i in 0..samples as i64 {
        let jitter = random.below(2 * shape.jitter_ms as u64 + 1) as i64 - shape.jitter_ms;
        v = (shape.next)(v, random.next());
        out.push(start_ms + i * STEP_MS + jitter, v);
    }
    out
}

/// XOR chunks of 120 samples each.
pub(crate) fn xor_chunks(column: &FloatColumn) -> Vec<Vec<u8>> {
    column.ts.chunks(CHUNK).zip(column.vs.chunks(CHUNK)).map(|(ts, vs)| xor_chunk(ts, vs)).collect()
}

/// One XOR chunk.
pub(crate) fn xor_chunk(ts: &[i64], vs: &[f64]) -> Vec<u8> {
    let mut appender = XorAppender::new();
    for (t, v) in ts.iter().zip(vs) {
        appender.append(*t, *v).expect("a chunk holds more");
    }
    appender.into_bytes()
}

/// Labels as a scrape of many pods gives them; ascending in `i`.
pub(crate) fn labels(i: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", "http_requests_total".to_owned()),
        ("cluster", "eu-west-1".to_owned()),
        ("container", format!("frontend-{i:07}")),
        ("instance", format!("10.{}.{}.{}:8080", i / 2000 % 250, i / 20 % 100, i % 7)),
        ("job", "frontend".to_owned()),
        ("namespace", format!("team-{}", i % 13)),
        ("status", ["200", "404", "500"][i % 3].to_owned()),
    ])
}
