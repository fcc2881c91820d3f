//! Labels.

use bytes::Bytes;
use thanoslib::model::{self, Labels, LabelsBuilder, LabelsRef};

use crate::pb::thanos::{Label, ZLabelSet};

/// A label set from a message; sorted if the peer did not.
pub fn to_labels(labels: &[Label]) -> Labels {
    let mut flat = Vec::new();
    append_flat(labels, &mut flat);
    LabelsRef::from_flat(&flat).to_labels()
}

/// Appends the flat bytes of a label set.
pub(super) fn append_flat(labels: &[Label], out: &mut Vec<u8>) {
    let strict = labels.is_sorted_by(|a, b| a.name < b.name);
    if strict {
        for label in labels.iter().filter(|l| !l.value.is_empty()) {
            model::Label { name: &label.name, value: &label.value }.append_flat(out);
        }
        return;
    }
    // The builder inserts, which is slow for many labels in the wrong order.
    let mut sorted: Vec<&Label> = labels.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let mut builder = LabelsBuilder::default();
    for label in sorted {
        builder.set(&label.name, &label.value);
    }
    builder.append_flat(out);
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
