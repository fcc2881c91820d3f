//! Which labels an operation takes away, and when.

use crate::model::Labels;

use super::{Block, EngineOptions};

/// Labels that tell what a metric is, not where it comes from.
pub(crate) const METADATA_LABELS: [&str; 3] = ["__name__", "__type__", "__unit__"];

/// The label set without metadata labels.
pub(crate) fn without_metadata(labels: &Labels) -> Labels {
    let has = METADATA_LABELS.iter().any(|n| labels.get(n).is_some());
    if !has {
        return labels.clone();
    }
    labels.filter(|l| !METADATA_LABELS.iter().any(|n| n.as_bytes() == l.name))
}

/// Takes the metadata labels from a block: now, or at the end when removal is delayed.
pub(crate) fn drop_metadata(block: &mut Block, options: &EngineOptions) {
    if options.delayed_name_removal {
        block.drop_name = true;
    } else {
        block.labels = without_metadata(&block.labels);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(delayed: bool, labels: &[(&str, &str)], want: &str, want_flag: bool) {
        let options = EngineOptions { delayed_name_removal: delayed, ..EngineOptions::default() };
        let mut block = Block::new(Labels::from_pairs(labels.iter().copied()), 1);
        drop_metadata(&mut block, &options);
        assert_eq!((block.labels.to_string().as_str(), block.drop_name), (want, want_flag));
    }

    #[test]
    fn metadata_labels_fall_at_once_or_are_marked() {
        let labels = [("__name__", "up"), ("__type__", "gauge"), ("__unit__", "s"), ("job", "a")];
        check(false, &labels, r#"{job="a"}"#, false);
        check(true, &labels[..1], r#"{__name__="up"}"#, true);
        check(false, &labels[3..], r#"{job="a"}"#, false);
    }
}
