//! What an endpoint answers beside series: rules, targets, metadata, exemplars, statistics, queries.
//!
//! Each API is a trait of one method over plain types, so that a component, a peer behind a wire
//! and a join of many look alike.
//!
//! Invariant: plain values and traits; knows no wire, no JSON and no endpoint discovery.

mod exemplars;
mod joined;
mod metadata;
mod query;
mod rules;
mod status;
mod targets;

use std::sync::Arc;

use crate::store::Store;

pub use exemplars::{Exemplar, ExemplarSeries, ExemplarsAnswer, ExemplarsApi, ExemplarsRequest};
pub use joined::{
    ApiMember, ApiMembers, JoinSettings, JoinedExemplars, JoinedMetadata, JoinedRules, JoinedStatus,
    JoinedTargets, merge_rules, merge_targets,
};
pub use metadata::{MetadataAnswer, MetadataApi, MetadataRequest, MetricMetadata};
pub use query::{QueryApi, QueryEngine, QueryFrame, QueryStream, QueryTime, RemoteQuery};
pub use rules::{
    Alert, AlertInstance, AlertState, RecordingRule, Rule, RuleGroup, RuleKind, RulesAnswer, RulesApi,
    RulesRequest,
};
pub use status::{
    HeadStatistics, Statistic, TsdbStatistics, TsdbStatusAnswer, TsdbStatusApi, TsdbStatusRequest,
};
pub use targets::{ActiveTarget, TargetHealth, TargetState, TargetsAnswer, TargetsApi, TargetsRequest};

/// The APIs of one endpoint; what it does not serve is `None`.
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::{Labels, MemoryStore, Store, apis::Apis};
/// let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Labels::empty()));
/// let apis = Apis::from(store);
/// assert!(apis.store.is_some() && apis.rules.is_none());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Apis {
    /// Series and labels.
    pub store: Option<Arc<dyn Store>>,
    /// Rules and alerts.
    pub rules: Option<Arc<dyn RulesApi>>,
    /// Scrape targets.
    pub targets: Option<Arc<dyn TargetsApi>>,
    /// Type, help and unit of metrics.
    pub metadata: Option<Arc<dyn MetadataApi>>,
    /// Exemplars.
    pub exemplars: Option<Arc<dyn ExemplarsApi>>,
    /// Statistics of heads.
    pub status: Option<Arc<dyn TsdbStatusApi>>,
    /// PromQL.
    pub query: Option<Arc<dyn QueryApi>>,
}

impl From<Arc<dyn Store>> for Apis {
    /// Series and labels only.
    fn from(store: Arc<dyn Store>) -> Self {
        Self { store: Some(store), ..Self::default() }
    }
}
