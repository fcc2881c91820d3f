//! Messages of gRPC peers.

use bytes::Bytes;
use prost::Message;
use thanoslib::{
    apis::{
        ExemplarsAnswer, ExemplarsRequest, MetadataAnswer, MetadataRequest, QueryFrame, RemoteQuery,
        RulesAnswer, RulesRequest, TargetsAnswer, TargetsRequest, TsdbStatusAnswer, TsdbStatusRequest,
    },
    promql::MatrixSeries,
    series::SeriesView,
    store::{LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, SeriesRequest},
};
use thanoslib_grpc::{
    codec::{FrameBuilder, FrameReader, Received, SeriesFrame},
    convert,
    pb::{
        prometheus_copy::TimeSeries,
        thanos::{self as pb, SeriesResponse, info::InfoResponse, series_response},
    },
};

/// A frame of a Series answer: read by hand it says what prost reads; what is written again is
/// read as the same.
pub fn series_frame(data: &[u8]) {
    let mut reader = FrameReader::default();
    let received = reader.read(Bytes::copy_from_slice(data)).ok();
    let by_prost = by_prost(data);
    let Some(received) = received else {
        assert!(by_prost.is_none(), "prost reads what we refuse");
        return;
    };
    let Some((want, list)) = by_prost else { panic!("prost refuses what we read") };
    assert_eq!(received, want);
    let batch = reader.finish();
    let shown: Vec<String> = batch.iter().flat_map(|b| b.iter().map(show).collect::<Vec<_>>()).collect();
    assert_eq!(shown, list);
    let Some(batch) = batch else { return };
    let mut frames = FrameBuilder::new(batch.len());
    frames.batch(batch).expect("encodings that were read are known");
    frames.flush();
    let mut again = FrameReader::default();
    while let Some(frame) = frames.pop() {
        again.read(frame.encoded()).expect("our own frame");
    }
    let batch = again.finish();
    let again: Vec<String> = batch.iter().flat_map(|b| b.iter().map(show).collect::<Vec<_>>()).collect();
    assert_eq!(again, shown);
}

/// What a frame holds beside series, and its series; `None` when it cannot be read.
fn by_prost(data: &[u8]) -> Option<(Received, Vec<String>)> {
    let mut reader = FrameReader::default();
    let received = match SeriesResponse::decode(data).ok()?.result {
        Some(series_response::Result::Warning(text)) => Received::Warning(text),
        Some(series_response::Result::Hints(hints)) => Received::Hints(hints),
        Some(series_response::Result::Series(one)) => {
            reader.push(&one).ok()?;
            Received::Series
        }
        Some(series_response::Result::Batch(list)) => {
            list.series.iter().try_for_each(|s| reader.push(s)).ok()?;
            Received::Series
        }
        None => Received::Series,
    };
    let batch = reader.finish();
    Some((received, batch.iter().flat_map(|b| b.iter().map(show).collect::<Vec<_>>()).collect()))
}

fn show(series: SeriesView<'_>) -> String {
    let chunks =
        series.chunks().map(|c| (c.meta.interval, c.meta.aggr, c.meta.encoding, c.meta.first, c.bytes()));
    format!("{} {:?}", series.labels(), chunks.collect::<Vec<_>>())
}

