//! An index that grows while it is read: label pairs to series numbers, in memory.

use std::collections::{BTreeMap, HashMap};

use roaring::RoaringBitmap;

use super::select::spelled;
use crate::model::{Labels, Matcher, Regex};

/// Series by their labels and labels by their series, in memory.
///
/// Numbers are given in order of arrival, from 0 on. A lookup touches the values of the
/// labels that it names and the series that it finds, never all series one by one.
#[derive(Debug, Default)]
pub(crate) struct MemoryIndex {
    series: HashMap<Labels, u32>,
    all: RoaringBitmap,
    names: BTreeMap<Box<[u8]>, Values>,
}

/// Some series of a [`MemoryIndex`].
pub(crate) type SeriesIds = RoaringBitmap;

/// The values of one label, each with its series.
type Values = BTreeMap<Box<[u8]>, SeriesIds>;

impl MemoryIndex {
    /// Number of a series.
    pub(crate) fn get(&self, labels: &Labels) -> Option<u32> {
        self.series.get(labels).copied()
    }

    /// Adds a series that is not there yet and gives its number; `None` when all are used up.
    pub(crate) fn add(&mut self, labels: &Labels) -> Option<u32> {
        let id = u32::try_from(self.series.len()).ok()?;
        self.series.insert(labels.clone(), id);
        self.all.insert(id);
        for label in labels.iter() {
            let values = match self.names.get_mut(label.name) {
                Some(values) => values,
                None => self.names.entry(Box::from(label.name)).or_default(),
            };
            match values.get_mut(label.value) {
                Some(ids) => ids.insert(id),
                None => values.entry(Box::from(label.value)).or_default().insert(id),
            };
        }
        Some(id)
    }

    /// The series that satisfy all matchers; all without matchers.
    ///
    /// An absent label counts as the empty value: a matcher that accepts it takes away the
    /// series whose value it refuses, every other keeps those whose value it accepts.
    pub(crate) fn select(&self, matchers: &[Matcher]) -> SeriesIds {
        let mut kept: Option<SeriesIds> = None;
        // Those that keep few series come first.
        let (remove, keep): (Vec<_>, Vec<_>) = matchers.iter().partition(|m| m.matches_empty());
        for m in keep {
            let with = self.with_value(m, true);
            kept = Some(match kept {
                Some(before) => before & with,
                None => with,
            });
            if kept.as_ref().is_some_and(SeriesIds::is_empty) {
                return SeriesIds::new();
            }
        }
        let mut kept = kept.unwrap_or_else(|| self.all.clone());
        for m in remove {
            if kept.is_empty() {
                break;
            }
            if !m.is_negative() && m.regex().is_some_and(Regex::matches_all) {
                continue;
            }
            kept -= self.with_value(m, false);
        }
        kept
    }

    /// The series with a value of the matcher's label that it accepts, or that it refuses.
    fn with_value(&self, m: &Matcher, accepted: bool) -> SeriesIds {
        let Some(values) = self.names.get(m.name().as_bytes()) else { return SeriesIds::new() };
        // True when exactly the values that the matcher names are wanted.
        if m.is_negative() != accepted {
            let spelled = spelled(m);
            if let [value] = spelled[..] {
                return values.get(value).cloned().unwrap_or_default();
            }
            if !spelled.is_empty() {
                return union(spelled.into_iter().filter_map(|v| values.get(v)));
            }
        }
        union(values.iter().filter(|(value, _)| m.matches(value) == accepted).map(|(_, ids)| ids))
    }

    /// Sorted label names of these series; of all if `ids` is `None`.
    pub(crate) fn label_names(&self, ids: Option<&SeriesIds>) -> impl Iterator<Item = &[u8]> {
        let found =
            move |values: &Values| ids.is_none_or(|ids| values.values().any(|with| !with.is_disjoint(ids)));
        self.names.iter().filter(move |(_, values)| found(values)).map(|(name, _)| &**name)
    }

    /// Sorted values of a label over these series; over all if `ids` is `None`.
    pub(crate) fn label_values<'a>(
        &'a self,
        name: &str,
        ids: Option<&'a SeriesIds>,
    ) -> impl Iterator<Item = &'a [u8]> {
        let values = self.names.get(name.as_bytes()).into_iter().flatten();
        let found = move |with: &SeriesIds| ids.is_none_or(|ids| !with.is_disjoint(ids));
        values.filter(move |(_, with)| found(with)).map(|(value, _)| &**value)
    }
}

fn union<'a>(sets: impl Iterator<Item = &'a SeriesIds>) -> SeriesIds {
    let mut out = SeriesIds::new();
    sets.for_each(|set| out |= set);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MatchOp;

    #[test]
    fn lookups_equal_a_look_at_every_series() {
        let mut index = MemoryIndex::default();
        let mut series = vec![Labels::from_pairs([("__name__", "plain")])];
        for i in 0..60 {
            let (job, pod) = (["api", "db", "x\0y"][i % 3], format!("pod-{}", i / 2));
            let mut pairs = vec![("__name__", "up"), ("job", job), ("pod", pod.as_str())];
            pairs.truncate(3 - i % 2);
            series.push(Labels::from_pairs(pairs));
        }
        series.dedup();
        series.retain(|labels| index.get(labels).is_none() && index.add(labels).is_some());
        let check = |matchers: &[Matcher]| {
            let want: Vec<&Labels> =
                series.iter().filter(|l| matchers.iter().all(|m| m.matches_labels(l.view()))).collect();
            let ids = index.select(matchers);
            let got: Vec<&Labels> = ids.iter().map(|id| &series[id as usize]).collect();
            assert_eq!(got, want, "{matchers:?}");
            for name in ["__name__", "job", "pod", "none", ""] {
                let mut values: Vec<&[u8]> = want.iter().filter_map(|l| l.get(name)).collect();
                values.sort_unstable();
                values.dedup();
                assert_eq!(index.label_values(name, Some(&ids)).collect::<Vec<_>>(), values);
            }
            let mut names: Vec<&[u8]> = want.iter().flat_map(|l| l.iter().map(|l| l.name)).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(index.label_names(Some(&ids)).collect::<Vec<_>>(), names);
        };
        let ops = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
        let values = ["", "api", "api|db", "pod-1.*", ".*", ".+", "up", "x\0y", "api|", "nothing"];
        let mut all = Vec::new();
        for name in ["__name__", "job", "pod", "none"] {
            for op in ops {
                all.extend(values.map(|value| Matcher::new(op, name, value).expect("a matcher")));
            }
        }
        check(&[]);
        for (i, m) in all.iter().enumerate() {
            check(std::slice::from_ref(m));
            check(&[m.clone(), all[i * 7 % all.len()].clone()]);
        }
    }
}
