//! Heavy queries stay inside of the memory that they were given.

#![cfg(target_os = "linux")]

#[expect(dead_code, reason = "answers are looked at as text")]
mod common;

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use common::{Server, get};
use thanoslib::{
    block::{BlockId, BlockSpec},
    model::{Labels, TimeRange},
};

const SERIES: usize = 1500;
const STEP_MS: i64 = 15_000;
const RANGE_MS: i64 = 7_200_000;
const MIB: u64 = 1 << 20;
/// What a process may hold beside the budget of its queries.
const BESIDE: u64 = 64 * MIB;

/// A data folder with one block of many series.
fn data(dir: &Path) {
    let series = (0..SERIES).map(|i| {
        let labels = Labels::from_pairs([("__name__", "heavy"), ("i", &format!("{i:05}"))]);
        let samples = (0..RANGE_MS / STEP_MS).map(|n| (n * STEP_MS, (i as i64 * n % 977) as f64));
        (labels, samples.collect::<Vec<_>>())
    });
    let id = BlockId::from_parts(1_000, 1);
    let spec = BlockSpec { id, range: TimeRange::new(0, RANGE_MS), external_labels: Labels::empty() };
    spec.write(dir, series.collect::<Vec<_>>()).expect("a block is written");
}

/// Anonymous memory of a process.
fn rss_anon(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().map_or(0, |kib| kib << 10)
}

/// Status codes and bodies of so many range queries at once, and the most memory held meanwhile.
fn at_once(server: &Server, count: usize, query: &str) -> (Vec<(u16, String)>, u64) {
    let range = [("query", query), ("start", "60"), ("end", "7190"), ("step", "15")];
    asked_at_once(
        server,
        vec![("/api/v1/query_range", range.map(|(k, v)| (k, v.to_owned())).to_vec()); count],
    )
}

/// A path with its parameters.
type Request = (&'static str, Vec<(&'static str, String)>);

/// Status codes and bodies of requests that are sent at once, and the most memory held meanwhile.
fn asked_at_once(server: &Server, requests: Vec<Request>) -> (Vec<(u16, String)>, u64) {
    let (peak, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let watch = {
        let (peak, done, pid) = (Arc::clone(&peak), Arc::clone(&done), server.id());
        thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                peak.fetch_max(rss_anon(pid), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(5));
            }
        })
    };
    let asked: Vec<_> = requests
        .into_iter()
        .map(|(path, params)| {
            let http = server.http.clone();
            thread::spawn(move || {
                let params: Vec<_> = params.iter().map(|(k, v)| (*k, v.as_str())).collect();
                get(&http, path, &params)
            })
        })
        .collect();
    let answers = asked.into_iter().map(|a| a.join().expect("an answer")).collect();
    done.store(true, Ordering::Relaxed);
    watch.join().expect("a watcher");
    (answers, peak.load(Ordering::Relaxed))
}

#[test]
fn ten_heavy_queries_stay_inside_of_the_budget() {
    let dir = tempfile::tempdir().expect("a folder");
    data(dir.path());
    let path = format!("--tsdb.path={}", dir.path().display());
    // One query holds both sides of the join: about 12 MB.
    let query = "sum(heavy + on(i) heavy offset 1s)";
    let limit = 160 * MIB;
    let server = Server::start(&[&path, "--memory.limit=160MiB", "--query.max-memory=64MiB"]);
    let (answers, peak) = at_once(&server, 10, query);
    let answered = answers.iter().filter(|(status, body)| *status == 200 && body.contains("\"values\""));
    assert!(answered.count() > 0, "some find enough memory");
    for (status, body) in answers.iter().filter(|(status, _)| *status != 200) {
        assert!(*status == 422 && body.contains("budget used up"), "{status}: {body}");
    }
    let again = at_once(&server, 1, query).0;
    assert_eq!(again[0].0, 200, "{}", again[0].1);
    assert!(peak > 0 && peak <= limit + BESIDE, "{} MiB held", peak / MIB);
}

#[test]
fn queries_that_need_twice_the_budget_end_with_a_limit() {
    let dir = tempfile::tempdir().expect("a folder");
    data(dir.path());
    let path = format!("--tsdb.path={}", dir.path().display());
    let server = Server::start(&[&path, "--memory.limit=6MiB", "--query.max-memory=6MiB"]);
    let (answers, peak) = at_once(&server, 10, "sum(heavy + on(i) heavy offset 1s)");
    for (status, body) in &answers {
        assert_eq!(*status, 422, "{body}");
        assert!(body.contains("budget used up") && body.contains("of 6291456 bytes held"), "{body}");
    }
    assert!(peak <= 6 * MIB + BESIDE, "{} MiB held", peak / MIB);
    // The next one that fits is answered.
    let small = at_once(&server, 1, "sum(heavy{i=\"00001\"})").0;
    assert_eq!(small[0].0, 200, "{}", small[0].1);
}

