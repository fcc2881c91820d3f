//! Labels.

use bytes::Bytes;
use thanoslib::model::{Labels, LabelsBuilder, LabelsRef};

use crate::pb::thanos::{Label, ZLabelSet};

/// A label set from a message; sorted if the peer did not.
pub fn to_labels(labels: &[Label]) -> Labels {
    builder(labels).labels()
}

pub(super) fn builder(labels: &[Label]) -> LabelsBuilder {
    let mut builder = LabelsBuilder::default();
    for label in labels {
        builder.set(&label.name, &label.value);
    }
    builder
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
    }
}
