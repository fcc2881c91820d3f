//! Requests and answers of the Store service.

use bytes::Bytes;
use thanoslib::{
    Error, Result,
    model::{Aggr, Interval, Strings, Warning, Warnings},
    store::{
        Grouping, LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, Projection, SelectHints,
        SeriesRequest, ShardInfo,
    },
};

use super::{
    hints, limit, limit_to_wire,
    matcher::{from_matchers, to_matchers},
    partial_response, partial_response_to_wire, text, unknown,
};
use crate::pb::{
    hintspb,
    thanos::{self as pb, Aggr as Wire},
};

impl TryFrom<pb::SeriesRequest> for SeriesRequest {
    type Error = Error;

    /// # Errors
    /// `Invalid` with the path of the first field that cannot be understood.
    fn try_from(r: pb::SeriesRequest) -> Result<Self> {
        Ok(Self {
            interval: Interval::new(r.min_time, r.max_time),
            matchers: to_matchers(&r.matchers)?,
            max_resolution_ms: r.max_resolution_window,
            aggregates: aggregates(&r.aggregates)?,
            skip_chunks: r.skip_chunks,
            without_replica_labels: r.without_replica_labels,
            limit: limit(r.limit),
            shard: r.shard_info.map(shard).transpose()?.flatten(),
            projection: r.query_hints.as_ref().and_then(projection),
            hints: r.query_hints.map(SelectHints::from).unwrap_or_default(),
            partial_response: partial_response(r.partial_response_disabled, r.partial_response_strategy)?,
            block_matchers: hints::request_matchers::<hintspb::SeriesRequestHints>(r.hints.as_ref())?,
            store_matchers: Vec::new(),
            batch_series: limit(r.response_batch_size),
        })
    }
}

impl From<&SeriesRequest> for pb::SeriesRequest {
    fn from(r: &SeriesRequest) -> Self {
        let (partial_response_disabled, partial_response_strategy) =
            partial_response_to_wire(r.partial_response);
        Self {
            min_time: r.interval.mint,
            max_time: r.interval.maxt,
            matchers: from_matchers(&r.matchers),
            max_resolution_window: r.max_resolution_ms,
            aggregates: r.aggregates.iter().map(|a| i32::from(Wire::from(*a))).collect(),
            partial_response_disabled,
            partial_response_strategy,
            skip_chunks: r.skip_chunks,
            hints: hints::from_request_matchers::<hintspb::SeriesRequestHints>(&r.block_matchers),
            query_hints: query_hints(r),
            shard_info: r.shard.as_ref().map(pb::ShardInfo::from),
            without_replica_labels: r.without_replica_labels.clone(),
            limit: limit_to_wire(r.limit),
            response_batch_size: limit_to_wire(r.batch_series),
            ..Self::default()
        }
    }
}

/// The projection of a request: there is one when the label of the hash has a name.
///
/// Compat: a querier of Thanos fills these fields alone, with label names only.
fn projection(h: &pb::QueryHints) -> Option<Projection> {
    (!h.series_hash_label_name.is_empty()).then(|| Projection {
        include: h.projection_include,
        labels: h.projection_labels.clone(),
        hash_label: h.series_hash_label_name.clone(),
    })
}

fn query_hints(r: &SeriesRequest) -> Option<pb::QueryHints> {
    // The labels that a query looks at have no field of their own.
    let hints = SelectHints { projection: None, ..r.hints.clone() };
    let there = hints != SelectHints::default() || r.projection.is_some();
    there.then(|| {
        let mut message = pb::QueryHints::from(&hints);
        if let Some(projection) = &r.projection {
            message.projection_labels = projection.labels.clone();
            message.projection_include = projection.include;
            message.series_hash_label_name = projection.hash_label.clone();
        }
        message
    })
}

fn aggregates(list: &[i32]) -> Result<Vec<Aggr>> {
    let one = |(i, wire): (usize, &i32)| {
        Ok(match Wire::try_from(*wire) {
            Ok(Wire::Raw) => Aggr::Raw,
            Ok(Wire::Count) => Aggr::Count,
            Ok(Wire::Sum) => Aggr::Sum,
            Ok(Wire::Min) => Aggr::Min,
            Ok(Wire::Max) => Aggr::Max,
            Ok(Wire::Counter) => Aggr::Counter,
            Err(_) => return Err(unknown(format_args!("aggregates[{i}]"), (*wire).into())),
        })
    };
    list.iter().enumerate().map(one).collect()
}

