//! What an engine counts of its queries.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use super::QueryStats;
use crate::metrics::{Counter, Histogram, Kind, TextWriter};

/// Upper bounds of the durations in seconds.
///
/// Compat: Prometheus `promql/engine.go`.
const SECONDS: [f64; 4] = [0.01, 0.1, 1.0, 10.0];

/// The engine of upstream whose behaviour a query asks for, where the two differ.
///
/// ```
/// use thanoslib::promql::EngineKind;
/// assert_eq!(EngineKind::Thanos.as_str(), "thanos");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineKind {
    /// That of Prometheus.
    #[default]
    Prometheus,
    /// That of Thanos.
    Thanos,
}

impl EngineKind {
    /// The word of flags, parameters and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::Thanos => "thanos",
        }
    }
}

/// What is counted of an engine and its clones.
///
/// See [`Engine::metrics`](super::Engine::metrics).
#[derive(Debug, Default)]
pub struct EngineMetrics {
    kinds: [OfKind; 2],
}

#[derive(Debug)]
struct OfKind {
    running: AtomicI64,
    ended: Counter,
    samples: Counter,
    /// Waiting, preparing, evaluating.
    slices: [Histogram; SLICES.len()],
}

/// Parts of a query's time.
const SLICES: [&str; 3] = ["queue_time", "prepare_time", "inner_eval"];

impl Default for OfKind {
    fn default() -> Self {
        Self {
            running: AtomicI64::new(0),
            ended: Counter::default(),
            samples: Counter::default(),
            slices: std::array::from_fn(|_| Histogram::new(&SECONDS)),
        }
    }
}

/// A query that is counted as running until this is dropped.
#[derive(Debug)]
pub(super) struct Running {
    metrics: Arc<EngineMetrics>,
    kind: EngineKind,
}

impl EngineMetrics {
    /// A query begins.
    pub(super) fn begin(self: &Arc<Self>, kind: EngineKind) -> Running {
        self.of(kind).running.fetch_add(1, Ordering::Relaxed);
        Running { metrics: Arc::clone(self), kind }
    }

    fn of(&self, kind: EngineKind) -> &OfKind {
        &self.kinds[kind as usize]
    }

    /// Writes the families `prometheus_engine_…` and `thanos_engine_queries…`, those of each kind
    /// under its own name; at most `running_max` queries run at a time, in the `mode` of a querier.
    pub fn write(&self, out: &mut TextWriter, running_max: usize, mode: &str) {
        use Kind::{Counter, Gauge};
        let labels = [("engine", "prometheus"), ("mode", mode)];
        let own = self.of(EngineKind::Prometheus);
        let running = |of: &OfKind| of.running.load(Ordering::Relaxed) as f64;
        for (name, help, kind, value) in [
            ("prometheus_engine_queries", "Queries that run.", Gauge, running(own)),
            (
                "prometheus_engine_queries_concurrent_max",
                "Most queries that run at a time.",
                Gauge,
                running_max as f64,
            ),
            ("prometheus_engine_query_log_enabled", "Whether queries are written to a file.", Gauge, 0.0),
            ("prometheus_engine_query_log_failures_total", "Queries not written there.", Counter, 0.0),
            (
                "prometheus_engine_query_samples_total",
                "Samples that queries looked at.",
                Counter,
                own.samples.get() as f64,
            ),
        ] {
            out.family(name, help, kind);
            out.sample(name, &labels, value);
        }
        let slices = || {
            SLICES.iter().zip(&own.slices).map(|(slice, h)| ([labels[0], labels[1], ("slice", *slice)], h))
        };
        let name = "prometheus_engine_query_duration_seconds";
        out.family(name, "Seconds of the parts of queries.", Kind::Summary);
        for (labels, histogram) in slices() {
            out.sample(&format!("{name}_sum"), &labels, histogram.sum());
            out.sample(&format!("{name}_count"), &labels, histogram.count() as f64);
        }
        let name = "prometheus_engine_query_duration_histogram_seconds";
        out.family(name, "Seconds of the parts of queries.", Kind::Histogram);
        slices().for_each(|(labels, histogram)| out.histogram(name, &labels, histogram));
        let (labels, own) = ([("engine", "thanos"), ("mode", mode)], self.of(EngineKind::Thanos));
        for (name, help, kind, value) in [
            ("thanos_engine_queries", "Queries that run with engine=thanos.", Gauge, running(own)),
            (
                "thanos_engine_queries_total",
                "Queries that ran with engine=thanos.",
                Counter,
                own.ended.get() as f64,
            ),
        ] {
            out.family(name, help, kind);
            out.sample(name, &labels, value);
        }
    }
}

impl Running {
    /// The query was answered; planning took `prepare`.
    pub(super) fn answered(&self, stats: &QueryStats, prepare: Duration) {
        let of = self.metrics.of(self.kind);
        of.samples.add(stats.total_samples);
        let seconds = [stats.queue_seconds, prepare.as_secs_f64(), stats.eval_seconds];
        of.slices.iter().zip(seconds).for_each(|(slice, seconds)| slice.observe(seconds));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let of = self.metrics.of(self.kind);
        of.running.fetch_sub(1, Ordering::Relaxed);
        of.ended.add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_counted_under_its_own_names() {
        let metrics = Arc::new(EngineMetrics::default());
        let running = metrics.begin(EngineKind::Prometheus);
        let stats = QueryStats { total_samples: 7, eval_seconds: 0.5, ..QueryStats::default() };
        running.answered(&stats, Duration::from_millis(20));
        drop(metrics.begin(EngineKind::Thanos));
        let check = |lines: &[&str]| {
            let mut out = TextWriter::default();
            metrics.write(&mut out, 20, "local");
            for line in lines {
                assert!(out.text().lines().any(|l| l == *line), "no {line} in {}", out.text());
            }
        };
        check(&[
            r#"prometheus_engine_queries{engine="prometheus",mode="local"} 1"#,
            r#"prometheus_engine_queries_concurrent_max{engine="prometheus",mode="local"} 20"#,
            r#"prometheus_engine_query_samples_total{engine="prometheus",mode="local"} 7"#,
            r#"prometheus_engine_query_duration_seconds_sum{engine="prometheus",mode="local",slice="inner_eval"} 0.5"#,
            r#"prometheus_engine_query_duration_histogram_seconds_bucket{engine="prometheus",mode="local",slice="prepare_time",le="0.1"} 1"#,
            r#"thanos_engine_queries{engine="thanos",mode="local"} 0"#,
            r#"thanos_engine_queries_total{engine="thanos",mode="local"} 1"#,
        ]);
        drop(running);
        check(&[r#"prometheus_engine_queries{engine="prometheus",mode="local"} 0"#]);
    }
}
