//! A slow evaluator of a part of PromQL, step by step over plain samples, beside the engine.
//!
//! Bytes choose series and an expression. The engine must give what the model gives, and the very same
//! bits for any number of workers, any size of frames, any store, any cut of samples into chunks and
//! batches, identical replicas, and with or without rewritten plans.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use crate::cuts;
use futures::{StreamExt, TryStreamExt, stream};
use thanoslib::{
    Context, Engine, EngineOptions, Labels, MemoryStore, Pool, QueryValue, RangeQuery, Result, SelectOptions,
    StoreQueryable, Value,
    budget::Budget,
    model::{is_stale, stale_nan},
    promql::{Queryable, Select, SelectFrame, SelectStream, parse},
    runtime::{Compute, Inline},
    testing::MemoryQueryable,
};

const START_MS: i64 = 1_200_000;
const STEP_MS: i64 = 70_000;
const STEPS: i64 = 7;
const LOOKBACK_MS: i64 = 300_000;
/// Relative difference of floats that were not added in the same order.
const TOLERANCE: f64 = 1e-9;

/// Labels in order, the name among them.
type Key = Vec<(String, String)>;
type Vector = BTreeMap<Key, f64>;

/// The query fails.
#[derive(Debug)]
struct Fails;

/// Decisions taken from bytes; zeros when they run out.
struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Choices<'_> {
    fn pick(&mut self, n: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or(0)) % n
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.pick(all.len())]
    }
}

/// Samples of every series.
type Data = BTreeMap<Key, Vec<(i64, f64)>>;

fn data(choices: &mut Choices<'_>, levels: usize) -> Data {
    let mut data = Data::new();
    // More series than a job takes, rarely.
    let count = if levels < 2 { choices.of(&[4, 6, 9, 12, 4, 6, 9, 270]) } else { choices.of(&[4, 6, 9]) };
    let (gap, slope, wrap) =
        (choices.pick(9) as i64 + 3, choices.pick(50) as i64, choices.pick(40) as i64 + 5);
    for metric in ["x", "y"] {
        for i in 0..count {
            let mut key: Key = vec![
                ("__name__".into(), metric.into()),
                ("a".into(), (i % 3).to_string()),
                ("i".into(), format!("{i:03}")),
            ];
            if i % 4 != 1 {
                key.insert(2, ("b".into(), (i % 2).to_string()));
            }
            let shift = choices.pick(20) as i64 * 1000;
            let samples = (0..60i64).filter(|n| (n + i) % gap != 0).map(|n| {
                let v = if (n + 3 * i) % 17 == 0 { stale_nan() } else { ((n * slope + i * 7) % wrap) as f64 };
                (n * 30_000 + shift, v)
            });
            data.insert(key, samples.collect());
        }
    }
    data
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Op {
    Add,
    Sub,
    Mul,
    Greater,
    Equal,
    And,
    Unless,
}

impl Op {
    fn text(self) -> &'static str {
        match self {
            Op::Add => "+",
            Op::Sub => "-",
            Op::Mul => "*",
            Op::Greater => ">",
            Op::Equal => "==",
            Op::And => "and",
            Op::Unless => "unless",
        }
    }

    fn compares(self) -> bool {
        matches!(self, Op::Greater | Op::Equal)
    }

    /// The value of two, if there is one.
    fn apply(self, l: f64, r: f64) -> Option<f64> {
        match self {
            Op::Add => Some(l + r),
            Op::Sub => Some(l - r),
            Op::Mul => Some(l * r),
            Op::Greater => (l > r).then_some(l),
            Op::Equal => (l == r).then_some(l),
            Op::And | Op::Unless => None,
        }
    }
}