impl From<Aggr> for Wire {
    fn from(aggr: Aggr) -> Self {
        match aggr {
            Aggr::Raw => Self::Raw,
            Aggr::Count => Self::Count,
            Aggr::Sum => Self::Sum,
            Aggr::Min => Self::Min,
            Aggr::Max => Self::Max,
            Aggr::Counter => Self::Counter,
        }
    }
}

/// The part wanted; `None` when there is one part only.
pub(super) fn shard(s: pb::ShardInfo) -> Result<Option<ShardInfo>> {
    if s.total_shards < 1 {
        return Ok(None);
    }
    let index = u64::try_from(s.shard_index).map_err(|_| unknown("shard_info.shard_index", s.shard_index))?;
    Ok(Some(ShardInfo { index, total: s.total_shards.unsigned_abs(), by: s.by, labels: s.labels }))
}

impl From<&ShardInfo> for pb::ShardInfo {
    fn from(s: &ShardInfo) -> Self {
        let wire = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        Self { shard_index: wire(s.index), total_shards: wire(s.total), by: s.by, labels: s.labels.clone() }
    }
}

impl From<pb::QueryHints> for SelectHints {
    fn from(h: pb::QueryHints) -> Self {
        Self {
            step_ms: h.step_millis,
            func: h.func.map(|f| f.name).unwrap_or_default(),
            range_ms: h.range.map(|r| r.millis).unwrap_or_default(),
            grouping: h.grouping.map(|g| Grouping { by: g.by, labels: g.labels }),
            // What is asked for by the fields of a projection is part of the request.
            projection: None,
        }
    }
}

impl From<&SelectHints> for pb::QueryHints {
    fn from(h: &SelectHints) -> Self {
        Self {
            step_millis: h.step_ms,
            func: (!h.func.is_empty()).then(|| pb::Func { name: h.func.clone() }),
            range: (h.range_ms != 0).then_some(pb::Range { millis: h.range_ms }),
            grouping: h.grouping.as_ref().map(|g| pb::Grouping { by: g.by, labels: g.labels.clone() }),
            ..Self::default()
        }
    }
}

impl TryFrom<pb::LabelNamesRequest> for LabelNamesRequest {
    type Error = Error;

    /// # Errors
    /// `Invalid` with the path of the first field that cannot be understood.
    fn try_from(r: pb::LabelNamesRequest) -> Result<Self> {
        Ok(Self {
            interval: Interval::new(r.start, r.end),
            matchers: to_matchers(&r.matchers)?,
            without_replica_labels: r.without_replica_labels,
            limit: limit(r.limit),
            partial_response: partial_response(r.partial_response_disabled, r.partial_response_strategy)?,
            block_matchers: hints::request_matchers::<hintspb::LabelNamesRequestHints>(r.hints.as_ref())?,
            store_matchers: Vec::new(),
        })
    }
}

impl From<&LabelNamesRequest> for pb::LabelNamesRequest {
    fn from(r: &LabelNamesRequest) -> Self {
        let (partial_response_disabled, partial_response_strategy) =
            partial_response_to_wire(r.partial_response);
        Self {
            partial_response_disabled,
            partial_response_strategy,
            start: r.interval.mint,
            end: r.interval.maxt,
            hints: hints::from_request_matchers::<hintspb::LabelNamesRequestHints>(&r.block_matchers),
            matchers: from_matchers(&r.matchers),
            without_replica_labels: r.without_replica_labels.clone(),
            limit: limit_to_wire(r.limit),
        }
    }
}

impl TryFrom<pb::LabelValuesRequest> for LabelValuesRequest {
    type Error = Error;

    /// # Errors
    /// `Invalid` with the path of the first field that cannot be understood.
    fn try_from(r: pb::LabelValuesRequest) -> Result<Self> {
        Ok(Self {
            label: r.label,
            interval: Interval::new(r.start, r.end),
            matchers: to_matchers(&r.matchers)?,
            without_replica_labels: r.without_replica_labels,
            limit: limit(r.limit),
            partial_response: partial_response(r.partial_response_disabled, r.partial_response_strategy)?,
            block_matchers: hints::request_matchers::<hintspb::LabelValuesRequestHints>(r.hints.as_ref())?,
            store_matchers: Vec::new(),
        })
    }
}

