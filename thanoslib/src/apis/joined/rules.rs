//! The rules of many endpoints.

use std::{cmp::Ordering, cmp::Reverse, collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use futures::FutureExt;

use super::{ApiMembers, JoinSettings, What, gather, without};
use crate::{
    apis::{Rule, RuleGroup, RulesAnswer, RulesApi, RulesRequest},
    context::Context,
    error::{Error, Result},
    model::Matcher,
    promql::{EngineOptions, parse_selector},
};

/// The rules of many endpoints as one.
///
/// ```
/// use thanoslib::{Context, apis::{JoinSettings, JoinedRules, RulesApi, RulesRequest}};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> thanoslib::Result<()> {
/// let nobody = std::sync::Arc::new(Vec::new());
/// let rules = JoinedRules::new(nobody, JoinSettings::default());
/// let answer = rules.rules(&Context::default(), RulesRequest::default()).await?;
/// assert!(answer.groups.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct JoinedRules {
    members: Arc<dyn ApiMembers<dyn RulesApi>>,
    settings: JoinSettings,
}

impl JoinedRules {
    /// The rules of `members`.
    pub fn new(members: Arc<dyn ApiMembers<dyn RulesApi>>, settings: JoinSettings) -> Self {
        Self { members, settings }
    }
}

#[async_trait]
impl RulesApi for JoinedRules {
    async fn rules(&self, ctx: &Context, request: RulesRequest) -> Result<RulesAnswer> {
        let what = What { things: "rules", clients: "rules" };
        let asked = request.clone();
        let members = self.members.api_members();
        let timeout = self.settings.response_timeout;
        let (answers, warnings) =
            gather(ctx, what, members, request.partial_response, timeout, move |ctx, member| {
                let request = asked.clone();
                async move { member.api.rules(&ctx, request).await }.boxed()
            })
            .await?;
        let mut all = RulesAnswer { groups: Vec::new(), warnings };
        for answer in answers {
            all.groups.extend(answer.groups);
            all.warnings.extend(answer.warnings.iter().cloned());
        }
        match &self.settings.merge {
            Some(replica_labels) => merge_rules(all, &request, replica_labels),
            None => Ok(all),
        }
    }
}

/// Makes one group of those of the same file and name, one rule of those that differ in replica
/// labels only, and keeps what the filters of the request let through.
///
/// Of equal alerts the one in the gravest state is kept, then the one evaluated last; of equal
/// recording rules the one evaluated last.
///
/// Source: Thanos `pkg/rules/rules.go`.
///
/// # Errors
/// `Invalid` for a matcher of the request that is no selector.
pub fn merge_rules(
    answer: RulesAnswer,
    request: &RulesRequest,
    replica_labels: &[String],
) -> Result<RulesAnswer> {
    let options = EngineOptions::default();
    let mut matchers: Vec<Matcher> = Vec::new();
    for text in &request.matchers {
        let selector = parse_selector(text, &options).map_err(|e| Error::invalid(e.to_string()))?;
        matchers.extend(selector);
    }
    let listed = |list: &[String], name: &str| list.is_empty() || list.iter().any(|x| x == name);
    let mut groups: BTreeMap<(String, String), RuleGroup> = BTreeMap::new();
    for mut group in answer.groups {
        if !listed(&request.rule_groups, &group.name) || !listed(&request.files, &group.file) {
            continue;
        }
        match groups.get_mut(&(group.file.clone(), group.name.clone())) {
            Some(known) => known.rules.append(&mut group.rules),
            None => {
                groups.insert((group.file.clone(), group.name.clone()), group);
            }
        }
    }
    let mut groups: Vec<RuleGroup> = groups.into_values().collect();
    for group in &mut groups {
        for rule in &mut group.rules {
            *rule.labels_mut() = without(rule.labels(), replica_labels);
        }
        group.rules.retain(|rule| listed(&request.rule_names, rule.name()) && selected(rule, &matchers));
        // The best of equals comes first, and stays.
        group.rules.sort_by(|a, b| identity(a, b).then_with(|| preference(a).cmp(&preference(b))));
        group.rules.dedup_by(|b, a| identity(a, b).is_eq());
    }
    // A group that filters left empty goes; one that has no rules of the kind asked for stays.
    let named = [&request.rule_names, &request.rule_groups, &request.files];
    if !matchers.is_empty() || named.iter().any(|list| !list.is_empty()) {
        groups.retain(|group| !group.rules.is_empty());
    }
    Ok(RulesAnswer { groups, warnings: answer.warnings })
}

/// True when the labels of a rule satisfy all matchers; templates count as missing.
fn selected(rule: &Rule, matchers: &[Matcher]) -> bool {
    let templated = |value: &[u8]| value.windows(2).any(|w| w == b"{{");
    matchers.iter().all(|m| {
        let value = rule.labels().get(m.name()).filter(|value| !templated(value));
        m.matches(value.unwrap_or_default())
    })
}

/// Equal for replicas of one rule.
fn identity(a: &Rule, b: &Rule) -> Ordering {
    let kind = |rule: &Rule| matches!(rule, Rule::Recording(_));
    let held = |rule: &Rule| match rule {
        Rule::Alert(alert) => alert.duration_seconds,
        Rule::Recording(_) => 0.0,
    };
    kind(a)
        .cmp(&kind(b))
        .then_with(|| a.name().cmp(b.name()))
        .then_with(|| a.labels().cmp(b.labels()))
        .then_with(|| a.query().cmp(b.query()))
        .then_with(|| held(a).total_cmp(&held(b)))
}

