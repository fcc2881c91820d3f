//! Counters of an HA pair read as Prometheus reads those of one replica.
//!
//! Two replicas scrape the same counter at times of their own; the second gets its values a
//! minute late, so that a change to it looks like a fall. Each has gaps, and the counter
//! starts anew once.

use std::sync::Arc;

use thanoslib::{
    bucket::Bucket,
    context::Context,
    dedup::Counters,
    model::{Labels, Value},
    promql::{self, Engine, EngineOptions, InstantQuery, QueryValue, Queryable, RangeQuery},
    query::{SelectOptions, StoreQueryable},
    runtime::Inline,
    testing::MemoryQueryable,
};

use crate::support::{self, Block, Samples, labels};

const RESTART_S: i64 = 5_700;
const WINDOW_S: i64 = 300;
const STEP_S: i64 = 60;
const START_S: i64 = 600;

/// The counter at a time in seconds: it grows unevenly and starts at 0 after its restart.
fn counter(t_s: i64) -> f64 {
    let grown = |since: i64| (t_s - since) * 3 + (t_s - since) / 60 * 7;
    (if t_s < RESTART_S { 10_000 + grown(0) } else { grown(RESTART_S) }) as f64
}

/// A replica of the pair.
struct ReplicaSpec {
    name: &'static str,
    offset_s: i64,
    /// Age of the values.
    late_s: i64,
    /// Seconds from and up to which there are no samples.
    gaps: &'static [(i64, i64)],
}

const PAIR: [ReplicaSpec; 2] = [
    ReplicaSpec { name: "A", offset_s: 0, late_s: 0, gaps: &[(1_200, 1_800), (4_260, 4_560)] },
    ReplicaSpec { name: "B", offset_s: 7, late_s: 60, gaps: &[(2_700, 3_300)] },
];

impl ReplicaSpec {
    fn samples(&self) -> Samples {
        (0..480)
            .map(|i| i * 15 + self.offset_s)
            .filter(|t| !self.gaps.iter().any(|(from, to)| (*from..*to).contains(t)))
            .map(|t| (t * 1000, counter(t - self.late_s)))
            .collect()
    }

    fn block(&self, n: i64) -> Block {
        let series = vec![(series(), self.samples())];
        Block { series, ..Block::steady(n, &[("cluster", "eu"), ("replica", self.name)], &[]) }
    }
}

fn series() -> Labels {
    labels(&[("__name__", "requests_total"), ("job", "api")])
}

/// The pair in a bucket, seen with these counters.
async fn pair(counters: Counters) -> Arc<dyn Queryable> {
    let bucket = Bucket::memory("b");
    for (i, replica) in PAIR.iter().enumerate() {
        // Both blocks cover the same time.
        let mut block = replica.block(1);
        block.id = support::id(10 + i as i64);
        block.put(&bucket).await;
    }
    queryable(&bucket, counters).await
}

async fn queryable(bucket: &Bucket, counters: Counters) -> Arc<dyn Queryable> {
    let replica_labels = vec!["replica".to_owned()];
    let options = SelectOptions { replica_labels, counters, ..SelectOptions::default() };
    Arc::new(StoreQueryable::new(support::block_set(bucket).await, options))
}

/// One replica's samples alone, without any merging.
fn alone(replica: &ReplicaSpec) -> Arc<dyn Queryable> {
    let mut memory = MemoryQueryable::default();
    for (t_ms, v) in replica.samples() {
        memory.push(&series(), t_ms, 0, Value::Float(v));
    }
    Arc::new(memory)
}

fn engine() -> Engine {
    Engine::new(EngineOptions::default(), Arc::new(Inline))
}

/// Points of a function over the counter, ten minutes after the start and later.
async fn points(from: &Arc<dyn Queryable>, function: &str) -> Samples {
    let text = format!("{function}(requests_total[{WINDOW_S}s])");
    let query = RangeQuery {
        expr: promql::parse(&text, &EngineOptions::default()).expect("a query"),
        text: Arc::from(text),
        start_ms: START_S * 1000,
        end_ms: 7_140_000,
        step_ms: STEP_S * 1000,
        lookback_ms: None,
    };
    let result = engine().range(&Context::default(), Arc::clone(from), query).await.expect("an answer");
    assert!(result.warnings.is_empty());
    let QueryValue::Matrix(mut series) = result.value else { panic!("a range query gives a matrix") };
    assert!(series.len() <= 1, "replicas are merged");
    series.pop().map(|s| s.floats).unwrap_or_default()
}