impl From<&LabelValuesRequest> for pb::LabelValuesRequest {
    fn from(r: &LabelValuesRequest) -> Self {
        let (partial_response_disabled, partial_response_strategy) =
            partial_response_to_wire(r.partial_response);
        Self {
            label: r.label.clone(),
            partial_response_disabled,
            partial_response_strategy,
            start: r.interval.mint,
            end: r.interval.maxt,
            hints: hints::from_request_matchers::<hintspb::LabelValuesRequestHints>(&r.block_matchers),
            matchers: from_matchers(&r.matchers),
            without_replica_labels: r.without_replica_labels.clone(),
            limit: limit_to_wire(r.limit),
        }
    }
}

impl From<LabelNames> for pb::LabelNamesResponse {
    fn from(answer: LabelNames) -> Self {
        let message =
            hintspb::LabelNamesResponseHints { queried_blocks: hints::blocks(answer.queried_blocks) };
        let hints = (!message.queried_blocks.is_empty()).then(|| hints::any(&message));
        Self { names: to_bytes(answer.names), warnings: warnings(&answer.warnings), hints }
    }
}

impl From<LabelValues> for pb::LabelValuesResponse {
    fn from(answer: LabelValues) -> Self {
        let message =
            hintspb::LabelValuesResponseHints { queried_blocks: hints::blocks(answer.queried_blocks) };
        let hints = (!message.queried_blocks.is_empty()).then(|| hints::any(&message));
        Self { values: shared(answer.values), warnings: warnings(&answer.warnings), hints }
    }
}

impl From<pb::LabelNamesResponse> for LabelNames {
    fn from(r: pb::LabelNamesResponse) -> Self {
        let mut warnings = to_warnings(&r.warnings);
        let names = to_strings(&r.names, &mut warnings);
        let queried_blocks = r.hints.as_ref().map(hints::queried_blocks).unwrap_or_default();
        Self { names, warnings, queried_blocks }
    }
}

impl From<pb::LabelValuesResponse> for LabelValues {
    fn from(r: pb::LabelValuesResponse) -> Self {
        let mut warnings = to_warnings(&r.warnings);
        let values = to_strings(&r.values, &mut warnings).into_iter().collect();
        let queried_blocks = r.hints.as_ref().map(hints::queried_blocks).unwrap_or_default();
        Self { values, warnings, queried_blocks }
    }
}

/// The strings as shares of one allocation.
fn shared(strings: Strings) -> Vec<Bytes> {
    let mut text = Vec::with_capacity(strings.size_bytes());
    strings.iter().for_each(|s| text.extend_from_slice(s.as_bytes()));
    let mut text = Bytes::from(text);
    strings.iter().map(|s| text.split_to(s.len())).collect()
}

fn to_bytes(strings: Vec<String>) -> Vec<Bytes> {
    strings.into_iter().map(Bytes::from).collect()
}

fn warnings(warnings: &Warnings) -> Vec<Bytes> {
    warnings.iter().map(|w| Bytes::from(w.to_string())).collect()
}

fn to_warnings(list: &[Bytes]) -> Warnings {
    let mut warnings = Warnings::default();
    warnings.extend(list.iter().map(|w| Warning::new(text(w))));
    warnings
}

/// Sorted, distinct strings; some peers send duplicates. What is no UTF-8 is left out, with
/// a warning: a request could not name it.
fn to_strings(list: &[Bytes], warnings: &mut Warnings) -> Vec<String> {
    let mut strings = Vec::with_capacity(list.len());
    for bytes in list {
        match std::str::from_utf8(bytes) {
            Ok(s) => strings.push(s.to_owned()),
            Err(_) => warnings.push(Warning::new(format!("left out {:?}: not UTF-8", text(bytes)))),
        }
    }
    if !strings.is_sorted_by(|a, b| a < b) {
        strings.sort_unstable();
        strings.dedup();
    }
    strings
}

#[cfg(test)]
mod tests {
    use thanoslib::{
        model::{MatchOp, Matcher},
        store::PartialResponse,
    };

