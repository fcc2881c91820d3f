//! The scrape targets of many endpoints.

use std::{cmp::Reverse, sync::Arc};

use async_trait::async_trait;
use futures::FutureExt;

use super::{ApiMembers, JoinSettings, What, gather, without};
use crate::{
    apis::{ActiveTarget, TargetsAnswer, TargetsApi, TargetsRequest},
    context::Context,
    error::Result,
};

/// The scrape targets of many endpoints as one.
///
/// See [`JoinedRules`](super::JoinedRules).
#[derive(Debug)]
pub struct JoinedTargets {
    members: Arc<dyn ApiMembers<dyn TargetsApi>>,
    settings: JoinSettings,
}

impl JoinedTargets {
    /// The targets of `members`.
    pub fn new(members: Arc<dyn ApiMembers<dyn TargetsApi>>, settings: JoinSettings) -> Self {
        Self { members, settings }
    }
}

#[async_trait]
impl TargetsApi for JoinedTargets {
    async fn targets(&self, ctx: &Context, request: TargetsRequest) -> Result<TargetsAnswer> {
        let what = What { things: "targets", clients: "targets" };
        let members = self.members.api_members();
        let timeout = self.settings.response_timeout;
        let (answers, warnings) =
            gather(ctx, what, members, request.partial_response, timeout, move |ctx, member| {
                async move { member.api.targets(&ctx, request).await }.boxed()
            })
            .await?;
        let mut all = TargetsAnswer { warnings, ..TargetsAnswer::default() };
        for answer in answers {
            all.active.extend(answer.active);
            all.dropped.extend(answer.dropped);
            all.warnings.extend(answer.warnings.iter().cloned());
        }
        if let Some(replica_labels) = &self.settings.merge {
            merge_targets(&mut all, replica_labels);
        }
        Ok(all)
    }
}

/// Makes one target of those that differ in replica labels only.
///
/// Of equal ones the one that is down is kept, before up and unknown, then the one scraped last.
///
/// Source: Thanos `pkg/targets/targets.go`.
pub fn merge_targets(answer: &mut TargetsAnswer, replica_labels: &[String]) {
    for target in &mut answer.active {
        target.discovered_labels = without(&target.discovered_labels, replica_labels);
        target.labels = without(&target.labels, replica_labels);
    }
    answer.active.sort_by(|a, b| {
        let preference = |t: &ActiveTarget| (t.health, Reverse(t.last_scrape));
        identity(a).cmp(&identity(b)).then_with(|| preference(a).cmp(&preference(b)))
    });
    answer.active.dedup_by(|b, a| identity(a) == identity(b));
    for labels in &mut answer.dropped {
        *labels = without(labels, replica_labels);
    }
    answer.dropped.sort();
    answer.dropped.dedup();
}

/// Equal for replicas of one target.
fn identity(target: &ActiveTarget) -> impl Ord {
    (&target.scrape_url, &target.scrape_pool, &target.discovered_labels, &target.labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        apis::TargetHealth,
        model::{Labels, duration::UnixTime},
    };

    #[test]
    fn replicas_are_one_target() {
        let target = |replica: &str, url: &str, health, t_ms| ActiveTarget {
            labels: Labels::from_pairs([("job", "a"), ("replica", replica)]),
            scrape_url: url.to_owned(),
            health,
            last_scrape: Some(UnixTime::from_ms(t_ms)),
            ..ActiveTarget::default()
        };
        let check = |active: Vec<ActiveTarget>, want: &[(&str, TargetHealth, i64)]| {
            let mut answer = TargetsAnswer { active, ..TargetsAnswer::default() };
            merge_targets(&mut answer, &["replica".to_owned()]);
            let got: Vec<_> = answer
                .active
                .iter()
                .map(|t| (t.scrape_url.as_str(), t.health, t.last_scrape.map_or(0, |t| t.ms())))
                .collect();
            assert_eq!(got, want);
        };
        use TargetHealth::{Down, Up};
        check(vec![target("A", "u", Up, 1), target("B", "u", Up, 2)], &[("u", Up, 2)]);
        check(vec![target("A", "u", Up, 2), target("B", "u", Down, 1)], &[("u", Down, 1)]);
        check(vec![target("A", "v", Up, 2), target("B", "u", Up, 1)], &[("u", Up, 1), ("v", Up, 2)]);
        let set = |replica: &str| Labels::from_pairs([("a", "1"), ("replica", replica)]);
        let mut answer = TargetsAnswer { dropped: vec![set("B"), set("A")], ..TargetsAnswer::default() };
        merge_targets(&mut answer, &["replica".to_owned()]);
        assert_eq!(answer.dropped, [Labels::from_pairs([("a", "1")])]);
    }
}
