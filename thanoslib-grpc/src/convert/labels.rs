//! Labels.

use bytes::Bytes;
use thanoslib::model::{self, Labels, LabelsBuilder, LabelsRef};

use crate::pb::thanos::{Label, ZLabelSet};

/// Collects the labels of one set in flat form, sorted if the peer did not.
#[derive(Debug, Default)]
pub(crate) struct FlatLabels {
    flat: Vec<u8>,
    /// Where the name seen last lies in `flat`, and how long it is.
    last: (usize, usize),
    any: bool,
    /// All labels so far, once they are not in order.
    unsorted: Vec<(Vec<u8>, Vec<u8>)>,
}

impl FlatLabels {
    /// Begins a new set.
    pub(crate) fn clear(&mut self) {
        self.flat.clear();
        self.unsorted.clear();
        self.any = false;
    }

    /// Adds a label; an empty value means that it is absent, of equal names the last wins.
    #[inline]
    pub(crate) fn push(&mut self, name: &[u8], value: &[u8]) {
        let (start, len) = self.last;
        let ordered = !self.any || self.flat.get(start..start + len).is_some_and(|last| last < name);
        if !ordered || !self.unsorted.is_empty() || value.is_empty() {
            self.push_slowly(name, value);
            return;
        }
        let before = self.flat.len();
        model::Label { name, value }.append_flat(&mut self.flat);
        let prefix = if name.len() < 0xff { 1 } else { 4 };
        self.last = (before + prefix, name.len());
        self.any = true;
    }

    #[cold]
    fn push_slowly(&mut self, name: &[u8], value: &[u8]) {
        if self.unsorted.is_empty() {
            let so_far = LabelsRef::from_flat(&self.flat);
            self.unsorted.extend(so_far.iter().map(|l| (l.name.to_vec(), l.value.to_vec())));
        }
        self.unsorted.push((name.to_vec(), value.to_vec()));
    }

    /// Ends the set.
    #[inline]
    pub(crate) fn finish(&mut self) {
        if !self.unsorted.is_empty() {
            self.sort();
        }
    }

    #[cold]
    fn sort(&mut self) {
        // The builder inserts, which is slow for many labels in the wrong order.
        self.unsorted.sort_by(|a, b| a.0.cmp(&b.0));
        let mut builder = LabelsBuilder::default();
        for (name, value) in self.unsorted.drain(..) {
            builder.set(name, value);
        }
        self.flat.clear();
        builder.append_flat(&mut self.flat);
    }

    /// The set that was ended last.
    #[inline]
    pub(crate) fn view(&self) -> LabelsRef<'_> {
        LabelsRef::from_flat(&self.flat)
    }
}

/// A label set from a message; sorted if the peer did not.
pub fn to_labels(labels: &[Label]) -> Labels {
    let mut flat = FlatLabels::default();
    for label in labels {
        flat.push(&label.name, &label.value);
    }
    flat.finish();
    flat.view().to_labels()
}

/// Labels for a message; all strings share one allocation.
pub fn from_labels(labels: LabelsRef<'_>) -> Vec<Label> {
    let flat = Bytes::copy_from_slice(labels.as_bytes());
    let shared = LabelsRef::from_flat(&flat);
    shared.iter().map(|l| Label { name: flat.slice_ref(l.name), value: flat.slice_ref(l.value) }).collect()
}

impl From<&Labels> for ZLabelSet {
    fn from(labels: &Labels) -> Self {
        Self { labels: from_labels(labels.view()) }
    }
}

impl From<&ZLabelSet> for Labels {
    fn from(set: &ZLabelSet) -> Self {
        to_labels(&set.labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_survive() {
        let check = |pairs: &[(&[u8], &[u8])]| {
            let labels = Labels::from_pairs(pairs.iter().copied());
            assert_eq!(to_labels(&from_labels(labels.view())), labels);
        };
        check(&[]);
        check(&[(b"a", b"1"), (b"__name__", b"up")]);
        check(&[(b"bad", &[0xff, 0xfe, 0]), (&[0xc3], &[b'x'; 300])]);
    }

    #[test]
    fn labels_of_a_peer_are_sorted() {
        let label = |n: &'static str| Label { name: Bytes::from(n), value: Bytes::from("v") };
        assert_eq!(to_labels(&[label("b"), label("a")]).to_string(), r#"{a="v", b="v"}"#);
        let empty = Label { name: Bytes::from("c"), value: Bytes::new() };
        assert_eq!(to_labels(&[label("a"), label("a"), empty.clone()]).to_string(), r#"{a="v"}"#);
        assert_eq!(to_labels(&[label("a"), empty, label("d")]).to_string(), r#"{a="v", d="v"}"#);
    }
}
