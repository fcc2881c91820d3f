//! Type, help and unit of metrics.

use thanoslib::{
    Error, Result,
    apis::{MetadataAnswer, MetadataRequest, MetricMetadata},
    model::Warning,
};

use super::{partial_response, partial_response_to_wire, text};
use crate::pb::thanos::{self as pb, metric_metadata_response};

impl TryFrom<pb::MetricMetadataRequest> for MetadataRequest {
    type Error = Error;

    /// # Errors
    /// `Invalid` with the path of the first field that cannot be understood.
    fn try_from(r: pb::MetricMetadataRequest) -> Result<Self> {
        Ok(Self {
            metric: r.metric,
            limit: usize::try_from(r.limit).ok(),
            partial_response: partial_response(false, r.partial_response_strategy)?,
        })
    }
}

impl From<&MetadataRequest> for pb::MetricMetadataRequest {
    fn from(r: &MetadataRequest) -> Self {
        Self {
            metric: r.metric.clone(),
            limit: r.limit.map_or(-1, |n| i32::try_from(n).unwrap_or(i32::MAX)),
            partial_response_strategy: partial_response_to_wire(r.partial_response).1,
        }
    }
}

/// Adds one message of an answer to the rest; equal descriptions are kept once.
pub fn add_metadata(answer: &mut MetadataAnswer, message: pb::MetricMetadataResponse) {
    match message.result {
        Some(metric_metadata_response::Result::Metadata(found)) => {
            for (name, entry) in found.metadata {
                let known = answer.metrics.entry(name).or_default();
                for meta in entry.metas.into_iter().map(MetricMetadata::from) {
                    if !known.contains(&meta) {
                        known.push(meta);
                    }
                }
            }
        }
        Some(metric_metadata_response::Result::Warning(w)) => answer.warnings.push(Warning::new(text(&w))),
        None => {}
    }
}

/// The metrics of an answer as one message; warnings travel in their own.
pub fn metadata_response(answer: MetadataAnswer) -> pb::MetricMetadataResponse {
    let entry = |metas: Vec<MetricMetadata>| pb::MetricMetadataEntry {
        metas: metas.into_iter().map(Into::into).collect(),
    };
    let metadata = answer.metrics.into_iter().map(|(name, metas)| (name, entry(metas))).collect();
    let found = pb::MetricMetadata { metadata };
    pb::MetricMetadataResponse { result: Some(metric_metadata_response::Result::Metadata(found)) }
}

impl From<pb::Meta> for MetricMetadata {
    fn from(m: pb::Meta) -> Self {
        Self { kind: m.r#type, help: text(&m.help), unit: m.unit }
    }
}

impl From<MetricMetadata> for pb::Meta {
    fn from(m: MetricMetadata) -> Self {
        Self { r#type: m.kind, help: m.help.into(), unit: m.unit }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn metrics_survive_the_wire_and_are_joined() {
        let up = MetricMetadata { kind: "gauge".to_owned(), help: "Up.".to_owned(), unit: "s".to_owned() };
        let other = MetricMetadata { help: "Other.".to_owned(), ..up.clone() };
        let answer = |metas: &[&MetricMetadata]| MetadataAnswer {
            metrics: BTreeMap::from([("up".to_owned(), metas.iter().map(|m| (*m).clone()).collect())]),
            ..MetadataAnswer::default()
        };
        let mut got = MetadataAnswer::default();
        add_metadata(&mut got, metadata_response(answer(&[&up])));
        add_metadata(&mut got, metadata_response(answer(&[&other, &up])));
        assert_eq!(got.metrics, answer(&[&up, &other]).metrics);
    }

    #[test]
    fn no_limit_is_a_negative_number() {
        let check = |limit: Option<usize>, wire: i32| {
            let want = MetadataRequest { metric: "up".to_owned(), limit, ..MetadataRequest::default() };
            let message = pb::MetricMetadataRequest::from(&want);
            assert_eq!(message.limit, wire);
            assert_eq!(MetadataRequest::try_from(message).expect("our own message"), want);
        };
        check(None, -1);
        check(Some(0), 0);
        check(Some(7), 7);
    }
}