/// The stored samples up to the end.
async fn stored(from: &Arc<dyn Queryable>) -> Samples {
    let text = "requests_total[2h]";
    let query = InstantQuery {
        expr: promql::parse(text, &EngineOptions::default()).expect("a query"),
        text: Arc::from(text),
        time_ms: 7_199_999,
        lookback_ms: None,
    };
    let result = engine().instant(&Context::default(), Arc::clone(from), query).await.expect("an answer");
    let QueryValue::Matrix(mut series) = result.value else { panic!("a range vector is a matrix") };
    series.pop().map(|s| s.floats).unwrap_or_default()
}

/// True when neither replica lacks samples in the window that ends here, or just before; nor
/// at the start of what is selected, where a merge may take a sample of each.
fn without_gaps(t_ms: i64) -> bool {
    let window = t_ms / 1000 - WINDOW_S - 60..t_ms / 1000;
    if window.start < START_S {
        return false;
    }
    PAIR.iter().flat_map(|r| r.gaps).all(|(from, to)| window.end <= *from || *to <= window.start)
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

#[tokio::test]
async fn a_merged_pair_counts_as_one_of_its_replicas_does() {
    let merged = pair(Counters::Prometheus).await;
    for function in ["rate", "increase", "irate", "resets"] {
        let got = points(&merged, function).await;
        let mut singles = Vec::new();
        for replica in &PAIR {
            singles.push(points(&alone(replica), function).await);
        }
        let mut compared = 0;
        for (t, v) in got.iter().filter(|(t, _)| without_gaps(*t)) {
            let at = |s: &Samples| s.iter().find(|p| p.0 == *t).map(|p| p.1);
            let want: Vec<Option<f64>> = singles.iter().map(at).collect();
            assert!(
                want.iter().flatten().any(|w| close(*v, *w)),
                "{function} at {t}: got {v}, replicas alone {want:?}"
            );
            compared += 1;
        }
        assert!(compared > 40, "{function}: {compared} points compared");
        assert_eq!(got.len(), 110, "{function}: the gaps of one replica are filled by the other");
    }
}

#[tokio::test]
async fn a_change_of_replica_is_no_reset_and_a_restart_is_one() {
    let merged = pair(Counters::Prometheus).await;
    let mut restarted = 0;
    for (t, v) in points(&merged, "resets").await {
        let t_s = t / 1000;
        // The restart shows from its first scrape, late by a minute in B, to the window's end.
        let sure = RESTART_S + 90..RESTART_S + WINDOW_S - 30;
        let never = !(RESTART_S..=RESTART_S + WINDOW_S + 90).contains(&t_s);
        assert!(v <= 1.0 && !(never && v > 0.0) && !(sure.contains(&t_s) && v < 1.0), "resets at {t}: {v}");
        restarted += u32::from(v > 0.0);
    }
    assert!(restarted >= 3, "the restart is seen: {restarted}");
    for (t, v) in points(&merged, "increase").await {
        // Three a second and a little; a change misread as a reset would add ten thousand.
        assert!((0.0..2_000.0).contains(&v), "increase at {t}: {v}");
    }
}

#[tokio::test]
async fn plain_selectors_return_stored_values() {
    for counters in [Counters::Prometheus, Counters::Thanos] {
        let got = stored(&pair(counters).await).await;
        assert!(got.len() > 400, "{} samples", got.len());
        assert!(got.is_sorted_by(|a, b| a.0 < b.0));
        let known: Vec<Samples> = PAIR.iter().map(ReplicaSpec::samples).collect();
        for sample in &got {
            assert!(known.iter().any(|k| k.contains(sample)), "{sample:?} was never stored");
        }
        for replica in &known {
            assert!(got.iter().any(|s| replica.contains(s)), "both replicas have a part");
        }
    }
}

#[tokio::test]
async fn a_single_replica_reads_exactly_as_its_samples_do() {
    for replica in &PAIR {
        let bucket = Bucket::memory("b");
        replica.block(1).put(&bucket).await;
        let merged = queryable(&bucket, Counters::Prometheus).await;
        for function in ["rate", "increase", "irate", "resets", "delta", "last_over_time"] {
            let (got, want) = (points(&merged, function).await, points(&alone(replica), function).await);
            assert!(!want.is_empty());
            assert_eq!(got, want, "{function} of replica {}", replica.name);
        }
        assert_eq!(stored(&merged).await, replica.samples());
    }
}

#[tokio::test]
async fn counters_as_thanos_has_them_never_reset() {
    let merged = pair(Counters::Thanos).await;
    let got = points(&merged, "resets").await;
    assert_eq!(got.len(), 110);
    assert!(got.iter().all(|(_, v)| *v == 0.0), "{got:?}");
}
