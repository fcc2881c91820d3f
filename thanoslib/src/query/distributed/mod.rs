//! Distributed queries: parts of a query are evaluated by the queriers that hold their series.
//!
//! The plan of a query is data, so that a pass can take parts out of it before it is planned over a
//! queryable. [`Split`](split::Split) finds the largest parts that give the same answer when each
//! querier evaluates them over its own series, and puts a selector with a name of its own in the place
//! of each; [`Remote`](remote::Remote) answers these selectors by asking the queriers, and all others
//! from the store.
//!
//! Which queriers a part concerns is told by its matchers and the labels that they advertise. A part
//! goes out only if each series of it lies with one of them: their label sets differ pairwise in labels
//! that all of them have (the *partition*), and no store beside them may hold a matching series. A part
//! that concerns one querier alone goes there as it is. Else it must keep the partition (selectors,
//! functions of each series, aggregations and joins whose groups hold all partition labels): its answer is
//! the union of theirs. `sum`, `count`, `min`, `max`, `group`, `topk`, `bottomk` and `avg` over such a part
//! are begun by the queriers and finished here. All else is evaluated here over the store, so that an
//! answer does not depend on what could be sent; sums may differ in their last digits, and of series with
//! equal values `topk` may take others.
//!
//! Values come back at the steps of the query. A stale mark follows each value that none follows, so that
//! the lookback brings nothing back. Times and lookback travel in whole seconds; a query with others stays
//! here, as does one of a shard or of chosen stores. A querier that fails is a warning, or the end of the
//! query where no partial answer is wanted.
//!
//! As in Thanos, a querier's labels are believed: two queriers over one store that advertise different
//! `--selector-label`s count its series twice.
//!
//! Invariant: knows queriers through [`QueryApi`] alone; computes nothing.

mod remote;
mod split;
#[cfg(all(test, feature = "testing"))]
mod tests;

use std::{fmt, sync::Arc};

use super::StoreQueryable;
use crate::{
    apis::{QueryApi, QueryTime},
    model::Labels,
    promql::{self, LogicalPlan},
};
use remote::Remote;
use split::Split;

/// Tells who evaluates PromQL and who else holds series, as of now.
///
/// See [`Distribution`].
pub trait QueryEngines: fmt::Debug + Send + Sync + 'static {
    /// The queriers, and the stores that are none.
    fn engines(&self) -> Engines;
}

/// Who evaluates PromQL and who else holds series.
///
/// See [`Distribution`].
#[derive(Clone, Debug, Default)]
pub struct Engines {
    /// The queriers.
    pub engines: Vec<RemoteEngine>,
    /// The label sets of each store that is no querier; a store without any may hold every series.
    pub stores: Vec<Vec<Labels>>,
}

/// A querier that evaluates PromQL.
///
/// See [`Distribution`].
#[derive(Clone, Debug)]
pub struct RemoteEngine {
    /// Host and port, or a name for what has none.
    pub name: String,
    /// Evaluates.
    pub api: Arc<dyn QueryApi>,
    /// External labels of its series; none stands for any series.
    pub label_sets: Vec<Labels>,
}

/// How queries are distributed; see [`StoreQueryable::distributed`].
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::query::{Distribution, Engines, QueryEngines};
/// #[derive(Debug)]
/// struct Nobody;
/// impl QueryEngines for Nobody {
///     fn engines(&self) -> Engines {
///         Engines::default()
///     }
/// }
/// let distribution = Distribution { engines: Arc::new(Nobody), partition_labels: Vec::new() };
/// assert!(distribution.engines.engines().engines.is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct Distribution {
    /// Who evaluates.
    pub engines: Arc<dyn QueryEngines>,
    /// The labels that may tell queriers apart; none allows all that they have in common.
    pub partition_labels: Vec<String>,
}

impl Distribution {
    /// Takes parts out of a plan; `None` when all of it stays with `local`.
    pub(super) fn split(&self, local: &StoreQueryable, plan: &LogicalPlan) -> Option<promql::Distributed> {
        let options = &local.options;
        if options.shard.is_some() || !options.store_matchers.is_empty() {
            return None;
        }
        let time = whole_seconds(plan)?;
        let mut engines = self.engines.engines();
        if options.dedup {
            without(&mut engines, &options.replica_labels);
        }
        let mut split = Split::new(&engines, &self.partition_labels, plan.is_instant());
        let expr = split.query(plan.expr())?;
        let parts = split.into_parts();
        if parts.is_empty() {
            return None;
        }
        let queryable = Arc::new(Remote::new(local.clone(), parts, time, plan.lookback_ms()));
        Some(promql::Distributed { plan: plan.with_expr(expr), queryable })
    }
}

/// The times of a query, if all of them and its lookback can travel.
fn whole_seconds(plan: &LogicalPlan) -> Option<QueryTime> {
    let (start_ms, end_ms, step_ms) = plan.times_ms();
    let whole = |ms: i64| ms % 1000 == 0;
    if !whole(plan.lookback_ms()) || !whole(start_ms) {
        return None;
    }
    // On the wire a time of zero means the present, so 1970 cannot be asked for.
    match plan.is_instant() {
        true => (start_ms != 0).then_some(QueryTime::Instant { t_ms: Some(start_ms) }),
        false => (whole(end_ms) && whole(step_ms) && step_ms > 0).then_some(QueryTime::Range {
            start_ms,
            end_ms,
            step_ms,
        }),
    }
}

/// Leaves out the labels that tell replicas apart.
fn without(engines: &mut Engines, replica_labels: &[String]) {
    for engine in &mut engines.engines {
        for set in &mut engine.label_sets {
            *set = set.filter(|l| !replica_labels.iter().any(|r| r.as_bytes() == l.name));
        }
        engine.label_sets.sort();
        engine.label_sets.dedup();
    }
}
