//! What is told of endpoints.

use crate::model::{Interval, Labels};

/// What is known of one endpoint.
///
/// See [`EndpointSet::statuses`](super::EndpointSet::statuses).
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointStatus {
    /// Host and port.
    pub address: String,
    /// What it is; `None` when it never said.
    pub component: Option<&'static str>,
    /// One label set for each producer.
    pub label_sets: Vec<Labels>,
    /// The time it has data for; `None` when it has none or serves no series.
    pub interval: Option<Interval>,
    /// When it said last what it is, in ms.
    pub last_check_ms: Option<i64>,
    /// Why it did not say what it is when it was asked last.
    pub last_error: Option<String>,
    /// True when requests go to it.
    pub queryable: bool,
    /// True: asked even when it did not say what it is.
    pub strict: bool,
}

/// An endpoint that requests go to, as the gauge of connections counts it.
///
/// See [`EndpointSet::connections`](super::EndpointSet::connections).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndpointConnection {
    /// Its label sets as one text of at most 1000 bytes; `no_external_labels` without any.
    pub external_labels: String,
    /// What it is.
    pub component: &'static str,
    /// Host and port.
    pub address: String,
}

/// Longest text of label sets in a metric.
const TEXT_BYTES_MAX: usize = 1000;

/// The text of label sets in a metric.
pub(super) fn external_labels(label_sets: &[Labels]) -> String {
    let mut texts: Vec<String> = label_sets.iter().map(ToString::to_string).collect();
    texts.sort();
    let mut text = texts.join(",");
    if text.is_empty() || label_sets.iter().all(Labels::is_empty) {
        return "no_external_labels".to_owned();
    }
    let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or_default());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_label_sets_end_between_letters() {
        let check = |sets: &[&[(&str, &str)]], want: &str| {
            let sets: Vec<Labels> = sets.iter().map(|s| Labels::from_pairs(s.iter().copied())).collect();
            assert_eq!(external_labels(&sets), want);
        };
        check(&[], "no_external_labels");
        check(&[&[]], "no_external_labels");
        check(&[&[("b", "2")], &[("a", "1")]], r#"{a="1"},{b="2"}"#);
        let long = "é".repeat(600);
        let want = format!("{{a=\"{}", &long[..996]);
        assert_eq!(want.len(), 1000);
        check(&[&[("a", &long)]], &want);
        check(&[&[("ab", &long)]], &format!("{{ab=\"{}", &long[..994]));
    }
}
