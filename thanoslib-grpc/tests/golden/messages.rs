//! Every recorded message is read, turned into the plain types and back, and written as it was.

use std::fmt::Debug;

use bytes::Bytes;
use prost::Message;
use serde_json::Value;
use thanoslib::{
    apis::{
        ExemplarsAnswer, ExemplarsRequest, MetadataAnswer, MetadataRequest, RemoteQuery, RulesAnswer,
        RulesRequest, TargetsAnswer, TargetsRequest, TsdbStatusAnswer, TsdbStatusRequest,
    },
    promql::MatrixSeries,
    store::{LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, SeriesRequest},
    testing::golden::{Golden, Suite, Verdict},
};
use thanoslib_grpc::{
    codec::{FrameBuilder, FrameReader, Received, SeriesFrame},
    convert::{self, QueryMessage},
    pb::{
        prometheus_copy::TimeSeries,
        thanos::{self as pb, info, query_range_response, query_response, series_response},
    },
    testing::{responses, unhex},
};

pub(crate) fn run(golden: &mut Golden) {
    for area in ["query", "query_seams"] {
        golden.run(&Suite {
            label: &format!("{area}/messages"),
            path: &format!("{area}/grpc/*.jsonl"),
            inputs: &[
                "id",
                "component",
                "method",
                "note",
                "request_metadata",
                "request_hex",
                "responses_hex",
            ],
            expected: &["n_responses"],
            ignored: &[
                ("request_json", "the same as request_hex"),
                ("deterministic", "tells whether two recordings agreed"),
                ("trailers_only", "about calls, not messages"),
                ("code", "about calls, not messages"),
                ("code_name", "about calls, not messages"),
                ("message", "about calls, not messages"),
            ],
            rows: None,
            check: &|_, row| check(row),
        });
    }
}

fn check(row: &Value) -> Verdict {
    let all = responses(row)?;
    if row["n_responses"] != all.len() {
        return Err(format!("n_responses: {} for {} responses", row["n_responses"], all.len()));
    }
    let request = unhex(&row["request_hex"])?;
    let ours = row["method"].as_str().ok_or("no method")?;
    // Bytes that are no message were sent on purpose.
    if row["code_name"] != "Internal" {
        self::request(ours, &request).map_err(|e| format!("request: {e}"))?;
    }
    if ours == "/thanos.Store/Series" {
        return frames(&all);
    }
    for (i, bytes) in all.iter().enumerate() {
        response(ours, bytes).map_err(|e| format!("response {i}: {e}"))?;
    }
    Ok(())
}

/// Reads a message and writes it as it was.
fn same<M: Message + Default>(bytes: &Bytes) -> Result<M, String> {
    let message = M::decode(bytes.clone()).map_err(|e| e.to_string())?;
    let again = message.encode_to_vec();
    if again == *bytes { Ok(message) } else { Err(format!("written as {again:x?}, read from {bytes:x?}")) }
}

/// The same for messages with maps: Go writes keys and values of their entries that are empty, and
/// the entries in random order.
fn same_map<M: Message + Default + PartialEq + Debug>(bytes: &Bytes) -> Result<M, String> {
    let message = M::decode(bytes.clone()).map_err(|e| e.to_string())?;
    equal(&M::decode(&message.encode_to_vec()[..]).map_err(|e| e.to_string())?, &message)?;
    Ok(message)
}

fn equal<T: PartialEq + Debug>(got: &T, want: &T) -> Verdict {
    if got == want { Ok(()) } else { Err(format!("got {got:?}, want {want:?}")) }
}

fn text<T>(result: thanoslib::Result<T>) -> Result<T, String> {
    result.map_err(|e| e.to_string())
}

/// What a request says survives; requests that are refused say nothing.
fn survives<M, P>(bytes: &Bytes, wire: impl Fn(&P) -> M) -> Verdict
where
    M: Message + Default,
    P: TryFrom<M, Error = thanoslib::Error> + Debug,
{
    let Ok(plain) = P::try_from(same::<M>(bytes)?) else { return Ok(()) };
    let again = text(P::try_from(wire(&plain)))?;
    equal(&format!("{again:?}"), &format!("{plain:?}"))
}

fn request(method: &str, bytes: &Bytes) -> Verdict {
    match method {
        "/thanos.info.Info/Info" => same::<info::InfoRequest>(bytes).map(drop),
        "/thanos.Store/Series" => survives(bytes, |r: &SeriesRequest| pb::SeriesRequest::from(r)),
        "/thanos.Store/LabelNames" => survives(bytes, |r: &LabelNamesRequest| pb::LabelNamesRequest::from(r)),
        "/thanos.Store/LabelValues" => {
            survives(bytes, |r: &LabelValuesRequest| pb::LabelValuesRequest::from(r))
        }
        "/thanos.Rules/Rules" => survives(bytes, |r: &RulesRequest| pb::RulesRequest::from(r)),
        "/thanos.Targets/Targets" => survives(bytes, |r: &TargetsRequest| pb::TargetsRequest::from(r)),
        "/thanos.Metadata/MetricMetadata" => {
            survives(bytes, |r: &MetadataRequest| pb::MetricMetadataRequest::from(r))
        }
        "/thanos.Exemplars/Exemplars" => {
            survives(bytes, |r: &ExemplarsRequest| pb::ExemplarsRequest::from(r))
        }
        "/thanos.Status/TSDBStatistics" => {
            survives(bytes, |r: &TsdbStatusRequest| pb::TsdbStatisticsRequest::from(r))
        }
        "/thanos.Query/Query" => survives(bytes, |q: &RemoteQuery| match QueryMessage::try_from(q) {
            Ok(QueryMessage::Instant(message)) => message,
            other => panic!("no instant query: {other:?}"),
        }),
        "/thanos.Query/QueryRange" => survives(bytes, |q: &RemoteQuery| match QueryMessage::try_from(q) {
            Ok(QueryMessage::Range(message)) => message,
            other => panic!("no range query: {other:?}"),
        }),
        // Services that do not exist, and those of others.
        _ => Ok(()),
    }
}