/// Any message, of the kind that the first byte says: what is read and understood says the same
/// when it is written and read again.
pub fn grpc_message(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    match kind % 18 {
        0 => request(rest, |r: &SeriesRequest| pb::SeriesRequest::from(r)),
        1 => request(rest, |r: &LabelNamesRequest| pb::LabelNamesRequest::from(r)),
        2 => request(rest, |r: &LabelValuesRequest| pb::LabelValuesRequest::from(r)),
        3 => request(rest, |r: &RulesRequest| pb::RulesRequest::from(r)),
        4 => request(rest, |r: &TargetsRequest| pb::TargetsRequest::from(r)),
        5 => request(rest, |r: &MetadataRequest| pb::MetricMetadataRequest::from(r)),
        6 => request(rest, |r: &ExemplarsRequest| pb::ExemplarsRequest::from(r)),
        7 => request(rest, |r: &TsdbStatusRequest| pb::TsdbStatisticsRequest::from(r)),
        8 => query::<pb::QueryRequest>(rest),
        9 => query::<pb::QueryRangeRequest>(rest),
        10 => with(rest, |m: pb::RulesResponse| {
            let mut answer = RulesAnswer::default();
            if convert::add_rules(&mut answer, m).is_ok() {
                for group in answer.groups {
                    let mut again = RulesAnswer::default();
                    convert::add_rules(&mut again, group.clone().into()).expect("our own message");
                    assert_eq!(format!("{:?}", again.groups), format!("{:?}", [group]));
                }
            }
        }),
        11 => with(rest, |m: pb::TargetsResponse| {
            let mut answer = TargetsAnswer::default();
            if convert::add_targets(&mut answer, m).is_ok() {
                let mut again = TargetsAnswer::default();
                convert::add_targets(&mut again, convert::targets_response(answer.clone())).expect("our own");
                assert_eq!(format!("{:?}", again.active), format!("{:?}", answer.active));
            }
        }),
        12 => with(rest, |m: pb::MetricMetadataResponse| {
            let mut answer = MetadataAnswer::default();
            convert::add_metadata(&mut answer, m);
            let mut again = MetadataAnswer::default();
            convert::add_metadata(&mut again, convert::metadata_response(answer.clone()));
            assert_eq!(again.metrics, answer.metrics);
        }),
        13 => with(rest, |m: pb::ExemplarsResponse| {
            let mut answer = ExemplarsAnswer::default();
            convert::add_exemplars(&mut answer, m);
            for series in answer.series {
                let mut again = ExemplarsAnswer::default();
                convert::add_exemplars(&mut again, series.clone().into());
                assert_eq!(format!("{:?}", again.series), format!("{:?}", [series]));
            }
        }),
        14 => with(rest, |m: pb::TsdbStatisticsResponse| {
            let mut answer = TsdbStatusAnswer::default();
            convert::add_status(&mut answer, m);
            let mut again = TsdbStatusAnswer::default();
            convert::add_status(&mut again, convert::status_response(answer.clone()));
            assert_eq!(again.tenants, answer.tenants);
        }),
        15 => with(rest, |m: TimeSeries| {
            if let Ok(series) = MatrixSeries::try_from(&m) {
                let again = MatrixSeries::try_from(&TimeSeries::from(&series)).expect("our own");
                assert_eq!(format!("{again:?}"), format!("{series:?}"));
                drop(QueryFrame::Series(vec![series]));
            }
        }),
        16 => with(rest, |m: InfoResponse| drop(convert::endpoint_info(&m))),
        _ => {
            with(rest, |m: pb::LabelNamesResponse| drop(LabelNames::from(m)));
            with(rest, |m: pb::LabelValuesResponse| drop(LabelValues::from(m)));
            // A frame that was received need not be one.
            drop(SeriesFrame::from_encoded(Bytes::copy_from_slice(rest)).message());
        }
    }
}

fn with<M: Message + Default>(data: &[u8], body: impl FnOnce(M)) {
    if let Ok(message) = M::decode(data) {
        body(message);
    }
}

fn request<M, P>(data: &[u8], wire: impl Fn(&P) -> M)
where
    M: Message + Default,
    P: TryFrom<M, Error = thanoslib::Error> + std::fmt::Debug,
{
    with(data, |message: M| {
        let Ok(plain) = P::try_from(message) else { return };
        let bytes = wire(&plain).encode_to_vec();
        let again = M::decode(&bytes[..]).expect("our own message");
        let again = P::try_from(again).expect("our own message");
        assert_eq!(format!("{again:?}"), format!("{plain:?}"));
    });
}

fn query<M>(data: &[u8])
where
    M: Message + Default,
    RemoteQuery: TryFrom<M, Error = thanoslib::Error>,
{
    with(data, |message: M| {
        let Ok(plain) = RemoteQuery::try_from(message) else { return };
        let again = match convert::QueryMessage::try_from(&plain).expect("whole seconds came") {
            convert::QueryMessage::Instant(m) => RemoteQuery::try_from(m),
            convert::QueryMessage::Range(m) => RemoteQuery::try_from(m),
        };
        assert_eq!(format!("{:?}", again.expect("our own message")), format!("{plain:?}"));
    });
}
