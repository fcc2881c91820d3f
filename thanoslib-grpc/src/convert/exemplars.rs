//! Exemplars.

use thanoslib::{
    Error, Result,
    apis::{Exemplar, ExemplarSeries, ExemplarsAnswer, ExemplarsRequest},
    model::{Interval, Labels, Warning},
};

use super::{partial_response, partial_response_to_wire, text};
use crate::pb::thanos::{self as pb, ZLabelSet, exemplars_response};

impl TryFrom<pb::ExemplarsRequest> for ExemplarsRequest {
    type Error = Error;

    /// # Errors
    /// `Invalid` with the path of the first field that cannot be understood.
    fn try_from(r: pb::ExemplarsRequest) -> Result<Self> {
        Ok(Self {
            query: r.query,
            interval: Interval::new(r.start, r.end),
            partial_response: partial_response(false, r.partial_response_strategy)?,
        })
    }
}

impl From<&ExemplarsRequest> for pb::ExemplarsRequest {
    fn from(r: &ExemplarsRequest) -> Self {
        Self {
            query: r.query.clone(),
            start: r.interval.mint,
            end: r.interval.maxt,
            partial_response_strategy: partial_response_to_wire(r.partial_response).1,
        }
    }
}

/// Adds one message of an answer to the rest.
pub fn add_exemplars(answer: &mut ExemplarsAnswer, message: pb::ExemplarsResponse) {
    match message.result {
        Some(exemplars_response::Result::Data(data)) => answer.series.push(data.into()),
        Some(exemplars_response::Result::Warning(w)) => answer.warnings.push(Warning::new(text(&w))),
        None => {}
    }
}

impl From<ExemplarSeries> for pb::ExemplarsResponse {
    fn from(series: ExemplarSeries) -> Self {
        Self { result: Some(exemplars_response::Result::Data(series.into())) }
    }
}

impl From<pb::ExemplarData> for ExemplarSeries {
    fn from(data: pb::ExemplarData) -> Self {
        let exemplar =
            |e: &pb::Exemplar| Exemplar { labels: labels(e.labels.as_ref()), v: e.value, t_ms: e.ts };
        Self {
            labels: labels(data.series_labels.as_ref()),
            exemplars: data.exemplars.iter().map(exemplar).collect(),
        }
    }
}

impl From<ExemplarSeries> for pb::ExemplarData {
    fn from(series: ExemplarSeries) -> Self {
        let exemplar =
            |e: &Exemplar| pb::Exemplar { labels: Some(ZLabelSet::from(&e.labels)), value: e.v, ts: e.t_ms };
        Self {
            series_labels: Some(ZLabelSet::from(&series.labels)),
            exemplars: series.exemplars.iter().map(exemplar).collect(),
        }
    }
}

/// Labels of a message; absent and empty ones mean the same.
fn labels(set: Option<&ZLabelSet>) -> Labels {
    set.map(Labels::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use thanoslib::store::PartialResponse;

    use super::*;

    #[test]
    fn exemplars_survive_the_wire() {
        let trace = Exemplar { labels: Labels::from_pairs([("trace_id", "a")]), v: 0.25, t_ms: -7 };
        let series = ExemplarSeries {
            labels: Labels::from_pairs([("__name__", "up")]),
            exemplars: vec![trace, Exemplar::default()],
        };
        let mut got = ExemplarsAnswer::default();
        add_exemplars(&mut got, series.clone().into());
        assert_eq!(got.series, [series]);
        let request = ExemplarsRequest {
            query: "up".to_owned(),
            interval: Interval::new(-5, 7),
            partial_response: PartialResponse::Abort,
        };
        assert_eq!(
            ExemplarsRequest::try_from(pb::ExemplarsRequest::from(&request)).expect("our own message"),
            request
        );
    }
}