#[derive(Debug)]
enum Tree {
    Select { metric: &'static str, a: Option<i64>, offset: i64 },
    Range { function: &'static str, of: Box<Tree>, range: i64 },
    Subquery { function: &'static str, of: Box<Tree>, range: i64, step: i64 },
    Aggregate { op: &'static str, by: Option<(bool, &'static str)>, of: Box<Tree> },
    Negate(Box<Tree>),
    WithScalar { op: Op, of: Box<Tree>, number: i64 },
    Join { op: Op, on: Option<&'static str>, lhs: Box<Tree>, rhs: Box<Tree> },
    Or { lhs: Box<Tree>, rhs: Box<Tree> },
}

const FUNCTIONS: &[&str] = &[
    "rate",
    "increase",
    "delta",
    "count_over_time",
    "sum_over_time",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "last_over_time",
    "changes",
    "resets",
];

impl Tree {
    fn new(choices: &mut Choices<'_>, levels: usize) -> Self {
        let kind = if levels == 0 { choices.pick(2) } else { choices.pick(9) };
        let below = |choices: &mut Choices<'_>| Box::new(Self::new(choices, levels - 1));
        match kind {
            0 => Self::select(choices),
            1 | 2 => {
                let (function, range) = (choices.of(FUNCTIONS), choices.of(&[60_000, 150_000, 600_000]));
                Self::Range { function, of: Box::new(Self::select(choices)), range }
            }
            3 => {
                let function = choices.of(&FUNCTIONS[3..]);
                let (range, step) = (choices.of(&[120_000, 300_000]), choices.of(&[30_000, 45_000]));
                let of = below(choices);
                // They tell values apart, and those of the model are rounded otherwise.
                let compares = ["changes", "resets"].contains(&function);
                let function = if compares && !of.is_exact() { "max_over_time" } else { function };
                Self::Subquery { function, of, range, step }
            }
            4 | 5 => {
                let op = choices.of(&["sum", "count", "min", "max", "avg"]);
                let by = choices.of(&[None, Some((true, "a")), Some((true, "b")), Some((false, "i"))]);
                let of = match choices.pick(6) {
                    0 => Box::new(Self::Or { lhs: below(choices), rhs: below(choices) }),
                    _ => below(choices),
                };
                Self::Aggregate { op, by, of }
            }
            6 => Self::Negate(below(choices)),
            7 => {
                let of = below(choices);
                let op = choices.of(&[Op::Add, Op::Sub, Op::Mul, Op::Greater, Op::Equal]);
                let op = if of.is_exact() || !op.compares() { op } else { Op::Add };
                Self::WithScalar { op, of, number: choices.pick(30) as i64 }
            }
            _ => {
                let (lhs, rhs) = (below(choices), below(choices));
                let op =
                    choices.of(&[Op::Add, Op::Sub, Op::Mul, Op::Greater, Op::Equal, Op::And, Op::Unless]);
                let exact = lhs.is_exact() && rhs.is_exact();
                let op = if exact || !op.compares() { op } else { Op::Sub };
                Self::Join { op, on: choices.of(&[None, Some("i"), Some("a")]), lhs, rhs }
            }
        }
    }

    fn select(choices: &mut Choices<'_>) -> Self {
        let a = choices.of(&[None, None, Some(0), Some(1)]);
        Self::Select { metric: choices.of(&["x", "y"]), a, offset: choices.of(&[0, 0, 60_000, 420_000]) }
    }

    /// True when no rounding takes part, so that values may be compared.
    fn is_exact(&self) -> bool {
        match self {
            Self::Select { .. } => true,
            Self::Range { function, of, .. } | Self::Subquery { function, of, .. } => {
                !["rate", "increase", "delta", "avg_over_time"].contains(function) && of.is_exact()
            }
            Self::Aggregate { op, of, .. } => *op != "avg" && of.is_exact(),
            Self::Negate(of) | Self::WithScalar { of, .. } => of.is_exact(),
            Self::Join { lhs, rhs, .. } | Self::Or { lhs, rhs } => lhs.is_exact() && rhs.is_exact(),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Select { .. } => self.selector(""),
            Self::Range { function, of, range } => {
                format!("{function}({})", of.selector(&format!("[{range}ms]")))
            }
            Self::Subquery { function, of, range, step } => {
                format!("{function}(({})[{range}ms:{step}ms])", of.text())
            }
            Self::Aggregate { op, by, of } => match by {
                None => format!("{op}({})", of.text()),
                Some((true, label)) => format!("{op} by ({label}) ({})", of.text()),
                Some((false, label)) => format!("{op} without ({label}) ({})", of.text()),
            },
            Self::Negate(of) => format!("-({})", of.text()),
            Self::WithScalar { op, of, number } => format!("({}) {} {number}", of.text(), op.text()),
            Self::Join { op, on, lhs, rhs } => {
                let on = on.map(|label| format!("on ({label})")).unwrap_or_default();
                format!("({}) {} {on} ({})", lhs.text(), op.text(), rhs.text())
            }
            Self::Or { lhs, rhs } => format!("({}) or ({})", lhs.text(), rhs.text()),
        }
    }

    fn selector(&self, range: &str) -> String {
        let Self::Select { metric, a, offset } = self else { return self.text() };
        let matcher = a.map(|a| format!("{{a=\"{a}\"}}")).unwrap_or_default();
        let offset = if *offset == 0 { String::new() } else { format!(" offset {offset}ms") };
        format!("{metric}{matcher}{range}{offset}")
    }

    /// The samples after `end_ms - range` up to it, of each series.
    fn window(&self, data: &Data, end_ms: i64, range: i64) -> BTreeMap<Key, Vec<(i64, f64)>> {
        let Self::Select { metric, a, offset } = self else { return BTreeMap::new() };
        let end_ms = end_ms - offset;
        let wanted = |key: &Key| {
            let is = |name: &str, value: &str| key.iter().any(|(n, v)| n == name && v == value);
            is("__name__", metric) && a.is_none_or(|a| is("a", &a.to_string()))
        };
        let inside = |samples: &[(i64, f64)]| {
            samples.iter().filter(|(t, _)| end_ms - range < *t && *t <= end_ms).copied().collect()
        };
        data.iter().filter(|(key, _)| wanted(key)).map(|(key, s)| (key.clone(), inside(s))).collect()
    }

    /// The value at one time.
    fn at(&self, data: &Data, t_ms: i64) -> std::result::Result<Vector, Fails> {
        match self {
            Self::Select { .. } => {
                let newest = |(key, samples): (Key, Vec<(i64, f64)>)| {
                    samples.last().filter(|(_, v)| !is_stale(*v)).map(|(_, v)| (key, *v))
                };
                Ok(self.window(data, t_ms, LOOKBACK_MS).into_iter().filter_map(newest).collect())
            }
            Self::Range { function, of, range } => {
                let Self::Select { offset, .. } = &**of else { return Err(Fails) };
                let windows = of.window(data, t_ms, *range);
                apply(function, windows, t_ms - offset, *range)
            }
            Self::Subquery { function, of, range, step } => {
                let mut windows: BTreeMap<Key, Vec<(i64, f64)>> = BTreeMap::new();
                for n in (t_ms - range).div_euclid(*step) + 1..=t_ms.div_euclid(*step) {
                    for (key, v) in of.at(data, n * step)? {
                        windows.entry(key).or_default().push((n * step, v));
                    }
                }
                apply(function, windows, t_ms, *range)
            }
            Self::Aggregate { op, by, of } => {
                let mut groups: BTreeMap<Key, Vec<f64>> = BTreeMap::new();
                for (key, v) in of.at(data, t_ms)? {
                    let group = match by {
                        None => Key::new(),
                        Some((true, label)) => kept(&key, |name| name == *label),
                        Some((false, label)) => kept(&key, |name| name != *label && name != "__name__"),
                    };
                    groups.entry(group).or_default().push(v);
                }
                let sum = |vs: &[f64]| vs.iter().sum::<f64>();
                let value = |vs: Vec<f64>| match *op {
                    "sum" => sum(&vs),
                    "count" => vs.len() as f64,
                    "min" => vs.iter().copied().fold(f64::INFINITY, f64::min),
                    "max" => vs.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                    _ => sum(&vs) / vs.len() as f64,
                };
                Ok(groups.into_iter().map(|(key, vs)| (key, value(vs))).collect())
            }
            Self::Negate(of) => unnamed(of.at(data, t_ms)?.into_iter().map(|(key, v)| (key, -v))),
            Self::WithScalar { op, of, number } => {
                let values = of.at(data, t_ms)?.into_iter();
                let values = values.filter_map(|(key, v)| Some((key, op.apply(v, *number as f64)?)));
                if op.compares() { Ok(values.collect()) } else { unnamed(values) }
            }
            Self::Or { lhs, rhs } => {
                let (mut lhs, rhs) = (lhs.at(data, t_ms)?, rhs.at(data, t_ms)?);
                let signatures: BTreeSet<Key> = lhs.keys().map(|key| signature(key, None)).collect();
                lhs.extend(rhs.into_iter().filter(|(key, _)| !signatures.contains(&signature(key, None))));
                Ok(lhs)
            }
            Self::Join { op, on, lhs, rhs } => {
                let (lhs, rhs) = (lhs.at(data, t_ms)?, rhs.at(data, t_ms)?);
                join(*op, *on, lhs, rhs)
            }
        }
    }
}

fn join(op: Op, on: Option<&str>, lhs: Vector, rhs: Vector) -> std::result::Result<Vector, Fails> {
    if matches!(op, Op::And | Op::Unless) {
        let right: BTreeSet<Key> = rhs.keys().map(|key| signature(key, on)).collect();
        let keep = |key: &Key| right.contains(&signature(key, on)) == (op == Op::And);
        return Ok(lhs.into_iter().filter(|(key, _)| keep(key)).collect());
    }
    if lhs.is_empty() || rhs.is_empty() {
        return Ok(Vector::new());
    }
    let mut right = BTreeMap::new();
    for (key, v) in rhs {
        if right.insert(signature(&key, on), v).is_some() {
            return Err(Fails);
        }
    }
    let (mut out, mut used) = (Vector::new(), BTreeSet::new());
    for (key, l) in lhs {
        let signature = signature(&key, on);
        let Some(v) = right.get(&signature).and_then(|r| op.apply(l, *r)) else { continue };
        if !used.insert(signature.clone()) {
            return Err(Fails);
        }
        let key = match on {
            Some(_) => signature,
            None if op.compares() => key,
            None => kept(&key, |name| name != "__name__"),
        };
        out.insert(key, v);
    }
    Ok(out)
}

fn kept(key: &Key, keep: impl Fn(&str) -> bool) -> Key {
    key.iter().filter(|(name, _)| keep(name)).cloned().collect()
}

fn signature(key: &Key, on: Option<&str>) -> Key {
    kept(key, |name| on.map_or(name != "__name__", |on| on == name))
}

/// The series without names, which must differ.
fn unnamed(values: impl Iterator<Item = (Key, f64)>) -> std::result::Result<Vector, Fails> {
    let mut out = Vector::new();
    for (key, v) in values {
        if out.insert(kept(&key, |name| name != "__name__"), v).is_some() {
            return Err(Fails);
        }
    }
    Ok(out)
}

/// A function over windows that end at `end_ms`.
fn apply(
    function: &str,
    windows: BTreeMap<Key, Vec<(i64, f64)>>,
    end_ms: i64,
    range: i64,
) -> std::result::Result<Vector, Fails> {
    let values = windows.into_iter().filter_map(|(key, mut samples)| {
        samples.retain(|(_, v)| !is_stale(*v));
        Some((key, over(function, &samples, end_ms, range)?))
    });
    if function == "last_over_time" { Ok(values.collect()) } else { unnamed(values) }
}

fn over(function: &str, samples: &[(i64, f64)], end_ms: i64, range: i64) -> Option<f64> {
    let (first, last) = (samples.first()?, samples.last()?);
    let values = || samples.iter().map(|(_, v)| *v);
    let pairs = || samples.windows(2).map(|w| (w[0].1, w[1].1));
    Some(match function {
        "count_over_time" => samples.len() as f64,
        "sum_over_time" => values().sum(),
        "avg_over_time" => values().sum::<f64>() / samples.len() as f64,
        "min_over_time" => values().fold(f64::INFINITY, f64::min),
        "max_over_time" => values().fold(f64::NEG_INFINITY, f64::max),
        "last_over_time" => last.1,
        "changes" => pairs().filter(|(a, b)| a != b).count() as f64,
        "resets" => pairs().filter(|(a, b)| b < a).count() as f64,
        _ => {
            if samples.len() < 2 {
                return None;
            }
            let counter = function != "delta";
            let lost: f64 = pairs().filter(|(a, b)| counter && b < a).map(|(a, _)| a).sum();
            let grown = last.1 - first.1 + lost;
            let seconds = |ms: i64| ms as f64 / 1000.0;
            let sampled = seconds(last.0 - first.0);
            let distance = sampled / (samples.len() - 1) as f64;
            let reach = |gap: f64| if gap >= distance * 1.1 { distance / 2.0 } else { gap };
            let mut before = reach(seconds(first.0 - (end_ms - range)));
            if counter && grown > 0.0 && first.1 >= 0.0 {
                before = before.min(sampled * (first.1 / grown));
            }
            let factor = (sampled + before + reach(seconds(end_ms - last.0))) / sampled;
            let per = if function == "rate" { seconds(range) } else { 1.0 };
            grown * factor / per
        }
    })
}

/// What the model gives: each series with its points.
fn expected(tree: &Tree, data: &Data) -> Option<Data> {
    let mut out = Data::new();
    for n in 0..STEPS {
        let t_ms = START_MS + n * STEP_MS;
        for (key, v) in tree.at(data, t_ms).ok()? {
            out.entry(key).or_default().push((t_ms, v));
        }
    }
    Some(out)
}

/// Gives frames of at most so many series.
#[derive(Debug)]
struct Frames {
    inner: MemoryQueryable,
    series: usize,
}

#[async_trait::async_trait]
impl Queryable for Frames {
    async fn select(&self, ctx: &Context, select: Select) -> Result<SelectStream> {
        let size = self.series;
        let frames = self.inner.select(ctx, select).await?.map_ok(move |frame| {
            let SelectFrame::Series(mut series) = frame else { return stream::iter(vec![Ok(frame)]) };
            let mut frames = Vec::new();
            while !series.is_empty() {
                let rest = series.split_off(size.min(series.len()));
                frames.push(Ok(SelectFrame::Series(std::mem::replace(&mut series, rest))));
            }
            stream::iter(frames)
        });
        Ok(frames.try_flatten().boxed())
    }
}

static POOL: LazyLock<Arc<dyn Compute>> = LazyLock::new(|| Arc::new(Pool::new(3).expect("threads")));

/// Makes series and an expression of the bytes; the engine must agree with the model.
pub fn evaluator(bytes: &[u8]) {
    let mut choices = Choices(bytes.iter());
    let frame = choices.pick(9) + 1;
    let levels = choices.pick(4);
    let tree = Tree::new(&mut choices, levels);
    let data = data(&mut choices, levels);
    let (text, want) = (tree.text(), expected(&tree, &data));

    let (mut memory, store) = (MemoryQueryable::default(), MemoryStore::new(Labels::empty()));
    for (key, samples) in &data {
        let labels = labels_of(key);
        for (t_ms, v) in samples {
            memory.push(&labels, *t_ms, 0, Value::Float(*v));
            store.push(&labels, *t_ms, *v).expect("is in order");
        }
    }
    // How samples are cut follows from what is decided anyhow.
    let series: Vec<_> = data.iter().map(|(key, samples)| (labels_of(key), values_of(samples))).collect();
    let mut n = frame;
    let uneven = || {
        n = (n * 5 + 3) % 1009;
        n % 23 + 1
    };
    let cut = cuts::queryable(cuts::CutStore::new(&series, frame, uneven));
    let replicas = cuts::queryable(cuts::CutStore::new(&cuts::doubled(&series), frame + 2, || 9 * frame));
    let stored: Arc<dyn Queryable> = Arc::new(StoreQueryable::new(Arc::new(store), SelectOptions::default()));
    let frames: Arc<dyn Queryable> = Arc::new(Frames { inner: memory.clone(), series: frame });
    let memory: Arc<dyn Queryable> = Arc::new(memory);
    let inline: Arc<dyn Compute> = Arc::new(Inline);
    let first = run(&text, &memory, &inline, true);
    compare(&text, first.as_ref(), want.as_ref());
    for (queryable, compute, optimize) in [
        (&memory, &inline, false),
        (&frames, &inline, true),
        (&frames, &*POOL, true),
        (&stored, &*POOL, true),
        (&cut, &inline, true),
        (&cut, &*POOL, false),
        (&replicas, &inline, true),
    ] {
        let got = run(&text, queryable, compute, optimize);
        assert_eq!(got.as_ref().map(bits), first.as_ref().map(bits), "{text}");
    }
}

fn labels_of(key: &Key) -> Labels {
    Labels::from_pairs(key.iter().map(|(n, v)| (n.as_str(), v.as_str())))
}

fn values_of(samples: &[(i64, f64)]) -> Vec<(i64, Value)> {
    samples.iter().map(|(t_ms, v)| (*t_ms, Value::Float(*v))).collect()
}

fn bits(data: &Data) -> Vec<(Key, Vec<(i64, u64)>)> {
    let points = |samples: &[(i64, f64)]| samples.iter().map(|(t, v)| (*t, v.to_bits())).collect();
    data.iter().map(|(key, samples)| (key.clone(), points(samples))).collect()
}

/// What the engine gives; `None` for an error.
fn run(text: &str, queryable: &Arc<dyn Queryable>, on: &Arc<dyn Compute>, optimize: bool) -> Option<Data> {
    let options = EngineOptions { optimize, ..EngineOptions::default() };
    let engine = Engine::new(options, Arc::clone(on));
    let expr = parse(text, engine.options()).unwrap_or_else(|e| panic!("{text}: {e}"));
    let end_ms = START_MS + (STEPS - 1) * STEP_MS;
    let (text, start_ms, step_ms, lookback_ms) = (Arc::from(text), START_MS, STEP_MS, Some(LOOKBACK_MS));
    let query = RangeQuery { expr, text, start_ms, end_ms, step_ms, lookback_ms };
    let budget = Budget::new("query", 256 << 20);
    let ctx = Context::new(Arc::clone(&budget));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("needs no drivers");
    let result = runtime.block_on(engine.range(&ctx, Arc::clone(queryable), query));
    drop(ctx);
    let QueryValue::Matrix(series) = result.ok()?.value else { panic!("a range query gives a matrix") };
    let key = |labels: &Labels| {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        labels.iter().map(|l| (text(l.name), text(l.value))).collect()
    };
    Some(series.into_iter().map(|s| (key(&s.labels), s.floats)).collect())
}

fn compare(text: &str, got: Option<&Data>, want: Option<&Data>) {
    let (Some(got), Some(want)) = (got, want) else {
        assert_eq!(got.is_some(), want.is_some(), "{text}: one of engine and model fails");
        return;
    };
    assert!(got.keys().eq(want.keys()), "{text}: series {:?} instead of {:?}", got.keys(), want.keys());
    for ((key, got), want) in got.iter().zip(want.values()) {
        let close = |(t, v): &(i64, f64), (u, w): &(i64, f64)| {
            t == u && (v == w || (v - w).abs() <= TOLERANCE * v.abs().max(w.abs()).max(1.0))
        };
        let same = got.len() == want.len() && got.iter().zip(want).all(|(g, w)| close(g, w));
        assert!(same, "{text} {key:?}: {got:?} instead of {want:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_expressions_have_an_answer() {
        let (mut answers, mut failures, mut texts) = (0, 0, BTreeSet::new());
        let mut state = 1u32;
        for _ in 0..300 {
            let mut byte = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            let bytes: Vec<u8> = (0..60).map(|_| byte()).collect();
            let mut choices = Choices(bytes.iter());
            let levels = choices.pick(3);
            let tree = Tree::new(&mut choices, levels);
            match expected(&tree, &data(&mut choices, 2)) {
                Some(series) if !series.is_empty() => answers += 1,
                Some(_) => {}
                None => failures += 1,
            }
            texts.insert(tree.text());
        }
        assert!(answers > 150 && failures > 0 && texts.len() > 150, "{answers} {failures} {}", texts.len());
    }
}