/// Frames become batches, and batches the same frames.
fn frames(all: &[Bytes]) -> Verdict {
    let mut reader = FrameReader::default();
    for bytes in all {
        let message = same::<pb::SeriesResponse>(bytes)?;
        let per_frame = match &message.result {
            Some(series_response::Result::Batch(batch)) => batch.series.len().max(2),
            _ => 1,
        };
        match text(reader.read(bytes.clone()))? {
            Received::Series => {}
            Received::Warning(text) => {
                equal(&SeriesFrame::warning(text).encoded(), bytes)?;
                continue;
            }
            Received::Hints(hints) => {
                equal(&SeriesFrame::hints(hints).encoded(), bytes)?;
                continue;
            }
            other => return Err(format!("not known: {other:?}")),
        }
        let mut frames = FrameBuilder::new(per_frame);
        if let Some(batch) = reader.finish() {
            text(frames.batch(batch))?;
            frames.flush();
        }
        let again = frames.pop().map(SeriesFrame::encoded);
        equal(&again.as_ref(), &Some(bytes))?;
        equal(&frames.pop().is_none(), &true)?;
    }
    Ok(())
}

fn response(method: &str, bytes: &Bytes) -> Verdict {
    match method {
        "/thanos.info.Info/Info" => {
            let message = same::<info::InfoResponse>(bytes)?;
            let endpoint = convert::endpoint_info(&message);
            let again = endpoint.store.as_ref().map(info::InfoResponse::from).unwrap_or_default();
            equal(&again.store, &message.store)?;
            equal(&(again.label_sets, again.component_type), &(message.label_sets, message.component_type))?;
            let got = [endpoint.rules, endpoint.targets, endpoint.metadata, endpoint.status, endpoint.query];
            let want = [
                message.rules.is_some(),
                message.targets.is_some(),
                message.metric_metadata.is_some(),
                message.status.is_some(),
                message.query.is_some(),
            ];
            equal(&(got, endpoint.exemplars.is_some()), &(want, message.exemplars.is_some()))
        }
        "/thanos.Store/LabelNames" => {
            let message = same::<pb::LabelNamesResponse>(bytes)?;
            let again = pb::LabelNamesResponse::from(LabelNames::from(message.clone()));
            equal(&(again.names, again.warnings), &(message.names, message.warnings))
        }
        "/thanos.Store/LabelValues" => {
            let message = same::<pb::LabelValuesResponse>(bytes)?;
            let again = pb::LabelValuesResponse::from(LabelValues::from(message.clone()));
            equal(&(again.values, again.warnings), &(message.values, message.warnings))
        }
        "/thanos.Rules/Rules" => {
            let message = same::<pb::RulesResponse>(bytes)?;
            let mut answer = RulesAnswer::default();
            text(convert::add_rules(&mut answer, message.clone()))?;
            equal(&answer.groups.pop().map(pb::RulesResponse::from), &Some(message))
        }
        "/thanos.Targets/Targets" => {
            let message = same::<pb::TargetsResponse>(bytes)?;
            let mut answer = TargetsAnswer::default();
            text(convert::add_targets(&mut answer, message.clone()))?;
            equal(&convert::targets_response(answer), &message)
        }
        "/thanos.Metadata/MetricMetadata" => {
            let message = same_map::<pb::MetricMetadataResponse>(bytes)?;
            let mut answer = MetadataAnswer::default();
            convert::add_metadata(&mut answer, message.clone());
            equal(&convert::metadata_response(answer), &message)
        }
        "/thanos.Exemplars/Exemplars" => {
            let message = same::<pb::ExemplarsResponse>(bytes)?;
            let mut answer = ExemplarsAnswer::default();
            convert::add_exemplars(&mut answer, message.clone());
            equal(&answer.series.pop().map(pb::ExemplarsResponse::from), &Some(message))
        }
        "/thanos.Status/TSDBStatistics" => {
            let message = same_map::<pb::TsdbStatisticsResponse>(bytes)?;
            let mut answer = TsdbStatusAnswer::default();
            convert::add_status(&mut answer, message.clone());
            equal(&convert::status_response(answer), &message)
        }
        "/thanos.Query/Query" => match same::<pb::QueryResponse>(bytes)?.result {
            Some(query_response::Result::Timeseries(series)) => series_again(&[series]),
            Some(query_response::Result::TimeseriesBatch(batch)) => series_again(&batch.series),
            _ => Ok(()),
        },
        "/thanos.Query/QueryRange" => match same::<pb::QueryRangeResponse>(bytes)?.result {
            Some(query_range_response::Result::Timeseries(series)) => series_again(&[series]),
            Some(query_range_response::Result::TimeseriesBatch(batch)) => series_again(&batch.series),
            _ => Ok(()),
        },
        "/grpc.health.v1.Health/Check" => equal(&&bytes[..], &&b"\x08\x01"[..]),
        other => Err(format!("no message of {other} is known")),
    }
}

fn series_again(list: &[TimeSeries]) -> Verdict {
    for series in list {
        let plain = text(MatrixSeries::try_from(series))?;
        // Floats are compared by their bytes, since NaN is not equal to itself.
        equal(&TimeSeries::from(&plain).encode_to_vec(), &series.encode_to_vec())?;
    }
    Ok(())
}
