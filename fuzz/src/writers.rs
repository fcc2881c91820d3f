//! What writes chunks: appenders, cutter, clipping, and the merge against a map.

use std::collections::BTreeMap;

use thanoslib::{
    chunk::{
        AggrChunk, Chunk, ChunkCutter, ChunkFormat, CutPolicy, EncodedChunk, Encoding, Xor2Appender,
        XorAppender, clip,
    },
    dedup::{Algorithm, ChunkMerge},
    model::{
        CounterReset, FloatColumn, FloatHistogram, FloatHistogramColumn, Histogram, IntHistogramColumn,
        Interval, Span, is_stale, stale_nan,
    },
};

/// Numbers from bytes; zeros at the end.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn ended(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Mostly a small number, sometimes any.
    fn number(&mut self) -> i64 {
        match self.byte() {
            0xff => (0..8).fold(0, |n, _| n << 8 | i64::from(self.byte())),
            0xfe => i64::MIN,
            0xfd => i64::MAX,
            0xfc => 15_000,
            small => i64::from(small as i8),
        }
    }

    /// Mostly a whole number, sometimes any bits.
    fn float(&mut self) -> f64 {
        match self.byte() {
            0xff => f64::from_bits((0..8).fold(0, |n, _| n << 8 | u64::from(self.byte()))),
            0xfe => stale_nan(),
            0xfd => -0.0,
            0xfc => f64::NAN,
            whole => f64::from(whole) / 4.0,
        }
    }

    /// A time after `last`, if there is one.
    fn after(&mut self, last: Option<i64>) -> Option<i64> {
        match (last, self.number()) {
            (None, t) => Some(t),
            (Some(last), step) => last.checked_add(step.unsigned_abs().try_into().unwrap_or(i64::MAX).max(1)),
        }
    }
}

/// Floats with any times: what is written is read.
pub fn append_floats(data: &[u8]) {
    let mut script = Script(data);
    let reopen = script.byte();
    let (mut xor, mut xor2, mut want) = (XorAppender::new(), Xor2Appender::new(), FloatColumn::default());
    while !script.ended() && want.len() < 1000 {
        let (st, t, v) = (script.number(), script.number(), script.float());
        if want.len() == usize::from(reopen) {
            xor = XorAppender::reopen(xor.into_bytes()).expect("what was written decodes");
            xor2 = Xor2Appender::reopen(xor2.into_bytes()).expect("what was written decodes");
        }
        xor.append(t, v).expect("room");
        xor2.append(st, t, v).expect("room");
        want.push_st(st, t, v);
    }
    for (encoding, data) in [(Encoding::Xor, xor.bytes()), (Encoding::Xor2, xor2.bytes())] {
        let mut got = FloatColumn::default();
        assert_eq!(Chunk { encoding, data }.decode_floats(&mut got), Ok(()));
        let bits = |c: &FloatColumn| c.vs.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!((&got.ts, bits(&got)), (&want.ts, bits(&want)));
        if encoding == Encoding::Xor2 {
            assert!((0..want.len()).all(|i| got.start(i) == want.start(i)));
        }
    }
}

/// A sample of any kind.
#[derive(Clone, Debug)]
enum Value {
    Float(f64),
    Int(Histogram),
    FloatHistogram(FloatHistogram),
}

/// What must survive writing: numbers by their bits, buckets that are not empty with their index.
#[derive(Clone, Debug, PartialEq)]
enum Kept {
    Float(u64),
    Stale,
    Int {
        gauge: bool,
        schema: i32,
        edge: u64,
        numbers: [u64; 3],
        buckets: [Vec<(i64, i64)>; 2],
        bounds: Vec<u64>,
    },
    FloatHistogram {
        gauge: bool,
        schema: i32,
        edge: u64,
        numbers: [u64; 3],
        buckets: [Vec<(i64, u64)>; 2],
        bounds: Vec<u64>,
    },
}

fn indexes(spans: &[Span]) -> Vec<i64> {
    let mut next = 0;
    let mut all = Vec::new();
    for span in spans {
        next += i64::from(span.offset);
        all.extend(next..next + i64::from(span.length));
        next += i64::from(span.length);
    }
    all
}

