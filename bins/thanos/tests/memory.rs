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

/// Status codes and bodies of so many queries at once, and the most memory held meanwhile.
fn at_once(server: &Server, count: usize, query: &str) -> (Vec<(u16, String)>, u64) {
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
    let asked: Vec<_> = (0..count)
        .map(|_| {
            let (http, query) = (server.http.clone(), query.to_owned());
            thread::spawn(move || {
                let range = [("query", query.as_str()), ("start", "60"), ("end", "7190"), ("step", "15")];
                get(&http, "/api/v1/query_range", &range)
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
