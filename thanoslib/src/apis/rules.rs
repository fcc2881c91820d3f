//! Rules and alerts.

use std::fmt;

use async_trait::async_trait;

use crate::{
    context::Context,
    error::Result,
    model::{Labels, Warnings, duration::UnixTime},
    store::PartialResponse,
};

/// Tells the rules that a component evaluates.
///
/// Contract: only `kind` need be honoured; whoever answers a user applies the other filters.
///
/// ```
/// use thanoslib::{Context, Result, apis::{RuleGroup, RulesAnswer, RulesApi, RulesRequest}};
/// /// Knows one thing.
/// #[derive(Debug)]
/// struct One;
///
/// #[async_trait::async_trait]
/// impl RulesApi for One {
///     async fn rules(&self, _: &Context, request: RulesRequest) -> Result<RulesAnswer> {
///         let _kind = request.kind;
///         let group = RuleGroup { name: "nightly".to_owned(), ..RuleGroup::default() };
///         Ok(RulesAnswer { groups: vec![group], ..RulesAnswer::default() })
///     }
/// }
/// ```
#[async_trait]
pub trait RulesApi: fmt::Debug + Send + Sync + 'static {
    /// The groups with their rules, as of their last evaluation.
    async fn rules(&self, ctx: &Context, request: RulesRequest) -> Result<RulesAnswer>;
}

/// Which rules.
///
/// ```
/// use thanoslib::apis::{RuleKind, RulesRequest};
/// let alerts = RulesRequest { kind: RuleKind::Alert, ..RulesRequest::default() };
/// assert!(alerts.matchers.is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RulesRequest {
    /// Of this kind only.
    pub kind: RuleKind,
    /// What a failing part does to the answer.
    pub partial_response: PartialResponse,
    /// Selectors as texts; the labels of a rule must match all of them.
    pub matchers: Vec<String>,
    /// Names of rules; none means all.
    pub rule_names: Vec<String>,
    /// Names of groups; none means all.
    pub rule_groups: Vec<String>,
    /// Files of groups; none means all.
    pub files: Vec<String>,
}

/// Kind of rules asked for.
///
/// See [`RulesRequest`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RuleKind {
    /// Both kinds.
    #[default]
    All,
    /// Alerting rules.
    Alert,
    /// Recording rules.
    Record,
}

/// Groups of rules with the known gaps.
///
/// See [`RulesApi`].
#[derive(Clone, Debug, Default)]
pub struct RulesAnswer {
    /// The groups.
    pub groups: Vec<RuleGroup>,
    /// Known gaps.
    pub warnings: Warnings,
}

/// Rules that are evaluated together, one after the other.
///
/// ```
/// use thanoslib::apis::RuleGroup;
/// let group = RuleGroup { name: "disks".to_owned(), interval_seconds: 15.0, ..RuleGroup::default() };
/// assert!(group.rules.is_empty() && group.last_evaluation.is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleGroup {
    /// Name, unique within the file.
    pub name: String,
    /// File that it stands in.
    pub file: String,
    /// The rules in the order of evaluation.
    pub rules: Vec<Rule>,
    /// Time between evaluations in seconds.
    pub interval_seconds: f64,
    /// Length of the last evaluation in seconds.
    pub evaluation_seconds: f64,
    /// When the last evaluation began; `None` before the first.
    pub last_evaluation: Option<UnixTime>,
    /// What a failing store does to its queries.
    pub partial_response: PartialResponse,
    /// Most series or alerts of a rule; 0 for no limit.
    pub limit: i64,
}

/// A rule of either kind.
///
/// See [`RuleGroup`].
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// Writes the result of a query as series.
    Recording(RecordingRule),
    /// Raises an alert for each series of a result.
    Alert(Alert),
}

impl Rule {
    /// Its name: the metric recorded, or that of the alert.
    pub fn name(&self) -> &str {
        match self {
            Self::Recording(rule) => &rule.name,
            Self::Alert(rule) => &rule.name,
        }
    }

    /// The labels that it adds.
    pub fn labels(&self) -> &Labels {
        match self {
            Self::Recording(rule) => &rule.labels,
            Self::Alert(rule) => &rule.labels,
        }
    }

    /// The labels that it adds, to be changed.
    pub fn labels_mut(&mut self) -> &mut Labels {
        match self {
            Self::Recording(rule) => &mut rule.labels,
            Self::Alert(rule) => &mut rule.labels,
        }
    }

    /// Its query.
    pub fn query(&self) -> &str {
        match self {
            Self::Recording(rule) => &rule.query,
            Self::Alert(rule) => &rule.query,
        }
    }

    /// When its last evaluation began.
    pub fn last_evaluation(&self) -> Option<UnixTime> {
        match self {
            Self::Recording(rule) => rule.last_evaluation,
            Self::Alert(rule) => rule.last_evaluation,
        }
    }
}

/// A recording rule.
///
/// See [`RuleGroup`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordingRule {
    /// Metric that it writes.
    pub name: String,
    /// PromQL.
    pub query: String,
    /// Labels that it adds.
    pub labels: Labels,
    /// `ok`, `err` or `unknown`.
    pub health: String,
    /// What went wrong in the last evaluation; empty if nothing.
    pub last_error: String,
    /// Length of the last evaluation in seconds.
    pub evaluation_seconds: f64,
    /// When the last evaluation began; `None` before the first.
    pub last_evaluation: Option<UnixTime>,
}

/// An alerting rule with the alerts that it has raised.
///
/// See [`RuleGroup`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Alert {
    /// The gravest state of its alerts.
    pub state: AlertState,
    /// Name of the alert.
    pub name: String,
    /// PromQL.
    pub query: String,
    /// How long a series must be there before the alert fires, in seconds.
    pub duration_seconds: f64,
    /// How long the alert goes on without the series, in seconds.
    pub keep_firing_for_seconds: f64,
    /// Labels that it adds.
    pub labels: Labels,
    /// Annotations, templates not yet filled.
    pub annotations: Labels,
    /// What it has raised.
    pub alerts: Vec<AlertInstance>,
    /// `ok`, `err` or `unknown`.
    pub health: String,
    /// What went wrong in the last evaluation; empty if nothing.
    pub last_error: String,
    /// Length of the last evaluation in seconds.
    pub evaluation_seconds: f64,
    /// When the last evaluation began; `None` before the first.
    pub last_evaluation: Option<UnixTime>,
}

/// One alert that a rule has raised.
///
/// See [`RuleGroup`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlertInstance {
    /// Its labels.
    pub labels: Labels,
    /// Its annotations, templates filled.
    pub annotations: Labels,
    /// Its state.
    pub state: AlertState,
    /// Since when; `None` when it is not active.
    pub active_at: Option<UnixTime>,
    /// Value of the series, as text.
    pub value: String,
    /// What a failing store did to the query behind it.
    pub partial_response: PartialResponse,
}

/// State of an alert; a later one is graver.
///
/// See [`Alert`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertState {
    /// The peer does not say.
    #[default]
    Unknown,
    /// Nothing raised.
    Inactive,
    /// Raised, not long enough to fire.
    Pending,
    /// Firing.
    Firing,
}
