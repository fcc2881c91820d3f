//! Remarks of range functions.

use crate::{
    model::{Labels, float::Quoted},
    promql::Annotations,
};

/// Takes the remarks about one series.
#[derive(Debug)]
pub(super) struct Notes<'a> {
    annotations: &'a mut Annotations,
    labels: &'a Labels,
    vector: Option<(u32, u32)>,
    first: Option<(u32, u32)>,
    mixed: bool,
    ignored: bool,
}

impl<'a> Notes<'a> {
    pub(super) fn new(
        annotations: &'a mut Annotations,
        labels: &'a Labels,
        vector: Option<(u32, u32)>,
        first: Option<(u32, u32)>,
    ) -> Self {
        Self { annotations, labels, vector, first, mixed: false, ignored: false }
    }

    fn name(&self) -> Quoted<'a> {
        Quoted(self.labels.metric_name())
    }

    /// Floats and histograms stand in one window.
    pub(super) fn mixed(&mut self) {
        if !std::mem::replace(&mut self.mixed, true) {
            let text = format!("encountered a mix of histograms and floats for metric name {}", self.name());
            self.annotations.warn(text, self.vector);
        }
    }

    /// A function of floats passed over histograms.
    pub(super) fn ignored_histograms(&mut self) {
        if !std::mem::replace(&mut self.ignored, true) {
            let text = format!(
                "ignored histograms in a range containing both floats and histograms for metric name {}",
                self.name()
            );
            self.annotations.info(text, self.first);
        }
    }

    /// A gauge histogram where a counter belongs.
    pub(super) fn not_a_counter(&mut self) {
        let text = format!("this native histogram metric is not a counter: {}", self.name());
        self.annotations.warn(text, self.vector);
    }

    /// A counter histogram where a gauge belongs.
    pub(super) fn not_a_gauge(&mut self) {
        let text = format!("this native histogram metric is not a gauge: {}", self.name());
        self.annotations.warn(text, self.vector);
    }

    /// Exponential and custom buckets meet.
    pub(super) fn mixed_schemas(&mut self) {
        let text = format!(
            "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {}",
            self.name()
        );
        self.annotations.warn(text, self.vector);
    }

    /// Hints about counter resets contradict each other; `during` is `aggregation` and such.
    pub(super) fn collision(&mut self, during: &str) {
        self.annotations.warn(format!("conflicting counter resets during histogram {during}"), self.vector);
    }

    /// Custom bounds differed; `during` is `addition`, `subtraction` or `aggregation`.
    pub(super) fn reconciled(&mut self, during: &str) {
        self.annotations
            .info(format!("mismatched custom buckets were reconciled during {during}"), self.vector);
    }

    /// A start timestamp lies before the sample before.
    pub(super) fn overlapping_start(&mut self) {
        let text = format!(
            "sample has start time that overlaps with previous sample timestamp for metric {}",
            self.name()
        );
        self.annotations.warn(text, self.vector);
    }

    /// The quantile argument is outside 0 to 1.
    pub(super) fn invalid_quantile(&mut self, q: f64) {
        let text =
            format!("quantile value should be between 0 and 1, got {}", crate::model::float::General(q));
        self.annotations.warn(text, self.first);
    }

    /// Remarks on a metric that does not look like a counter.
    pub(super) fn possible_non_counter(&mut self, type_labels: bool) {
        let name = self.labels.metric_name();
        if name.is_empty() {
            return;
        }
        let text = if type_labels {
            let kind = self.labels.get("__type__").unwrap_or_default();
            if matches!(kind, b"counter" | b"histogram") {
                return;
            }
            format!(
                "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {}: {}",
                Quoted(kind),
                self.name()
            )
        } else {
            if [&b"_total"[..], b"_sum", b"_count", b"_bucket"].iter().any(|s| name.ends_with(s)) {
                return;
            }
            format!(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
                self.name()
            )
        };
        self.annotations.info(text, self.vector);
    }
}