fn ints(spans: &[Span], deltas: &[i64]) -> Vec<(i64, i64)> {
    let absolute = deltas.iter().scan(0i64, |sum, delta| {
        *sum = sum.wrapping_add(*delta);
        Some(*sum)
    });
    indexes(spans).into_iter().zip(absolute).filter(|(_, v)| *v != 0).collect()
}

fn floats(spans: &[Span], values: &[f64]) -> Vec<(i64, u64)> {
    indexes(spans)
        .into_iter()
        .zip(values)
        .filter(|(_, v)| **v != 0.0)
        .map(|(i, v)| (i, v.to_bits()))
        .collect()
}

/// Bits of a number that may be written as 0 whatever its sign.
fn unsigned_zero(v: f64) -> u64 {
    if v == 0.0 { 0 } else { v.to_bits() }
}

fn kept(value: &Value) -> Kept {
    let gauge = |hint| hint == CounterReset::Gauge;
    let bounds = |values: &[f64]| values.iter().map(|v| unsigned_zero(*v)).collect();
    match value {
        Value::Float(v) => Kept::Float(v.to_bits()),
        Value::Int(h) if is_stale(h.sum) => Kept::Stale,
        Value::FloatHistogram(h) if is_stale(h.sum) => Kept::Stale,
        Value::Int(h) => Kept::Int {
            gauge: gauge(h.hint),
            schema: h.schema,
            edge: unsigned_zero(h.zero_threshold),
            numbers: [h.count, h.zero_count, h.sum.to_bits()],
            buckets: [
                ints(&h.positive_spans, &h.positive_deltas),
                ints(&h.negative_spans, &h.negative_deltas),
            ],
            bounds: bounds(&h.custom_values),
        },
        Value::FloatHistogram(h) => Kept::FloatHistogram {
            gauge: gauge(h.hint),
            schema: h.schema,
            edge: unsigned_zero(h.zero_threshold),
            numbers: [h.count.to_bits(), h.zero_count.to_bits(), h.sum.to_bits()],
            buckets: [
                floats(&h.positive_spans, &h.positive_buckets),
                floats(&h.negative_spans, &h.negative_buckets),
            ],
            bounds: bounds(&h.custom_values),
        },
    }
}

fn spans(script: &mut Script<'_>) -> (Vec<Span>, usize) {
    let mut spans = Vec::new();
    for _ in 0..script.byte() % 4 {
        let offset = match script.byte() {
            0xff => i32::MAX,
            0xfe => -1,
            n => i32::from(n % 5),
        };
        spans.push(Span { offset, length: u32::from(script.byte() % 4) });
    }
    let buckets = spans.iter().map(|s| s.length as usize).sum();
    (spans, buckets)
}

fn value(script: &mut Script<'_>) -> Value {
    let kind = script.byte();
    let hint = match kind >> 4 {
        0 => CounterReset::Reset,
        1 => CounterReset::NotReset,
        2 | 3 => CounterReset::Gauge,
        _ => CounterReset::Unknown,
    };
    let schema = if kind & 8 == 0 { [0, 1, -4, 8][usize::from(script.byte() % 4)] } else { -53 };
    let custom_values =
        if schema == -53 { (0..script.byte() % 3).map(|_| script.float()).collect() } else { Vec::new() };
    let zero_threshold = [0.0, 0.5f64.powi(128), 0.001, -0.0][usize::from(script.byte() % 4)];
    match kind & 3 {
        0 | 1 => Value::Float(script.float()),
        2 => {
            let (count, zero_count, sum) = (script.number() as u64, script.number() as u64, script.float());
            let (positive_spans, n) = spans(script);
            let positive_deltas = (0..n).map(|_| script.number()).collect();
            let (negative_spans, n) = spans(script);
            let negative_deltas = (0..n).map(|_| script.number()).collect();
            Value::Int(Histogram {
                hint,
                schema,
                zero_threshold,
                zero_count,
                count,
                sum,
                positive_spans,
                negative_spans,
                positive_deltas,
                negative_deltas,
                custom_values,
            })
        }
        _ => {
            let (count, zero_count, sum) = (script.float(), script.float(), script.float());
            let (positive_spans, n) = spans(script);
            let positive_buckets = (0..n).map(|_| script.float()).collect();
            let (negative_spans, n) = spans(script);
            let negative_buckets = (0..n).map(|_| script.float()).collect();
            Value::FloatHistogram(FloatHistogram {
                hint,
                schema,
                zero_threshold,
                zero_count,
                count,
                sum,
                positive_spans,
                negative_spans,
                positive_buckets,
                negative_buckets,
                custom_values,
            })
        }
    }
}

