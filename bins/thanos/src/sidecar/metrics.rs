//! The sidecar's metrics under the names of Thanos.

use std::sync::Arc;

use thanoslib::{
    metrics::{Collect, Kind, TextWriter},
    sidecar::SidecarMetrics,
    store::prometheus::ReadMetrics,
};

/// What `/metrics` shows of a sidecar.
#[derive(Debug)]
pub(super) struct SidecarFamilies {
    pub(super) sidecar: Arc<SidecarMetrics>,
    pub(super) reads: Arc<ReadMetrics>,
    /// How reloads are asked for, if anything is watched.
    pub(super) reload_method: Option<&'static str>,
}

impl Collect for SidecarFamilies {
    fn collect(&self, out: &mut TextWriter) {
        use Kind::{Counter, Gauge};
        let m = &self.sidecar;
        let single = [
            (
                "thanos_sidecar_prometheus_up",
                "Whether Prometheus answered when it was asked last.",
                Gauge,
                &m.prometheus_up,
            ),
            ("thanos_shipper_dir_syncs_total", "Rounds of looking for blocks.", Counter, &m.dir_syncs),
            ("thanos_shipper_dir_sync_failures_total", "Rounds that failed.", Counter, &m.dir_sync_failures),
            ("thanos_shipper_uploads_total", "Blocks uploaded.", Counter, &m.uploads),
            ("thanos_shipper_upload_failures_total", "Uploads that failed.", Counter, &m.upload_failures),
            ("thanos_shipper_corrupted_blocks_total", "Blocks passed over.", Counter, &m.corrupted_blocks),
            (
                "thanos_shipper_upload_compacted_done",
                "1 after a whole round in which compacted blocks were uploaded, too.",
                Gauge,
                &m.upload_compacted_done,
            ),
            ("thanos_sidecar_reloader_reloads_total", "Reloads asked for.", Counter, &m.reloads),
            (
                "thanos_sidecar_reloader_reloads_failed_total",
                "Reloads that failed.",
                Counter,
                &m.reloads_failed,
            ),
            (
                "thanos_sidecar_reloader_last_reload_successful",
                "Whether the last reload worked.",
                Gauge,
                &m.reload_successful,
            ),
            (
                "thanos_sidecar_reloader_last_reload_success_timestamp_seconds",
                "When the last reload worked.",
                Gauge,
                &m.reload_success_time,
            ),
            (
                "thanos_sidecar_reloader_config_apply_operations_total",
                "How often what is watched was read.",
                Counter,
                &m.applies,
            ),
            (
                "thanos_sidecar_reloader_config_apply_operations_failed_total",
                "How often that failed.",
                Counter,
                &m.applies_failed,
            ),
            (
                "thanos_sidecar_reloader_config_environment_variable_expansion_errors",
                "Whether a variable was not set when the configuration was read last.",
                Gauge,
                &m.expansion_errors,
            ),
            ("thanos_sidecar_reloader_watches", "Files that are watched.", Gauge, &m.watches),
            ("thanos_sidecar_reloader_watch_events_total", "Changes noticed.", Counter, &m.watch_events),
            ("thanos_sidecar_reloader_watch_errors_total", "Failures to look.", Counter, &m.watch_errors),
        ];
        for (name, help, kind, count) in single {
            out.single(name, help, kind, count.get() as f64);
        }
        out.family("thanos_sidecar_reloader_info", "How reloads are asked for.", Gauge);
        if let Some(method) = self.reload_method {
            out.sample("thanos_sidecar_reloader_info", &[("method", method)], 1.0);
        }
        let name = "prometheus_store_received_frames";
        out.family(name, "Frames of remote reads.", Kind::Histogram);
        out.histogram(name, &[], &self.reads.frames);
    }
}
