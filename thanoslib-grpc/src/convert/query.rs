//! PromQL at another endpoint.
//!
//! The wire knows whole seconds. What is no whole second is rounded so that nothing is asked for
//! that was not: a time-out up, times of steps not at all.

use std::time::Duration;

use thanoslib::{
    Error, Result,
    apis::{QueryEngine, QueryFrame, QueryTime, RemoteQuery},
    model::{Matcher, Warning},
    promql::MatrixSeries,
};

use super::{
    limit, limit_to_wire,
    matcher::{from_matchers, to_matchers},
    store::shard,
    text, unknown,
};
use crate::pb::{
    prometheus_copy::TimeSeries,
    thanos::{
        self as pb, EngineType, StoreMatchers, TimeSeriesBatch, query_plan::Encoding,
        query_range_response::Result as RangeWire, query_response::Result as InstantWire,
    },
};

/// A query of a message, with the times that are its own.
macro_rules! query {
    ($message:ident, $time:expr) => {
        Ok(RemoteQuery {
            text: $message.query,
            time: $time,
            timeout: timeout($message.timeout_seconds),
            max_resolution_ms: to_ms("max_resolution_seconds", $message.max_resolution_seconds)?,
            replica_labels: $message.replica_labels,
            store_matchers: to_store_matchers(&$message.store_matchers)?,
            dedup: $message.enable_dedup,
            partial_response: $message.enable_partial_response,
            shard: $message.shard_info.map(shard).transpose()?.flatten(),
            lookback_ms: to_ms("lookback_delta_seconds", $message.lookback_delta_seconds)?,
            engine: engine($message.engine)?,
            plan: plan($message.query_plan),
            batch_series: limit($message.response_batch_size),
        })
    };
}

impl TryFrom<pb::QueryRequest> for RemoteQuery {
    type Error = Error;

    /// # Errors
    /// `Invalid` with the path of the first field that cannot be understood.
    fn try_from(r: pb::QueryRequest) -> Result<Self> {
        let t_ms = if r.time_seconds == 0 { None } else { Some(to_ms("time_seconds", r.time_seconds)?) };
        let time = QueryTime::Instant { t_ms };
        query!(r, time)
    }
}

impl TryFrom<pb::QueryRangeRequest> for RemoteQuery {
    type Error = Error;

    /// # Errors
    /// `Invalid` with the path of the first field that cannot be understood.
    fn try_from(r: pb::QueryRangeRequest) -> Result<Self> {
        let time = QueryTime::Range {
            start_ms: to_ms("start_time_seconds", r.start_time_seconds)?,
            end_ms: to_ms("end_time_seconds", r.end_time_seconds)?,
            step_ms: to_ms("interval_seconds", r.interval_seconds)?,
        };
        query!(r, time)
    }
}

/// The request of a method of the Query service.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryMessage {
    /// For `Query`.
    Instant(pb::QueryRequest),
    /// For `QueryRange`.
    Range(pb::QueryRangeRequest),
}

impl TryFrom<&RemoteQuery> for QueryMessage {
    type Error = Error;

    /// # Errors
    /// `Unsupported` for times that are no whole seconds.
    fn try_from(q: &RemoteQuery) -> Result<Self> {
        let timeout_seconds = q.timeout.map_or(0, |t| seconds_up(t.as_nanos(), 1_000_000_000));
        let max_resolution_seconds = to_seconds("maximal resolution", q.max_resolution_ms)?;
        let store_matchers = q.store_matchers.iter();
        let store_matchers =
            store_matchers.map(|m| StoreMatchers { label_matchers: from_matchers(m) }).collect();
        let shard_info = q.shard.as_ref().map(pb::ShardInfo::from);
        let lookback_delta_seconds = seconds_up(q.lookback_ms.max(0).unsigned_abs().into(), 1000);
        let engine = engine_to_wire(q.engine);
        let query_plan =
            q.plan.as_ref().map(|p| pb::QueryPlan { encoding: Some(Encoding::Json(p.clone().into())) });
        let response_batch_size = limit_to_wire(q.batch_series);
        // The message of a method: its own fields, and those that both have.
        macro_rules! message {
            ($message:ident { $($own:tt)* }) => {
                pb::$message {
                    $($own)*
                    query: q.text.clone(),
                    timeout_seconds,
                    max_resolution_seconds,
                    replica_labels: q.replica_labels.clone(),
                    store_matchers,
                    enable_dedup: q.dedup,
                    enable_partial_response: q.partial_response,
                    skip_chunks: false,
                    shard_info,
                    lookback_delta_seconds,
                    engine,
                    query_plan,
                    response_batch_size,
                }
            };
        }
        Ok(match q.time {
            QueryTime::Instant { t_ms } => Self::Instant(message!(QueryRequest {
                time_seconds: t_ms.map_or(Ok(0), |t| to_seconds("time", t))?,
            })),
            QueryTime::Range { start_ms, end_ms, step_ms } => Self::Range(message!(QueryRangeRequest {
                start_time_seconds: to_seconds("start", start_ms)?,
                // No step lies behind the last whole second, since all steps are whole seconds.
                end_time_seconds: end_ms.div_euclid(1000),
                interval_seconds: to_seconds("step", step_ms)?,
            })),
        })
    }
}

