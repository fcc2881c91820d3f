//! Made-up blocks to try: two clusters, one of them scraped by an HA pair.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use thanoslib::{
    block::{BlockIdGenerator, BlockSpec},
    clock::Clock,
    model::{Labels, TimeRange},
};

/// Length of a block.
const BLOCK_MS: i64 = 2 * 3600 * 1000;
/// Blocks of each replica, the newest of which ends now.
const BLOCKS: i64 = 3;
/// Time between scrapes.
const SCRAPE_MS: i64 = 15_000;

/// One Prometheus that scrapes a cluster.
struct Replica {
    cluster: &'static str,
    replica: &'static str,
    /// When it scrapes after each multiple of the interval.
    offset_ms: i64,
    /// Minutes before the end in which it was down: from, to.
    gap_min: (i64, i64),
}

const REPLICAS: [Replica; 3] = [
    Replica { cluster: "eu1", replica: "A", offset_ms: 0, gap_min: (95, 80) },
    Replica { cluster: "eu1", replica: "B", offset_ms: 7_400, gap_min: (40, 25) },
    Replica { cluster: "us1", replica: "A", offset_ms: 3_100, gap_min: (0, 0) },
];

/// Minutes before the end at which the instances of `eu1` restarted: counters begin anew.
const RESTART_MIN: i64 = 62;

/// Queries to try, each with what it shows.
pub(super) const QUERIES: [(&str, &str, &str); 3] = [
    (
        "the raw pair: replicas A and B, each with a gap of its own",
        r#"requests_total{cluster="eu1",instance="i1:8080"}"#,
        "&dedup=false",
    ),
    (
        "the same series once, gaps closed by the other replica",
        r#"requests_total{cluster="eu1",instance="i1:8080"}"#,
        "",
    ),
    ("a rate over both clusters, a restart included", "sum by (cluster) (rate(requests_total[5m]))", ""),
];

/// Writes the blocks into `dir` (emptied before) and returns the time at which they end.
pub(super) fn write(dir: &Path, clock: &Arc<dyn Clock>) -> Result<i64> {
    if dir.exists() {
        std::fs::remove_dir_all(dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let end = clock.now_ms() / 1000 * 1000;
    let mut ids = BlockIdGenerator::new(Arc::clone(clock), 1);
    for replica in &REPLICAS {
        for block in 0..BLOCKS {
            let maxt = end - (BLOCKS - 1 - block) * BLOCK_MS;
            let spec = BlockSpec {
                id: ids.next_id(),
                range: TimeRange::new(maxt - BLOCK_MS, maxt),
                external_labels: Labels::from_pairs([
                    ("cluster", replica.cluster),
                    ("replica", replica.replica),
                ]),
            };
            spec.write(dir, series(replica, spec.range, end))?;
        }
    }
    Ok(end)
}

fn series(replica: &Replica, range: TimeRange, end: i64) -> Vec<(Labels, Vec<(i64, f64)>)> {
    let mut all = Vec::new();
    for instance in 1..=3i64 {
        let name = format!("i{instance}:8080");
        let labels =
            |metric: &str| Labels::from_pairs([("__name__", metric), ("instance", &name), ("job", "api")]);
        let times = scrapes(replica, range, end);
        let value = |f: &dyn Fn(i64) -> f64| times.iter().map(|t| (*t, f(*t))).collect();
        all.push((labels("requests_total"), value(&|t| requests(replica, instance, t, end))));
        all.push((labels("memory_bytes"), value(&|t| memory(instance, t))));
        all.push((labels("up"), value(&|_| 1.0)));
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// Times at which the replica scraped inside the range.
fn scrapes(replica: &Replica, range: TimeRange, end: i64) -> Vec<i64> {
    let (from, to) = (end - replica.gap_min.0 * 60_000, end - replica.gap_min.1 * 60_000);
    let first = range.mint - range.mint.rem_euclid(SCRAPE_MS) + replica.offset_ms;
    (0..)
        .map(|i| first + i * SCRAPE_MS)
        .take_while(|t| *t < range.maxt)
        .filter(|t| *t >= range.mint && !(from..to).contains(t))
        .collect()
}

/// A counter that grows by about 40 a second, in waves, and restarts once in `eu1`.
fn requests(replica: &Replica, instance: i64, t: i64, end: i64) -> f64 {
    let restart = end - RESTART_MIN * 60_000;
    let born = if replica.cluster == "eu1" && t >= restart { restart } else { end - BLOCKS * BLOCK_MS };
    let total = |t: i64| {
        let s = t as f64 / 1000.0;
        // The integral of a rate that swings around its mean over 20 minutes.
        (30.0 + 10.0 * instance as f64) * (s - 60.0 * (s / 191.0).cos())
    };
    (total(t) - total(born)).max(0.0).floor()
}

fn memory(instance: i64, t: i64) -> f64 {
    let s = t as f64 / 1000.0;
    ((400.0 + 50.0 * instance as f64 + 80.0 * (s / 613.0).sin() + 30.0 * (s / 97.0).cos()) * 1048576.0)
        .round()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_have_gaps_of_their_own_and_counters_restart_once() {
        let end = 1_700_000_000_000;
        let range = TimeRange::new(end - BLOCK_MS, end);
        let a = scrapes(&REPLICAS[0], range, end);
        let b = scrapes(&REPLICAS[1], range, end);
        let longest = |ts: &[i64]| ts.windows(2).map(|w| w[1] - w[0]).max();
        assert!(longest(&a) > Some(14 * 60_000) && longest(&b) > Some(14 * 60_000));
        let values: Vec<f64> = a.iter().map(|t| requests(&REPLICAS[0], 1, *t, end)).collect();
        assert_eq!(values.windows(2).filter(|w| w[1] < w[0]).count(), 1);
    }
}