fn append(
    cutter: &mut ChunkCutter,
    st: i64,
    t: i64,
    value: &Value,
) -> thanoslib::Result<Option<EncodedChunk>> {
    match value {
        Value::Float(v) => cutter.append_float(st, t, *v),
        Value::Int(h) => {
            let mut column = IntHistogramColumn::default();
            column.push(t, h);
            column.set_last_start(st);
            cutter.append_int_histogram(&column, 0)
        }
        Value::FloatHistogram(h) => {
            let mut column = FloatHistogramColumn::default();
            column.push(t, h);
            column.set_last_start(st);
            cutter.append_float_histogram(&column, 0)
        }
    }
}

/// Start timestamp, time and value of every sample of chunks.
fn read(chunks: &[EncodedChunk]) -> Vec<(i64, i64, Kept)> {
    let mut all = Vec::new();
    for c in chunks {
        let from = all.len();
        match c.encoding {
            Encoding::Histogram | Encoding::HistogramSt => {
                let mut column = IntHistogramColumn::default();
                assert_eq!(c.chunk().decode_int_histograms(&mut column), Ok(()));
                all.extend(
                    (0..column.len())
                        .map(|i| (column.start(i), column.ts[i], kept(&Value::Int(column.get(i))))),
                );
            }
            Encoding::FloatHistogram | Encoding::FloatHistogramSt => {
                let mut column = FloatHistogramColumn::default();
                assert_eq!(c.chunk().decode_float_histograms(&mut column), Ok(()));
                all.extend(
                    (0..column.len()).map(|i| {
                        (column.start(i), column.ts[i], kept(&Value::FloatHistogram(column.get(i))))
                    }),
                );
            }
            _ => {
                let mut column = FloatColumn::default();
                assert_eq!(c.chunk().decode_floats(&mut column), Ok(()));
                all.extend(
                    (0..column.len())
                        .map(|i| (column.start(i), column.ts[i], kept(&Value::Float(column.vs[i])))),
                );
            }
        }
        assert_eq!(all.len() - from, c.samples);
        assert_eq!((all[from].1, all[all.len() - 1].1), (c.interval.mint, c.interval.maxt));
    }
    all
}

/// Samples of any kinds through the cutter: all come out, in chunks that the policy allows.
pub fn cut(data: &[u8]) {
    let mut script = Script(data);
    let head = script.byte();
    let policy = match head & 3 {
        0 => CutPolicy::Samples(usize::from(head >> 4)),
        1 => CutPolicy::default(),
        _ => CutPolicy::Head { range_ms: script.number(), samples: usize::from(head >> 2) },
    };
    let format = ChunkFormat { xor2: head & 4 != 0, histogram_st: head & 8 != 0 };
    let mut cutter = ChunkCutter::new(policy, format);
    let (mut chunks, mut want, mut last) = (Vec::new(), Vec::new(), None);
    while !script.ended() && want.len() < 300 {
        let Some(t) = script.after(last) else { break };
        let (st, value) = (script.number(), value(&mut script));
        chunks.extend(append(&mut cutter, st, t, &value).expect("times ascend"));
        assert!(append(&mut cutter, st, t, &value).is_err(), "the same time again");
        want.push((st, t, kept(&value)));
        last = Some(t);
    }
    chunks.extend(cutter.finish());
    assert_eq!(read(&chunks), want);
    if let CutPolicy::Samples(most) = policy {
        assert!(chunks.iter().all(|c| c.samples <= most.max(1)));
    }
    // Without the middle of it.
    if let [.., (_, last, _)] = want[..] {
        let middle = want[want.len() / 2].1;
        let gone = [Interval::new(middle, last.saturating_sub(1).max(middle))];
        let left: Vec<_> = chunks.iter().filter_map(|c| clip(c.chunk(), &gone).expect("sound")).collect();
        want.retain(|(_, t, _)| !gone[0].contains(*t));
        assert_eq!(read(&left), want);
    }
}

