//! Metrics of one's own: counters as plain atomics, and the text format that shows them.
//!
//! There is no registry: a component keeps its counters, and whoever serves `/metrics` writes them.
//!
//! Invariant: knows no component and no HTTP.

use std::{
    fmt::{self, Write},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::model::float;

/// Writes the text format of Prometheus, version 0.0.4.
///
/// ```
/// use thanoslib::metrics::{Kind, TextWriter};
/// let mut out = TextWriter::default();
/// out.family("thanos_status", "Result of the probes.", Kind::Gauge);
/// out.sample("thanos_status", &[("check", "ready")], 1.0);
/// let want = "# HELP thanos_status Result of the probes.\n# TYPE thanos_status gauge\n\
///             thanos_status{check=\"ready\"} 1\n";
/// assert_eq!(out.text(), want);
/// ```
///
/// Source: Prometheus `docs/instrumenting/exposition_formats.md`.
#[derive(Clone, Debug, Default)]
pub struct TextWriter {
    out: String,
}

/// Type of a metric.
///
/// See [`TextWriter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by upper bounds.
    Histogram,
    /// Quantiles with sum and count.
    Summary,
}

impl TextWriter {
    /// Begins a family; its samples follow.
    pub fn family(&mut self, name: &str, help: &str, kind: Kind) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
        };
        let _ = write!(self.out, "# HELP {name} ");
        escape(&mut self.out, help, false);
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(self.out, "\n# TYPE {name} {kind}");
    }

    /// Writes one sample.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.out.push_str(name);
        if !labels.is_empty() {
            self.out.push('{');
            for (i, (name, value)) in labels.iter().enumerate() {
                let _ = write!(self.out, "{}{name}=\"", if i == 0 { "" } else { "," });
                escape(&mut self.out, value, true);
                self.out.push('"');
            }
            self.out.push('}');
        }
        self.out.push(' ');
        let _ = float::write_general(&mut self.out, value);
        self.out.push('\n');
    }

    /// Writes a family of one sample without labels.
    pub fn single(&mut self, name: &str, help: &str, kind: Kind, value: f64) {
        self.family(name, help, kind);
        self.sample(name, &[], value);
    }

    /// Writes the samples of a histogram.
    pub fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        let bucket = format!("{name}_bucket");
        let mut count = 0;
        let bounds = histogram.bounds.iter().copied().chain([f64::INFINITY]);
        for (bound, n) in bounds.zip(histogram.counts.iter().chain([&histogram.above])) {
            count += n.load(Ordering::Relaxed);
            let mut text = String::new();
            let _ = float::write_general(&mut text, bound);
            let labels: Vec<(&str, &str)> = labels.iter().copied().chain([("le", text.as_str())]).collect();
            self.sample(&bucket, &labels, count as f64);
        }
        self.sample(&format!("{name}_sum"), labels, histogram.sum());
        self.sample(&format!("{name}_count"), labels, count as f64);
    }

    /// Writes families that are text already.
    pub fn append(&mut self, families: &str) {
        self.out.push_str(families);
    }

    /// What was written.
    pub fn text(&self) -> &str {
        &self.out
    }

    /// What was written, without a copy.
    pub fn into_text(self) -> String {
        self.out
    }
}

fn escape(out: &mut String, text: &str, quoted: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quoted => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

/// Something that has metrics to show.
///
/// See [`TextWriter`].
pub trait Collect: fmt::Debug + Send + Sync + 'static {
    /// Writes whole families, each name once.
    fn collect(&self, out: &mut TextWriter);
}

/// A number that only grows.
///
/// ```
/// use thanoslib::metrics::Counter;
/// let counter = Counter::default();
/// counter.add(2);
/// assert_eq!(counter.get(), 2);
/// ```
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// What it counts now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Observations counted by upper bounds.
///
/// ```
/// use thanoslib::metrics::{Histogram, TextWriter};
/// let histogram = Histogram::new(&[0.5, 1.0]);
/// [0.25, 0.5, 7.0].iter().for_each(|v| histogram.observe(*v));
/// let mut out = TextWriter::default();
/// out.histogram("took_seconds", &[], &histogram);
/// assert!(out.text().starts_with("took_seconds_bucket{le=\"0.5\"} 2\n"));
/// assert!(out.text().ends_with("took_seconds_sum 7.75\ntook_seconds_count 3\n"));
/// ```
pub struct Histogram {
    bounds: Box<[f64]>,
    counts: Box<[AtomicU64]>,
    above: AtomicU64,
    sum_bits: AtomicU64,
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("bounds", &self.bounds)
            .field("sum", &self.sum())
            .finish_non_exhaustive()
    }
}

impl Histogram {
    /// A histogram of these ascending upper bounds, and one for what lies above.
    pub fn new(bounds: &[f64]) -> Self {
        Self {
            bounds: bounds.into(),
            counts: bounds.iter().map(|_| AtomicU64::new(0)).collect(),
            above: AtomicU64::new(0),
            sum_bits: AtomicU64::new(0),
        }
    }

    /// Counts one observation.
    pub fn observe(&self, value: f64) {
        // What is not a number is below no bound.
        let below = |bound: &f64| value.is_nan() || *bound < value;
        let bucket = self.bounds.partition_point(below);
        self.counts.get(bucket).unwrap_or(&self.above).fetch_add(1, Ordering::Relaxed);
        let mut seen = self.sum_bits.load(Ordering::Relaxed);
        loop {
            let sum = (f64::from_bits(seen) + value).to_bits();
            match self.sum_bits.compare_exchange_weak(seen, sum, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    /// How many observations there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().chain([&self.above]).map(|n| n.load(Ordering::Relaxed)).sum()
    }

    /// The sum of all observations.
    pub fn sum(&self) -> f64 {
        f64::from_bits(self.sum_bits.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_escaped() {
        let check = |value: &str, want: &str| {
            let mut out = TextWriter::default();
            out.sample("x", &[("a", value), ("b", "1")], 1e21);
            assert_eq!(out.text(), want);
        };
        check("q\"\\\n", "x{a=\"q\\\"\\\\\\n\",b=\"1\"} 1e+21\n");
        check("", "x{a=\"\",b=\"1\"} 1e+21\n");
        let mut out = TextWriter::default();
        out.single("x", "a \"b\"\nc", Kind::Counter, f64::INFINITY);
        assert_eq!(out.text(), "# HELP x a \"b\"\\nc\n# TYPE x counter\nx +Inf\n");
    }

    #[test]
    fn observations_count_below_their_bound() {
        let histogram = Histogram::new(&[1.0, 10.0]);
        [1.0, 1.5, 11.0, f64::NAN].iter().for_each(|v| histogram.observe(*v));
        let mut out = TextWriter::default();
        out.histogram("x", &[("a", "b")], &histogram);
        let want =
            "x_bucket{a=\"b\",le=\"1\"} 1\nx_bucket{a=\"b\",le=\"10\"} 2\nx_bucket{a=\"b\",le=\"+Inf\"} 4\n";
        assert!(out.text().starts_with(want), "{}", out.text());
        assert!(out.text().ends_with("x_sum{a=\"b\"} NaN\nx_count{a=\"b\"} 4\n"), "{}", out.text());
    }
}
