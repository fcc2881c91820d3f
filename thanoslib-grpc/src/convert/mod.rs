//! Between protobuf messages and the types of thanoslib, one file per concern.
//!
//! `From` where nothing can fail, `TryFrom` where a peer can send nonsense; the error then
//! starts with the path of the field. Chunk data is shared, not copied, both ways.
//!
//! Invariant: knows messages and plain types; no channel, no server, no clock.

mod exemplars;
mod hints;
mod info;
mod labels;
mod matcher;
mod metadata;
mod query;
mod rules;
mod series;
mod status;
mod store;
mod targets;
mod time;
mod timeseries;
mod write;

pub use exemplars::add_exemplars;
pub use hints::{any, queried_blocks, request_matchers};
pub use info::{advertised, endpoint_info, store_info};
pub(crate) use labels::FlatLabels;
pub use labels::{from_labels, to_labels};
pub use matcher::to_matchers;
pub use metadata::{add_metadata, metadata_response};
pub use query::QueryMessage;
pub(crate) use query::QueryPart;
pub use rules::add_rules;
pub use series::FRAME_CHUNKS_MAX_BYTES;
pub(crate) use series::encoding;
pub use status::{add_status, status_response};
pub use targets::{add_targets, targets_response};
pub use timeseries::{from_histogram, to_histogram};
pub use write::{tenants, write_request};

use thanoslib::{Error, Result};

/// An `Invalid` error about one field.
fn unknown(path: impl std::fmt::Display, value: i64) -> Error {
    Error::invalid(format!("{path}: unknown value {value}"))
}

/// A number of items that a peer wants at most; 0 and less stand for all.
fn limit(n: i64) -> usize {
    usize::try_from(n.max(0)).unwrap_or(usize::MAX)
}

/// The same for the wire.
fn limit_to_wire(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A text of a peer; what is not UTF-8 in it is replaced.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a failing part does, from the two fields that say it.
fn partial_response(disabled: bool, strategy: i32) -> Result<thanoslib::store::PartialResponse> {
    use thanoslib::store::PartialResponse;

    use crate::pb::thanos::PartialResponseStrategy as Wire;
    match Wire::try_from(strategy) {
        Ok(Wire::Warn) if !disabled => Ok(PartialResponse::Warn),
        Ok(_) => Ok(PartialResponse::Abort),
        Err(_) => Err(unknown("partial_response_strategy", strategy.into())),
    }
}

/// The same from the one field of an answer.
fn strategy(strategy: i32) -> Result<thanoslib::store::PartialResponse> {
    partial_response(false, strategy).map_err(|e| Error::corrupt(e.message().to_owned()))
}

/// The two fields of the wire: disabled, strategy.
fn partial_response_to_wire(p: thanoslib::store::PartialResponse) -> (bool, i32) {
    use thanoslib::store::PartialResponse;

    use crate::pb::thanos::PartialResponseStrategy as Wire;
    match p {
        PartialResponse::Warn => (false, Wire::Warn.into()),
        PartialResponse::Abort => (true, Wire::Abort.into()),
    }
}
