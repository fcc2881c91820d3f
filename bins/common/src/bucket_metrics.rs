//! What is asked of a bucket, under the names of Thanos.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use thanoslib::{
    bucket::{BucketMetrics, Observation, Operation},
    metrics::{Collect, Counter, Histogram, Kind, TextWriter},
};

/// Upper bounds of the durations in seconds.
///
/// Compat: objstore `objstore.go`.
const SECONDS: [f64; 15] =
    [0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0];
/// Least bound of the bytes of an operation; the others double it.
const BYTES_LEAST: f64 = 32_768.0;
/// Bounds of the bytes.
const BYTES_BOUNDS: i32 = 17;

/// The families `thanos_objstore_bucket_…` of one bucket.
#[derive(Debug)]
pub struct BucketFamilies {
    bucket: String,
    operations: BTreeMap<&'static str, OfOperation>,
    /// Bits of the time in seconds; zero until there was an upload.
    last_upload: AtomicU64,
}

#[derive(Debug)]
struct OfOperation {
    begun: Counter,
    failed: Counter,
    fetched: Counter,
    seconds: Histogram,
    bytes: Histogram,
}

impl BucketFamilies {
    /// What is asked of the bucket of this name.
    pub fn new(bucket: &str) -> Self {
        let bytes: Vec<f64> = (0..BYTES_BOUNDS).map(|i| BYTES_LEAST * f64::powi(2.0, i)).collect();
        let one = |operation: Operation| {
            let counted = OfOperation {
                begun: Counter::default(),
                failed: Counter::default(),
                fetched: Counter::default(),
                seconds: Histogram::new(&SECONDS),
                bytes: Histogram::new(&bytes),
            };
            (operation.as_str(), counted)
        };
        Self {
            bucket: bucket.to_owned(),
            operations: Operation::ALL.into_iter().map(one).collect(),
            last_upload: AtomicU64::new(0),
        }
    }
}

impl BucketMetrics for BucketFamilies {
    fn begun(&self, operation: Operation) {
        if let Some(of) = self.operations.get(operation.as_str()) {
            of.begun.add(1);
        }
    }

    fn ended(&self, o: &Observation) {
        let Some(of) = self.operations.get(o.operation.as_str()) else { return };
        of.failed.add(u64::from(!o.success));
        if o.success {
            of.seconds.observe(o.duration.as_secs_f64());
        }
        match o.operation {
            Operation::Get | Operation::GetRange => {
                of.fetched.add(o.transferred_bytes);
                of.bytes.observe(o.transferred_bytes as f64);
            }
            Operation::Upload => {
                of.bytes.observe(o.transferred_bytes as f64);
                if o.success {
                    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                    self.last_upload.store(now.as_secs_f64().to_bits(), Ordering::Relaxed);
                }
            }
            _ => {}
        }
    }
}

impl Collect for BucketFamilies {
    fn collect(&self, out: &mut TextWriter) {
        type Count = fn(&OfOperation) -> u64;
        let counters: [(&str, &str, Count); 3] = [
            ("operations_total", "What the bucket was asked.", |of| of.begun.get()),
            ("operation_failures_total", "What of it failed.", |of| of.failed.get()),
            ("operation_fetched_bytes_total", "Bytes read.", |of| of.fetched.get()),
        ];
        let bucket = ("bucket", self.bucket.as_str());
        let named = |suffix: &str| format!("thanos_objstore_bucket_{suffix}");
        for (suffix, help, value) in counters {
            let name = named(suffix);
            out.family(&name, help, Kind::Counter);
            for (operation, of) in &self.operations {
                out.sample(&name, &[bucket, ("operation", operation)], value(of) as f64);
            }
        }
        type Of = fn(&OfOperation) -> &Histogram;
        let histograms: [(&str, &str, Of); 2] = [
            ("operation_duration_seconds", "Seconds of what succeeded.", |of| &of.seconds),
            ("operation_transferred_bytes", "Bytes read or written at once.", |of| &of.bytes),
        ];
        for (suffix, help, histogram) in histograms {
            let name = named(suffix);
            out.family(&name, help, Kind::Histogram);
            for (operation, of) in &self.operations {
                out.histogram(&name, &[bucket, ("operation", operation)], histogram(of));
            }
        }
        let last = f64::from_bits(self.last_upload.load(Ordering::Relaxed));
        let name = named("last_successful_upload_time");
        out.family(&name, "When an object was written last, since 1970.", Kind::Gauge);
        out.sample(&name, &[bucket], last);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use thanoslib::bucket::Bucket;

    use super::*;

    #[tokio::test]
    async fn operations_are_counted_where_they_happen() {
        let families = Arc::new(BucketFamilies::new("b"));
        let bucket = Bucket::memory("b").with_metrics(Arc::clone(&families) as _);
        bucket.put("a", "text").await.expect("written");
        bucket.get("a").await.expect("read");
        let mut out = TextWriter::default();
        families.collect(&mut out);
        for line in [
            r#"thanos_objstore_bucket_operations_total{bucket="b",operation="upload"} 1"#,
            r#"thanos_objstore_bucket_operation_fetched_bytes_total{bucket="b",operation="get"} 4"#,
            r#"thanos_objstore_bucket_operation_duration_seconds_count{bucket="b",operation="get"} 1"#,
            r#"thanos_objstore_bucket_operation_failures_total{bucket="b",operation="iter"} 0"#,
        ] {
            assert!(out.text().lines().any(|l| l == line), "no {line} in {}", out.text());
        }
        assert!(!out.text().contains("last_successful_upload_time{bucket=\"b\"} 0"));
    }
}