/// Scrapes of a series of the wide data, a minute apart.
const SCRAPES: i64 = 20;

/// How many series the wide data has: so many as time allows without optimisation.
fn wide() -> usize {
    let all = !cfg!(debug_assertions) || std::env::var_os("THANOSLIB_MILLION").is_some();
    if all { 100_000 } else { 8_000 }
}

/// A data folder with one block of very many short series and one series for each hundred of them.
fn wide_data(dir: &Path) {
    let samples = |i: i64| (0..SCRAPES).map(|n| (n * 60_000, (i * n % 977) as f64)).collect::<Vec<_>>();
    let groups = wide() / 100;
    let group = (0..groups).map(|g| {
        let of = [("__name__", "groups"), ("g", &format!("{g:04}")), ("name", &format!("group {g}"))];
        (Labels::from_pairs(of), samples(1))
    });
    let heavy = (0..wide()).map(|i| {
        let of = [("__name__", "heavy"), ("g", &format!("{:04}", i / 100)), ("i", &format!("{i:06}"))];
        (Labels::from_pairs(of), samples(i as i64))
    });
    let id = BlockId::from_parts(1_000, 2);
    let spec = BlockSpec { id, range: TimeRange::new(0, RANGE_MS), external_labels: Labels::empty() };
    spec.write(dir, group.chain(heavy)).expect("a block is written");
}

/// Ten queries that look at all series, each in its own way.
fn heavy_queries() -> Vec<Request> {
    let range = |query: &str| -> Request {
        let params = [("query", query), ("start", "300"), ("end", "1140"), ("step", "60")];
        ("/api/v1/query_range", params.map(|(k, v)| (k, v.to_owned())).to_vec())
    };
    let instant = |query: &str| -> Request {
        ("/api/v1/query", [("query", query), ("time", "1140")].map(|(k, v)| (k, v.to_owned())).to_vec())
    };
    vec![
        range("count(heavy * on(g) group_left(name) groups)"),
        range("quantile by (g) (0.9, heavy)"),
        range("topk(5, heavy)"),
        range("sum(max_over_time(sum without (g) (heavy)[5m:1m]))"),
        range("avg(rate(heavy[5m]) + heavy)"),
        range("count(label_replace(heavy, \"j\", \"$1-x\", \"i\", \"(.*)\"))"),
        range("count(count_values(\"v\", heavy))"),
        range("max(heavy - on(g, i) heavy offset 1m)"),
        instant("sort(heavy)"),
        instant("sort_desc(sum by (i) (heavy))"),
    ]
}

/// Asks all heavy queries at once under some limit; those that fail must say why.
fn heavy_at_once(limit: u64, of_query: u64) -> Vec<bool> {
    let dir = tempfile::tempdir().expect("a folder");
    wide_data(dir.path());
    let path = format!("--tsdb.path={}", dir.path().display());
    let (all, one) = (format!("--memory.limit={limit}"), format!("--query.max-memory={of_query}"));
    let server = Server::start(&[&path, &all, &one]);
    let (answers, peak) = asked_at_once(&server, heavy_queries());
    for (status, body) in answers.iter().filter(|(status, _)| *status != 200) {
        let told = body.contains("budget used up") && body.contains(" bytes held");
        assert!(*status == 422 && told, "{status}: {}", body.chars().take(300).collect::<String>());
    }
    assert!(peak > 0 && peak <= limit + BESIDE, "{} MiB held of {} MiB", peak / MIB, limit / MIB);
    // What was held is free again.
    assert_eq!(at_once(&server, 1, "count(groups)").0[0].0, 200);
    println!("limit {} MiB: {} MiB held", limit / MIB, peak / MIB);
    answers.iter().map(|(status, _)| *status == 200).collect()
}

#[test]
fn ten_heavy_queries_of_many_kinds_stay_inside_of_the_budget() {
    // Enough for any of them, not for all at once.
    let budget = wide() as u64 * 4_000;
    let answered = heavy_at_once(budget, budget);
    assert!(answered.iter().any(|ok| *ok), "some find enough memory");
}

#[test]
fn ten_heavy_queries_without_enough_memory_all_end() {
    let budget = wide() as u64 * 100;
    let answered = heavy_at_once(budget, budget);
    assert!(answered.iter().filter(|ok| !**ok).count() >= 5, "{answered:?}");
}
