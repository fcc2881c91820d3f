//! Set operations on postings as they lie in a file, beside a plain merge with branches.
//!
//! Ends with the ratios of the two.

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, Throughput};
use thanoslib::{
    encoding::crc32c,
    index::{Postings, SortedIds, intersect, subtract, union},
};

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// A list of about `count` numbers, `gap` apart on average, as a file holds it.
fn list(seed: u64, count: usize, gap: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut at = 0;
    let mut content = (count as u32).to_be_bytes().to_vec();
    for _ in 0..count {
        at += 1 + random(&mut state) % (2 * gap - 1);
        content.extend_from_slice(&(at as u32).to_be_bytes());
    }
    let mut out = (content.len() as u32).to_be_bytes().to_vec();
    out.extend_from_slice(&content);
    out.extend_from_slice(&crc32c(&content).to_be_bytes());
    out
}

/// The plain way: two places, and a branch for each comparison.
fn plain_intersect(set: &mut Vec<u32>, list: &Postings<'_>) {
    let ids = list.ids();
    let (mut i, mut j, mut kept) = (0, 0, 0);
    while i < set.len() && j < ids.len() {
        let (x, y) = (set[i], u32::from_be_bytes(ids[j]));
        if x < y {
            i += 1;
        } else if x > y {
            j += 1;
        } else {
            set[kept] = x;
            kept += 1;
            i += 1;
            j += 1;
        }
    }
    set.truncate(kept);
}

fn plain_subtract(set: &mut Vec<u32>, list: &Postings<'_>) {
    let mut ids = list.iter().peekable();
    set.retain(|id| {
        while ids.next_if(|other| other < id).is_some() {}
        ids.peek() != Some(id)
    });
}

fn plain_union(lists: &[Postings<'_>]) -> Vec<u32> {
    let mut out: Vec<u32> = Vec::new();
    for list in lists {
        let mut merged = Vec::with_capacity(out.len() + list.len());
        let (mut a, mut b) = (out.iter().copied().peekable(), list.iter().peekable());
        while let (Some(x), Some(y)) = (a.peek().copied(), b.peek().copied()) {
            merged.push(x.min(y));
            if x <= y {
                a.next();
            }
            if y <= x {
                b.next();
            }
        }
        merged.extend(a);
        merged.extend(b);
        out = merged;
    }
    out
}

/// Seconds that the fastest of some runs takes.
fn fastest(mut run: impl FnMut()) -> f64 {
    (0..25)
        .map(|_| {
            let start = std::time::Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min)
}

struct Bench {
    c: Criterion,
    ratios: Vec<String>,
}

impl Bench {
    /// Benches both ways, after they were seen to agree.
    fn pair<T: PartialEq>(
        &mut self,
        name: &str,
        numbers: usize,
        mut ours: impl FnMut() -> T,
        mut plain: impl FnMut() -> T,
    ) {
        assert!(ours() == plain(), "{name}: both ways give the same");
        let mut group = self.c.benchmark_group(name);
        group.throughput(Throughput::Elements(numbers as u64));
        group.bench_function("ours", |b| b.iter(&mut ours));
        group.bench_function("plain", |b| b.iter(&mut plain));
        group.finish();
        let (ours, plain) = (fastest(|| drop(black_box(ours()))), fastest(|| drop(black_box(plain()))));
        let each = ours * 1e9 / numbers as f64;
        self.ratios.push(format!("{name:<34} {:>6.1} x, {each:.2} ns for each number read", plain / ours));
    }

    fn lists(&mut self, name: &str, a: &[u8], b: &[u8]) {
        let (a, b) = (Postings::parse(a, 0).expect("sound"), Postings::parse(b, 0).expect("sound"));
        let set: Vec<u32> = a.iter().collect();
        let numbers = a.len() + b.len();
        let on = |f: fn(&mut Vec<u32>, &Postings<'_>)| {
            let mut set = set.clone();
            f(&mut set, &b);
            set
        };
        self.pair(
            &format!("intersect/{name}"),
            numbers,
            || on(|set, list| intersect(set, list)),
            || on(plain_intersect),
        );
        self.pair(
            &format!("subtract/{name}"),
            numbers,
            || on(|set, list| subtract(set, list)),
            || on(plain_subtract),
        );
        let lists = [a, b];
        self.pair(&format!("union/{name}"), numbers, || union(&lists), || plain_union(&lists));
    }
}

fn main() {
    let c = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .configure_from_args();
    let mut bench = Bench { c, ratios: Vec::new() };
    let million = 1_000_000;
    bench.lists("1M and 1M, every second", &list(1, million, 2), &list(2, million, 2));
    bench.lists("1M and 1M, every tenth", &list(3, million, 10), &list(4, million, 10));
    bench.lists("1M and 1M, every 1000th", &list(5, million, 1000), &list(6, million, 1000));
    bench.lists("100k and 1M, dense", &list(7, million / 10, 100), &list(8, million, 10));
    bench.lists("1k and 1M", &list(9, 1000, 10_000), &list(10, million, 10));
    bench.lists("1M and 1k", &list(11, million, 10), &list(12, 1000, 10_000));
    for (name, gap) in [("1000 lists of 1k, dense", 10_000), ("1000 lists of 1k, thin", 4_000_000)] {
        let lists: Vec<Vec<u8>> = (0..1000).map(|i| list(20 + i, 1000, gap)).collect();
        let lists: Vec<_> = lists.iter().map(|l| Postings::parse(l, 0).expect("sound")).collect();
        // Merging one after the other is quadratic; sorting is the plain way here.
        let sorted = || {
            let mut out: Vec<u32> = lists.iter().flat_map(Postings::iter).collect();
            out.sort_unstable();
            out.dedup();
            out
        };
        bench.pair(&format!("union/{name}"), million, || union(&lists), sorted);
    }
    let whole = list(30, million, 10);
    bench.pair("parse/1M", million, || Postings::parse(&whole, 0).map(|p| p.len()), || Ok(million));
    bench.c.final_summary();
    println!("\ntimes as fast as the plain way:");
    bench.ratios.iter().for_each(|r| println!("  {r}"));
}
