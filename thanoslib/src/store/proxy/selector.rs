//! Choosing producers by relabel rules.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    error::Result,
    model::{
        Labels, MatchOp, Matcher,
        relabel::{Relabel, RelabelConfig},
    },
};

/// Keeps those producers whose labels relabel rules keep.
///
/// ```
/// use thanoslib::{Labels, model::relabel::parse_relabel, store::TsdbSelector};
/// let rules = parse_relabel("- {action: keep, source_labels: [cluster], regex: eu.*}")?;
/// let selector = TsdbSelector::new(&rules)?;
/// let set = |cluster| Labels::from_pairs([("cluster", cluster)]);
/// assert_eq!(selector.keep(&[set("eu1"), set("us1")]), Some(vec![set("eu1")]));
/// assert_eq!(selector.keep(&[set("us1")]), None);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TsdbSelector {
    rules: Relabel,
}

impl TsdbSelector {
    /// A selector by rules.
    ///
    /// # Errors
    /// `Invalid` for rules that are not sound, or do more than to keep, drop and hash.
    pub fn new(rules: &[RelabelConfig]) -> Result<Self> {
        Ok(Self { rules: Relabel::selector(rules)? })
    }

    /// The label sets that are kept; `None` when there are some and none is. A store without
    /// label sets is kept.
    pub fn keep(&self, label_sets: &[Labels]) -> Option<Vec<Labels>> {
        let kept: Vec<Labels> = label_sets.iter().filter(|set| self.keeps(set)).cloned().collect();
        (label_sets.is_empty() || !kept.is_empty()).then_some(kept)
    }

    /// True when the label set is kept.
    pub fn keeps(&self, labels: &Labels) -> bool {
        self.rules.apply(labels.view()).is_some()
    }
}

/// [`TsdbSelector::keep`], where no selector keeps everything.
pub(super) fn keep(selector: Option<&TsdbSelector>, label_sets: &[Labels]) -> Option<Vec<Labels>> {
    match selector {
        Some(selector) => selector.keep(label_sets),
        None => Some(label_sets.to_vec()),
    }
}

/// [`TsdbSelector::keeps`], where no selector keeps everything.
pub(super) fn keeps(selector: Option<&TsdbSelector>, labels: &Labels) -> bool {
    selector.is_none_or(|selector| selector.keeps(labels))
}

/// Matchers that say what the selected producers have in common: for each label of one of them,
/// any of its values, or none where one of them lacks it.
pub(super) fn matchers(selected: &[Labels]) -> Vec<Matcher> {
    let mut values: BTreeMap<&[u8], BTreeSet<&[u8]>> = BTreeMap::new();
    for label in selected.iter().flat_map(Labels::iter) {
        values.entry(label.name).or_default().insert(label.value);
    }
    let matcher = |(name, values): (&[u8], BTreeSet<&[u8]>)| {
        let mut pattern = String::new();
        for value in &values {
            if !pattern.is_empty() {
                pattern.push('|');
            }
            // Values that are no text cannot stand in a pattern; then nothing is told of this label.
            quote(std::str::from_utf8(value).ok()?, &mut pattern);
        }
        if selected.iter().any(|set| set.get(name).is_none()) {
            pattern.push_str("|^$");
        }
        Matcher::new(MatchOp::Regex, String::from_utf8(name.to_vec()).ok()?, pattern).ok()
    };
    values.into_iter().filter_map(matcher).collect()
}

/// Appends a pattern that matches exactly `text`.
fn quote(text: &str, pattern: &mut String) {
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::relabel::RelabelAction;

    #[test]
    fn generated_matchers_hold_all_values() {
        let check = |sets: &[&[(&str, &str)]], want: &[&str]| {
            let sets: Vec<Labels> = sets.iter().map(|s| Labels::from_pairs(s.iter().copied())).collect();
            let got = matchers(&sets);
            assert_eq!(got.iter().map(ToString::to_string).collect::<Vec<_>>(), want);
            for set in &sets {
                assert!(got.iter().all(|m| m.matches_labels(set.view())), "{set}");
            }
        };
        check(&[], &[]);
        check(&[&[("a", "2")], &[("a", "1")]], &[r#"a=~"1|2""#]);
        check(&[&[("a", "1")], &[("b", "x.y")]], &[r#"a=~"1|^$""#, r#"b=~"x\\.y|^$""#]);
        check(&[&[("a", "1|2")]], &[r#"a=~"1\\|2""#]);
    }

    #[test]
    fn only_keep_drop_and_hashmod_select() {
        let rule = |action| RelabelConfig {
            action,
            target_label: "x".to_owned(),
            modulus: 2,
            ..RelabelConfig::default()
        };
        assert!(TsdbSelector::new(&[rule(RelabelAction::HashMod)]).is_ok());
        let e = TsdbSelector::new(&[rule(RelabelAction::Replace)]).expect_err("it rewrites");
        assert_eq!(e.message(), "unsupported relabel action: replace");
    }
}
