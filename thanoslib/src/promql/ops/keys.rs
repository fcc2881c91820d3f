//! Numbers of label sets, looked up by flat bytes so that only new sets are allocated.

use std::{borrow::Borrow, collections::HashMap, hash::Hash};

use crate::model::{Label, Labels, LabelsRef};

/// A label set that is told by its flat bytes.
#[derive(Debug)]
struct Flat(Labels);

impl Borrow<[u8]> for Flat {
    fn borrow(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl PartialEq for Flat {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes() == other.0.as_bytes()
    }
}

impl Eq for Flat {}

impl Hash for Flat {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.as_bytes().hash(state);
    }
}

/// Numbers of label sets, in the order in which they are found.
#[derive(Debug, Default)]
pub(super) struct LabelKeys {
    ids: HashMap<Flat, usize>,
    /// The set asked for last and its number; series in order ask for it again and again.
    last: Option<(Labels, usize)>,
    scratch: Vec<u8>,
}

impl LabelKeys {
    /// The number of the part of `labels` that is kept; a new set goes to `found` at once.
    pub(super) fn id(
        &mut self,
        labels: LabelsRef<'_>,
        keep: impl FnMut(Label<'_>) -> bool,
        found: impl FnOnce(Labels),
    ) -> usize {
        self.scratch.clear();
        labels.filter_into(keep, &mut self.scratch);
        if let Some((last, id)) = &self.last
            && last.as_bytes() == self.scratch
        {
            return *id;
        }
        if let Some((labels, id)) = self.ids.get_key_value(self.scratch.as_slice()) {
            self.last = Some((labels.0.clone(), *id));
            return *id;
        }
        let (id, labels) = (self.ids.len(), LabelsRef::from_flat(&self.scratch).to_labels());
        self.ids.insert(Flat(labels.clone()), id);
        self.last = Some((labels.clone(), id));
        found(labels);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_numbered_as_they_come() {
        let (mut keys, mut found) = (LabelKeys::default(), Vec::new());
        let mut check = |labels: &[(&str, &str)], without: &str, want: usize| {
            let labels = Labels::from_pairs(labels.iter().copied());
            let id = keys.id(labels.view(), |l| l.name != without.as_bytes(), |labels| found.push(labels));
            let kept = labels.filter(|l| l.name != without.as_bytes());
            assert_eq!((id, found.get(id)), (want, Some(&kept)), "{labels}");
        };
        check(&[("a", "1"), ("b", "2")], "b", 0);
        check(&[("a", "2"), ("b", "2")], "b", 1);
        check(&[("a", "1")], "", 0);
        check(&[("a", "1"), ("c", "2")], "", 2);
        check(&[("a", "1")], "a", 3);
        check(&[], "", 3);
        check(&[("a", "1"), ("b", "3"), ("c", "2")], "b", 2);
    }
}
