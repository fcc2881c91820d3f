//! External labels: matching them, laying them over series.

use crate::model::{Labels, LabelsBuilder, LabelsRef, Matcher};

/// Splits matchers by the external labels of a producer.
///
/// A matcher on an external label is consumed; `None` when it does not match, since then no
/// series of the producer does. The others stay.
pub(crate) fn consume(external: &Labels, matchers: &[Matcher]) -> Option<Vec<Matcher>> {
    let mut rest = Vec::with_capacity(matchers.len());
    for matcher in matchers {
        match external.get(matcher.name()) {
            Some(value) if matcher.matches(value) => {}
            Some(_) => return None,
            None => rest.push(matcher.clone()),
        }
    }
    Some(rest)
}

/// The final labels of a series: external labels win, replica labels are gone.
pub(crate) fn overlay(series: LabelsRef<'_>, external: &Labels, replica_labels: &[String]) -> Labels {
    let mut labels = LabelsBuilder::from_labels(series);
    for label in external.iter() {
        labels.set(label.name, label.value);
    }
    for name in replica_labels {
        labels.remove(name);
    }
    labels.labels()
}

/// True when no label set contradicts the matchers, or when there are no label sets.
pub(crate) fn may_match(label_sets: &[Labels], matchers: &[Matcher]) -> bool {
    label_sets.is_empty()
        || label_sets
            .iter()
            .any(|set| matchers.iter().all(|m| set.get(m.name()).is_none_or(|v| m.matches(v))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_on_external_labels_are_consumed_or_exclude() {
        let external = Labels::from_pairs([("cluster", "eu")]);
        let job = Matcher::equal("job", "a");
        let rest = consume(&external, &[Matcher::equal("cluster", "eu"), job.clone()]);
        assert_eq!(rest, Some(vec![job]));
        assert_eq!(consume(&external, &[Matcher::equal("cluster", "us")]), None);
    }

    #[test]
    fn external_labels_win_and_replica_labels_fall() {
        let external = Labels::from_pairs([("cluster", "eu"), ("replica", "A")]);
        let series = Labels::from_pairs([("cluster", "x"), ("job", "a")]);
        let got = overlay(series.view(), &external, &["replica".to_owned()]);
        assert_eq!(got, Labels::from_pairs([("cluster", "eu"), ("job", "a")]));
    }
}