fn to_ms(path: &str, seconds: i64) -> Result<i64> {
    seconds.checked_mul(1000).ok_or_else(|| Error::invalid(format!("{path}: {seconds} seconds are too many")))
}

fn to_seconds(what: &str, ms: i64) -> Result<i64> {
    match ms % 1000 {
        0 => Ok(ms / 1000),
        _ => Err(Error::unsupported(format!("{what} of {ms} ms: peers know whole seconds only"))),
    }
}

fn seconds_up(n: u128, per_second: u128) -> i64 {
    i64::try_from(n.div_ceil(per_second)).unwrap_or(i64::MAX)
}

fn timeout(seconds: i64) -> Option<Duration> {
    u64::try_from(seconds).ok().filter(|s| *s > 0).map(Duration::from_secs)
}

fn to_store_matchers(lists: &[StoreMatchers]) -> Result<Vec<Vec<Matcher>>> {
    let list = |(i, m): (usize, &StoreMatchers)| {
        to_matchers(&m.label_matchers).map_err(|e| e.context(format!("storeMatchers[{i}]")))
    };
    lists.iter().enumerate().map(list).collect()
}

fn engine(wire: i32) -> Result<QueryEngine> {
    match EngineType::try_from(wire) {
        Ok(EngineType::Default) => Ok(QueryEngine::Default),
        Ok(EngineType::Prometheus) => Ok(QueryEngine::Prometheus),
        Ok(EngineType::Thanos) => Ok(QueryEngine::Thanos),
        Err(_) => Err(unknown("engine", wire.into())),
    }
}

fn engine_to_wire(engine: QueryEngine) -> i32 {
    let wire = match engine {
        QueryEngine::Default => EngineType::Default,
        QueryEngine::Prometheus => EngineType::Prometheus,
        QueryEngine::Thanos => EngineType::Thanos,
    };
    wire.into()
}

fn plan(plan: Option<pb::QueryPlan>) -> Option<Vec<u8>> {
    plan?.encoding.map(|Encoding::Json(json)| json.into())
}

/// One message of an answer, whichever method gave it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum QueryPart {
    Warnings(String),
    Series(TimeSeries),
    Batch(Vec<TimeSeries>),
    Stats(pb::QueryStats),
}

macro_rules! query_part {
    ($message:ident, $wire:ident) => {
        impl From<QueryPart> for pb::$message {
            fn from(part: QueryPart) -> Self {
                let result = match part {
                    QueryPart::Warnings(text) => $wire::Warnings(text.into()),
                    QueryPart::Series(series) => $wire::Timeseries(series),
                    QueryPart::Batch(series) => $wire::TimeseriesBatch(TimeSeriesBatch { series }),
                    QueryPart::Stats(stats) => $wire::Stats(stats),
                };
                Self { result: Some(result) }
            }
        }

        impl pb::$message {
            /// What the message says; `None` for a kind that is newer than this client.
            pub(crate) fn part(self) -> Option<QueryPart> {
                Some(match self.result? {
                    $wire::Warnings(bytes) => QueryPart::Warnings(text(&bytes)),
                    $wire::Timeseries(series) => QueryPart::Series(series),
                    $wire::TimeseriesBatch(batch) => QueryPart::Batch(batch.series),
                    $wire::Stats(stats) => QueryPart::Stats(stats),
                })
            }
        }
    };
}

