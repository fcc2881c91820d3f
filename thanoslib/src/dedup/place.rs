//! Where a merge of replicas stands.

/// Most replicas of one series; overlapping chunks count as replicas.
pub(super) const REPLICAS_MAX: usize = 512;

/// Where the current sample stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) replica: usize,
    pub(super) histogram: bool,
    pub(super) index: usize,
    /// Amount to add to a float, if values are adjusted.
    pub(super) raised: Option<f64>,
    /// Nothing is known about resets before this sample.
    pub(super) unknown: bool,
}
