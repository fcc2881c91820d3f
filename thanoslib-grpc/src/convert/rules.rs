//! Rules and alerts.

use thanoslib::{
    Error, Result,
    apis::{
        Alert, AlertInstance, AlertState, RecordingRule, Rule, RuleGroup, RuleKind, RulesAnswer, RulesRequest,
    },
    model::{Labels, Warning},
    store::PartialResponse,
};

use super::{
    partial_response, partial_response_to_wire, strategy, text,
    time::{from_time, to_time},
    unknown,
};
use crate::pb::thanos::{self as pb, ZLabelSet, rule, rules_request::Type, rules_response};

impl TryFrom<pb::RulesRequest> for RulesRequest {
    type Error = Error;

    /// # Errors
    /// `Invalid` with the path of the first field that cannot be understood.
    fn try_from(r: pb::RulesRequest) -> Result<Self> {
        Ok(Self {
            kind: match Type::try_from(r.r#type) {
                Ok(Type::All) => RuleKind::All,
                Ok(Type::Alert) => RuleKind::Alert,
                Ok(Type::Record) => RuleKind::Record,
                Err(_) => return Err(unknown("type", r.r#type.into())),
            },
            partial_response: partial_response(false, r.partial_response_strategy)?,
            matchers: r.matcher_string,
            rule_names: r.rule_name,
            rule_groups: r.rule_group,
            files: r.file,
        })
    }
}

impl From<&RulesRequest> for pb::RulesRequest {
    fn from(r: &RulesRequest) -> Self {
        let kind = match r.kind {
            RuleKind::All => Type::All,
            RuleKind::Alert => Type::Alert,
            RuleKind::Record => Type::Record,
        };
        Self {
            r#type: kind.into(),
            partial_response_strategy: partial_response_to_wire(r.partial_response).1,
            matcher_string: r.matchers.clone(),
            rule_name: r.rule_names.clone(),
            rule_group: r.rule_groups.clone(),
            file: r.files.clone(),
        }
    }
}

/// Adds one message of an answer to the rest.
///
/// # Errors
/// `Corrupt` with the path of the first field that cannot be understood.
pub fn add_rules(answer: &mut RulesAnswer, message: pb::RulesResponse) -> Result<()> {
    match message.result {
        Some(rules_response::Result::Group(group)) => answer.groups.push(group.try_into()?),
        Some(rules_response::Result::Warning(w)) => answer.warnings.push(Warning::new(text(&w))),
        // A kind of answer that is newer than this client.
        None => {}
    }
    Ok(())
}

impl From<RuleGroup> for pb::RulesResponse {
    fn from(group: RuleGroup) -> Self {
        Self { result: Some(rules_response::Result::Group(group.into())) }
    }
}

impl TryFrom<pb::RuleGroup> for RuleGroup {
    type Error = Error;

    /// # Errors
    /// `Corrupt` with the path of the first field that cannot be understood.
    fn try_from(g: pb::RuleGroup) -> Result<Self> {
        let path = format!("group {:?}", g.name);
        let rules = g.rules.into_iter().enumerate().filter_map(|(i, r)| {
            let rule = match r.result? {
                rule::Result::Recording(rule) => Ok(Rule::Recording(rule.into())),
                rule::Result::Alert(alert) => alert.try_into().map(Rule::Alert),
            };
            Some(rule.map_err(|e: Error| e.context(format!("rules[{i}]"))))
        });
        Ok(Self {
            rules: rules.collect::<Result<_>>().map_err(|e| e.context(&path))?,
            partial_response: strategy(g.partial_response_strategy).map_err(|e| e.context(&path))?,
            name: g.name,
            file: g.file,
            interval_seconds: g.interval,
            evaluation_seconds: g.evaluation_duration_seconds,
            last_evaluation: to_time(g.last_evaluation.as_ref()),
            limit: g.limit,
        })
    }
}

impl From<RuleGroup> for pb::RuleGroup {
    fn from(g: RuleGroup) -> Self {
        let rule = |r| match r {
            Rule::Recording(rule) => rule::Result::Recording(rule.into()),
            Rule::Alert(alert) => rule::Result::Alert(alert.into()),
        };
        Self {
            name: g.name,
            file: g.file,
            rules: g.rules.into_iter().map(|r| pb::Rule { result: Some(rule(r)) }).collect(),
            interval: g.interval_seconds,
            evaluation_duration_seconds: g.evaluation_seconds,
            last_evaluation: from_time(g.last_evaluation),
            partial_response_strategy: strategy_to_wire(g.partial_response),
            limit: g.limit,
        }
    }
}

fn strategy_to_wire(p: PartialResponse) -> i32 {
    partial_response_to_wire(p).1
}

impl From<pb::RecordingRule> for RecordingRule {
    fn from(r: pb::RecordingRule) -> Self {
        Self {
            name: r.name,
            query: r.query,
            labels: labels(r.labels.as_ref()),
            health: r.health,
            last_error: text(&r.last_error),
            evaluation_seconds: r.evaluation_duration_seconds,
            last_evaluation: to_time(r.last_evaluation.as_ref()),
        }
    }
}

impl From<RecordingRule> for pb::RecordingRule {
    fn from(r: RecordingRule) -> Self {
        Self {
            name: r.name,
            query: r.query,
            labels: Some(ZLabelSet::from(&r.labels)),
            health: r.health,
            last_error: r.last_error.into(),
            evaluation_duration_seconds: r.evaluation_seconds,
            last_evaluation: from_time(r.last_evaluation),
        }
    }
}

impl TryFrom<pb::Alert> for Alert {
    type Error = Error;

    /// # Errors
    /// `Corrupt` with the path of the first field that cannot be understood.
    fn try_from(a: pb::Alert) -> Result<Self> {
        let alerts = a.alerts.into_iter().enumerate();
        let alerts = alerts.map(|(i, a)| a.try_into().map_err(|e: Error| e.context(format!("alerts[{i}]"))));
        Ok(Self {
            state: state(a.state)?,
            name: a.name,
            query: a.query,
            duration_seconds: a.duration_seconds,
            keep_firing_for_seconds: a.keep_firing_for_seconds,
            labels: labels(a.labels.as_ref()),
            annotations: labels(a.annotations.as_ref()),
            alerts: alerts.collect::<Result<_>>()?,
            health: a.health,
            last_error: text(&a.last_error),
            evaluation_seconds: a.evaluation_duration_seconds,
            last_evaluation: to_time(a.last_evaluation.as_ref()),
        })
    }
}

impl From<Alert> for pb::Alert {
    fn from(a: Alert) -> Self {
        Self {
            state: state_to_wire(a.state),
            name: a.name,
            query: a.query,
            duration_seconds: a.duration_seconds,
            labels: Some(ZLabelSet::from(&a.labels)),
            annotations: Some(ZLabelSet::from(&a.annotations)),
            alerts: a.alerts.into_iter().map(Into::into).collect(),
            health: a.health,
            last_error: a.last_error.into(),
            evaluation_duration_seconds: a.evaluation_seconds,
            last_evaluation: from_time(a.last_evaluation),
            keep_firing_for_seconds: a.keep_firing_for_seconds,
        }
    }
}

impl TryFrom<pb::AlertInstance> for AlertInstance {
    type Error = Error;

    /// # Errors
    /// `Corrupt` with the path of the first field that cannot be understood.
    fn try_from(a: pb::AlertInstance) -> Result<Self> {
        Ok(Self {
            labels: labels(a.labels.as_ref()),
            annotations: labels(a.annotations.as_ref()),
            state: state(a.state)?,
            active_at: to_time(a.active_at.as_ref()),
            value: a.value,
            partial_response: strategy(a.partial_response_strategy)?,
        })
    }
}

impl From<AlertInstance> for pb::AlertInstance {
    fn from(a: AlertInstance) -> Self {
        Self {
            labels: Some(ZLabelSet::from(&a.labels)),
            annotations: Some(ZLabelSet::from(&a.annotations)),
            state: state_to_wire(a.state),
            active_at: a.active_at.and_then(|at| from_time(Some(at))),
            value: a.value,
            partial_response_strategy: strategy_to_wire(a.partial_response),
        }
    }
}

/// Labels of a message; absent and empty ones mean the same.
fn labels(set: Option<&ZLabelSet>) -> Labels {
    set.map(Labels::from).unwrap_or_default()
}

fn state(wire: i32) -> Result<AlertState> {
    use pb::AlertState as Wire;
    match Wire::try_from(wire) {
        Ok(Wire::Unknown) => Ok(AlertState::Unknown),
        Ok(Wire::Inactive) => Ok(AlertState::Inactive),
        Ok(Wire::Pending) => Ok(AlertState::Pending),
        Ok(Wire::Firing) => Ok(AlertState::Firing),
        Err(_) => Err(Error::corrupt(format!("state: unknown value {wire}"))),
    }
}

fn state_to_wire(state: AlertState) -> i32 {
    use pb::AlertState as Wire;
    let wire = match state {
        AlertState::Unknown => Wire::Unknown,
        AlertState::Inactive => Wire::Inactive,
        AlertState::Pending => Wire::Pending,
        AlertState::Firing => Wire::Firing,
    };
    wire.into()
}

#[cfg(test)]
mod tests {
    use thanoslib::model::duration::UnixTime;

    use super::*;

    fn group() -> RuleGroup {
        let labels = Labels::from_pairs([("severity", "page")]);
        let at = Some(UnixTime { secs: 5, nanos: 6 });
        let instance = AlertInstance {
            labels: labels.clone(),
            state: AlertState::Firing,
            active_at: at,
            value: "1e+00".to_owned(),
            partial_response: PartialResponse::Abort,
            ..AlertInstance::default()
        };
        let alert = Alert {
            state: AlertState::Firing,
            name: "Down".to_owned(),
            query: "up == 0".to_owned(),
            duration_seconds: 60.0,
            keep_firing_for_seconds: 5.0,
            labels: labels.clone(),
            annotations: Labels::from_pairs([("summary", "gone")]),
            alerts: vec![instance, AlertInstance::default()],
            health: "ok".to_owned(),
            last_error: "none".to_owned(),
            evaluation_seconds: 0.5,
            last_evaluation: at,
        };
        let record =
            RecordingRule { name: "a:b".to_owned(), labels, last_evaluation: at, ..RecordingRule::default() };
        RuleGroup {
            name: "g".to_owned(),
            file: "f.yml".to_owned(),
            rules: vec![Rule::Alert(alert), Rule::Recording(record)],
            interval_seconds: 15.0,
            evaluation_seconds: 0.25,
            last_evaluation: None,
            partial_response: PartialResponse::Abort,
            limit: 9,
        }
    }

    #[test]
    fn a_group_survives_the_wire() {
        let mut answer = RulesAnswer::default();
        add_rules(&mut answer, group().into()).expect("our own message");
        assert_eq!(answer.groups, [group()]);
    }

    #[test]
    fn requests_survive_and_nonsense_is_refused() {
        let check = |change: fn(&mut RulesRequest)| {
            let mut want = RulesRequest::default();
            change(&mut want);
            assert_eq!(RulesRequest::try_from(pb::RulesRequest::from(&want)).expect("our own message"), want);
        };
        check(|_| ());
        check(|r| r.kind = RuleKind::Alert);
        check(|r| (r.kind, r.partial_response) = (RuleKind::Record, PartialResponse::Abort));
        check(|r| (r.rule_names, r.files) = (vec!["a".to_owned()], vec!["b".to_owned()]));
        check(|r| (r.rule_groups, r.matchers) = (vec!["a".to_owned()], vec!["{".to_owned()]));
        let bad = pb::RulesRequest { r#type: 3, ..Default::default() };
        assert_eq!(RulesRequest::try_from(bad).expect_err("no such type").message(), "type: unknown value 3");
    }

    #[test]
    fn errors_name_the_field() {
        let mut wire = pb::RuleGroup::from(group());
        if let Some(rule::Result::Alert(alert)) = &mut wire.rules[0].result {
            alert.alerts[1].state = 9;
        }
        let error = RuleGroup::try_from(wire).expect_err("no such state");
        assert_eq!(error.to_string(), "group \"g\": rules[0]: alerts[1]: state: unknown value 9");
    }
}
