//! What a proxy does beyond Thanos when stores are slow or fail; each part is off unless set.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::member::ProxyMember;

/// What is done about slow and failing stores; plain data, all off by default.
///
/// ```
/// use thanoslib::store::{Breaker, Tolerance};
/// let tolerance = Tolerance { groups: true, fail_over: true, ..Tolerance::default() };
/// assert!(!tolerance.hedge && tolerance.breaker.is_none());
/// assert_eq!(Breaker::default().failures, 5);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tolerance {
    /// Of members with the same [`group`](ProxyMember::group) one is asked, the best as far as is
    /// known.
    pub groups: bool,
    /// A second member of the group is asked when the first is slower than 95 of 100 of its
    /// earlier answers; who answers first is read.
    pub hedge: bool,
    /// When a member fails, also in the middle of its answer, another of its group goes on after
    /// the last whole series.
    pub fail_over: bool,
    /// Stores that fail again and again are left alone for a time.
    pub breaker: Option<Breaker>,
    /// The part of the time left that a store may take, above 0 and at most 1: what it has not
    /// answered then is missing, with a warning, and the rest of the time is for the others.
    pub store_time: Option<f64>,
}

/// When a store is left alone.
///
/// See [`Tolerance`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Failures in a row after which it is. Default: 5.
    pub failures: u32,
    /// How long, until one request tries it again. Default: 10 s.
    pub rest: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { failures: 5, rest: Duration::from_secs(10) }
    }
}

/// How long one store is waited for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patience {
    /// For each answer or frame.
    pub(super) step: Option<Duration>,
    /// For everything, with the time given in all.
    pub(super) until: Option<(Instant, Duration)>,
}

impl Patience {
    pub(super) fn new(step: Option<Duration>, tolerance: &Tolerance, deadline: Option<Instant>) -> Self {
        let part = tolerance.store_time.filter(|part| (0.0..=1.0).contains(part));
        let until = part.zip(deadline).map(|(part, deadline)| {
            let now = Instant::now();
            let given = deadline.saturating_duration_since(now).mul_f64(part);
            (now + given, given)
        });
        Self { step, until }
    }
}

/// Members by group, those without one alone; in the order of their first members.
pub(super) fn sources(members: Vec<ProxyMember>, tolerance: &Tolerance) -> Vec<Vec<ProxyMember>> {
    let mut sources: Vec<Vec<ProxyMember>> = Vec::with_capacity(members.len());
    let mut at: HashMap<Arc<str>, usize> = HashMap::new();
    for member in members {
        let group = member.group.clone().filter(|_| tolerance.groups);
        match group.as_ref().and_then(|g| at.get(g)).and_then(|i| sources.get_mut(*i)) {
            Some(source) => source.push(member),
            None => {
                at.extend(group.map(|g| (g, sources.len())));
                sources.push(vec![member]);
            }
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::Labels, store::MemoryStore};

    fn member(address: &str, group: Option<&str>) -> ProxyMember {
        let store = Arc::new(MemoryStore::new(Labels::empty()));
        ProxyMember { group: group.map(Arc::from), ..ProxyMember::local(address, store) }
    }

    #[test]
    fn groups_count_only_when_they_are_wanted() {
        let members =
            || vec![member("a", Some("g")), member("b", None), member("c", Some("g")), member("d", None)];
        let check = |groups: bool, want: &[&[&str]]| {
            let tolerance = Tolerance { groups, ..Tolerance::default() };
            let got = sources(members(), &tolerance);
            let got: Vec<Vec<&str>> = got.iter().map(|s| s.iter().map(|m| &*m.address).collect()).collect();
            assert_eq!(got, want);
        };
        check(true, &[&["a", "c"], &["b"], &["d"]]);
        check(false, &[&["a"], &["b"], &["c"], &["d"]]);
    }
}