    use super::*;

    #[test]
    fn a_series_request_survives_the_wire() {
        let matcher = Matcher::new(MatchOp::NotRegex, "job", "a|b").expect("valid");
        let base = SeriesRequest::new(Interval::new(i64::MIN, i64::MAX), vec![matcher]);
        let check = |change: fn(&mut SeriesRequest)| {
            let mut want = base.clone();
            change(&mut want);
            let got = SeriesRequest::try_from(pb::SeriesRequest::from(&want)).expect("our own message");
            // Compiled patterns print their insides, so the fields are compared as text without them.
            assert_eq!(shown(&got), shown(&want));
        };
        check(|_| ());
        check(|r| {
            r.aggregates = vec![Aggr::Count, Aggr::Sum, Aggr::Min, Aggr::Max, Aggr::Counter, Aggr::Raw]
        });
        check(|r| r.shard = Some(ShardInfo { index: 1, total: 3, by: true, labels: vec!["a".to_owned()] }));
        check(|r| r.partial_response = PartialResponse::Abort);
        check(|r| r.block_matchers = vec![Matcher::equal("__block_id", "x")]);
        check(|r| {
            r.hints = SelectHints {
                step_ms: 1,
                func: "rate".to_owned(),
                range_ms: 2,
                grouping: Some(Grouping { by: false, labels: vec!["le".to_owned()] }),
                projection: None,
            }
        });
        check(|r| {
            let labels = vec!["job".to_owned()];
            r.projection = Some(Projection { include: true, labels, hash_label: "hash".to_owned() });
        });
        check(|r| {
            (r.limit, r.batch_series, r.skip_chunks, r.max_resolution_ms) = (5, 64, true, 300_000);
            r.without_replica_labels = vec!["replica".to_owned()];
        });
    }

    fn shown(r: &SeriesRequest) -> String {
        let matchers: Vec<_> = r.matchers.iter().map(ToString::to_string).collect();
        let blocks: Vec<_> = r.block_matchers.iter().map(ToString::to_string).collect();
        let rest = SeriesRequest { matchers: Vec::new(), block_matchers: Vec::new(), ..r.clone() };
        format!("{matchers:?} {blocks:?} {rest:?}")
    }

    #[test]
    fn errors_name_the_field() {
        let check = |message: pb::SeriesRequest, want: &str| {
            let error = SeriesRequest::try_from(message).expect_err(want);
            assert_eq!((error.kind(), error.message()), (thanoslib::ErrorKind::Invalid, want));
        };
        let base = pb::SeriesRequest::default;
        check(pb::SeriesRequest { aggregates: vec![1, 7], ..base() }, "aggregates[1]: unknown value 7");
        check(
            pb::SeriesRequest { partial_response_strategy: 4, ..base() },
            "partial_response_strategy: unknown value 4",
        );
        let shard = pb::ShardInfo { shard_index: -1, total_shards: 2, ..pb::ShardInfo::default() };
        check(
            pb::SeriesRequest { shard_info: Some(shard), ..base() },
            "shard_info.shard_index: unknown value -1",
        );
    }

    #[test]
    fn either_field_asks_to_abort() {
        let check = |partial_response_disabled, partial_response_strategy, want| {
            let message = pb::LabelNamesRequest {
                partial_response_disabled,
                partial_response_strategy,
                ..Default::default()
            };
            assert_eq!(LabelNamesRequest::try_from(message).expect("valid").partial_response, want);
        };
        check(false, 0, PartialResponse::Warn);
        check(true, 0, PartialResponse::Abort);
        check(false, 1, PartialResponse::Abort);
    }

    #[test]
    fn label_answers_are_sorted_distinct_and_text() {
        let check = |values: &[&'static [u8]], want: &[&str], warned: bool| {
            let values = values.iter().map(|v| Bytes::from_static(v)).collect();
            let got = LabelValues::from(pb::LabelValuesResponse { values, ..Default::default() });
            assert_eq!((got.values, got.warnings.is_empty()), (want.iter().collect(), !warned));
        };
        check(&[b"a", b"b"], &["a", "b"], false);
        check(&[b"b", b"a", b"b"], &["a", "b"], false);
        check(&[b"a", &[0xff]], &["a"], true);
    }
}