/// Several blocks with a series: chained, every time is there once with a value that one of
/// them has; by penalty, times ascend and the values are there too.
pub fn chunk_merge(data: &[u8]) {
    let mut script = Script(data);
    let head = script.byte();
    let blocks = usize::from(head % 4) + 1;
    let most = usize::from(head >> 4) + 1;
    let mut model: BTreeMap<i64, Vec<(i64, Kept)>> = BTreeMap::new();
    let mut inputs: Vec<Vec<EncodedChunk>> = Vec::new();
    for block in 0..blocks {
        let mut cutter = ChunkCutter::new(CutPolicy::Samples(most), ChunkFormat::default());
        let (mut chunks, mut last) = (Vec::new(), None);
        for _ in 0..script.byte() % 40 {
            let Some(t) = script.after(last) else { break };
            let st = if head & 8 == 0 { 0 } else { script.number() };
            let value =
                if block == 3 || head & 4 == 0 { Value::Float(script.float()) } else { value(&mut script) };
            chunks.extend(append(&mut cutter, st, t, &value).expect("times ascend"));
            model.entry(t).or_default().push((st, kept(&value)));
            last = Some(t);
        }
        chunks.extend(cutter.finish());
        inputs.push(chunks);
    }
    for algorithm in [Algorithm::Chain, Algorithm::Penalty] {
        let merged = read(&merge(algorithm, &inputs).expect("sound chunks"));
        assert!(merged.is_sorted_by(|a, b| a.1 < b.1));
        for (st, t, v) in &merged {
            assert!(model[t].contains(&(*st, v.clone())), "no block has {v:?} at {t}");
        }
        if algorithm == Algorithm::Chain || blocks == 1 {
            assert_eq!(merged.len(), model.len());
        }
        assert_eq!(merged.is_empty(), model.is_empty());
    }
}

fn merge(algorithm: Algorithm, inputs: &[Vec<EncodedChunk>]) -> thanoslib::Result<Vec<EncodedChunk>> {
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

/// Overlapping chunks of any bytes, downsampled ones too: merged or an error.
pub fn merge_any(data: &[u8]) {
    let Some(([kind, at], rest)) = data.split_first_chunk() else { return };
    let (a, b) = rest.split_at((*at as usize * 2).min(rest.len()));
    let encoding = |n: u8| Encoding::from_u8(n % 8).unwrap_or(Encoding::Aggr);
    let (mut wrapped, interval) = (Vec::new(), Interval::new(0, 1));
    let part = |data| Some(Chunk { encoding: encoding(*kind), data });
    AggrChunk::encode(&[part(a), part(b), None, part(a), part(b)], &mut wrapped);
    let made =
        |encoding, data: &[u8]| vec![EncodedChunk { interval, encoding, samples: 0, data: data.to_vec() }];
    for inputs in [
        [made(encoding(*kind), a), made(encoding(kind >> 4), b)],
        [made(Encoding::Aggr, &wrapped), made(Encoding::Aggr, a)],
        [made(Encoding::Aggr, &wrapped), made(Encoding::Aggr, &[&wrapped[..], &[0]].concat())],
    ] {
        for algorithm in [Algorithm::Chain, Algorithm::Penalty] {
            let _ = merge(algorithm, &inputs);
        }
        for chunk in inputs.iter().flatten() {
            let _ = clip(chunk.chunk(), &[Interval::new(3, i64::MAX)]);
        }
    }
}
