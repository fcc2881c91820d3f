//! Scrape targets.

use std::fmt;

use async_trait::async_trait;

use crate::{
    context::Context,
    error::Result,
    model::{Labels, Warnings, duration::UnixTime},
    store::PartialResponse,
};

/// Tells what a Prometheus scrapes.
///
/// ```
/// use thanoslib::{Context, Result, apis::{ActiveTarget, TargetState, TargetsAnswer, TargetsApi, TargetsRequest}};
/// /// Knows one thing.
/// #[derive(Debug)]
/// struct One;
///
/// #[async_trait::async_trait]
/// impl TargetsApi for One {
///     async fn targets(&self, _: &Context, request: TargetsRequest) -> Result<TargetsAnswer> {
///         let target = match request.state {
///             TargetState::Dropped => None,
///             _ => Some(ActiveTarget::default()),
///         };
///         Ok(TargetsAnswer { active: target.into_iter().collect(), ..TargetsAnswer::default() })
///     }
/// }
/// ```
#[async_trait]
pub trait TargetsApi: fmt::Debug + Send + Sync + 'static {
    /// The targets of the states asked for.
    async fn targets(&self, ctx: &Context, request: TargetsRequest) -> Result<TargetsAnswer>;
}

/// Which targets.
///
/// ```
/// use thanoslib::apis::{TargetState, TargetsRequest};
/// let active = TargetsRequest { state: TargetState::Active, ..TargetsRequest::default() };
/// assert_ne!(active, TargetsRequest::default());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetsRequest {
    /// Those of this state only.
    pub state: TargetState,
    /// What a failing part does to the answer.
    pub partial_response: PartialResponse,
}

/// State of the targets asked for.
///
/// See [`TargetsRequest`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TargetState {
    /// Both.
    #[default]
    Any,
    /// Those that are scraped.
    Active,
    /// Those that relabelling dropped.
    Dropped,
}

/// Targets with the known gaps.
///
/// See [`TargetsApi`].
#[derive(Clone, Debug, Default)]
pub struct TargetsAnswer {
    /// Targets that are scraped.
    pub active: Vec<ActiveTarget>,
    /// Labels, before relabelling, of targets that are not.
    pub dropped: Vec<Labels>,
    /// Known gaps.
    pub warnings: Warnings,
}

/// A target that is scraped.
///
/// ```
/// use thanoslib::apis::{ActiveTarget, TargetHealth};
/// let target = ActiveTarget { health: TargetHealth::Up, ..ActiveTarget::default() };
/// assert!(target.last_error.is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActiveTarget {
    /// Labels before relabelling.
    pub discovered_labels: Labels,
    /// Labels after relabelling.
    pub labels: Labels,
    /// Name of the scrape configuration.
    pub scrape_pool: String,
    /// Address that is scraped.
    pub scrape_url: String,
    /// The address as others reach it.
    pub global_url: String,
    /// What went wrong in the last scrape; empty if nothing.
    pub last_error: String,
    /// When the last scrape began; `None` before the first.
    pub last_scrape: Option<UnixTime>,
    /// Length of the last scrape in seconds.
    pub last_scrape_seconds: f64,
    /// Whether the last scrape worked.
    pub health: TargetHealth,
}

/// Whether a target answers.
///
/// See [`ActiveTarget`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetHealth {
    /// The last scrape failed.
    #[default]
    Down,
    /// The last scrape worked.
    Up,
    /// Not scraped yet.
    Unknown,
}
