//! Scrape targets.

use thanoslib::{
    Error, Result,
    apis::{ActiveTarget, TargetHealth, TargetState, TargetsAnswer, TargetsRequest},
    model::{Labels, Warning},
};

use super::{
    partial_response, partial_response_to_wire, text,
    time::{from_time, to_time},
    unknown,
};
use crate::pb::thanos::{self as pb, ZLabelSet, targets_request::State, targets_response};

impl TryFrom<pb::TargetsRequest> for TargetsRequest {
    type Error = Error;

    /// # Errors
    /// `Invalid` with the path of the first field that cannot be understood.
    fn try_from(r: pb::TargetsRequest) -> Result<Self> {
        Ok(Self {
            state: match State::try_from(r.state) {
                Ok(State::Any) => TargetState::Any,
                Ok(State::Active) => TargetState::Active,
                Ok(State::Dropped) => TargetState::Dropped,
                Err(_) => return Err(unknown("state", r.state.into())),
            },
            partial_response: partial_response(false, r.partial_response_strategy)?,
        })
    }
}

impl From<&TargetsRequest> for pb::TargetsRequest {
    fn from(r: &TargetsRequest) -> Self {
        let state = match r.state {
            TargetState::Any => State::Any,
            TargetState::Active => State::Active,
            TargetState::Dropped => State::Dropped,
        };
        Self {
            state: state.into(),
            partial_response_strategy: partial_response_to_wire(r.partial_response).1,
        }
    }
}

/// Adds one message of an answer to the rest.
///
/// # Errors
/// `Corrupt` with the path of the first field that cannot be understood.
pub fn add_targets(answer: &mut TargetsAnswer, message: pb::TargetsResponse) -> Result<()> {
    match message.result {
        Some(targets_response::Result::Targets(found)) => {
            for (i, target) in found.active_targets.into_iter().enumerate() {
                let target =
                    target.try_into().map_err(|e: Error| e.context(format!("activeTargets[{i}]")))?;
                answer.active.push(target);
            }
            answer.dropped.extend(found.dropped_targets.iter().map(|t| labels(t.discovered_labels.as_ref())));
        }
        Some(targets_response::Result::Warning(w)) => answer.warnings.push(Warning::new(text(&w))),
        None => {}
    }
    Ok(())
}

/// The targets of an answer as one message; warnings travel in their own.
pub fn targets_response(answer: TargetsAnswer) -> pb::TargetsResponse {
    let dropped = |labels: &Labels| pb::DroppedTarget { discovered_labels: Some(ZLabelSet::from(labels)) };
    let found = pb::TargetDiscovery {
        active_targets: answer.active.into_iter().map(Into::into).collect(),
        dropped_targets: answer.dropped.iter().map(dropped).collect(),
    };
    pb::TargetsResponse { result: Some(targets_response::Result::Targets(found)) }
}

impl TryFrom<pb::ActiveTarget> for ActiveTarget {
    type Error = Error;

    /// # Errors
    /// `Corrupt` for a health that is none.
    fn try_from(t: pb::ActiveTarget) -> Result<Self> {
        use pb::TargetHealth as Wire;
        Ok(Self {
            discovered_labels: labels(t.discovered_labels.as_ref()),
            labels: labels(t.labels.as_ref()),
            scrape_pool: t.scrape_pool,
            scrape_url: t.scrape_url,
            global_url: t.global_url,
            last_error: text(&t.last_error),
            last_scrape: to_time(t.last_scrape.as_ref()),
            last_scrape_seconds: t.last_scrape_duration,
            health: match Wire::try_from(t.health) {
                Ok(Wire::Down) => TargetHealth::Down,
                Ok(Wire::Up) => TargetHealth::Up,
                Ok(Wire::UnknownHealth) => TargetHealth::Unknown,
                Err(_) => return Err(Error::corrupt(format!("health: unknown value {}", t.health))),
            },
        })
    }
}

impl From<ActiveTarget> for pb::ActiveTarget {
    fn from(t: ActiveTarget) -> Self {
        use pb::TargetHealth as Wire;
        let health = match t.health {
            TargetHealth::Down => Wire::Down,
            TargetHealth::Up => Wire::Up,
            TargetHealth::Unknown => Wire::UnknownHealth,
        };
        Self {
            discovered_labels: Some(ZLabelSet::from(&t.discovered_labels)),
            labels: Some(ZLabelSet::from(&t.labels)),
            scrape_pool: t.scrape_pool,
            scrape_url: t.scrape_url,
            global_url: t.global_url,
            last_error: t.last_error.into(),
            last_scrape: from_time(t.last_scrape),
            last_scrape_duration: t.last_scrape_seconds,
            health: health.into(),
        }
    }
}

/// Labels of a message; absent and empty ones mean the same.
fn labels(set: Option<&ZLabelSet>) -> Labels {
    set.map(Labels::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use thanoslib::{model::duration::UnixTime, store::PartialResponse};

    use super::*;

    #[test]
    fn targets_survive_the_wire() {
        let check = |health, last_scrape| {
            let target = ActiveTarget {
                discovered_labels: Labels::from_pairs([("__address__", "a:1")]),
                labels: Labels::from_pairs([("job", "a")]),
                scrape_pool: "a".to_owned(),
                scrape_url: "http://a:1/metrics".to_owned(),
                global_url: "http://host:1/metrics".to_owned(),
                last_error: "refused".to_owned(),
                last_scrape,
                last_scrape_seconds: 0.5,
                health,
            };
            let dropped = vec![Labels::from_pairs([("__address__", "b:1")])];
            let want = TargetsAnswer { active: vec![target], dropped, ..TargetsAnswer::default() };
            let mut got = TargetsAnswer::default();
            add_targets(&mut got, targets_response(want.clone())).expect("our own message");
            assert_eq!((got.active, got.dropped), (want.active, want.dropped));
        };
        check(TargetHealth::Up, Some(UnixTime { secs: 7, nanos: 1 }));
        check(TargetHealth::Down, None);
        check(TargetHealth::Unknown, None);
    }

    #[test]
    fn requests_survive_and_nonsense_is_refused() {
        let check = |state, partial_response| {
            let want = TargetsRequest { state, partial_response };
            assert_eq!(
                TargetsRequest::try_from(pb::TargetsRequest::from(&want)).expect("our own message"),
                want
            );
        };
        check(TargetState::Any, PartialResponse::Warn);
        check(TargetState::Active, PartialResponse::Abort);
        check(TargetState::Dropped, PartialResponse::Warn);
        let bad = pb::TargetsRequest { state: -1, ..Default::default() };
        assert_eq!(TargetsRequest::try_from(bad).expect_err("no state").message(), "state: unknown value -1");
        let target = pb::ActiveTarget { health: 7, ..Default::default() };
        let found = pb::TargetDiscovery { active_targets: vec![target], ..Default::default() };
        let message = pb::TargetsResponse { result: Some(targets_response::Result::Targets(found)) };
        let error = add_targets(&mut TargetsAnswer::default(), message).expect_err("no health");
        assert_eq!(error.to_string(), "activeTargets[0]: health: unknown value 7");
    }
}
