//! What a sidecar did, as numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that others read while it changes.
///
/// ```
/// use thanoslib::sidecar::SidecarMetrics;
/// assert_eq!(SidecarMetrics::default().uploads.get(), 0);
/// ```
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Its value as of now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }
}

/// What a sidecar did.
///
/// See [`Sidecar`](super::Sidecar).
#[derive(Debug, Default)]
pub struct SidecarMetrics {
    /// 1 when the server answered when it was asked last.
    pub prometheus_up: Count,
    /// Rounds of looking for blocks.
    pub dir_syncs: Count,
    /// Those that failed.
    pub dir_sync_failures: Count,
    /// Blocks uploaded.
    pub uploads: Count,
    /// Uploads that failed.
    pub upload_failures: Count,
    /// Blocks that could not be read and were passed over.
    pub corrupted_blocks: Count,
    /// 1 after a whole round in which compacted blocks were uploaded, too.
    pub upload_compacted_done: Count,
    /// Reloads asked for.
    pub reloads: Count,
    /// Those that failed.
    pub reloads_failed: Count,
    /// 1 when the last reload worked.
    pub reload_successful: Count,
    /// When the last reload worked, in seconds since 1970.
    pub reload_success_time: Count,
    /// How often what is watched was read.
    pub applies: Count,
    /// How often that failed.
    pub applies_failed: Count,
    /// Variables that were not set when the configuration was read last.
    pub expansion_errors: Count,
    /// Files and folders that are watched.
    pub watches: Count,
    /// Changes that were noticed.
    pub watch_events: Count,
    /// Failures to look at what is watched.
    pub watch_errors: Count,
}
