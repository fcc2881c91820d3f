//! Statistics of heads.

use thanoslib::{
    Error, Result,
    apis::{HeadStatistics, Statistic, TsdbStatistics, TsdbStatusAnswer, TsdbStatusRequest},
    model::Warning,
};

use super::{
    matcher::{from_matchers, to_matchers},
    partial_response, partial_response_to_wire, text,
};
use crate::pb::thanos::{self as pb, tsdb_statistics_response};

impl TryFrom<pb::TsdbStatisticsRequest> for TsdbStatusRequest {
    type Error = Error;

    /// # Errors
    /// `Invalid` with the path of the first field that cannot be understood.
    fn try_from(r: pb::TsdbStatisticsRequest) -> Result<Self> {
        Ok(Self {
            tenant: r.tenant,
            limit: usize::try_from(r.limit).unwrap_or_default(),
            matchers: to_matchers(&r.matchers)?,
            partial_response: partial_response(false, r.partial_response_strategy)?,
        })
    }
}

impl From<&TsdbStatusRequest> for pb::TsdbStatisticsRequest {
    fn from(r: &TsdbStatusRequest) -> Self {
        Self {
            tenant: r.tenant.clone(),
            limit: i32::try_from(r.limit).unwrap_or(i32::MAX),
            partial_response_strategy: partial_response_to_wire(r.partial_response).1,
            matchers: from_matchers(&r.matchers),
        }
    }
}

/// Adds one message of an answer to the rest; a tenant that is there already is left as it is,
/// since one peer tells of each tenant once.
pub fn add_status(answer: &mut TsdbStatusAnswer, message: pb::TsdbStatisticsResponse) {
    match message.result {
        Some(tsdb_statistics_response::Result::Statistics(found)) => {
            for (tenant, entry) in found.statistics {
                answer.tenants.entry(tenant).or_insert_with(|| entry.into());
            }
        }
        Some(tsdb_statistics_response::Result::Warning(w)) => answer.warnings.push(Warning::new(text(&w))),
        None => {}
    }
}

/// The tenants of an answer as one message; warnings travel in their own.
pub fn status_response(answer: TsdbStatusAnswer) -> pb::TsdbStatisticsResponse {
    let statistics = answer.tenants.into_iter().map(|(tenant, s)| (tenant, s.into())).collect();
    let found = pb::TsdbStatistics { statistics };
    pb::TsdbStatisticsResponse { result: Some(tsdb_statistics_response::Result::Statistics(found)) }
}

impl From<pb::TsdbStatisticsEntry> for TsdbStatistics {
    fn from(e: pb::TsdbStatisticsEntry) -> Self {
        let list = |l: Vec<pb::Statistic>| {
            l.into_iter().map(|s| Statistic { name: text(&s.name), value: s.value }).collect()
        };
        let head = e.head_statistics.unwrap_or_default();
        Self {
            head: HeadStatistics {
                series: head.num_series,
                label_pairs: head.num_label_pairs,
                chunks: head.chunk_count,
                mint: head.min_time,
                maxt: head.max_time,
            },
            series_by_metric: list(e.series_count_by_metric_name),
            values_by_label: list(e.label_value_count_by_label_name),
            bytes_by_label: list(e.memory_in_bytes_by_label_name),
            series_by_pair: list(e.series_count_by_label_value_pair),
        }
    }
}

impl From<TsdbStatistics> for pb::TsdbStatisticsEntry {
    fn from(s: TsdbStatistics) -> Self {
        let list = |l: Vec<Statistic>| {
            l.into_iter().map(|s| pb::Statistic { name: s.name.into(), value: s.value }).collect()
        };
        Self {
            head_statistics: Some(pb::HeadStatistics {
                num_series: s.head.series,
                num_label_pairs: s.head.label_pairs,
                chunk_count: s.head.chunks,
                min_time: s.head.mint,
                max_time: s.head.maxt,
            }),
            series_count_by_metric_name: list(s.series_by_metric),
            label_value_count_by_label_name: list(s.values_by_label),
            memory_in_bytes_by_label_name: list(s.bytes_by_label),
            series_count_by_label_value_pair: list(s.series_by_pair),
        }
    }
}

#[cfg(test)]
mod tests {
    use thanoslib::{model::Matcher, store::PartialResponse};

    use super::*;

    #[test]
    fn statistics_survive_the_wire() {
        let entry = |name: &str| vec![Statistic { name: name.to_owned(), value: 7 }];
        let statistics = TsdbStatistics {
            head: HeadStatistics { series: 1, label_pairs: 2, chunks: 3, mint: -4, maxt: 5 },
            series_by_metric: entry("a"),
            values_by_label: entry("b"),
            bytes_by_label: entry("c"),
            series_by_pair: entry("d=e"),
        };
        let mut want = TsdbStatusAnswer::default();
        want.tenants.insert(String::new(), statistics);
        want.tenants.insert("team".to_owned(), TsdbStatistics::default());
        let mut got = TsdbStatusAnswer::default();
        add_status(&mut got, status_response(want.clone()));
        assert_eq!(got.tenants, want.tenants);
    }

    #[test]
    fn a_request_survives_the_wire() {
        let want = TsdbStatusRequest {
            tenant: "team".to_owned(),
            limit: 5,
            matchers: vec![Matcher::equal("a", "b")],
            partial_response: PartialResponse::Abort,
        };
        let got = TsdbStatusRequest::try_from(pb::TsdbStatisticsRequest::from(&want)).expect("our own");
        assert_eq!((got.tenant, got.limit, got.matchers), (want.tenant, want.limit, want.matchers));
        assert_eq!(got.partial_response, want.partial_response);
        let message = pb::TsdbStatisticsRequest { limit: -1, ..Default::default() };
        assert_eq!(TsdbStatusRequest::try_from(message).expect("a request").limit, 0);
    }
}
