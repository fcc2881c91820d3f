//! Requests to stores, as plain data.

use crate::{
    model::{Interval, Labels, LabelsBuilder, Matcher, Strings, Warnings},
    series::Aggr,
};

/// Which series, which time, which values.
///
/// See [`Store`](super::Store).
#[derive(Clone, Debug)]
pub struct SeriesRequest {
    /// Requested time, both ends inside. Chunks may reach beyond it.
    pub interval: Interval,
    /// All must match; they may name external labels.
    pub matchers: Vec<Matcher>,
    /// Coarsest resolution allowed, in ms; 0 allows raw data only.
    pub max_resolution_ms: i64,
    /// Aggregates wanted of downsampled data; ignored for raw data.
    pub aggregates: Vec<Aggr>,
    /// Labels only, no chunks.
    pub skip_chunks: bool,
    /// Labels to remove from the answer, which is sorted without them.
    pub without_replica_labels: Vec<String>,
    /// Most series wanted; 0 for all. A store may send more.
    pub limit: usize,
    /// The part of the series wanted.
    pub shard: Option<ShardInfo>,
    /// The labels wanted, if not all.
    pub projection: Option<Projection>,
    /// What becomes of the answer; stores may ignore it.
    pub hints: SelectHints,
    /// What a failing part does to the answer.
    pub partial_response: PartialResponse,
    /// Matchers on external labels and `__block_id` that choose blocks.
    pub block_matchers: Vec<Matcher>,
    /// Matchers on the `__address__` of stores behind a proxy: only those that match one of the
    /// lists are asked; none means all. Stays in this process.
    pub store_matchers: Vec<Vec<Matcher>>,
    /// Series in one frame on the wire; 0 or 1 for single series.
    pub batch_series: usize,
}

impl SeriesRequest {
    /// A request for raw samples.
    pub fn new(interval: Interval, matchers: Vec<Matcher>) -> Self {
        Self {
            interval,
            matchers,
            max_resolution_ms: 0,
            aggregates: Vec::new(),
            skip_chunks: false,
            without_replica_labels: Vec::new(),
            limit: 0,
            shard: None,
            projection: None,
            hints: SelectHints::default(),
            partial_response: PartialResponse::Warn,
            block_matchers: Vec::new(),
            store_matchers: Vec::new(),
            batch_series: 64,
        }
    }
}

/// Which label names.
///
/// See [`Conform`](super::Conform).
#[derive(Clone, Debug)]
pub struct LabelNamesRequest {
    /// Requested time, both ends inside.
    pub interval: Interval,
    /// All must match; none means all series.
    pub matchers: Vec<Matcher>,
    /// Labels to leave out.
    pub without_replica_labels: Vec<String>,
    /// Most names wanted; 0 for all.
    pub limit: usize,
    /// What a failing part does to the answer.
    pub partial_response: PartialResponse,
    /// Matchers on external labels and `__block_id` that choose blocks.
    pub block_matchers: Vec<Matcher>,
    /// Matchers on the `__address__` of stores behind a proxy: only those that match one of the
    /// lists are asked; none means all. Stays in this process.
    pub store_matchers: Vec<Vec<Matcher>>,
}

impl LabelNamesRequest {
    /// A request for the names of all matching series.
    pub fn new(interval: Interval, matchers: Vec<Matcher>) -> Self {
        Self {
            interval,
            matchers,
            without_replica_labels: Vec::new(),
            limit: 0,
            partial_response: PartialResponse::Warn,
            block_matchers: Vec::new(),
            store_matchers: Vec::new(),
        }
    }
}

/// Which values of which label.
///
/// See [`Fanout`](super::Fanout).
#[derive(Clone, Debug)]
pub struct LabelValuesRequest {
    /// The label, not empty.
    pub label: String,
    /// Requested time, both ends inside.
    pub interval: Interval,
    /// All must match; none means all series.
    pub matchers: Vec<Matcher>,
    /// If `label` is among these, the answer is empty.
    pub without_replica_labels: Vec<String>,
    /// Most values wanted; 0 for all.
    pub limit: usize,
    /// What a failing part does to the answer.
    pub partial_response: PartialResponse,
    /// Matchers on external labels and `__block_id` that choose blocks.
    pub block_matchers: Vec<Matcher>,
    /// Matchers on the `__address__` of stores behind a proxy: only those that match one of the
    /// lists are asked; none means all. Stays in this process.
    pub store_matchers: Vec<Vec<Matcher>>,
}