query_part!(QueryResponse, InstantWire);
query_part!(QueryRangeResponse, RangeWire);

impl TryFrom<QueryPart> for QueryFrame {
    type Error = Error;

    /// # Errors
    /// `Corrupt` with the path of the first field that cannot be understood.
    fn try_from(part: QueryPart) -> Result<Self> {
        let all = |list: &[TimeSeries]| {
            let series = list
                .iter()
                .enumerate()
                .map(|(i, s)| MatrixSeries::try_from(s).map_err(|e| e.context(format!("series[{i}]"))));
            series.collect::<Result<_>>().map(QueryFrame::Series)
        };
        match part {
            QueryPart::Warnings(text) => Ok(QueryFrame::Warning(Warning::new(text))),
            QueryPart::Series(series) => all(std::slice::from_ref(&series)),
            QueryPart::Batch(series) => all(&series),
            QueryPart::Stats(stats) => {
                Ok(QueryFrame::Stats { samples_total: stats.samples_total, samples_peak: stats.peak_samples })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use thanoslib::store::ShardInfo;

    use super::*;

    fn again(q: &RemoteQuery) -> Result<RemoteQuery> {
        match QueryMessage::try_from(q)? {
            QueryMessage::Instant(m) => m.try_into(),
            QueryMessage::Range(m) => m.try_into(),
        }
    }

    #[test]
    fn queries_survive_the_wire() {
        let check = |time: QueryTime, change: fn(&mut RemoteQuery)| {
            let mut want = RemoteQuery::new("up", time);
            change(&mut want);
            let got = again(&want).expect("our own message");
            assert_eq!(format!("{got:?}"), format!("{want:?}"));
        };
        let range = QueryTime::Range { start_ms: -5_000, end_ms: 60_000, step_ms: 15_000 };
        for time in [QueryTime::Instant { t_ms: None }, QueryTime::Instant { t_ms: Some(5_000) }, range] {
            check(time, |_| ());
            check(time, |q| {
                (q.timeout, q.lookback_ms) = (Some(Duration::from_secs(3)), 60_000);
                (q.engine, q.plan) = (QueryEngine::Thanos, Some(b"{}".to_vec()));
            });
            check(time, |q| {
                q.shard = Some(ShardInfo { index: 1, total: 2, by: true, labels: vec!["a".to_owned()] });
                (q.dedup, q.partial_response, q.batch_series) = (false, true, 0);
                (q.replica_labels, q.max_resolution_ms) = (vec!["replica".to_owned()], 300_000);
                q.store_matchers = vec![vec![Matcher::equal("__address__", "a:1")], Vec::new()];
            });
        }
    }

    #[test]
    fn what_is_no_whole_second_is_not_asked_for() {
        let query = |t_ms| RemoteQuery::new("up", QueryTime::Instant { t_ms: Some(t_ms) });
        let error = again(&query(1_500)).expect_err("half a second");
        assert_eq!(error.message(), "time of 1500 ms: peers know whole seconds only");
        let mut odd = query(1_000);
        (odd.timeout, odd.lookback_ms) = (Some(Duration::from_millis(1)), 1);
        let got = again(&odd).expect("rounded");
        assert_eq!((got.timeout, got.lookback_ms), (Some(Duration::from_secs(1)), 1_000));
    }

    #[test]
    fn errors_name_the_field() {
        let check = |message: pb::QueryRequest, want: &str| {
            assert_eq!(RemoteQuery::try_from(message).expect_err(want).message(), want);
        };
        let base = pb::QueryRequest::default;
        check(pb::QueryRequest { engine: 3, ..base() }, "engine: unknown value 3");
        let much = i64::MAX;
        check(
            pb::QueryRequest { time_seconds: much, ..base() },
            "time_seconds: 9223372036854775807 seconds are too many",
        );
        let matcher = pb::LabelMatcher { r#type: 9, ..Default::default() };
        let store_matchers = vec![StoreMatchers::default(), StoreMatchers { label_matchers: vec![matcher] }];
        check(
            pb::QueryRequest { store_matchers, ..base() },
            "storeMatchers[1]: unrecognized label matcher type 9",
        );
    }
}