/// Less for the one of equals that is kept.
fn preference(rule: &Rule) -> impl Ord + use<> {
    let state = match rule {
        Rule::Alert(alert) => Some(Reverse(alert.state)),
        Rule::Recording(_) => None,
    };
    (state, Reverse(rule.last_evaluation()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        apis::{Alert, AlertState, ApiMember, RecordingRule},
        error::ErrorKind,
        model::{Labels, Warnings, duration::UnixTime},
        store::PartialResponse,
    };

    fn recording(name: &str, replica: &str, t_ms: i64) -> Rule {
        Rule::Recording(RecordingRule {
            name: name.to_owned(),
            labels: Labels::from_pairs([("replica", replica), ("team", "core"), ("note", "{{ $value }}")]),
            last_evaluation: Some(UnixTime::from_ms(t_ms)),
            ..RecordingRule::default()
        })
    }

    fn alert(name: &str, replica: &str, state: AlertState, t_ms: i64) -> Rule {
        Rule::Alert(Alert {
            name: name.to_owned(),
            state,
            labels: Labels::from_pairs([("replica", replica)]),
            last_evaluation: Some(UnixTime::from_ms(t_ms)),
            ..Alert::default()
        })
    }

    fn group(file: &str, name: &str, rules: Vec<Rule>) -> RuleGroup {
        RuleGroup { name: name.to_owned(), file: file.to_owned(), rules, ..RuleGroup::default() }
    }

    fn check(request: RulesRequest, want: &[&str]) {
        use AlertState::{Firing, Pending};
        let groups = vec![
            group("f", "g", vec![recording("r", "A", 1), alert("a", "A", Pending, 9)]),
            group("f", "g", vec![alert("a", "B", Firing, 3), recording("r", "B", 2), recording("q", "B", 2)]),
            group("e", "h", vec![recording("r", "A", 5)]),
        ];
        let answer = RulesAnswer { groups, warnings: Warnings::default() };
        let merged = merge_rules(answer, &request, &["replica".to_owned()]).expect("sound matchers");
        let mut got = Vec::new();
        for group in &merged.groups {
            for rule in &group.rules {
                let state = match rule {
                    Rule::Alert(alert) => format!(" {:?}", alert.state),
                    Rule::Recording(_) => String::new(),
                };
                let at = rule.last_evaluation().map_or(0, UnixTime::ms);
                got.push(format!("{};{} {}{state} {at}", group.file, group.name, rule.name()));
            }
        }
        assert_eq!(got, want, "{request:?}");
    }

    #[test]
    fn replicas_are_one_rule_and_filters_apply() {
        let all = ["e;h r 5", "f;g a Firing 3", "f;g q 2", "f;g r 2"];
        check(RulesRequest::default(), &all);
        let by = |change: fn(&mut RulesRequest)| {
            let mut request = RulesRequest::default();
            change(&mut request);
            request
        };
        check(by(|r| r.rule_names = vec!["r".to_owned()]), &["e;h r 5", "f;g r 2"]);
        check(by(|r| r.rule_groups = vec!["h".to_owned()]), &["e;h r 5"]);
        check(by(|r| r.files = vec!["f".to_owned()]), &all[1..]);
        check(by(|r| r.matchers = vec![r#"{team="core"}"#.to_owned()]), &["e;h r 5", "f;g q 2", "f;g r 2"]);
        // All matchers of all sets, and a template counts as missing.
        check(by(|r| r.matchers = vec![r#"{team="core"}"#.to_owned(), r#"{team="x"}"#.to_owned()]), &[]);
        check(by(|r| r.matchers = vec![r#"{note=~".+"}"#.to_owned()]), &[]);
    }

    #[derive(Debug)]
    struct One(Option<ErrorKind>);

    #[async_trait]
    impl RulesApi for One {
        async fn rules(&self, _: &Context, _: RulesRequest) -> Result<RulesAnswer> {
            match self.0 {
                Some(ErrorKind::Timeout) => std::future::pending().await,
                Some(kind) => Err(Error::new(kind, "gone")),
                None => {
                    let groups = vec![group("f", "g", vec![recording("r", "A", 1)])];
                    Ok(RulesAnswer { groups, warnings: Warnings::default() })
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_fails_is_a_warning_or_the_end() {
        let member = |name: &str, fails| ApiMember {
            name: name.to_owned(),
            api: Arc::new(One(fails)) as Arc<dyn RulesApi>,
            label_sets: Vec::new(),
            component: "sidecar",
        };
        let members = vec![
            member("h:1", Some(ErrorKind::Unavailable)),
            member("h:2", None),
            member("h:3", Some(ErrorKind::Internal)),
            member("h:4", Some(ErrorKind::Timeout)),
        ];
        let response_timeout = Some(std::time::Duration::from_secs(2));
        let joined = JoinedRules::new(Arc::new(members), JoinSettings { merge: None, response_timeout });
        let ctx = Context::default();
        let answer = joined.rules(&ctx, RulesRequest::default()).await.expect("a partial answer");
        assert_eq!(answer.groups.len(), 1);
        let texts: Vec<String> = answer.warnings.iter().map(ToString::to_string).collect();
        let want = [
            "fetching rules from rules client h:1: gone",
            "receiving rules from rules client h:3: gone",
            "receiving rules from rules client h:4: no answer in 2s",
        ];
        assert_eq!(texts, want);
        let whole = RulesRequest { partial_response: PartialResponse::Abort, ..RulesRequest::default() };
        let e = joined.rules(&ctx, whole).await.expect_err("no partial answer is wanted");
        assert_eq!((e.message(), e.kind()), (want[0], ErrorKind::Unavailable));
    }
}