impl LabelValuesRequest {
    /// A request for the values of `label` over all matching series.
    pub fn new(label: impl Into<String>, interval: Interval, matchers: Vec<Matcher>) -> Self {
        Self {
            label: label.into(),
            interval,
            matchers,
            without_replica_labels: Vec::new(),
            limit: 0,
            partial_response: PartialResponse::Warn,
            block_matchers: Vec::new(),
            store_matchers: Vec::new(),
        }
    }
}

/// Sorted, distinct label names with the known gaps.
///
/// See [`Conform`](super::Conform).
#[derive(Clone, Debug, Default)]
pub struct LabelNames {
    /// Names in byte order.
    pub names: Vec<String>,
    /// Known gaps.
    pub warnings: Warnings,
    /// The blocks that were read, as ULID texts.
    pub queried_blocks: Vec<String>,
}

/// Sorted, distinct values of one label with the known gaps.
///
/// See [`Fanout`](super::Fanout).
#[derive(Clone, Debug, Default)]
pub struct LabelValues {
    /// Values in byte order.
    pub values: Strings,
    /// Known gaps.
    pub warnings: Warnings,
    /// The blocks that were read, as ULID texts.
    pub queried_blocks: Vec<String>,
}

/// What a failing part does to an answer.
///
/// ```
/// use thanoslib::{Interval, SeriesRequest, store::PartialResponse};
/// let mut request = SeriesRequest::new(Interval::ALL, Vec::new());
/// request.partial_response = PartialResponse::Abort;
/// assert_ne!(request.partial_response, PartialResponse::default());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PartialResponse {
    /// The rest answers, with a warning.
    #[default]
    Warn,
    /// The request fails.
    Abort,
}

/// One part of the series, told by the hash of some of their labels.
///
/// ```
/// use thanoslib::{Interval, SeriesRequest, store::ShardInfo};
/// let half = ShardInfo { index: 0, total: 2, by: true, labels: vec!["job".to_owned()] };
/// let request = SeriesRequest { shard: Some(half), ..SeriesRequest::new(Interval::ALL, Vec::new()) };
/// assert!(request.shard.is_some_and(|shard| shard.by));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardInfo {
    /// Number of this part.
    pub index: u64,
    /// Number of parts; below 1 means no sharding.
    pub total: u64,
    /// True: hash only the labels named; false: all but these.
    pub by: bool,
    /// Label names.
    pub labels: Vec<String>,
}

/// The labels of an answer that are wanted.
///
/// Series are told apart by all their labels as before: those that are equal without what is
/// left out stay apart through the hash.
///
/// ```
/// use thanoslib::{Interval, SeriesRequest, store::Projection};
/// let jobs = Projection { include: true, labels: vec!["job".to_owned()], hash_label: "hash".to_owned() };
/// let request = SeriesRequest { projection: Some(jobs), ..SeriesRequest::new(Interval::ALL, Vec::new()) };
/// assert!(request.projection.is_some_and(|projection| projection.include));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    /// True: only the labels named are wanted; false: all but these.
    pub include: bool,
    /// Label names.
    pub labels: Vec<String>,
    /// Name of a label that holds the hash of all final labels, as a decimal number; not empty.
    pub hash_label: String,
}

impl Projection {
    /// The wanted labels of a series of these final labels, with their hash.
    pub(crate) fn apply(&self, labels: &Labels) -> Labels {
        let named = |name: &[u8]| self.labels.iter().any(|n| n.as_bytes() == name);
        let kept = labels.filter(|l| named(l.name) == self.include);
        let mut out = LabelsBuilder::from_labels(kept.view());
        out.set(&self.hash_label, labels.hash().to_string());
        out.labels()
    }
}

/// What the engine will do with the selected series.
///
/// ```
/// use thanoslib::{Interval, SeriesRequest, store::SelectHints};
/// let mut request = SeriesRequest::new(Interval::ALL, Vec::new());
/// request.hints = SelectHints { func: "rate".to_owned(), range_ms: 300_000, ..SelectHints::default() };
/// assert!(request.hints.grouping.is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SelectHints {
    /// Step of the query in ms; 0 for an instant query.
    pub step_ms: i64,
    /// Nearest enclosing function or aggregation; empty when none.
    pub func: String,
    /// Range of the selector in ms; 0 for instant selectors.
    pub range_ms: i64,
    /// Labels of the directly enclosing aggregation.
    pub grouping: Option<Grouping>,
    /// The labels that the query looks at, as far as it is known; series may come with all labels.
    pub projection: Option<Vec<String>>,
}

/// The label clause of an aggregation.
///
/// See [`SelectHints`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// True for `by`, false for `without`.
    pub by: bool,
    /// Label names.
    pub labels: Vec<String>,
}
